"""Steps the clock from one due instant to the next; without it five days would take five days."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Engine

from models.terms import IncidentId
from tocsin.clock import SteppedClock
from tocsin.demo import record
from tocsin.demo.folder import Folder
from tocsin.errors import Broken
from tocsin.policy.figures import IncidentFigures
from tocsin.steps.advance import next_due_at
from tocsin.store.figures import incident_figures
from tocsin.store.session import reading

_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_CYCLES_AT_ONE_INSTANT = 5
"""More than that at one instant is work that waits for a lease or a CA: move on."""


class Driver(Protocol):
    """Wakes the engine, as Prefect does in production."""

    @property
    def prefect_seconds(self) -> float:
        """What the wake-ups took beyond the steps inside, so far."""
        ...

    def launch(self) -> IncidentId:
        """Open the incident from the folder's input, and launch it."""
        ...

    def advance(self, incident: IncidentId) -> None:
        """Do what is due at the clock's instant."""
        ...


class People(Protocol):
    """Whoever answers the mail."""

    def next_at(self, after: datetime) -> datetime | None:
        """Return the next instant at which somebody wants to answer."""
        ...

    def act(self, now: datetime) -> None:
        """Let everybody answer who wants to by now and can."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a replay shows of itself after each instant."""

    now: datetime
    figures: IncidentFigures


class Replay:
    """
    One run over a demo folder, begun or gone on with.

    Args:
        folder: Where everything lies.
        engine: The incident's database.
        clock: Everybody's clock.
        driver: Wakes the engine.
        people: Answer.
        show: Is told after each instant.

    """

    def __init__(
        self,
        folder: Folder,
        *,
        engine: Engine,
        clock: SteppedClock,
        driver: Driver,
        people: People,
        show: Callable[[Moment], None],
    ) -> None:
        self._folder = folder
        self._engine = engine
        self._clock = clock
        self._driver = driver
        self._people = people
        self._show = show
        self._before = folder.progress()
        self._started_at = time.perf_counter()
        self._is_over = False
        self._is_published = False

    def run(self, *, until: datetime | None = None) -> IncidentId:
        """
        Go on to the last instant of the record, and return the incident.

        Args:
            until: Stop at this instant, if it is still to come; the next run goes on
                from there.

        """
        incident = self._before.incident
        if incident is None:
            incident = self._driver.launch()
            self._keep(incident)
        self._is_published = not self._figures(incident).unpublished
        while True:
            figures = self._live_through(incident)
            following = self._next_at(figures)
            if following is None:
                self._is_over = True
                return incident
            if until is not None and following > until:
                # What is shown is of this instant, though nothing is due at it.
                if self._clock.now() < until:
                    self._clock.step_to(until)
                    self._driver.advance(incident)
                return incident
            self._clock.step_to(following)
            self._keep(incident)

    def finish(self, incident: IncidentId) -> None:
        """Note where the run ended; after the record's end the next starts afresh."""
        self._keep(incident, is_finished=self._is_over)

    def _live_through(self, incident: IncidentId) -> IncidentFigures:
        """Do everything that is due at the clock's instant."""
        now = self._clock.now()
        cycles = self._catch_up(incident)
        # Late answers wait for the record's statuses, which the clock steps to.
        if not self._is_published or now >= record.DEADLINE:
            self._people.act(now)
            cycles += self._catch_up(incident)
        if not cycles:
            # Nobody knows that nothing is due before somebody has looked.
            self._driver.advance(incident)
        figures = self._figures(incident)
        self._is_published = not figures.unpublished
        self._show(Moment(now=now, figures=figures))
        return figures

    def _figures(self, incident: IncidentId) -> IncidentFigures:
        with reading(self._engine) as connection:
            return incident_figures(
                connection, incident=incident, now=self._clock.now()
            )

    def _catch_up(self, incident: IncidentId) -> int:
        """Run cycles until nothing is due at the clock's instant; return how many."""
        for cycles in range(_CYCLES_AT_ONE_INSTANT):
            due_at = next_due_at(self._engine)
            if due_at is None or due_at > self._clock.now():
                return cycles
            self._driver.advance(incident)
        return _CYCLES_AT_ONE_INSTANT

    def _next_at(self, figures: IncidentFigures) -> datetime | None:
        """Return the instant to step to, or None at the end of the record."""
        now = self._clock.now()
        if not figures.unpublished:
            # Late answers change nothing any more: the record's statuses will do.
            return next((one.at for one in record.STATUSES if one.at > now), None)
        due_at = next_due_at(self._engine)
        answers_at = self._people.next_at(now)
        candidates = [at for at in (due_at, answers_at) if at is not None]
        following = max(min(candidates, default=now + _MINUTE), now + _SECOND)
        if following > record.STATUSES[-1].at:
            raise Broken(f"{figures.unpublished} certificates never became published")
        return following

    def _keep(self, incident: IncidentId, *, is_finished: bool = False) -> None:
        spent = time.perf_counter() - self._started_at
        self._folder.keep(
            replace(
                self._before,
                now=self._clock.now(),
                incident=incident,
                is_finished=is_finished,
                wall_seconds=self._before.wall_seconds + spent,
                prefect_seconds=self._before.prefect_seconds
                + self._driver.prefect_seconds,
            )
        )
