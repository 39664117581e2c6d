"""Who is a contact, and who may leave: nobody becomes unreachable by a slip of the pen."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from models.terms import ContactId, ContactState
from tocsin.policy.contacts import (
    ASKED_EVERY,
    MOST_ASKED,
    may_be_asked_again,
    may_leave,
    state_when_named,
)
from tocsin.policy.facts import ContactFacts

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def contact(
    number: int,
    state: ContactState = ContactState.ACTIVE,
    *,
    came_back: bool = False,
    disowns: bool = False,
) -> ContactFacts:
    return ContactFacts(
        contact=ContactId(number),
        rank=number,
        state=state,
        named_by_reply=False,
        notices=frozenset(),
        was_reached=False,
        came_back=came_back,
        disowns=disowns,
    )


@pytest.mark.parametrize(
    ("known", "becomes"),
    [
        (None, ContactState.UNCONFIRMED),
        (ContactState.REMOVED, ContactState.UNCONFIRMED),
        (ContactState.UNCONFIRMED, ContactState.UNCONFIRMED),
        (ContactState.ACTIVE, ContactState.ACTIVE),
        (ContactState.UNREACHABLE, ContactState.ACTIVE),
    ],
)
def test_address_waits_when_it_is_new_or_had_left(
    known: ContactState | None, becomes: ContactState
) -> None:
    assert state_when_named(known) is becomes


@pytest.mark.parametrize(
    "left",
    [
        contact(2, ContactState.UNCONFIRMED),
        contact(2, ContactState.UNREACHABLE),
        contact(2, ContactState.REMOVED),
        contact(2, came_back=True),
        contact(2, disowns=True),
    ],
    ids=["unconfirmed", "unreachable", "removed", "came back", "not theirs"],
)
def test_last_who_can_be_reached_may_not_leave(left: ContactFacts) -> None:
    assert not may_leave(ContactId(1), [contact(1), left])
    assert may_leave(ContactId(1), [contact(1), left, contact(3)])


def test_who_never_confirmed_may_be_withdrawn_though_nobody_is_left() -> None:
    assert may_leave(ContactId(1), [contact(1, ContactState.UNCONFIRMED)])


@given(st.lists(st.integers(0, 3_000), max_size=5), st.integers(0, 3_000))
def test_address_is_never_asked_often_nor_soon_again(
    minutes: list[int], later: int
) -> None:
    asked: list[datetime] = []
    for minute in sorted([*minutes, later]):
        at = NOW + timedelta(minutes=minute)
        if may_be_asked_again(asked, at):
            asked.append(at)

    assert 1 <= len(asked) <= MOST_ASKED
    assert all(after - before >= ASKED_EVERY for before, after in pairwise(asked))


class ContactList(RuleBasedStateMachine):
    """Whatever a subscriber does, somebody is left; nobody is written to unasked."""

    def __init__(self) -> None:
        super().__init__()
        self.states = {1: ContactState.ACTIVE, 2: ContactState.ACTIVE}
        self.instead_of: dict[int, int] = {}
        self.confirmed = {1, 2}

    def facts(self) -> list[ContactFacts]:
        return [contact(number, state) for number, state in self.states.items()]

    def listed(self, *states: ContactState) -> list[int]:
        return [number for number, state in self.states.items() if state in states]

    @rule(number=st.integers(1, 6), leaver=st.none() | st.integers(1, 6))
    def name(self, number: int, leaver: int | None) -> None:
        known = self.states.get(number)
        if leaver is not None and (
            leaver == number
            or self.states.get(leaver, ContactState.REMOVED) is ContactState.REMOVED
        ):
            return
        state = state_when_named(known)
        if state is ContactState.ACTIVE and leaver is not None:
            if not may_leave(ContactId(leaver), self.facts()):
                return
            self.leave(leaver)
        elif leaver is not None:
            self.instead_of[number] = leaver
        if state is ContactState.UNCONFIRMED:
            self.confirmed.discard(number)
        self.states[number] = state

    @precondition(lambda self: self.listed(ContactState.UNCONFIRMED))
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.listed(ContactState.UNCONFIRMED)))
        self.states[number] = ContactState.ACTIVE
        self.confirmed.add(number)
        leaver = self.instead_of.pop(number, None)
        if leaver is not None:
            self.leave(leaver)

    @rule(number=st.integers(1, 6))
    def remove(self, number: int) -> None:
        if self.states.get(number, ContactState.REMOVED) is ContactState.REMOVED:
            return
        if may_leave(ContactId(number), self.facts()):
            self.leave(number)

    def leave(self, number: int) -> None:
        self.states[number] = ContactState.REMOVED
        self.instead_of.pop(number, None)

    @invariant()
    def somebody_is_left(self) -> None:
        assert self.listed(ContactState.ACTIVE)

    @invariant()
    def whoever_is_written_to_has_said_yes(self) -> None:
        assert set(self.listed(ContactState.ACTIVE)) <= self.confirmed


TestContactList = ContactList.TestCase
