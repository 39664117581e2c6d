"""
Troubles of the last hours before a deadline, with a real CA behind a wire.

``python -m faults.troubles`` is the long form; the tests run a short one. For each:
everything is published before the deadline, or there was an alarm before it was missed.
The alarm is the guard's heartbeat, which others listen for: silence rings.
"""

import argparse
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic

from fakes.due_at import DueAt, due_at
from fakes.lives import ENGINE, GUARD, World, begun
from fakes.real_cas import Bao, Cfssl, RealCa, bao, cfssl
from sqlalchemy import Engine

from tocsin.ca.factory import find_backend
from tocsin.ca.options import read_options
from tocsin.clock import SteadyWatch, SystemClock
from tocsin.guard import pause_until_due, watch_once
from tocsin.steps.revoke import revoke_due
from tocsin.store.session import migrate, open_engine

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
EVERY = MINUTE
"""How often engine and guard look, as they are shipped."""
GRACE = MINUTE
_RINGS_AFTER = timedelta(minutes=3)
"""How old the heartbeat may become before whoever listens rings."""
_ENDS_WITHIN = 900.0
_MOVES_WITHIN = 120.0
"""Seconds: longer than a CA is waited for, shorter than a test may take."""
_LOOKS = 0.02


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """
    What became of it; spans are by the right time, before the deadline.

    Args:
        trouble: In words.
        certificates: Due.
        published: Of those, before the deadline.
        done_before: How long before it the last one was published.
        alarm_before: How long before it somebody heard; None: there was no alarm.
        twice: Certificates that the CA was asked to revoke more than once.
        remark: What else was counted.

    """

    trouble: str
    certificates: int
    published: int
    done_before: timedelta
    alarm_before: timedelta | None
    twice: int
    remark: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether all was in time, or somebody heard before it was too late."""
        all_in_time = self.published == self.certificates
        return all_in_time or (
            self.alarm_before is not None and self.alarm_before > timedelta()
        )


@dataclass
class Machine:
    """
    The machine that engine and guard run on, and the right time.

    Time passes as it does, and hours that nothing happens in are jumped over.

    Args:
        skipped: What was jumped over.
        wrong: How far the machine's clock is from the right time.

    """

    skipped: timedelta = timedelta()
    wrong: timedelta = timedelta()

    @property
    def right(self) -> datetime:
        return SystemClock().now() + self.skipped

    def now(self) -> datetime:
        return self.right + self.wrong

    def skip_to(self, right: datetime) -> None:
        self.skipped += max(right - self.right, timedelta())


@dataclass
class Watch:
    """Engine and guard in turn, each when it would wake up by itself."""

    ca: RealCa
    due: DueAt
    engine: Engine
    machine: Machine
    folder: Path
    events: list[tuple[datetime, Callable[[], None]]] = field(default_factory=list)
    alarmed_at: datetime | None = None
    passes: int = 0

    def at(self, instant: datetime, happens: Callable[[], None]) -> None:
        """Let something happen at an instant, by the right time."""
        self.events.append((instant, happens))

    def run(self) -> None:
        """Go on until everything is published."""
        kind = find_backend(self.ca.name)
        given = read_options(self.ca.options, kind, ledger=self.folder / "calls.json")
        backend, publication = kind.open(given)
        steady = SteadyWatch(self.machine)
        # The engine's turn is the worst one: just before the CA comes back.
        wakes = {
            ENGINE: self.due.deadline - timedelta(minutes=62, seconds=2),
            GUARD: self.due.deadline - timedelta(minutes=61, seconds=40),
        }
        ends = monotonic() + _ENDS_WITHIN
        heard = self.machine.right
        while not self.due.is_published:
            assert monotonic() < ends, self.due.states()
            actor = min(wakes, key=lambda name: wakes[name])
            self._let_happen(until=wakes[actor])
            self.machine.skip_to(wakes[actor])
            self.passes += 1
            if actor == ENGINE:
                revoke_due(
                    self.engine,
                    backend,
                    publication,
                    self.machine,
                    owner=f"engine-{self.passes}",
                )
                wakes[ENGINE] = max(wakes[ENGINE] + EVERY, self.machine.right)
                continue
            began = self.machine.right
            seen = watch_once(
                self.engine,
                backend,
                publication,
                self.machine,
                heartbeat=self.folder / "guard.json",
                grace=GRACE,
                owner=f"guard-{self.passes}",
                set_back=steady.set_back(),
            )
            if seen.all_is_well:
                heard = self.machine.right
            elif self.machine.right - heard >= _RINGS_AFTER:
                self.alarmed_at = self.alarmed_at or heard + _RINGS_AFTER
            pause = pause_until_due(self.engine, self.machine, every=EVERY)
            wakes[GUARD] = max(began + pause, self.machine.right)

    def outcome(self, trouble: str, remark: str = "") -> Outcome:
        rows = self.due.rows().values()
        # What the machine's clock said is no measure while it is wrong.
        last = max(row.published_at for row in rows) - self.machine.wrong
        rang = self.alarmed_at is not None and self.alarmed_at <= last
        return Outcome(
            trouble=trouble,
            certificates=len(rows),
            published=sum(
                row.published_at - self.machine.wrong <= self.due.deadline
                for row in rows
            ),
            done_before=self.due.deadline - last,
            alarm_before=self.due.deadline - self.alarmed_at
            if rang and self.alarmed_at is not None
            else None,
            twice=sum(times > 1 for times in self.ca.calls().values()),
            remark=remark,
        )

    def _let_happen(self, *, until: datetime) -> None:
        for instant, happens in sorted(self.events, key=lambda one: one[0]):
            if instant <= until:
                self.machine.skip_to(instant)
                happens()
        self.events = [one for one in self.events if one[0] > until]


def ca_down_for_the_last_hour(engine: Engine, folder: Path, count: int) -> Outcome:
    """Revocation starts half an hour before the deadline; the CA is back a minute before."""
    with bao(folder, count=count) as ca:
        watch = _watch(engine, folder, ca, starts=30 * MINUTE)
        ca.wire.is_down = True

        def come_back() -> None:
            ca.wire.is_down = False

        watch.at(watch.due.deadline - MINUTE, come_back)
        watch.run()
        return watch.outcome(
            "the CA is down for the last hour, back a minute before the deadline",
            f"{watch.passes} passes",
        )


def one_call_in_five_fails(engine: Engine, folder: Path, count: int) -> Outcome:
    """Half of these calls have done what they were for all the same."""
    with bao(folder, count=count) as ca:
        watch = _watch(engine, folder, ca, starts=30 * MINUTE)
        ca.wire.share_failing = 0.2
        watch.run()
        failed = ca.wire.failed
        return watch.outcome(
            "the CA answers 500 to one call in five",
            f"{failed['before']:,} calls failed before it acted, {failed['after']:,} after",
        )


def the_clock_is_set_back(engine: Engine, folder: Path, count: int) -> Outcome:
    """An hour, just before revocation starts; a person sets it right 5 minutes before the end."""
    with bao(folder, count=count) as ca:
        watch = _watch(engine, folder, ca, starts=30 * MINUTE)

        def set_wrong() -> None:
            watch.machine.wrong = -HOUR

        def set_right() -> None:
            # Who would, if nobody had heard?
            assert watch.alarmed_at is not None
            watch.machine.wrong = timedelta()

        watch.at(watch.due.deadline - 31 * MINUTE, set_wrong)
        watch.at(watch.due.deadline - 5 * MINUTE, set_right)
        watch.run()
        return watch.outcome(
            "the clock is set back by an hour before revocation starts"
        )


def _watch(engine: Engine, folder: Path, ca: RealCa, *, starts: timedelta) -> Watch:
    machine = Machine()
    deadline = machine.right + timedelta(minutes=65)
    due = due_at(engine, ca, revocation_time=deadline - starts, deadline=deadline)
    return Watch(ca=ca, due=due, engine=engine, machine=machine, folder=folder)


# Processes of their own


def half_the_workers_die(engine: Engine, folder: Path, count: int) -> Outcome:
    """Four engines at once; two are killed when a quarter is done, and stay dead."""
    with bao(folder, count=count) as ca:
        return _with_lives(
            engine,
            folder,
            ca,
            trouble="two of four workers die",
            actors=[ENGINE] * 4,
            dying=2,
        )


def the_clock_is_set_forward(engine: Engine, folder: Path, count: int) -> Outcome:
    """An hour, while engine and guard are at work at a CA that must not be asked twice."""
    with cfssl(folder, count=count) as ca:
        return _with_lives(
            engine,
            folder,
            ca,
            trouble="the clock is set forward by an hour in mid-revocation",
            actors=[ENGINE, GUARD],
            forward=HOUR,
        )


def _with_lives(
    engine: Engine,
    folder: Path,
    ca: Bao | Cfssl,
    *,
    trouble: str,
    actors: list[str],
    dying: int = 0,
    forward: timedelta = timedelta(),
) -> Outcome:
    now = SystemClock().now()
    due = due_at(engine, ca, revocation_time=now - MINUTE, deadline=now + 30 * MINUTE)
    world = World(
        database=engine.url.render_as_string(hide_password=False),
        backend=ca.name,
        options=ca.options,
        folder=folder,
        batch=max(10, len(ca.serials) // 20),
    )
    world.set_clocks(timedelta())
    skipped = timedelta()
    pause = threading.Event()
    with ExitStack() as stack:
        lives = [stack.enter_context(begun(world, actor)) for actor in actors]
        moved = monotonic()
        while ca.progress() < len(ca.serials) // 4:
            _see_work_go_on(lives, moved, due, world)
            pause.wait(_LOOKS)
        for process in lives[:dying]:
            process.kill()
        world.set_clocks(forward)
        stands, since = -1, monotonic()
        while not due.is_published:
            _see_work_go_on(lives[dying:], moved, due, world)
            if (now_at := ca.progress()) != stands:
                stands, since = now_at, monotonic()
                moved = since
            elif monotonic() - since > 2 * _LOOKS * 50:
                # Nothing happens until claims of the dead end: jump there.
                skipped += MINUTE
                since = monotonic()
                world.set_clocks(forward + skipped)
            pause.wait(_LOOKS * 5)
    rows = due.rows().values()
    last = max(row.published_at for row in rows) - forward
    return Outcome(
        trouble=trouble,
        certificates=len(rows),
        published=sum(row.published_at - forward <= due.deadline for row in rows),
        done_before=due.deadline - last,
        alarm_before=None,
        twice=sum(times > 1 for times in ca.calls().values()),
    )


def _see_work_go_on(
    lives: Sequence[BaseProcess], moved: float, due: DueAt, world: World
) -> None:
    """See that who was not killed is at work, or say what it died of or waits for."""
    goes_on = all(process.is_alive() for process in lives)
    goes_on = goes_on and monotonic() - moved < _MOVES_WITHIN
    assert goes_on, (due.states(), world.log.read_text("utf-8", "replace")[-4_000:])


TROUBLES = (
    ca_down_for_the_last_hour,
    one_call_in_five_fails,
    half_the_workers_die,
    the_clock_is_set_forward,
    the_clock_is_set_back,
)


def main() -> None:
    """Run the long form and print a table of what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificates", type=int, default=2_000)
    given = parser.parse_args()
    is_kept = True
    for trouble in TROUBLES:
        with tempfile.TemporaryDirectory() as folder:
            engine = open_engine(f"sqlite:///{Path(folder) / 'tocsin.sqlite'}")
            migrate(engine)
            (Path(folder) / "ca").mkdir()
            found = trouble(engine, Path(folder) / "ca", given.certificates)
            engine.dispose()
        alarm = found.alarm_before
        print(  # noqa: T201
            f"| {found.trouble} | {found.published:,} of {found.certificates:,} "
            f"| {_said(found.done_before)} | {_said(alarm) if alarm else 'none'} "
            f"| {found.twice} | {found.remark} |",
            flush=True,
        )
        is_kept = is_kept and found.is_kept
    if not is_kept:
        raise SystemExit(1)


def _said(span: timedelta) -> str:
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    return f"{minutes} min {seconds} s"


if __name__ == "__main__":
    main()
