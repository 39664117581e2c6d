"""What Postfix asks about each recipient: refusals of every kind, on cue."""

import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

GREYLISTED = "450 4.7.1 Greylisted, come back later"
CLOSING = "421 4.3.2 Closing, come back later"
UNKNOWN = "550 5.1.1 User unknown"


class RecipientPolicy:
    """
    Refuses recipients by their number (SMTPD_POLICY_README of Postfix).

    One in 53 is unknown for good. Of the others every second is greylisted the first
    time, and one in 29 finds the session closed the first time.
    """

    def __init__(self) -> None:
        self.said: Counter[str] = Counter()
        self.port = 0
        self._met: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @staticmethod
    def is_unknown(number: int) -> bool:
        return number % 53 == 0

    def action(self, recipient: str) -> str:
        number = int(recipient.partition("@")[0].lstrip("r") or 0)
        with self._lock:
            action = self._decide(recipient, number)
            self.said[action] += 1
        return action

    def _decide(self, recipient: str, number: int) -> str:
        if self.is_unknown(number):
            return UNKNOWN
        for answer, divisor in ((CLOSING, 29), (GREYLISTED, 2)):
            if number % divisor == 0 and (recipient, answer) not in self._met:
                self._met.add((recipient, answer))
                return answer
        return "DUNNO"


@contextmanager
def recipient_policy() -> Iterator[RecipientPolicy]:
    """Answer Postfix over TCP until the end of the block."""
    policy = RecipientPolicy()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            recipient = ""
            for line in self.rfile:
                name, _, value = line.decode().strip().partition("=")
                if name == "recipient":
                    recipient = value
                elif not name:
                    answer = f"action={policy.action(recipient)}\n\n"
                    self.wfile.write(answer.encode())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        policy.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield policy
        finally:
            server.shutdown()
            thread.join(10)
