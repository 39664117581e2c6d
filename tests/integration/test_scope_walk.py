"""No sequence of proposals, signatures and orders is a way out of the schedule (I1)."""

import itertools
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from factories import (
    LAUNCH,
    REVOCATION,
    insert_certificates,
    insert_incident,
    insert_revocations,
)
from fakes.scope import CHAN, LAM, WONG, Office, come_in, order, withdrawal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import Engine, select

from models.base import table
from models.revocation import Revocation
from models.terms import CertificateId, OfficeRole, ScopeChangeId, ScopeState
from tocsin.clock import SteppedClock
from tocsin.errors import BadInput, Refused
from tocsin.policy.office import Officer, Officers
from tocsin.policy.revocation import Outcome
from tocsin.steps.proposals import lapse_overtaken, refuse
from tocsin.steps.scope import Signatory, end_order, sign
from tocsin.store import revocations
from tocsin.store.reconciliation import verify
from tocsin.store.session import migrate, open_engine, reading, writing

ROWS = table(Revocation)
LEE = Officer(name="Lee Siu Ling", email="lee@ca.example", role=OfficeRole.OFFICER)
CHAN_AGAIN = Officer(
    name="Tai Man Chan", email="tm@ca.example", role=OfficeRole.OFFICER
)
STRANGER = Officer(name="Ho Mei", email="ho@ca.example", role=OfficeRole.OFFICER)
EVERYBODY = (CHAN, LAM, LEE, CHAN_AGAIN, WONG)
PERSONS = {CHAN.name: 1, CHAN_AGAIN.name: 1, LAM.name: 2, LEE.name: 3}
OFFSETS = st.integers(min_value=-48, max_value=240).map(
    lambda half_hours: timedelta(minutes=30 * half_hours)
)
_NUMBERS = itertools.count()


@dataclass
class Proposed:
    """What the test itself knows of a proposal."""

    certificates: set[CertificateId]
    ends_at: datetime | None
    signers: list[str] = field(default_factory=list)
    is_agreed: bool = False


def database() -> Engine:
    folder = tempfile.mkdtemp(prefix="tocsin-walk-")
    engine = open_engine(f"sqlite:///{Path(folder) / 'tocsin.sqlite'}")
    migrate(engine)
    return engine


class Walk(RuleBasedStateMachine):
    """Officers who try everything, a CA that revokes what it is asked for."""

    engine: Engine | None = None
    changes: Bundle[ScopeChangeId] = Bundle("changes")

    def __init__(self) -> None:
        super().__init__()
        if Walk.engine is None:
            Walk.engine = database()
        self.on = Walk.engine
        self.clock = SteppedClock(LAUNCH)
        self.officers = Officers(people=EVERYBODY, problems=())
        self.proposed: dict[ScopeChangeId, Proposed] = {}
        number = next(_NUMBERS)
        with writing(self.on) as connection:
            self.incident = insert_incident(connection, id=f"walk-{number}")
            self.certificates = insert_certificates(
                connection, self.incident, None, 3, first_serial=0x1000 + 16 * number
            )
            insert_revocations(connection, self.incident, self.certificates)
        self.times = dict.fromkeys(self.certificates, REVOCATION)

    def rows(self) -> list[Any]:
        with reading(self.on) as connection:
            return list(
                connection.execute(
                    select(ROWS).where(ROWS.c.incident_id == self.incident)
                )
            )

    @precondition(lambda self: len(self.proposed) < 4)
    @rule(
        target=changes,
        chosen=st.sets(st.integers(0, 2), min_size=1),
        end=st.none() | OFFSETS,
    )
    def propose(self, chosen: set[int], end: timedelta | None) -> ScopeChangeId:
        named = {self.certificates[index] for index in chosen}
        ends_at = None if end is None else REVOCATION + end
        office = Office(engine=self.on, clock=self.clock, incident=self.incident)
        change = office.put_down(
            withdrawal() if ends_at is None else order(ends_at),
            sorted(named),
            form=f"{self.incident} {len(self.proposed)}",
        )
        self.proposed[change] = Proposed(certificates=named, ends_at=ends_at)
        return change

    @rule(
        change=changes,
        officers=st.lists(
            st.sampled_from((*EVERYBODY, STRANGER)), min_size=1, max_size=3
        ),
        by_mail=st.sampled_from((True, True, True, False)),
    )
    def sign(
        self,
        change: ScopeChangeId,
        officers: list[Officer],
        by_mail: bool,  # noqa: FBT001
    ) -> None:
        for officer in officers:
            self.sign_one(change, officer, by_mail=by_mail)

    def sign_one(
        self, change: ScopeChangeId, officer: Officer, *, by_mail: bool
    ) -> None:
        if self.officers.find(officer.key) is None:
            return  # no link of theirs works
        who = come_in(self.on, officer, self.clock.now())
        if not by_mail:
            who = Signatory(officer=officer, mail=None)
        try:
            done = sign(
                self.on,
                change,
                who,
                self.officers,
                mail_domain="ca.example",
                clock=self.clock,
            )
        except Refused:
            return
        mine = self.proposed[change]
        if officer.name not in mine.signers:
            mine.signers.append(officer.name)
        mine.is_agreed |= done.state is ScopeState.AGREED

    @rule(change=changes, officer=st.sampled_from(EVERYBODY))
    def refuse(self, change: ScopeChangeId, officer: Officer) -> None:
        try:
            refuse(self.on, change, officer, why="No", clock=self.clock)
        except Refused:
            assert not officer.may_launch

    @rule(change=changes, end=st.none() | OFFSETS)
    def end(self, change: ScopeChangeId, end: timedelta | None) -> None:
        at = None if end is None else REVOCATION + end
        try:
            end_order(
                self.on,
                change,
                actor=LAM.actor,
                why="Varied",
                clock=self.clock,
                ends_at=at,
            )
        except (Refused, BadInput):
            return
        mine = self.proposed[change]
        ends_at = max(at or self.clock.now(), self.clock.now())
        assert mine.is_agreed
        assert mine.ends_at is not None
        assert ends_at < mine.ends_at
        mine.ends_at = ends_at

    @rule(people=st.sets(st.sampled_from(EVERYBODY)))
    def change_the_list(self, people: set[Officer]) -> None:
        self.officers = Officers(
            people=tuple(one for one in EVERYBODY if one in people), problems=()
        )

    @rule(chosen=st.sets(st.integers(0, 2)), end=OFFSETS)
    def bring_forward(self, chosen: set[int], end: timedelta) -> None:
        with writing(self.on) as connection:
            revocations.bring_forward(
                connection,
                certificates=[self.certificates[index] for index in chosen],
                to=max(REVOCATION + end, self.clock.now()),
            )

    @rule()
    def lapse(self) -> None:
        lapse_overtaken(self.on, self.clock)

    @rule(hours=st.integers(1, 60))
    def step(self, hours: int) -> None:
        self.clock.step_to(self.clock.now() + timedelta(minutes=30 * hours))

    @precondition(lambda self: self.clock.now() >= REVOCATION - timedelta(hours=24))
    @rule()
    def revoke(self) -> None:
        now = self.clock.now()
        before = {row.certificate_id for row in self.rows() if row.revoked_at}
        with writing(self.on) as connection:
            due = revocations.claim_due(
                connection,
                owner="walk",
                now=now,
                due_before=now,
                lease_within=timedelta(minutes=1),
                limit=100,
            )
            revocations.record_answers(
                connection,
                owner="walk",
                outcomes=[
                    Outcome(
                        certificate_id=one.certificate_id,
                        incident=one.incident,
                        is_revoked=True,
                        answer="done",
                        detail="",
                        ca_revoked_at=now,
                        next_at=now,
                    )
                    for one in due
                ],
                now=now,
            )
        for row in self.rows():
            key = row.certificate_id
            is_due = row.revocation_time <= now and not self.is_out(key)
            is_due = is_due and not self.is_restrained(key, now)
            # Whatever was done before, it is revoked now, if and only if it is due.
            is_revoked = row.revoked_at is not None
            assert is_revoked == (is_due or key in before), (row, self.proposed)

    def is_out(self, certificate: CertificateId) -> bool:
        return any(
            one.is_agreed and one.ends_at is None and certificate in one.certificates
            for one in self.proposed.values()
        )

    def is_restrained(self, certificate: CertificateId, now: datetime) -> bool:
        return any(
            one.is_agreed
            and one.ends_at is not None
            and now < one.ends_at
            and certificate in one.certificates
            for one in self.proposed.values()
        )

    @invariant()
    def no_time_moves_later(self) -> None:
        for row in self.rows():
            assert row.revocation_time <= self.times[row.certificate_id]
            assert row.planned_time == REVOCATION
            self.times[row.certificate_id] = row.revocation_time

    @invariant()
    def nothing_is_agreed_by_one_person(self) -> None:
        for one in self.proposed.values():
            if one.is_agreed:
                assert len({PERSONS[name] for name in one.signers}) > 1, one

    @invariant()
    def what_is_out_was_agreed(self) -> None:
        for row in self.rows():
            agreed = [
                one
                for one in self.proposed.values()
                if one.is_agreed and row.certificate_id in one.certificates
            ]
            if row.withdrawn_at is not None:
                assert any(one.ends_at is None for one in agreed)
            if row.restrained_until is not None:
                ends = [one.ends_at for one in agreed if one.ends_at is not None]
                assert ends
                assert row.restrained_until <= max(ends)

    def teardown(self) -> None:
        with reading(self.on) as connection:
            verdict = verify(connection, incident=self.incident)
        wrong = [p for p in verdict.problems if "withdrawn" in p or "restrained" in p]
        assert wrong == []


TestWalk = Walk.TestCase
TestWalk.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
