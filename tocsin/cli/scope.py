"""`tocsin scope`: withdrawals and court orders; two officers sign, each by their own mail."""

import json
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Engine

from models.terms import CertificateId, IncidentId, ScopeChangeId, ScopeKind
from tocsin.clock import SystemClock
from tocsin.errors import BadInput
from tocsin.intake.officers import read_officers
from tocsin.links import Links, read_secrets
from tocsin.policy.office import Officer, is_same_person
from tocsin.policy.scope import Proposal, check_proposal, effects, minute
from tocsin.reports.scope import forum_message
from tocsin.settings import Settings, read_settings
from tocsin.steps.collaborators import mailer_of, open_database, sender_of
from tocsin.steps.naming import document_of, find_named
from tocsin.steps.office_mail import send_office_mail
from tocsin.steps.proposals import call_officers, propose, see
from tocsin.steps.scope import end_order
from tocsin.store.incidents import read_incident
from tocsin.store.named import certificates_as_they_stand
from tocsin.store.scope import Document, list_changes
from tocsin.store.session import reading

app = typer.Typer(
    help="Take out what was listed wrongly, or put a court order in force: two officers.",
    no_args_is_help=True,
)

_Incident = Annotated[str, typer.Argument(help="The incident's key.", metavar="ID")]
_Change = Annotated[
    int, typer.Argument(help="Its number, as `list` has it.", metavar="NUMBER")
]
_Certificates = Annotated[
    Path,
    typer.Option(
        "--certificates",
        help="File with a serial number in hex, or a SHA-256, to a line.",
        exists=True,
        dir_okay=False,
    ),
]
_Reason = Annotated[str, typer.Option("--reason", help="Why; every report quotes it.")]
_Officers = Annotated[
    list[str] | None,
    typer.Option(
        "--officer",
        help="Address of an officer to call, twice or more. Default: all on the list.",
    ),
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what it would do, and do nothing.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
_TWO = 2


@app.command("list")
def list_(incident: _Incident, *, as_json: _Json = False) -> None:
    """List withdrawals and court orders, proposed or agreed."""
    clock = SystemClock()
    with open_database(read_settings()) as engine, reading(engine) as connection:
        read_incident(connection, incident=IncidentId(incident))
        changes = list_changes(connection, incident=IncidentId(incident))
    if as_json:
        print(json.dumps([asdict(one) for one in changes], default=str, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    if not changes:
        console.print("None: every certificate of the list is revoked on schedule.")
        return
    table = Table("No.", "What", "Certificates", "State", "Signed by", "Ends")
    now = clock.now()
    for one in changes:
        signed = [sign.by for sign in (one.first, one.second) if sign is not None]
        state = "in force" if one.is_in_force(now) else one.state.value
        table.add_row(
            str(one.change),
            one.kind.value,
            f"{one.named:,}",
            state,
            escape(", ".join(signed)) or "nobody",
            minute(one.ends_at) if one.ends_at else "",
        )
    console.print(table)


@app.command()
def withdraw(
    incident: _Incident,
    *,
    certificates: _Certificates,
    reason: _Reason,
    officers: _Officers = None,
    dry_run: _DryRun = False,
) -> None:
    """
    Propose that certificates which were listed wrongly are not revoked.

    It mails a link to each officer; nothing happens before two of them have signed.
    """
    _propose(
        _Wish(incident, ScopeKind.WITHDRAWAL, certificates, reason),
        officers,
        dry_run=dry_run,
    )


@app.command()
def order(
    incident: _Incident,
    *,
    certificates: _Certificates,
    reason: _Reason,
    court: Annotated[str, typer.Option(help="The court that made the order.")],
    reference: Annotated[str, typer.Option(help="The order's number there.")],
    until: Annotated[
        str,
        typer.Option(help="When it ends, like 2024-03-18T21:01+08:00, or local time."),
    ],
    document: Annotated[
        Path,
        typer.Option(
            help="The order: PDF, PNG, JPEG or TIFF.", exists=True, dir_okay=False
        ),
    ],
    officers: _Officers = None,
    dry_run: _DryRun = False,
) -> None:
    """
    Propose to put a court order in force over named certificates (TLS BR 9.16.3).

    It mails a link to each officer; nothing happens before two of them have signed.
    """
    _propose(
        _Wish(
            incident,
            ScopeKind.ORDER,
            certificates,
            reason,
            court=court,
            reference=reference,
            until=until,
            document=document,
        ),
        officers,
        dry_run=dry_run,
    )


@app.command()
def show(change: _Change) -> None:
    """Show a proposal, what it would do now, and what TLS BR 9.16.3 asks for."""
    settings, clock = read_settings(), SystemClock()
    with open_database(settings) as engine:
        seen = see(engine, ScopeChangeId(change), clock=clock)
    if seen is None:
        raise BadInput(f"there is no withdrawal or order {change}", field="NUMBER")
    console = Console(highlight=False, soft_wrap=True, markup=False)
    known = seen.change
    console.print(
        f"{known.kind.value} {change}, {known.state.value}: {known.named:,} certificates "
        f"of {seen.title}"
    )
    console.print(f"Why: {known.proposal.reason}")
    for signature in (known.first, known.second):
        if signature is not None:
            console.print(f"Signed by {signature.by}, {minute(signature.at)}")
    for sentence in seen.effects:
        console.print(f"- {sentence}")
    for one in seen.certificates:
        console.print(f"  {one.serial}  {one.title}  {one.state.value} {one.standing}")
    if known.kind is ScopeKind.ORDER:
        console.print(
            f"Document: {known.document_name}, SHA-256 {known.document_sha256}\n"
        )
        console.print(
            forum_message(
                known,
                ca_name=settings.ca_name,
                title=seen.title,
                deadline=seen.deadline,
            )
        )


@app.command()
def lift(
    change: _Change,
    *,
    by: Annotated[str, typer.Option(help="The officer who lifts it, by name.")],
    reason: _Reason,
    until: Annotated[
        str | None, typer.Option(help="An earlier end instead of now.")
    ] = None,
) -> None:
    """Lift a court order, or let it end earlier: what it kept is revoked then."""
    settings, clock = read_settings(), SystemClock()
    with open_database(settings) as engine:
        seen = see(engine, ScopeChangeId(change), clock=clock)
        zone = seen.zone if seen else settings.zone
        eased = end_order(
            engine,
            ScopeChangeId(change),
            actor=f"officer:{' '.join(by.split())[:80]}",
            why=reason,
            clock=clock,
            ends_at=_instant(until, zone) if until else None,
        )
    print(f"{eased:,} certificates are due earlier: `tocsin guard` revokes them, too.")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What somebody at the machine asks for."""

    incident: str
    kind: ScopeKind
    certificates: Path
    reason: str
    court: str = ""
    reference: str = ""
    until: str = ""
    document: Path | None = None


def _propose(wish: _Wish, called: list[str] | None, *, dry_run: bool) -> None:
    settings, clock = read_settings(), SystemClock()
    incident = IncidentId(wish.incident)
    officers = read_officers(settings.officers).people
    with open_database(settings) as engine:
        with reading(engine) as connection:
            record = read_incident(connection, incident=incident)
            found = find_named(
                connection,
                incident=incident,
                text=wish.certificates.read_text("utf-8"),
            )
            standing = certificates_as_they_stand(connection, certificates=found)
        proposal = Proposal(
            kind=wish.kind,
            reason=" ".join(wish.reason.split()),
            court=" ".join(wish.court.split()),
            reference=" ".join(wish.reference.split()),
            ends_at=_instant(wish.until, record.zone) if wish.until else None,
        )
        for error in check_proposal(proposal, now=clock.now()):
            raise error
        document = None
        if wish.document is not None:
            document = document_of([(wish.document.name, wish.document.read_bytes())])
        chosen = _chosen(officers, called)
        for sentence in effects(
            proposal, standing, deadline=record.deadline, now=clock.now()
        ):
            print(f"- {sentence}")
        names = ", ".join(one.name for one in chosen)
        if dry_run:
            print(f"Nothing was done. Called would be: {names}.")
            return
        _put_down(
            engine, settings, incident, proposal, found, document, chosen, clock=clock
        )


def _put_down(  # noqa: PLR0917 - what one proposal consists of
    engine: Engine,
    settings: Settings,
    incident: IncidentId,
    proposal: Proposal,
    found: list[CertificateId],
    document: Document | None,
    chosen: list[Officer],
    *,
    clock: SystemClock,
) -> None:
    change = propose(
        engine,
        incident=incident,
        proposal=proposal,
        certificates=found,
        document=document,
        form=secrets.token_urlsafe(24),
        actor="officer",
        clock=clock,
    )
    call_officers(engine, change, chosen, clock=clock)
    taken = send_office_mail(
        engine,
        mailer_of(settings),
        Links(read_secrets(settings.link_secrets)),
        sender_of(settings),
        read_officers(settings.officers),
        zone=settings.zone,
        clock=clock,
    )
    print(
        f"{proposal.kind.value} {change} is proposed, without effect so far. "
        f"{taken} of {len(chosen)} mails were taken by the relay: two officers sign by "
        "the link in their own."
    )
    print(f"Next: tocsin scope show {change}")


def _chosen(people: tuple[Officer, ...], called: list[str] | None) -> list[Officer]:
    """Return who is called; they have to be two persons at least."""
    wanted = {address.strip().casefold() for address in called or ()}
    chosen = [
        one
        for one in people
        if one.may_launch and (not wanted or one.email.casefold() in wanted)
    ]
    unknown = wanted - {one.email.casefold() for one in chosen}
    if unknown:
        raise BadInput(
            f"{min(unknown)} is no officer's address: `tocsin officer list` has those",
            field="--officer",
        )
    persons: list[Officer] = []
    for one in chosen:
        if not any(is_same_person(one, other) for other in persons):
            persons.append(one)
    if len(persons) < _TWO:
        raise BadInput(
            "it takes two officers, two persons with a mailbox each: add one to the "
            "officers' list",
            field="--officer",
        )
    return chosen


def _instant(text: str, zone: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"'{text}' is no instant: write it like 2024-03-18T21:01+08:00",
            field="--until",
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))
