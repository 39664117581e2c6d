"""Officers who have come in by a link to their own mailbox, and what they sign."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert

from models.base import table
from models.office import OfficeMail
from models.terms import (
    CertificateId,
    IncidentId,
    OfficeRole,
    ScopeChangeId,
    ScopeKind,
    ScopeState,
)
from tocsin.clock import Clock
from tocsin.policy.office import Officer, Officers
from tocsin.policy.scope import Proposal
from tocsin.steps.proposals import propose
from tocsin.steps.scope import Signatory, Signed, sign
from tocsin.store.scope import Document
from tocsin.store.session import writing

CHAN = Officer(name="Chan Tai Man", email="chan@ca.example", role=OfficeRole.OFFICER)
LAM = Officer(name="Lam Siu Fong", email="lam@ca.example", role=OfficeRole.OFFICER)
WONG = Officer(name="Wong Ka Yan", email="wong@ca.example", role=OfficeRole.MANAGER)
LIST = Officers(people=(CHAN, LAM, WONG), problems=())
PDF = b"%PDF-1.7 an order"
WHY = "They were issued under the corrected profile."


def come_in(
    engine: Engine, officer: Officer, at: datetime, **changes: Any
) -> Signatory:
    """Let an officer have used a link that was mailed to them."""
    row = {
        "kind": "sign-in",
        "address_key": officer.key,
        "client": "127.0.0.1",
        "browser": "",
        "leads_to": "/desk",
        "state": "sent",
        "asked_at": at,
        "expires_at": at,
        "used_at": at,
        "detail": "",
    } | changes
    with writing(engine) as connection:
        result = connection.execute(insert(table(OfficeMail)).values(row))
        (key,) = result.inserted_primary_key or (0,)
    return Signatory(officer=officer, mail=int(key))


def order(until: datetime) -> Proposal:
    """An order of a court until an instant."""
    return Proposal(
        kind=ScopeKind.ORDER,
        reason="The High Court restrains the CA in the matter of a hospital.",
        court="High Court of Hong Kong",
        reference="HCMP 1234/2026",
        ends_at=until,
    )


def withdrawal(reason: str = WHY) -> Proposal:
    """A withdrawal of what was listed wrongly."""
    return Proposal(kind=ScopeKind.WITHDRAWAL, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Where officers propose and sign what becomes of an incident's certificates."""

    engine: Engine
    clock: Clock
    incident: IncidentId

    def put_down(
        self,
        proposal: Proposal,
        certificates: Sequence[CertificateId],
        *,
        form: str = "",
    ) -> ScopeChangeId:
        """Propose, unsigned."""
        is_order = proposal.kind is ScopeKind.ORDER
        document = Document(
            name="order.pdf",
            media_type="application/pdf",
            sha256=hashlib.sha256(PDF).hexdigest(),
            content=PDF,
        )
        return propose(
            self.engine,
            incident=self.incident,
            proposal=proposal,
            certificates=certificates,
            document=document if is_order else None,
            form=form or f"{self.clock.now()} {proposal} {certificates}",
            actor=CHAN.actor,
            clock=self.clock,
        )

    def signed(
        self, change: ScopeChangeId, *officers: Officer, on: Officers = LIST
    ) -> Signed:
        """Let officers sign one after the other; returns what the last signature did."""
        done = Signed(state=ScopeState.PROPOSED)
        for officer in officers:
            done = sign(
                self.engine,
                change,
                come_in(self.engine, officer, self.clock.now()),
                on,
                mail_domain="ca.example",
                clock=self.clock,
            )
        return done

    def agreed(
        self, proposal: Proposal, certificates: Sequence[CertificateId]
    ) -> ScopeChangeId:
        """Propose, and let two officers sign."""
        change = self.put_down(proposal, certificates)
        self.signed(change, CHAN, LAM)
        return change
