"""What `cryptography` refuses is identified, launched, revoked and proven all the same."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from fakes.authority import DER, PEM, Authority, new_authority
from fakes.malformed import DEFECTS, read_whole
from fakes.openssl_ca import openssl_directory
from sqlalchemy import Engine, select

from models.base import table
from models.incident import AffectedCertificate
from models.revocation import Revocation
from models.terms import Circumstance
from tocsin.ca.backend import CaBackend, Publication
from tocsin.ca.backends.openssl import BACKEND
from tocsin.ca.embedded import EmbeddedCa, EmbeddedPublication
from tocsin.ca.issuers import add_issuer
from tocsin.ca.options import read_options
from tocsin.clock import SteppedClock, SystemClock
from tocsin.mail.render import TemplateSet
from tocsin.settings import Settings
from tocsin.steps.launch import (
    LaunchRequest,
    draft_incident,
    launch_incident,
    read_rulebook,
)
from tocsin.steps.revoke import revoke_due
from tocsin.store.session import reading

SERIALS = dict(zip(DEFECTS, range(0x5001, 0x5010), strict=False))


@dataclass
class Office:
    """A CA that issued a certificate with each defect."""

    backend: CaBackend
    publication: Publication
    certificates: dict[str, bytes]


@pytest.fixture(params=["embedded", "openssl"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Office:
    if request.param == "openssl":
        directory = openssl_directory(tmp_path / "ca")
        for serial in SERIALS.values():
            directory.issue(serial)
        backend, publication = BACKEND.open(read_options(directory.options(), BACKEND))
        return Office(backend, publication, damaged(directory.authority))
    authority = new_authority()
    folder = tmp_path / "pair"
    folder.mkdir()
    _, key = authority.write(folder)
    add_issuer(
        tmp_path / "ca",
        certificate_pem=authority.certificate.public_bytes(PEM),
        key_pem=key.read_bytes(),
    )
    clock = SystemClock()
    return Office(
        EmbeddedCa(tmp_path / "ca", clock=clock),
        EmbeddedPublication(tmp_path / "ca", clock=clock),
        damaged(authority),
    )


def damaged(authority: Authority) -> dict[str, bytes]:
    return {
        what: damage(authority.issue(SERIALS[what]).public_bytes(DER))
        for what, damage in DEFECTS.items()
    }


@pytest.mark.parametrize("what", DEFECTS)
def test_the_library_refuses_each_of_them(what: str) -> None:
    der = damaged(new_authority())[what]

    with pytest.raises((ValueError, UnsupportedAlgorithm)):
        read_whole(der)


def test_malformed_certificates_are_revoked_from_the_list_to_the_proof(
    engine: Engine, tmp_path: Path, office: Office
) -> None:
    folder = tmp_path / "list"
    folder.mkdir()
    for number, der in enumerate(office.certificates.values()):
        (folder / f"{number}.der").write_bytes(der)
    (tmp_path / "contacts.csv").write_text(
        "subscriber,sector,zone,domains,name,email,phone,rank,role\n"
        "Harbour Clinic,Health,UTC,example,Chan,admin@clinic.example,,1,\n"
    )
    settings = Settings(data_directory=tmp_path / "data")
    now = SystemClock().now()
    clock = SteppedClock(now)
    incident, _ = draft_incident(
        engine,
        LaunchRequest(
            title="Malformed",
            circumstance=Circumstance.MISISSUED,
            made_aware_at=now - timedelta(days=9),
            certificates=[folder],
            directory=tmp_path / "contacts.csv",
            zone="UTC",
        ),
        rulebook=read_rulebook(settings),
        clock=clock,
    )

    launch_incident(
        engine,
        incident=incident,
        backend=office.backend,
        templates=TemplateSet.from_files().sources(),
        actor="officer",
        clock=clock,
    )
    done = revoke_due(
        engine, office.backend, office.publication, SystemClock(), owner="test"
    )

    assert (done.claimed, done.revoked) == (len(DEFECTS), len(DEFECTS))
    assert (done.published, done.wrong_reason) == (len(DEFECTS), 0)
    with reading(engine) as connection:
        serials = connection.execute(select(table(AffectedCertificate).c.serial))
        assert {int(serial, 16) for serial in serials.scalars()} == set(
            SERIALS.values()
        )
        states = connection.execute(select(table(Revocation).c.state)).scalars()
        assert set(states) == {"published"}
