"""
Notices through a real Postfix that misbehaves, the sender killed again and again.

``python -m faults.campaign --notices 10000 --kills 100`` is the long form; the tests
run a short one. What is counted is what the sink behind the relay has.
"""

import argparse
import random
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic
from typing import Any

from factories import LAUNCH
from fakes.breaking_line import BreakingLine
from fakes.forks import as_words, ended, forks
from fakes.mortal_sender import live
from fakes.planned import Planned, addresses, plan_notices
from fakes.postfix import Postfix, postfix
from fakes.recipient_policy import (
    CLOSING,
    GREYLISTED,
    RecipientPolicy,
    recipient_policy,
)
from fakes.stack import wait_until
from sqlalchemy import Engine

from models.terms import InDoubt, NoticeId
from tocsin.clock import SteppedClock
from tocsin.steps.keeping_back import give_up_held, release_held
from tocsin.steps.send import LEASE_WITHIN
from tocsin.store.held import held_notices
from tocsin.store.outbox import next_due_notice
from tocsin.store.session import migrate, open_engine, reading

CONNECTIONS = 4
_READY_WITHIN = 120.0
_LIFE_WITHIN = 600.0
_TRIES_EACH = 1.4
"""How often a recipient is named on average: half of them are greylisted once."""
_LONG_ENOUGH = timedelta(hours=12)
"""For every back-off there is."""
_CUT_SHARE = 0.01
_LONGEST_LINGER = 0.05
_ENDED_WITHOUT_A_WORD = "whoever was sending it ended without a word"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """
    What a campaign came to.

    Args:
        notices: Planned, one for each contact.
        unknown: Of those, to addresses that the relay refuses for good.
        arrived: Different messages that the sink has.
        lost: Known contacts of whom the sink has nothing.
        stray: Messages at the sink for contacts that the relay does not know.
        repeated: Copies at the sink beyond the first of each message.
        uncounted: Of those, how many stand in no count of possible repetitions.
        counted: Possible repetitions that were counted.
        kills: By SIGKILL.
        in_doubt_by_kill: Messages in doubt because a process was killed.
        greylisted: 450 at RCPT.
        closed: 421 at RCPT, those that Postfix says of itself not counted.
        cut_after_data: Connections cut while content was on its way.
        cut_after_dot: Connections cut before the relay's answer.
        minutes_down: How long no connection was taken.
        held: Messages that waited for an officer.
        seconds: How long it took.

    """

    notices: int
    unknown: int
    arrived: int
    lost: int
    stray: int
    repeated: int
    uncounted: int
    counted: int
    kills: int
    in_doubt_by_kill: int
    greylisted: int
    closed: int
    cut_after_data: int
    cut_after_dot: int
    minutes_down: int
    held: int
    seconds: float


@dataclass
class Campaign:
    """Everything that takes part."""

    planned: Planned
    relay: Postfix
    line: BreakingLine
    policy: RecipientPolicy
    chance: random.Random
    batch: int
    in_doubt: InDoubt
    log: Path
    now: datetime = LAUNCH
    kills: int = 0
    minutes_down: int = 0
    held: int = 0

    def kill_again_and_again(self, kills: int, *, of: int) -> None:
        """
        Let the sender work and kill it, at points that chance chooses.

        Args:
            kills: Until it was killed so often.
            of: How often it will be in all: there has to be work left for each.

        """
        total = len(self.planned.contacts) * _TRIES_EACH
        while self.kills < kills:
            left = max(total - self.line.recipients, 0)
            share = left / (of - self.kills)
            if self._killed(after=int(self.chance.uniform(0, share))):
                self.kills += 1
                self.now += timedelta(minutes=1)
            # It was done with everything that was due: wait for what comes next.
            elif not self._step_to_next():
                return

    def be_down(self, minutes: int) -> None:
        """Have the relay refuse connections for so long, while the sender works on."""
        self.line.go_down()
        self.run(passes=minutes)
        self.now += timedelta(minutes=minutes)
        self.minutes_down += minutes
        self.line.come_back()

    def finish(self) -> None:
        """Work until nothing is due any more, an officer's decisions included."""
        while True:
            if self._step_to_next():
                self.run(until_done=True)
                self.now += _LONG_ENOUGH
            self.relay.wait_until_empty()
            if not self._decide():
                return

    def run(self, **options: object) -> None:
        """Let the sender work undisturbed."""
        with self._sender(**options) as process:
            code = ended(process, _LIFE_WITHIN)
            assert code == 0, self.log.read_text("utf-8")[-2000:]

    def figures(self, seconds: float) -> Figures:
        """Set what the sink has against what was planned."""
        notices = self.planned.notices()
        unknown = {
            contact
            for number, contact in enumerate(self.planned.contacts, start=1)
            if self.policy.is_unknown(number)
        }
        known = {row.message_id for row in notices if row.contact_id not in unknown}
        taken = Counter(one.message_id for one in self.relay.arrived())
        repeats = {key: times - 1 for key, times in taken.items() if times > 1}
        counted = {row.message_id: row.possibly_repeated for row in notices}
        doubts = sum(
            row.outcome == "in-doubt" and row.detail == _ENDED_WITHOUT_A_WORD
            for row in self.planned.attempts()
        )
        return Figures(
            notices=len(notices),
            unknown=len(unknown),
            arrived=len(taken),
            lost=len(known - taken.keys()),
            stray=len(taken.keys() - known),
            repeated=sum(repeats.values()),
            uncounted=sum(
                max(0, times - counted.get(key, 0)) for key, times in repeats.items()
            ),
            counted=sum(counted.values()),
            kills=self.kills,
            in_doubt_by_kill=doubts,
            greylisted=self.policy.said[GREYLISTED],
            closed=self.policy.said[CLOSING],
            cut_after_data=self.line.cuts["cut after DATA"],
            cut_after_dot=self.line.cuts["cut after the dot"],
            minutes_down=self.minutes_down,
            held=self.held,
            seconds=seconds,
        )

    def _killed(self, *, after: int) -> bool:
        """Start the sender, kill it after so many recipients; False: it was done."""
        until = self.line.recipients + after
        with self._sender() as process:
            wait_until(
                lambda: self.line.recipients >= until or not process.is_alive(),
                within=_LIFE_WITHIN,
                what="a sender that gets on",
            )
            threading.Event().wait(self.chance.uniform(0, _LONGEST_LINGER))
            process.kill()
            return ended(process) == -signal.SIGKILL

    def _step_to_next(self) -> bool:
        with reading(self.planned.engine) as connection:
            due_at = next_due_notice(connection)
        if due_at is not None:
            self.now = max(self.now, due_at)
        return due_at is not None

    def _decide(self) -> bool:
        """Do as an officer would: look into the relay's log, repeat what is not there."""
        with reading(self.planned.engine) as connection:
            waiting = held_notices(connection)
        self.held += len(waiting)
        taken = {one.message_id for one in self.relay.arrived()}
        clock = SteppedClock(self.now)
        for change, was_taken, reason in (
            (give_up_held, True, "the relay's log has it"),
            (release_held, False, "the relay's log does not have it"),
        ):
            notices = [
                NoticeId(one.notice)
                for one in waiting
                if (one.message_id in taken) is was_taken
            ]
            if notices:
                change(
                    self.planned.engine,
                    notices=notices,
                    actor="officer",
                    reason=reason,
                    clock=clock,
                )
        return bool(waiting)

    @contextmanager
    def _sender(self, **options: object) -> Iterator[ForkServerProcess]:
        named: dict[str, object] = {
            "url": self.planned.engine.url.render_as_string(hide_password=False),
            "port": self.line.port,
            "now": self.now.isoformat(),
            "batch": self.batch,
            "in-doubt": self.in_doubt.value,
            "connections": CONNECTIONS,
            "journals": self.log.parent / "sending",
        } | options
        is_ready = forks().Event()
        process = forks().Process(
            target=live, args=(as_words(named), self.log, is_ready), daemon=True
        )
        process.start()
        try:
            assert is_ready.wait(_READY_WITHIN), self.log.read_text("utf-8")
            yield process
        finally:
            process.kill()
            process.join()


def campaign(
    engine: Engine,
    *,
    log: Path,
    notices: int,
    kills: int,
    batch: int,
    minutes_down: int = 60,
    in_doubt: InDoubt = InDoubt.RESEND,
    seed: int = 1,
) -> tuple[Figures, Planned]:
    """
    Run one campaign, and count.

    Args:
        engine: An empty database.
        log: Where the senders' own words go.
        notices: How many, to as many contacts.
        kills: How many; half of them before the relay is down, half after.
        batch: Notices in one transaction.
        minutes_down: How long the relay is out of reach, by the stepped clock.
        in_doubt: What follows a doubt.
        seed: Of everything that is left to chance.

    """
    started_at = monotonic()
    planned = plan_notices(
        engine, SteppedClock(LAUNCH), *addresses(notices), certificates=1
    )
    with ExitStack() as stack:
        policy = stack.enter_context(recipient_policy())
        relay = stack.enter_context(postfix(policy_port=policy.port))
        line = stack.enter_context(
            BreakingLine(relay.port, seed=seed, share=_CUT_SHARE)
        )
        run = Campaign(
            planned=planned,
            relay=relay,
            line=line,
            policy=policy,
            chance=random.Random(seed),  # noqa: S311 - to be repeatable
            batch=batch,
            in_doubt=in_doubt,
            log=log,
        )
        run.kill_again_and_again(kills // 2, of=kills)
        run.be_down(minutes_down)
        run.kill_again_and_again(kills, of=kills)
        run.now += LEASE_WITHIN
        run.finish()
        return run.figures(monotonic() - started_at), planned


def main() -> None:
    """Run the long form and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notices", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--in-doubt", type=InDoubt, default=InDoubt.RESEND)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{Path(folder) / 'tocsin.sqlite'}")
        migrate(engine)
        figures, planned = campaign(
            engine,
            log=Path(folder) / "senders.log",
            notices=given.notices,
            kills=given.kills,
            batch=given.batch,
            in_doubt=given.in_doubt,
            seed=given.seed,
        )
        states: dict[str, Any] = planned.states()
        acts = len(planned.acts())
        engine.dispose()
    for one in fields(figures):
        value = getattr(figures, one.name)
        shown = f"{value:,.0f}" if isinstance(value, float) else f"{value:,}"
        print(f"{one.name.replace('_', ' '):>18}  {shown}")  # noqa: T201
    print(f"{'states':>18}  {states}")  # noqa: T201
    print(f"{'acts, chain intact':>18}  {acts:,}")  # noqa: T201
    if figures.lost or figures.uncounted or figures.stray:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
