"""What may be proposed, who may sign it, and what it is said to do."""

from dataclasses import replace
from datetime import timedelta

import pytest
from factories import DEADLINE, HOUR, LAUNCH, REVOCATION
from hypothesis import given
from hypothesis import strategies as st

from models.terms import (
    CertificateId,
    IncidentId,
    OfficeRole,
    RevocationState,
    ScopeChangeId,
    ScopeKind,
    ScopeOutcome,
    ScopeState,
)
from tocsin.errors import BadInput
from tocsin.intake.documents import LARGEST, document_name, media_type_of
from tocsin.policy.office import Officer, Officers, is_same_person
from tocsin.policy.revocation import due_at
from tocsin.policy.scope import (
    NamedCertificate,
    Proposal,
    ScopeChange,
    Signature,
    check_proposal,
    effects,
    why_not_sign,
)
from tocsin.reports.scope import disclosed, forum_message
from tocsin.steps.naming import parse_names

CHAN = Officer(name="Chan Tai Man", email="chan@ca.example", role=OfficeRole.OFFICER)
LAM = Officer(name="Lam Siu Fong", email="lam@ca.example", role=OfficeRole.OFFICER)
ORDER = Proposal(
    kind=ScopeKind.ORDER,
    reason="The High Court restrains the CA.",
    court="High Court of Hong Kong",
    reference="HCMP 1234/2026",
    ends_at=DEADLINE + HOUR,
)
CERTIFICATE = NamedCertificate(
    certificate=CertificateId(1),
    serial="1000",
    title="www.clinic.example",
    subscriber="Harbour Clinic",
    state=RevocationState.SCHEDULED,
    is_claimed=False,
    was_asked=False,
    revocation_time=REVOCATION,
    restrained_until=None,
    outcome=ScopeOutcome.OPEN,
)
CHANGE = ScopeChange(
    change=ScopeChangeId(7),
    incident=IncidentId("test"),
    proposal=ORDER,
    state=ScopeState.AGREED,
    ends_at=ORDER.ends_at,
    document_name="order.pdf",
    document_sha256="aa" * 32,
    proposed_by=CHAN.actor,
    proposed_at=LAUNCH,
    first=Signature(by=CHAN.name, key=CHAN.key, at=LAUNCH),
    second=Signature(by=LAM.name, key=LAM.key, at=LAUNCH),
    ended_by="",
    ended_at=None,
    ended_why="",
    named=2,
    applied=2,
)


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("Tai-Man CHAN", "other@home.example"),
        ("chan  tai man", "other@home.example"),
        ("Somebody Else", "Chan@CA.example"),
        ("Somebody Else", "chan+desk@ca.example"),
        ("Chán Tai Man", "other@home.example"),
    ],
)
def test_two_rows_are_one_person_when_name_or_mailbox_is_the_same(
    name: str, email: str
) -> None:
    other = Officer(name=name, email=email, role=OfficeRole.OFFICER)

    assert is_same_person(CHAN, other)
    assert is_same_person(other, CHAN)


def test_two_rows_are_two_persons_when_name_and_mailbox_differ() -> None:
    assert not is_same_person(CHAN, LAM)
    assert not is_same_person(CHAN, replace(LAM, email="chan@other.example"))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reason": "short"}, "reason"),
        ({"court": ""}, "court"),
        ({"reference": ""}, "reference"),
        ({"ends_at": None}, "ends_at"),
        ({"ends_at": LAUNCH}, "ends_at"),
    ],
)
def test_order_is_to_be_mended_when_something_of_it_is_missing(
    changes: dict[str, object], field: str
) -> None:
    proposal = replace(ORDER, **changes)  # type: ignore[arg-type]

    assert [one.field for one in check_proposal(proposal, now=LAUNCH)] == [field]
    assert list(check_proposal(ORDER, now=LAUNCH)) == []


def test_first_officer_has_to_be_on_the_list_when_the_second_one_signs() -> None:
    waiting = replace(CHANGE, state=ScopeState.PROPOSED, second=None)
    both = Officers(people=(CHAN, LAM), problems=())

    assert why_not_sign(waiting, LAM, both) is None
    for people in ((LAM,), (LAM, replace(CHAN, role=OfficeRole.MANAGER))):
        why = why_not_sign(waiting, LAM, Officers(people=people, problems=()))
        assert why is not None
        assert "no officer on the list" in why


@given(
    st.integers(-(10**6), 10**6).map(lambda s: timedelta(seconds=s)),
    st.none() | st.integers(-(10**6), 10**6).map(lambda s: timedelta(seconds=s)),
)
def test_i1_certificate_is_due_at_its_time_or_the_minute_an_order_ends(
    time: timedelta, until: timedelta | None
) -> None:
    revocation_time = REVOCATION + time
    order = None if until is None else REVOCATION + until

    due = due_at(revocation_time, order)

    assert due >= revocation_time
    assert due in {revocation_time, order}


def test_effect_tells_what_is_missed_when_an_order_reaches_beyond_the_deadline() -> (
    None
):
    text = " ".join(effects(ORDER, [CERTIFICATE] * 2, deadline=DEADLINE, now=LAUNCH))

    assert "2 certificates will not be sent to the CA before 2026-03-07 10:00" in text
    assert "The revocation time stays 2026-03-07 03:00 UTC" in text
    assert "will be missed for them, by 1 h at least" in text


def test_effect_tells_what_stays_when_some_are_revoked_already() -> None:
    revoked = replace(CERTIFICATE, state=RevocationState.PUBLISHED)
    claimed = replace(CERTIFICATE, is_claimed=True)

    text = list(
        effects(
            Proposal(kind=ScopeKind.WITHDRAWAL, reason="A slip in the list."),
            [CERTIFICATE, revoked, claimed],
            deadline=DEADLINE,
            now=LAUNCH,
        )
    )

    assert text[0] == "1 certificate is revoked already, and stays so."
    assert "with the CA at this moment" in text[1]
    assert text[2].startswith("1 certificate will not be revoked")


def test_effect_is_nothing_when_everything_is_revoked() -> None:
    revoked = replace(CERTIFICATE, state=RevocationState.REVOKED)

    *_, last = effects(ORDER, [revoked], deadline=DEADLINE, now=LAUNCH)

    assert last == "Nothing is left that this could change."


def test_report_says_until_when_an_order_restrained_and_why_it_ended() -> None:
    lifted = replace(
        CHANGE, ends_at=DEADLINE, ended_by=LAM.name, ended_why="Discharged."
    )

    (now,) = disclosed([CHANGE], now=DEADLINE)
    (then,) = disclosed([lifted], now=DEADLINE)

    assert now.startswith("2 certificates: an order of High Court of Hong Kong")
    assert "restrains the CA until 2026-03-07 10:00 UTC" in now
    assert "restrained the CA until 2026-03-07 09:00 UTC" in then
    assert then.endswith("ends earlier: Discharged.")
    assert (
        list(disclosed([replace(CHANGE, state=ScopeState.REFUSED)], now=LAUNCH)) == []
    )


def test_message_to_the_forum_names_order_deviation_and_what_is_left_to_fill_in() -> (
    None
):
    text = forum_message(CHANGE, ca_name="Example CA", title="A", deadline=DEADLINE)

    assert text.startswith("To: questions@cabforum.org\n")
    for part in ("HCMP 1234/2026", "4.9.1.1", "2026-03-07 10:00 UTC", "[CPS, version"):
        assert part in text


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"%PDF-1.7 ...", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff...", "image/jpeg"),
        (b"II*\x00...", "image/tiff"),
    ],
)
def test_document_is_told_by_its_octets(content: bytes, media_type: str) -> None:
    assert media_type_of(content)[0] == media_type


@pytest.mark.parametrize(
    "content",
    [b"", b"<html><script>", b"MZ...", b"PK\x03\x04", b"%PDF-" + b"0" * LARGEST],
)
def test_document_is_refused_when_it_is_no_scan_or_too_large(content: bytes) -> None:
    with pytest.raises(BadInput):
        media_type_of(content)


def test_document_has_a_plain_name_whatever_a_browser_calls_it() -> None:
    assert document_name("C:\\orders\\..\\HCMP 1234.PDF", ".pdf") == "HCMP 1234.pdf"
    assert document_name("../../etc/passwd", ".pdf") == "passwd.pdf"
    assert document_name("", ".pdf") == "order.pdf"


def test_certificates_are_named_by_serial_or_fingerprint() -> None:
    text = f"0x1000\n10:01 ; 1002,\n{'AB' * 32}\n\n1000\n"

    assert parse_names(text) == ({"1000", "1001", "1002"}, {"ab" * 32})


@pytest.mark.parametrize(
    "text", ["", " \n", "www.example.org", "\n".join(f"{n:x}" for n in range(2000))]
)
def test_names_are_refused_when_there_are_none_or_too_many(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_names(text)
    assert caught.value.field == "certificates"
