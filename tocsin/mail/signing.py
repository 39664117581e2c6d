"""Signs messages in threads beside: RSA lets others work meanwhile."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tocsin.mail.messages import OutgoingMessage, Signer

_THREADS = 2


class Signing:
    """
    Messages that are being signed.

    Args:
        signer: Signs them.
        done: Gets each, in a thread of ours.
        counted: Is called when one that was handed on is not counted here any more.
        failed: Gets what went wrong.

    """

    def __init__(
        self,
        signer: Signer,
        *,
        done: Callable[[OutgoingMessage], None],
        counted: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._signer = signer
        self._done = done
        self._counted = counted
        self._failed = failed
        self._under_way: deque[None] = deque()  # several threads count by it
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="signer")

    def __len__(self) -> int:
        """Return how many are being signed, or wait for it."""
        return len(self._under_way)

    def add(self, message: OutgoingMessage) -> None:
        """Sign one."""
        self._under_way.append(None)
        self._threads.submit(self._sign, message)

    def stop(self) -> None:
        """End early: nobody wants the rest."""
        self._threads.shutdown(cancel_futures=True)

    def _sign(self, message: OutgoingMessage) -> None:
        try:
            signed = message._replace(content=self._signer.sign(message.content))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller
            self._failed(error)
            return
        self._done(signed)
        # Only now, so that it is counted somewhere at any moment.
        self._under_way.pop()
        self._counted()
