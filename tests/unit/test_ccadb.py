"""The CCADB's list: prescribed columns, one row for each certificate (I3, I9)."""

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import DEADLINE, HOUR, LAUNCH, MADE_AWARE, REVOCATION
from hypothesis import given
from hypothesis import strategies as st

from models.terms import CertificateId, Reason, RevocationState
from tocsin.policy.figures import CertificateRow
from tocsin.reports.ccadb import COLUMNS, is_revoked, render_affected, render_links

GOLDEN = Path(__file__).parents[1] / "golden" / "ccadb" / "certificates.csv"
NOW = REVOCATION + HOUR


def row(number: int = 1, **changes: Any) -> CertificateRow:
    fields: dict[str, Any] = {
        "certificate": CertificateId(number),
        "precertificate_sha256": None,
        "certificate_sha256": f"{number:064x}",
        "subject": f"CN=host-{number}.clinic.example",
        "issuer": "CN=Test CA,O=Test,C=HK",
        "not_before": MADE_AWARE - timedelta(days=30),
        "not_after": MADE_AWARE + timedelta(days=335),
        "serial": f"{number:04x}",
        "dns_names": (f"host-{number}.clinic.example",),
        "state": RevocationState.SCHEDULED,
        "revocation_time": REVOCATION,
        "revoked_at": None,
        "reason": Reason.SUPERSEDED,
    }
    return CertificateRow(**(fields | changes))


def parse(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def render(*rows: CertificateRow, now: datetime = NOW) -> str:
    return "".join(render_affected(rows, deadline=DEADLINE, now=now))


def test_the_list_is_written_as_prescribed() -> None:
    published = {
        "state": RevocationState.PUBLISHED,
        "revoked_at": datetime(2026, 3, 7, 3, 0, 12, 345_678, tzinfo=UTC),
    }
    rows = [
        row(
            1,
            precertificate_sha256="ab" * 32,
            dns_names=("host-1.clinic.example", "*.clinic.example"),
            **published,
        ),
        row(2, subject='CN=two,O="Harbour, Clinic"', **published),
        row(3, reason=Reason.UNSPECIFIED),
        row(4, not_after=LAUNCH),
        row(5, state=RevocationState.REVOKED, revoked_at=REVOCATION),
        row(
            6,
            certificate_sha256=None,
            subject="",
            not_before=None,
            not_after=None,
            dns_names=(),
            serial="00ff",
        ),
        row(7, subject="CN=港灣診所,C=HK"),
        row(8, state=None, revocation_time=None),
    ]

    text = render(*rows)

    assert text.encode() == GOLDEN.read_bytes()


def test_the_first_columns_are_exactly_those_of_the_guidelines() -> None:
    header = render().rstrip("\r\n")

    # CCADB Incident Reporting Guidelines 3.2, Appendix, word by word.
    assert header == (
        "Precertificate SHA-256 hash,Certificate SHA-256 hash,Subject,Issuer,"
        "Not before,Not after,Serial #,dNSNames,Is revoked?,Revocation date,"
        "Revocation reason"
    )


@given(
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40
        )
    )
)
def test_i3_every_certificate_is_read_back_when_subjects_hold_anything(
    subjects: list[str],
) -> None:
    text = render(*(row(n, subject=subject) for n, subject in enumerate(subjects)))

    found = parse(text)
    assert [entry["Subject"] for entry in found] == subjects
    assert all(tuple(entry) == COLUMNS for entry in found)


@pytest.mark.parametrize("state", [None, *RevocationState])
def test_i9_only_published_is_revoked(state: RevocationState | None) -> None:
    verdict = is_revoked(row(state=state), deadline=DEADLINE, now=NOW)

    assert (verdict == "Yes") == (state is RevocationState.PUBLISHED)


@pytest.mark.parametrize(
    "state",
    [RevocationState.SCHEDULED, RevocationState.SUBMITTED, RevocationState.REVOKED],
)
def test_what_is_not_published_is_delayed_when_the_deadline_has_passed(
    state: RevocationState,
) -> None:
    at = is_revoked(row(state=state), deadline=DEADLINE, now=DEADLINE)
    after = is_revoked(row(state=state), deadline=DEADLINE, now=DEADLINE + HOUR)

    assert (at, after) == ("Planned", "Delayed")


def test_date_and_reason_do_not_apply_when_it_expired_before_revocation() -> None:
    [found] = parse(render(row(not_after=LAUNCH)))

    assert found["Is revoked?"] == "N/A (expired)"
    assert found["Revocation date"] == found["Revocation reason"] == "N/A"


def test_it_stays_revoked_when_it_expires_after_publication() -> None:
    expired = row(
        state=RevocationState.PUBLISHED, not_after=LAUNCH, revoked_at=REVOCATION
    )

    [found] = parse(render(expired))

    assert found["Is revoked?"] == "Yes"
    assert found["Revocation date"] == "2026-03-07T03:00:00Z"


def test_links_name_the_final_certificate_where_it_is_known() -> None:
    rows = [
        row(1, precertificate_sha256="aa" * 32),
        row(2, certificate_sha256=None, precertificate_sha256="bb" * 32),
        row(3, certificate_sha256=None),
    ]

    assert list(render_links(rows)) == [
        f"https://crt.sh/?sha256={1:064x}\n",
        f"https://crt.sh/?sha256={'bb' * 32}\n",
    ]
