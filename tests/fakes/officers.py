"""What a compliance officer has on the desk: certificates, a directory, an issuer."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fakes.lists import make_certificate, name, pem

from tocsin.ca.issuers import create_issuer

ISSUER = "Desk Test CA R1"
CREATED = datetime(2025, 11, 1, tzinfo=UTC)

_DIRECTORY = """\
subscriber,name,email,phone,rank,zone,domains,role
Harbour Clinic,Chan Tai Man,admin@clinic.example,+852 5550 0100,1,Asia/Hong_Kong,clinic.example,
Harbour Clinic,Lee Siu Ming,second@clinic.example,+852 5550 0101,2,Asia/Hong_Kong,,
Peak Tramway,Wong Ka Yan,bounce@peak.example,+852 5550 0200,1,Asia/Hong_Kong,peak.example,
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Files, as an officer would name them."""

    certificates: Path
    directory: Path


def lay_desk(folder: Path, *, embedded_ca: Path) -> Desk:
    """Make an issuer in the embedded CA, three certificates of it and a directory."""
    create_issuer(embedded_ca, name=ISSUER, now=CREATED)
    folder.mkdir(parents=True, exist_ok=True)
    desk = Desk(
        certificates=folder / "certificates.pem", directory=folder / "directory.csv"
    )
    desk.certificates.write_bytes(
        pem(
            make_certificate(
                0x1001 + index,
                organisation=organisation,
                dns_names=[host],
                issuer=name(ISSUER),
            )
            for index, (organisation, host) in enumerate(
                [
                    ("Harbour Clinic", "www.clinic.example"),
                    ("Harbour Clinic", "mail.clinic.example"),
                    ("Peak Tramway", "tickets.peak.example"),
                ]
            )
        )
    )
    desk.directory.write_text(_DIRECTORY, "utf-8")
    return desk
