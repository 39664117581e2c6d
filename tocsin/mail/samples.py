"""Made-up readers, to try every notice with before a real one gets it."""

from datetime import UTC, datetime, timedelta

from models.terms import Circumstance, ContactRole, EscalationCause, NoticeKind
from tocsin.mail.language import Language
from tocsin.mail.render import (
    AnyContext,
    CertificateLine,
    ConfirmationContext,
    ContactsContext,
    EscalationContext,
    EscalationLine,
    NoticeContext,
    WithdrawalContext,
)

_AT = datetime(2026, 3, 7, 3, 0, tzinfo=UTC)
_ZONE = "Asia/Hong_Kong"
_NAMES = ("appointments", "records", "www", "vpn-gateway-01.hospital-authority", "mail")
_SHOWN_ESCALATIONS = 50
# As long as real ones are, with the hyphens that base64url has.
_LINK = (
    "https://certificates.ca.example/s/WyIyMDI0MDMxOC1hYmMxMjMiLDEyMyw0NTYs"
    "InN1YnNj-cmliZXIiLDAsMTcx-abc_MjUyMDYwXQ.q-uAf3-Gk9_eTzYx0bQw-9LmNoPq"
)


def sample_contexts(kind: NoticeKind, language: Language) -> dict[str, AnyContext]:
    """
    Return contexts to try a kind with: few and many certificates, odd names.

    Args:
        kind: Which notice.
        language: Writes their dates and words.

    """
    if kind is NoticeKind.ESCALATION:
        return {
            f"{total} subscribers": _to_staff(total, language) for total in (1, 240)
        }
    if kind is NoticeKind.WITHDRAWAL:
        return {
            f"{total} certificates": _withdrawn(total, remaining, name)
            for total, remaining, name in ((1, 0, ""), (98, 1, "陳大文"), (5, 400, "A"))
        }
    if kind is NoticeKind.CONFIRM_ADDRESS:
        return {
            f"a contact of {name}": _to_named(name)
            for name in ("A", "Harbour Clinics <& Partners>")
        }
    if kind is NoticeKind.CONTACTS_CHANGED:
        return {
            f"{what}{', another leaves' * bool(leaves)}{', you' * is_reader}": _changed(
                what, leaves=leaves, is_reader=is_reader
            )
            for what, leaves, is_reader in (
                ("named", "", False),
                ("named", "Chan Tai Man", False),
                ("named", "陳大文", True),
                ("added", "", False),
                ("added", "陳大文", True),
                ("confirmed", "", False),
                ("confirmed", "Chan Tai Man", False),
                ("confirmed", "陳大文", True),
                ("declined", "", False),
                ("removed", "Wong Ka Yan", False),
                ("removed", "Wong Ka Yan", True),
            )
        }
    return {
        f"{total} certificates{', revoked' * is_revoked}": _to_subscriber(
            total, name, language, is_revoked=is_revoked
        )
        for is_revoked in (False, True)
        for total, name in ((1, ""), (98, "Chan Tai Man"), (500, "陳大文"))
    }


def _to_subscriber(
    total: int, name: str, language: Language, *, is_revoked: bool
) -> NoticeContext:
    return NoticeContext(
        incident_title="CPS URI that is not http",
        circumstance=language.circumstance(
            Circumstance.MISISSUED,
            otherwise="It was not issued in accordance with the Baseline "
            "Requirements or the CA's CP/CPS",
        ),
        source="TLS BR 4.9.1.1 (12)",
        subscriber="Harbour Clinics <& Partners>",
        contact_name=name,
        certificates=_certificates(total),
        more=max(0, total - len(_NAMES)),
        total=total,
        without_csr=total,
        is_revoked=is_revoked,
        revocation=language.instant(_AT, _ZONE),
        deadline=language.instant(_AT + timedelta(hours=6), _ZONE),
        link=_LINK,
        ca_name="Example CA",
        ca_phone="+852 5550 0100",
        ca_site="www.ca.example",
    )


def _withdrawn(total: int, remaining: int, name: str) -> WithdrawalContext:
    return WithdrawalContext(
        incident_title="CPS URI that is not http",
        subscriber="Harbour Clinics <& Partners>",
        contact_name=name,
        certificates=_certificates(total),
        more=max(0, total - len(_NAMES)),
        total=total,
        remaining=remaining,
        reason="Issued under the corrected profile; the list of affected certificates "
        "had the wrong serial numbers",
        link=_LINK,
        ca_name="Example CA",
        ca_phone="+852 5550 0100",
        ca_site="www.ca.example",
    )


def _to_named(subscriber: str) -> ConfirmationContext:
    return ConfirmationContext(
        subscriber=subscriber,
        link=_LINK.replace("/s/", "/c/"),
        ca_name="Example CA",
        ca_phone="+852 5550 0100",
        ca_site="www.ca.example",
    )


def _changed(what: str, *, leaves: str, is_reader: bool) -> ContactsContext:
    has_left = is_reader and what != "named"
    return ContactsContext(
        incident_title="CPS URI that is not http",
        subscriber="Harbour Clinics <& Partners>",
        contact_name=leaves if is_reader else "",
        what=what,
        by="Chan Tai Man",
        person="Wong Ka Yan",
        address="w***@clinics.example",
        leaves=leaves,
        is_reader=is_reader,
        link="" if has_left else _LINK,
        ca_name="Example CA",
        ca_phone="+852 5550 0100",
        ca_site="www.ca.example",
    )


def _certificates(total: int) -> tuple[CertificateLine, ...]:
    return tuple(
        CertificateLine(
            name=f"{host}.clinics.example",
            serial=f"{0x4F03A2 + number:032x}",
            not_after="2026-12-31",
        )
        for number, host in enumerate(_NAMES[:total])
    )


def _to_staff(total: int, language: Language) -> EscalationContext:
    line = EscalationLine(
        subscriber="Harbour Clinics <& Partners>",
        sector="Medical and Health",
        cause=language.cause(EscalationCause.CSR_MISSING),
        step="Operations managers take over missing CSRs",
        certificates=98,
        missing=97,
        since=language.instant(_AT - timedelta(days=2), _ZONE).local,
    )
    return EscalationContext(
        incident_title="CPS URI that is not http",
        contact_name="Lee Siu Ling",
        role=language.role(ContactRole.OPERATIONS_MANAGER),
        rows=(line,) * min(total, _SHOWN_ESCALATIONS),
        more=max(0, total - _SHOWN_ESCALATIONS),
        total=total,
        revocation=language.instant(_AT, _ZONE),
        deadline=language.instant(_AT + timedelta(hours=6), _ZONE),
        incident="20260302-a1b2c3",
        link="https://certificates.ca.example/e/eyJpbmNpZGVudCI6MX0.c2lnbmF0dXJl",
    )
