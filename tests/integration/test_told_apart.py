"""Revocations that the world does not see everywhere yet: told apart, counted and shown."""

from pathlib import Path

import pytest
from factories import REVOCATION
from fakes.cas import WaywardCa
from fakes.launched import LaunchedIncident, launch
from sqlalchemy import Engine, insert, update

from models.base import table
from models.incident import CrlPlace
from models.revocation import Revocation
from models.terms import Reason, Sighting
from tocsin.ca.backend import AnswerKind
from tocsin.ca.shards import shard_crl
from tocsin.clock import SteppedClock
from tocsin.policy.figures import IncidentFigures
from tocsin.reports.dashboards.revocation import told_apart
from tocsin.reports.status import render_status
from tocsin.store.figures import incident_figures
from tocsin.store.session import reading, writing

URL = "http://crl.ca.example/r1-{shard}.crl"


@pytest.fixture
def due(engine: Engine, tmp_path: Path, clock: SteppedClock) -> LaunchedIncident:
    made = launch(engine, tmp_path / "ca", clock, count=4)
    clock.step_to(REVOCATION)
    return made


def figures(due: LaunchedIncident) -> IncidentFigures:
    with reading(due.engine) as connection:
        return incident_figures(connection, incident=due.incident, now=due.clock.now())


def name_places(due: LaunchedIncident, *shards: int | None) -> None:
    """Have each certificate say in which shard its revocation is looked for."""
    with writing(due.engine) as connection:
        connection.execute(
            insert(table(CrlPlace)),
            [
                {
                    "certificate_id": certificate,
                    "urls": f"ldap://x/1\n{URL.replace('{shard}', str(shard))}",
                }
                for certificate, shard in zip(due.certificates, shards, strict=True)
                if shard is not None
            ],
        )


def test_i9_a_certificate_is_published_when_its_own_shard_lists_it(
    due: LaunchedIncident,
) -> None:
    shard_crl(due.directory, issuer_key=due.issuer_key, url=URL, shards=2)
    # The serials are 0x1000 to 0x1003; the third names a shard that is not its own.
    name_places(due, 0, 1, 1, None)

    done = due.revoke()

    assert (done.revoked, done.published, done.unproven) == (4, 3, 1)
    assert [row.state for row in due.rows()] == [
        "published",
        "published",
        "revoked",
        "published",
    ]
    assert due.rows()[2].sighting == Sighting.OTHER_CRL
    seen = figures(due)
    assert seen.sightings[Sighting.OTHER_CRL] == 1
    assert "not in the one that the certificate names: 1." in render_status(seen)


def test_in_ocsp_and_in_no_crl_is_told_apart_until_it_is_published(
    due: LaunchedIncident,
) -> None:
    due.ca.publish(due.issuer_key)
    ca = WaywardCa(due.ca, forgets_to_publish=True)

    before = figures(due)
    due.revoke(ca)
    seen = figures(due)
    due.step(minutes=1)
    due.revoke(ca)
    again = figures(due)
    ca.forgets_to_publish = False
    due.step(minutes=1)
    due.revoke(ca)
    after = figures(due)

    assert before.sightings[Sighting.OCSP_ONLY] == before.not_looked_for == 0
    assert seen.sightings[Sighting.OCSP_ONLY] == 4
    assert again.sightings == seen.sightings
    assert "not published yet, in OCSP, and in no CRL: 4." in render_status(seen)
    assert "\n".join(told_apart(seen)) == (
        "- 4 revoked and not published yet: in OCSP, and in no CRL."
    )
    assert sum(after.sightings.values()) == 0
    assert {row.sighting for row in due.rows()} == {None}
    assert list(told_apart(after)) == []


def test_what_nobody_could_look_for_is_told_apart(due: LaunchedIncident) -> None:
    due.revoke(WaywardCa(due.ca, cannot_publish=True))

    seen = figures(due)

    assert (seen.not_looked_for, sum(seen.sightings.values())) == (4, 0)
    assert "not published yet, not looked for yet: 4." in render_status(seen)


def test_another_reason_and_expiry_are_told_apart(due: LaunchedIncident) -> None:
    ca = WaywardCa(due.ca, answers={0x1000: AnswerKind.EXPIRED})
    due.revoke(ca)
    rows = table(Revocation)
    with writing(due.engine) as connection:
        for certificate, reason in zip(
            due.certificates[1:3], (Reason.KEY_COMPROMISE, None), strict=True
        ):
            connection.execute(
                update(rows)
                .where(rows.c.certificate_id == certificate)
                .values(published_reason=reason)
            )

    seen = figures(due)

    # A reason that cannot be read is another one, too.
    assert (seen.published, seen.published_with_other_reason) == (3, 2)
    assert seen.refused_as_expired == 1
    said = render_status(seen)
    assert "Not revoked, because the CA does not revoke what has expired: 1." in said
    assert "last answer" not in said
    assert "\n".join(told_apart(seen)) == (
        "- 2 published with another reason than superseded.\n"
        "- 1 not revoked: the CA does not revoke what has expired."
    )
