"""
Engine and guard revoke at real CAs at the same time, killed again and again.

``python -m faults.revocation --kills 200`` is the long form, for each of OpenBao, CFSSL
and `openssl ca`; the tests run a short one. What is counted is what the CA knows.
"""

import argparse
import random
import signal
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import Event
from time import monotonic

from fakes.due_at import DueAt, due_at
from fakes.lives import ENGINE, GUARD, World, begun
from fakes.real_cas import NAMES, REAL_CAS, Fact, RealCa
from sqlalchemy import Engine

from tocsin.clock import SystemClock
from tocsin.store.session import migrate, open_engine

_ACTORS = (ENGINE, GUARD)
_ROUND = 4
"""Kills until both are dead and time passes: what the dead had claimed becomes free."""
_TIME_PASSES = timedelta(minutes=8)  # longer than any claim
_STALLED = 2.0  # seconds without a call, and it is killed all the same
_IDLE = 8.0  # seconds without a call and without a change: nobody is at work
_LINGERS = 0.05  # seconds
_ENDS_WITHIN = 600.0
_LOOKS = 0.005  # seconds
CERTIFICATES = dict.fromkeys(NAMES, 24)
"""How many are due before each four kills."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """
    What one campaign came to.

    Args:
        certificates: Due, all at once.
        kills: By SIGKILL, of the engine and of the guard.
        of_engine: Of those, of the engine.
        of_guard: Of those, of the guard.
        revoked: Certificates that the CA has as revoked.
        missed: Of those that were due, the ones it has not.
        twice: Certificates that it was asked to revoke more than once.
        changed: Certificates whose reason or time at the CA is not what it first was.
        otherwise: Certificates with another time on our record than at the CA.
        unpublished: Certificates that were not seen in what the CA publishes.
        found: Revoked by a process that died before it could say so; found by asking.
        acts: On record; their chain is intact.
        seconds: How long it took.

    """

    certificates: int
    kills: int
    of_engine: int
    of_guard: int
    revoked: int
    missed: int
    twice: int
    changed: int
    otherwise: int
    unpublished: int
    found: int
    acts: int
    seconds: float

    @property
    def is_flawless(self) -> bool:
        """Whether nothing was missed, repeated or changed."""
        return not (
            self.missed
            or self.twice
            or self.changed
            or self.otherwise
            or self.unpublished
        )


@dataclass
class Campaign:
    """Everything that takes part."""

    ca: RealCa
    world: World
    due: DueAt
    chance: random.Random
    supply: int
    ends_at: float
    stalled: float
    shift: timedelta = timedelta()
    kills: Counter[str] = field(default_factory=Counter)
    first: dict[int, Fact] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    pause: Event = field(default_factory=Event)

    def kill_again_and_again(self, kills: int) -> None:
        """Let both work at once, and kill one after the other at points of chance."""
        while (left := kills - self.kills.total()) and monotonic() < self.ends_at:
            self._round(min(_ROUND, left))
            self._look()
            self._let_time_pass()
            # There is work for each of them.
            untouched = self.due.states().get("scheduled", 0)
            if left > _ROUND and untouched < self.supply:
                self.due.add(self.ca.issue(self.supply - untouched))

    def finish(self) -> None:
        """Let both work undisturbed until everything is published."""
        ends = monotonic() + _ENDS_WITHIN
        self._let_time_pass()
        with begun(self.world, ENGINE), begun(self.world, GUARD):
            stands = self.due.states()
            while set(stands) != {"published"}:
                assert monotonic() < ends, stands
                before, stands = stands, self._states_later()
                if stands == before:
                    # Both wait, for a CRL to be read again.
                    self._let_time_pass()
        self._look()

    def figures(self, seconds: float) -> Figures:
        """Set what the CA knows against what was due and what is on record."""
        facts = self.ca.facts({})
        wanted = set(self.ca.serials)
        rows = self.due.rows()
        self.changed |= {
            serial for serial, fact in self.first.items() if facts.get(serial) != fact
        }
        # A call for what it was not asked for would be one too many.
        calls = self.ca.calls()
        return Figures(
            certificates=len(wanted),
            kills=self.kills.total(),
            of_engine=self.kills[ENGINE],
            of_guard=self.kills[GUARD],
            revoked=len(facts),
            missed=len(wanted - facts.keys()),
            twice=sum(times > 1 for times in calls.values()),
            changed=len(self.changed),
            otherwise=sum(
                not _is_the_same(rows[serial].ca_revoked_at, at)
                for serial, (_, at) in facts.items()
            ),
            unpublished=sum(row.state != "published" for row in rows.values()),
            found=sum(row.answer == "already" for row in rows.values()),
            acts=self.due.acts(),
            seconds=seconds,
        )

    def _round(self, kills: int) -> None:
        with ExitStack() as stack:
            lives = {
                actor: stack.enter_context(begun(self.world, actor))
                for actor in _ACTORS
            }
            for left in range(kills, 0, -1):
                victim = self.chance.choice(sorted(lives))
                self._kill(lives.pop(victim), victim)
                if left > len(_ACTORS):
                    lives[victim] = stack.enter_context(begun(self.world, victim))

    def _kill(self, process: ForkServerProcess, actor: str) -> None:
        """Kill a process after so many calls to the CA as chance says."""
        share = 2 * self.supply / _ROUND
        until = self.ca.progress() + int(self.chance.uniform(0, share))
        stands, since = -1, monotonic()
        while (now_at := self.ca.progress()) < until:
            if now_at != stands:
                stands, since = now_at, monotonic()
            elif monotonic() - since > self.stalled:
                break
            self.pause.wait(_LOOKS)
        self.pause.wait(self.chance.uniform(0, _LINGERS))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        self.kills[actor] += 1

    def _look(self) -> None:
        """Compare what the CA has on record with what it had when it was first seen."""
        facts = self.ca.facts(self.first)
        for serial, fact in facts.items():
            if self.first.setdefault(serial, fact) != fact:
                self.changed.add(serial)

    def _states_later(self) -> dict[str, int]:
        """Return where all stands after a while in which something should happen."""
        calls, since = self.ca.progress(), monotonic()
        before = self.due.states()
        while (stands := self.due.states()) == before and monotonic() - since < _IDLE:
            self.pause.wait(0.1)
            if (now_at := self.ca.progress()) != calls:
                calls, since = now_at, monotonic()
        return stands

    def _let_time_pass(self) -> None:
        self.shift += _TIME_PASSES
        self.world.set_clocks(self.shift)


def campaign(
    engine: Engine,
    name: str,
    *,
    folder: Path,
    certificates: int,
    kills: int,
    batch: int,
    minutes: float = 600,
    stalled: float = _STALLED,
    seed: int = 1,
) -> Figures:
    """
    Run one campaign against one real CA, and count.

    Args:
        engine: An empty database.
        name: Of the CA.
        folder: For the CA and all that is written.
        certificates: How many are due at first, and again after each fourth kill.
        kills: How many.
        batch: How many the engine claims at once; the guard has its own measure.
        minutes: After so long nobody is killed any more, however many were.
        stalled: After so many seconds without a call a process is killed all the same.
        seed: Of everything that is left to chance.

    """
    # A fast CA would be done before the first processes are dead.
    pace = {"limits": [{"calls": 5, "seconds": 0.05}]}
    with REAL_CAS[name](folder, count=certificates, **pace) as ca:
        now = SystemClock().now()
        started_at = monotonic()
        world = World(
            database=engine.url.render_as_string(hide_password=False),
            backend=ca.name,
            options=ca.options,
            folder=folder,
            batch=batch,
        )
        run = Campaign(
            ca=ca,
            world=world,
            due=due_at(
                engine,
                ca,
                revocation_time=now - timedelta(minutes=1),
                deadline=now + timedelta(days=1),
            ),
            chance=random.Random(seed),  # noqa: S311 - to be repeatable
            supply=certificates,
            ends_at=started_at + 60 * minutes,
            stalled=stalled,
        )
        world.set_clocks(timedelta())
        run.kill_again_and_again(kills)
        run.finish()
        return run.figures(monotonic() - started_at)


def _is_the_same(ours: object, theirs: str) -> bool:
    """Whether our record has the CA's instant, in whatever way the CA writes it."""
    digits = "".join(each for each in theirs[:19] if each.isdigit())
    stamp = f"{ours:%Y%m%d%H%M%S}"
    return stamp.endswith(digits)


def main() -> None:
    """Run the long form and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ca", choices=NAMES, action="append")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--certificates", type=int)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    is_flawless = True
    for name in given.ca or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            engine = open_engine(f"sqlite:///{Path(folder) / 'tocsin.sqlite'}")
            migrate(engine)
            (Path(folder) / "ca").mkdir()
            figures = campaign(
                engine,
                name,
                folder=Path(folder) / "ca",
                certificates=given.certificates or CERTIFICATES[name],
                kills=given.kills,
                batch=given.batch,
                minutes=given.minutes,
                seed=given.seed,
            )
            engine.dispose()
        print(name)  # noqa: T201
        for one in fields(figures):
            value = getattr(figures, one.name)
            print(f"{one.name.replace('_', ' '):>14}  {value:,.0f}")  # noqa: T201
        is_flawless = is_flawless and figures.is_flawless
    if not is_flawless:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
