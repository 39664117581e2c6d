"""A process that sends what is due and is killed at a stated point: run by tests."""

import argparse
import os
import signal
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from fakes.planned import LINKS, SENDER, TEMPLATES

from models.terms import InDoubt
from tocsin.clock import SteppedClock
from tocsin.log import configure_logging
from tocsin.mail.smtp import OutgoingMessage, SendOutcome, SmtpMailer
from tocsin.policy.sending import SendingRules
from tocsin.settings import Tls
from tocsin.steps.send import send_due
from tocsin.store.outbox import next_due_notice
from tocsin.store.session import open_engine, reading


class MortalMailer:
    """The real mailer; whoever calls it dies at one point of its second batch."""

    def __init__(self, inner: SmtpMailer, *, dies: str, after: int) -> None:
        self._inner = inner
        self._dies = dies
        self._after = after
        self._batches = 0

    def send(self, messages: Iterable[OutgoingMessage]) -> Iterator[SendOutcome]:
        self._batches += 1
        self._die_if("claimed")
        for count, outcome in enumerate(self._inner.send(messages), start=1):
            yield outcome
            if count == self._after:
                self._die_if("sending")
        self._die_if("sent")

    def _die_if(self, point: str) -> None:
        if self._dies == point and self._batches == 2:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    parser.add_argument("--dies", default="")
    parser.add_argument("--after", type=int, default=0)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--in-doubt", type=InDoubt, default=InDoubt.RESEND)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--until-done", type=bool, default=False)
    given = parser.parse_args()
    engine = open_engine(given.url)
    inner = SmtpMailer("127.0.0.1", given.port, tls=Tls.NONE, timeout_seconds=10)
    clock = SteppedClock(given.now)
    configure_logging()
    print("ready", flush=True)  # noqa: T201 - whoever started us waits for it
    while True:
        send_due(
            engine,
            MortalMailer(inner, dies=given.dies, after=given.after),
            lambda _: TEMPLATES,
            LINKS,
            SENDER,
            clock,
            owner=f"process-{os.getpid()}",
            rules=SendingRules(in_doubt=given.in_doubt),
            batch=given.batch,
        )
        given.passes -= 1
        later = clock.now() + timedelta(minutes=1)
        if given.until_done:
            with reading(engine) as connection:
                due_at = next_due_notice(connection)
            if due_at is None:
                break
            later = max(clock.now(), due_at)
        elif not given.passes:
            break
        clock.step_to(later)
    engine.dispose()


if __name__ == "__main__":
    main()
