"""Checks CSRs against what their sender owns, to show it, and again to file them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine

from models.terms import (
    UNSETTLED,
    CertificateId,
    IncidentState,
    ReplacementState,
    ReplyId,
)
from tocsin.clock import Clock
from tocsin.errors import Refused
from tocsin.intake.csr.checks import CsrCheck, check_csrs
from tocsin.intake.csr.files import read_csrs
from tocsin.intake.csr.keys import ABOUT_KEYS
from tocsin.intake.csr.matching import AffectedNames
from tocsin.intake.csr.weak_keys import KeyBlocklist
from tocsin.links import LinkClaims
from tocsin.phrases import phrase
from tocsin.steps.reply_acts import SubmitCsrs
from tocsin.store import audit, replies
from tocsin.store.csrs import circumstances_by_key
from tocsin.store.outreach import look_now
from tocsin.store.replies import Standing
from tocsin.store.session import reading, writing

_SOURCE = "a link acts for its owner"


def preview_csrs(
    engine: Engine,
    *,
    claims: LinkClaims,
    csrs: Sequence[bytes],
    chosen: Sequence[CertificateId] = (),
    blocklist: KeyBlocklist | None = None,
) -> list[CsrCheck]:
    """Check CSRs, DER, against the subscriber's certificates; nothing is stored."""
    with reading(engine) as connection:
        standing = replies.standing(connection, claims=claims)
        affected = _affected(connection, claims, standing)
        _refuse_others(affected, chosen)
        return check_csrs(
            csrs,
            certificates=affected,
            chosen=chosen,
            known_keys=lambda keys: _suspects(connection, keys),
            blocklist=blocklist,
        )


def file_csrs(
    act: SubmitCsrs,
    connection: Connection,
    claims: LinkClaims,
    *,
    standing: Standing,
    reply: ReplyId,
    blocklist: KeyBlocklist | None,
    now: datetime,
) -> int:
    """
    File CSRs after checking them again: what a form carries proves nothing.

    Returns:
        How many were new.

    Raises:
        Refused: One of them cannot be used, or is for somebody else's certificate.

    """
    affected = _affected(connection, claims, standing)
    filed: list[replies.CsrToFile] = []
    for csr in act.csrs:
        _refuse_others(affected, csr.certificates)
        read = read_csrs(csr.pem.encode("ascii", "replace"), name="csr")
        checks = check_csrs(
            read.csrs,
            certificates=affected,
            chosen=csr.certificates,
            known_keys=lambda keys: _suspects(connection, keys),
            blocklist=blocklist,
        )
        if (
            len(checks) != 1
            or checks[0].is_refused
            or checks[0].matched != tuple(sorted(csr.certificates))
        ):
            raise Refused(phrase("one of the CSRs cannot be used"), source="CSR checks")
        filed += [
            replies.CsrToFile(
                certificate=certificate,
                sha256=checks[0].sha256,
                spki_sha256=checks[0].spki_sha256,
                pem=checks[0].pem,
                findings=tuple(finding.code.value for finding in checks[0].findings),
            )
            for certificate in checks[0].matched
        ]
    replies.set_csr_refused(connection, subscriber=claims.subscriber, at=None)
    replies.set_replacement_state(
        connection,
        certificates=[csr.certificate for csr in filed],
        state=ReplacementState.CSR_RECEIVED,
    )
    return replies.insert_csrs(connection, reply=reply, csrs=filed, now=now)


def _suspects(connection: Connection, keys: Collection[str]) -> Mapping[str, bool]:
    """Of these keys, return those of affected certificates, and whether each is why."""
    found = circumstances_by_key(connection, keys=keys)
    return {key: not ABOUT_KEYS.isdisjoint(why) for key, why in found.items()}


def note_refused_csrs(
    engine: Engine, *, claims: LinkClaims, codes: Sequence[str], clock: Clock
) -> None:
    """
    Put on record that a subscriber tried, and that nothing of it can be used.

    Nothing of the CSR is kept. Policy looks at them at once: the ladder may say that
    somebody helps them.

    Args:
        engine: The database.
        claims: Of the link.
        codes: What was found, by stable codes.
        clock: Tells now.

    """
    now = clock.now()
    with writing(engine) as connection:
        replies.lock_subscriber(connection, subscriber=claims.subscriber)
        if replies.standing(connection, claims=claims).state is not (
            IncidentState.RUNNING
        ):
            return
        replies.set_csr_refused(connection, subscriber=claims.subscriber, at=now)
        look_now(connection, [claims.subscriber], now=now)
        audit.append(
            connection,
            incident=claims.incident,
            at=now,
            actor=f"contact:{claims.contact}",
            action="csr-refused",
            detail={"subscriber": claims.subscriber, "findings": sorted(set(codes))},
        )


def _affected(
    connection: Connection, claims: LinkClaims, standing: Standing
) -> list[AffectedNames]:
    return [
        AffectedNames(
            certificate_id=certificate.certificate,
            dns_names=certificate.dns_names,
            spki_sha256=certificate.spki_sha256,
            key_is_suspect=standing.circumstance in ABOUT_KEYS,
            takes_csr=certificate.replacement_state in UNSETTLED,
        )
        for certificate in replies.owned_certificates(
            connection, incident=claims.incident, subscriber=claims.subscriber
        )
    ]


def _refuse_others(
    affected: Sequence[AffectedNames], chosen: Sequence[CertificateId]
) -> None:
    own = {certificate.certificate_id for certificate in affected}
    if not own.issuperset(chosen):
        raise Refused(phrase("one of the certificates is not yours"), source=_SOURCE)
