"""Reads a mailbox by IMAP; without it a CA whose mail is hosted elsewhere would hear nothing."""

import imaplib
import re
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from tocsin.errors import Unavailable
from tocsin.mail.incoming import Delivered
from tocsin.settings import Tls

_SILENT_AFTER = 20.0
"""Seconds that a server may take for one answer; the rest of a run waits for it."""

_MOST_AT_ONCE = 1_000
_AT_ONCE = 50
_FILED = "TocsinFiled"
"""A keyword (RFC 3501 2.3.2) on what was filed: people may read, and mark as read, too."""

_UID = re.compile(rb"\bUID (\d+)")


class ImapMailbox:
    """
    What is new in one folder of an IMAP mailbox (RFC 3501).

    New is what does not carry our keyword; where the server keeps no keywords, what is
    unseen. Reading changes nothing; what was filed is marked afterwards, and nothing is
    ever deleted.

    Args:
        host: The server.
        port: Its port.
        tls: How the connection is protected; certificates are always verified.
        username: Whose mailbox.
        password: Theirs.
        folder: Which folder.
        largest: Of a larger message only so many bytes are read.
        context: For a server whose certificate comes from elsewhere.

    """

    name = "imap"

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: Tls,
        username: str,
        password: str,
        folder: str = "INBOX",
        largest: int = 25_000_000,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._username, self._password = username, password
        self._folder, self._largest = folder, largest
        self._context = context

    def keys(self) -> list[str]:
        """Return the numbers of what is new, the oldest first."""
        with self._opened() as (server, validity, keeps_keywords):
            wanted = f"UNKEYWORD {_FILED}" if keeps_keywords else "UNSEEN"
            _, found = server.uid("SEARCH", f"UNDELETED {wanted}")
            numbers = sorted(int(one) for one in (found[0] or b"").split())
            # The number of a message is its own only while the folder stays the same.
            return [f"{validity}.{number}" for number in numbers[:_MOST_AT_ONCE]]

    def read(self, keys: Iterable[str]) -> Iterator[Delivered]:
        """Yield those messages that are still there; nothing is marked by reading."""
        numbers = list(keys)
        if not numbers:
            return
        with self._opened() as (server, validity, _):
            current = [one for one in numbers if one.startswith(f"{validity}.")]
            for start in range(0, len(current), _AT_ONCE):
                chunk = [one.partition(".")[2] for one in current[start:][:_AT_ONCE]]
                _, answers = server.uid(
                    "FETCH", ",".join(chunk), f"(UID BODY.PEEK[]<0.{self._largest}>)"
                )
                yield from _messages(answers, validity)

    def done(self, keys: Iterable[str]) -> None:
        """Mark messages as filed and seen; harmless when they were."""
        numbers = list(keys)
        if not numbers:
            return
        with self._opened() as (server, validity, keeps_keywords):
            current = [
                one.partition(".")[2]
                for one in numbers
                if one.startswith(f"{validity}.")
            ]
            flags = rf"(\Seen {_FILED})" if keeps_keywords else r"(\Seen)"
            if current:
                server.uid("STORE", ",".join(current), "+FLAGS.SILENT", flags)

    @contextmanager
    def _opened(self) -> Iterator[tuple[imaplib.IMAP4, str, bool]]:
        """Log in, open the folder, and say whether it is the same and keeps keywords."""
        try:
            server = self._connect()
            try:
                server.login(self._username, self._password)
                _check(server.select(_quoted(self._folder)))
                _, validity = server.response("UIDVALIDITY")
                _, kept = server.response("PERMANENTFLAGS")
                keeps = rb"\*" in (kept[0] or b"") or _FILED.encode() in (
                    kept[0] or b""
                )
                yield server, (validity[0] or b"0").decode("ascii"), keeps
            finally:
                server.logout()
        except (imaplib.IMAP4.error, OSError) as error:
            # The server's words may hold the user's name.
            raise Unavailable(
                f"the IMAP mailbox cannot be read ({type(error).__name__}): check "
                "TOCSIN_IMAP_HOST, its port, TLS, user and password"
            ) from error

    def _connect(self) -> imaplib.IMAP4:
        context = self._context or ssl.create_default_context()
        if self._tls is Tls.IMPLICIT:
            return imaplib.IMAP4_SSL(
                self._host, self._port, ssl_context=context, timeout=_SILENT_AFTER
            )
        server = imaplib.IMAP4(self._host, self._port, timeout=_SILENT_AFTER)
        if self._tls is Tls.STARTTLS:
            server.starttls(ssl_context=context)
        return server


def _messages(answers: Sequence[object], validity: str) -> Iterator[Delivered]:
    """Yield the messages of a FETCH answer; servers put the UID before or behind."""
    head: bytes | None = None
    content: bytes | None = None
    for answer in answers:
        if isinstance(answer, tuple):
            head, content = answer[0], answer[1]
            number = _UID.search(head)
        elif isinstance(answer, bytes) and content is not None:
            number = _UID.search(answer)
        else:
            continue
        if number and content is not None:
            yield Delivered(key=f"{validity}.{number[1].decode()}", content=content)
            content = None


def _check(answer: tuple[str, list[bytes | None]]) -> None:
    if answer[0] != "OK":
        raise imaplib.IMAP4.error("the folder cannot be opened")


def _quoted(folder: str) -> str:
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
