"""Records what was issued in place of affected certificates, for its owners to fetch."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine

from models.terms import CertificateId, IncidentId, ReplacementState, SourceKind
from tocsin.clock import Clock
from tocsin.errors import BadInput, Broken
from tocsin.intake.certificates import read_certificates, read_source
from tocsin.intake.sources import Source
from tocsin.policy.entries import FileNote, ParsedEntry, SetAside
from tocsin.policy.replacements import Matched, match_replacement, names_key
from tocsin.store import audit, replacements, replies
from tocsin.store.incidents import read_incident, running_incidents
from tocsin.store.outreach import look_now
from tocsin.store.replacements import NewReplacement
from tocsin.store.session import reading, writing

log = structlog.get_logger()

_BATCH = 20_000
_LARGEST_CHAIN = 65_536
_PROBLEMS_KEPT = 200


@dataclass(slots=True, kw_only=True)
class Replacements:
    """
    What became of a list of newly issued certificates.

    Args:
        entries: recorded + known + set_aside (I3).
        recorded: New on record, each for at least one affected certificate.
        known: On record before.
        set_aside: Could not be used, each with a reason.
        superseded: Affected certificates that the recorded ones are for.
        problems: The first of what was set aside.

    """

    entries: int = 0
    recorded: int = 0
    known: int = 0
    set_aside: int = 0
    superseded: int = 0
    problems: list[SetAside] = field(default_factory=list)

    def put_aside(self, aside: SetAside) -> None:
        """Count something that could not be used."""
        self.entries += 1
        self.set_aside += 1
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(aside)


def record_replacements(
    engine: Engine,
    *,
    incident: IncidentId,
    certificates: Sequence[Path],
    chain: Path | None,
    actor: str,
    clock: Clock,
    is_rehearsal: bool = False,
) -> Replacements:
    """
    Match newly issued certificates to affected ones, and record them.

    No revocation moves by this: the old certificate may still be in use. Running it
    again changes nothing.

    Args:
        engine: The database.
        incident: Whose certificates are replaced.
        certificates: Files, folders and zips, as for a list of affected certificates.
        chain: The issuers' certificates, PEM, that servers send along; None: not known.
        actor: Who says so, for the record.
        clock: Tells now.
        is_rehearsal: Match only; nothing is recorded.

    Raises:
        BadInput: There is no such incident or file, or the chain is none.

    """
    with reading(engine) as connection:
        read_incident(connection, incident=incident)
    return _record(
        engine,
        incident=incident,
        read=read_certificates(certificates),
        chain=None if chain is None else _read_chain(chain),
        actor=actor,
        clock=clock,
        is_rehearsal=is_rehearsal,
    )


def _record(
    engine: Engine,
    *,
    incident: IncidentId,
    read: Iterator[ParsedEntry | SetAside | FileNote],
    chain: tuple[str, str] | None,
    actor: str,
    clock: Clock,
    is_rehearsal: bool = False,
) -> Replacements:
    found = Replacements()
    entries = _usable(read, found)
    while batch := list(islice(entries, _BATCH)):
        with writing(engine) as connection:
            new = _matched(connection, incident, batch, found)
            if is_rehearsal:
                continue
            now = clock.now()
            replacements.insert_replacements(connection, new, chain=chain, now=now)
            keys = sorted({one.certificate for one in new})
            replies.set_replacement_state(
                connection,
                certificates=keys,
                state=ReplacementState.REPLACEMENT_ISSUED,
            )
            owners = replacements.owners_of(connection, certificates=keys)
            look_now(connection, sorted(owners), now=now)
            if new:
                audit.append(
                    connection,
                    incident=incident,
                    at=now,
                    actor=actor,
                    action="replacements-recorded",
                    detail={"certificates": keys},
                )
    if found.entries != found.recorded + found.known + found.set_aside:
        raise Broken(f"replacements do not sum: {found}")
    log.info(
        "Replacements recorded",
        incident=incident,
        recorded=found.recorded,
        set_aside=found.set_aside,
    )
    return found


def record_seen(engine: Engine, *, chain: bytes, clock: Clock) -> int:
    """
    Record a certificate that a client has just fetched from the CA, where it replaces.

    Args:
        engine: The database.
        chain: PEM as an ACME server gives it: the certificate, then its issuers'.
        clock: Tells now.

    Returns:
        How many affected certificates it supersedes, in all running incidents.

    """
    leaf, end, rest = chain.partition(b"-----END CERTIFICATE-----")
    source = Source(label="an ACME answer", open=lambda: BytesIO(leaf + end))
    sent_along = _chain(rest.decode("ascii", "replace").lstrip())
    with reading(engine) as connection:
        running = running_incidents(connection)
    return sum(
        _record(
            engine,
            incident=incident,
            read=read_source(source),
            chain=sent_along,
            actor="acme-front",
            clock=clock,
        ).superseded
        for incident in running
    )


def _usable(
    read: Iterator[ParsedEntry | SetAside | FileNote], found: Replacements
) -> Iterator[ParsedEntry]:
    """Yield certificates; count everything else."""
    for one in read:
        if isinstance(one, SetAside):
            found.put_aside(one)
        elif isinstance(one, FileNote):
            continue
        elif one.der is None or one.kind is not SourceKind.CERTIFICATE:
            finding = (
                "a precertificate: give the certificate that was issued after it."
                if one.kind is SourceKind.PRECERTIFICATE
                else "a serial number only: give the certificate itself."
            )
            found.put_aside(_aside(one, finding))
        else:
            yield one


def _matched(
    connection: Connection,
    incident: IncidentId,
    batch: Sequence[ParsedEntry],
    found: Replacements,
) -> list[NewReplacement]:
    """Match a batch; return what is not on record yet."""
    affected = replacements.affected_among(
        connection,
        incident=incident,
        identities={(one.issuer_key, one.serial) for one in batch},
    )
    by_key = replacements.superseded_by_key(
        connection,
        incident=incident,
        keys={one.spki_sha256 for one in batch if one.spki_sha256},
    )
    by_names = replacements.superseded_by_names(
        connection,
        incident=incident,
        names={
            names_key(one.dns_names)
            for one in batch
            if one.dns_names and one.spki_sha256 not in by_key
        },
    )
    known = replacements.known_among(
        connection,
        incident=incident,
        fingerprints={one.sha256 for one in batch if one.sha256},
    )
    new: dict[tuple[CertificateId, str], NewReplacement] = {}
    seen: set[str] = set(known)
    for one in batch:
        if one.sha256 is None or one.der is None:
            raise Broken("a certificate without itself")
        if one.sha256 in seen:
            found.entries += 1
            found.known += 1
            continue
        matched: Matched = match_replacement(
            is_affected=(one.issuer_key, one.serial) in affected,
            by_key=by_key.get(one.spki_sha256 or "", ()),
            by_names=by_names,
            names=one.dns_names,
        )
        if not matched.certificates:
            found.put_aside(_aside(one, matched.why_not))
            continue
        seen.add(one.sha256)
        found.entries += 1
        found.recorded += 1
        found.superseded += len(matched.certificates)
        for certificate in matched.certificates:
            new[certificate, one.sha256] = NewReplacement(
                certificate=certificate,
                sha256=one.sha256,
                serial=one.serial,
                not_after=one.not_after,
                der=one.der,
            )
    return list(new.values())


def _read_chain(path: Path) -> tuple[str, str]:
    """Read the issuers' certificates, PEM and nothing else."""
    # Read first, so that a file of another kind is told apart from no file.
    try:
        text = path.read_text("ascii")
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}.", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise BadInput("not PEM: give the chain as text.", file=str(path)) from error
    if len(text) > _LARGEST_CHAIN or "-----BEGIN CERTIFICATE-----" not in text:
        raise BadInput(
            "not a chain: give the issuers' certificates as PEM, without the root.",
            file=str(path),
        )
    if "PRIVATE KEY" in text:
        raise BadInput(
            "there is a private key in it: subscribers would get it. Take it out.",
            file=str(path),
        )
    return _fingerprinted(text)


def _chain(text: str) -> tuple[str, str] | None:
    return _fingerprinted(text) if text.startswith("-----BEGIN CERTIFICATE") else None


def _fingerprinted(text: str) -> tuple[str, str]:
    return hashlib.sha256(text.encode("ascii", "replace")).hexdigest(), text


def _aside(one: ParsedEntry, finding: str) -> SetAside:
    return SetAside(file=one.file, row=one.row, field=None, finding=finding)
