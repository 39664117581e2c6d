"""A process that sends what is due and is killed at a stated point: run by tests."""

import argparse
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

from fakes.planned import LINKS, SENDER, TEMPLATES

from models.terms import InDoubt, NoticeId
from tocsin.clock import SteppedClock
from tocsin.log import configure_logging
from tocsin.mail.messages import OutgoingMessage, SendOutcome, Witness
from tocsin.mail.smtp import SmtpMailer
from tocsin.policy.sending import SendingRules
from tocsin.settings import Tls
from tocsin.steps.send import send_due
from tocsin.store.outbox import next_due_notice
from tocsin.store.session import open_engine, reading


class MortalMailer:
    """The real mailer; its process dies at one point of what it does."""

    def __init__(self, inner: SmtpMailer, *, dies: str, after: int) -> None:
        self._inner = inner
        self._dies = dies
        self._left = {"taken": after, "started": after, "ended": after}

    def send(
        self, messages: Iterable[OutgoingMessage], *, witness: Witness | None = None
    ) -> Iterator[SendOutcome]:
        return self._inner.send(
            self._taken(messages), witness=MortalWitness(self.note, witness)
        )

    def note(self, point: str) -> None:
        self._left[point] -= 1
        if point == self._dies and not self._left[point]:
            os.kill(os.getpid(), signal.SIGKILL)

    def _taken(self, messages: Iterable[OutgoingMessage]) -> Iterator[OutgoingMessage]:
        for message in messages:
            self.note("taken")
            yield message


class MortalWitness:
    """Passes on what it is told, then tells that it did."""

    def __init__(self, note: Callable[[str], None], inner: Witness | None) -> None:
        self._note = note
        self._inner = inner

    def started(self, notice_id: NoticeId) -> None:
        if self._inner is not None:
            self._inner.started(notice_id)
        self._note("started")

    def ended(self, outcome: SendOutcome) -> None:
        if self._inner is not None:
            self._inner.ended(outcome)
        self._note("ended")


def live(words: Sequence[str], log: Path, is_ready: Event) -> None:
    """Send with these options; say when it begins, and what there is to say in a log."""
    with log.open("a") as file:
        os.dup2(file.fileno(), 2)
    is_ready.set()
    main(words)


def main(words: Sequence[str] | None = None) -> None:
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
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--journals", type=Path)
    given = parser.parse_args(words)
    engine = open_engine(given.url)
    inner = SmtpMailer(
        "127.0.0.1",
        given.port,
        tls=Tls.NONE,
        connections=given.connections,
        timeout_seconds=10,
    )
    mailer = MortalMailer(inner, dies=given.dies, after=given.after)
    clock = SteppedClock(given.now)
    configure_logging()
    while True:
        send_due(
            engine,
            mailer,
            lambda _: TEMPLATES,
            LINKS,
            SENDER,
            clock,
            owner=f"process-{os.getpid()}",
            rules=SendingRules(in_doubt=given.in_doubt),
            batch=given.batch,
            journals=given.journals,
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
