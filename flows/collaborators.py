"""Hands a run of a flow what it needs to act; without it each task would build its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from tocsin.clock import SystemClock
from tocsin.log import configure_logging
from tocsin.settings import Settings, read_settings
from tocsin.steps.advance import Collaborators
from tocsin.steps.collaborators import open_collaborators


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """
    What the tasks of one run share.

    Args:
        settings: What the operator set.
        collaborators: Database, CA, relay and clock.
        told: Identifiers of the events that are known to have been told.

    """

    settings: Settings
    collaborators: Collaborators
    told: set[UUID] = field(default_factory=set)


_held: ContextVar[Equipment | None] = ContextVar("_held", default=None)


@contextmanager
def equipped() -> Iterator[Equipment]:
    """
    Give what is held already, or else build it from the settings.

    Nested uses share it: a flow holds it, its tasks get the same. Tasks never take it
    as an argument, so that nothing of it reaches Prefect.
    """
    held = _held.get()
    if held is not None:
        yield held
        return
    configure_logging()
    settings = read_settings()
    with open_collaborators(settings, clock=SystemClock()) as collaborators:
        equipment = Equipment(settings=settings, collaborators=collaborators)
        with holding(equipment):
            yield equipment


@contextmanager
def holding(equipment: Equipment) -> Iterator[Equipment]:
    """Let every flow called in here act with this; for a replay, whose clock steps."""
    token = _held.set(equipment)
    try:
        yield equipment
    finally:
        _held.reset(token)
