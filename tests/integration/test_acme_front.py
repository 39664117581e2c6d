"""Unmodified ACME clients renew by themselves once an incident is launched (RFC 9773)."""

import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from factories import insert_incident, insert_issuer, insert_subscriber
from fakes.pebble import PebbleServer, pebble_server
from fakes.stack import free_ports, wait_until
from sqlalchemy import Engine, insert, select

from models.base import table
from models.incident import AffectedCertificate, CertificateBody
from models.replacement import Replacement
from tocsin.clock import SystemClock
from tocsin.demo.ports import free_port
from tocsin.intake.serials import serial_of_integer
from tocsin.store.session import migrate, open_engine, reading, writing

CERTBOT = Path(sys.executable).with_name("certbot")
CADDY = Path(sys.executable).with_name("caddy")
CERTIFICATE, BODY = table(AffectedCertificate), table(CertificateBody)

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(
        shutil.which("pebble") is None, reason="needs the Debian package pebble"
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A CA's ACME server, the front before it, and what clients need."""

    engine: Engine
    pebble: PebbleServer
    front: str
    folder: Path
    incident: str

    @property
    def directory(self) -> str:
        return f"{self.front}/dir"

    @property
    def trust(self) -> Path:
        return self.pebble.folder / "tls.pem"

    def ask(self, path: str) -> httpx.Response:
        trust = ssl.create_default_context(cafile=self.trust)
        return httpx.get(f"{self.front}{path}", verify=trust, trust_env=False)

    def launch(self, der: bytes) -> None:
        """Have an incident with this one certificate run."""
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value.get_values_for_type(x509.DNSName)
        now = SystemClock().now()
        with writing(self.engine) as connection:
            incident = insert_incident(connection, id=self.incident, launched_at=now)
            subscriber = insert_subscriber(connection, incident)
            key = connection.execute(
                insert(CERTIFICATE).values(
                    incident_id=incident,
                    issuer_id=insert_issuer(connection, self.pebble.issuer_key),
                    serial=serial_of_integer(certificate.serial_number),
                    subscriber_id=subscriber,
                    dns_names=names,
                )
            ).inserted_primary_key
            assert key is not None
            connection.execute(insert(BODY).values(certificate_id=key[0], der=der))

    def replacement(self) -> tuple[str, int]:
        """Return the state of the affected certificate, and its replacements."""
        ours = CERTIFICATE.c.incident_id == self.incident
        with reading(self.engine) as connection:
            state = connection.execute(
                select(CERTIFICATE.c.replacement_state).where(ours)
            ).scalar_one()
            found = connection.execute(
                select(table(Replacement).c.id)
                .join(
                    CERTIFICATE, CERTIFICATE.c.id == table(Replacement).c.certificate_id
                )
                .where(ours)
            ).all()
        return str(state), len(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What the sites have in common: the CA's server, the front, the database."""

    engine: Engine
    pebble: PebbleServer
    front: str


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    for name in ("pebble", "front"):
        (folder / name).mkdir()
    url = f"sqlite:///{folder / 'tocsin.sqlite'}"
    engine = open_engine(url)
    migrate(engine)
    with (
        pebble_server(folder / "pebble") as pebble,
        _front(pebble, folder, url) as front,
    ):
        yield Servers(engine=engine, pebble=pebble, front=front)
    engine.dispose()


@pytest.fixture
def site(servers: Servers, tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    """Return a site whose incident is its own."""
    return Site(
        engine=servers.engine,
        pebble=servers.pebble,
        front=servers.front,
        folder=tmp_path,
        incident=request.node.name,
    )


@contextmanager
def _front(pebble: PebbleServer, folder: Path, url: str) -> Iterator[str]:
    port = free_port()
    environment = os.environ | {
        "TOCSIN_DATA_DIRECTORY": str(folder / "front"),
        "TOCSIN_DATABASE_URL": url,
        "TOCSIN_ACME_UPSTREAM": pebble.url,
        "TOCSIN_ACME_UPSTREAM_CA_FILE": str(pebble.folder / "tls.pem"),
        "TOCSIN_ACME_RETRY_AFTER_SECONDS": "2",
        "TOCSIN_ACME_FRONT_PORT": str(port),
        "TOCSIN_ACME_FRONT_CERTIFICATE_FILE": str(pebble.folder / "tls.pem"),
        "TOCSIN_ACME_FRONT_KEY_FILE": str(pebble.folder / "tls-key.pem"),
    }
    with (folder / "front.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tocsin.cli.app", "acme-front"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    trust = ssl.create_default_context(cafile=pebble.folder / "tls.pem")
    front = f"https://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            answer = httpx.get(f"{front}/dir", verify=trust, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    try:
        wait_until(answers, within=60, what="the front answers")
        yield front
    finally:
        process.terminate()
        process.wait(20)


def _certbot(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    folder = site.folder / "certbot"
    return subprocess.run(
        [
            str(CERTBOT),
            *arguments,
            "--non-interactive",
            "--server",
            site.directory,
            *(
                part
                for name in ("config", "work", "logs")
                for part in (f"--{name}-dir", str(folder / name))
            ),
        ],
        env=os.environ | {"REQUESTS_CA_BUNDLE": str(site.trust)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_certbot_renews_by_itself_once_its_certificate_is_affected(site: Site) -> None:
    port = free_port()
    first = _certbot(
        site,
        "certonly",
        "--standalone",
        "--http-01-port",
        str(port),
        "--agree-tos",
        "--register-unsafely-without-email",
        "--domain",
        "www.clinic.example",
    )
    assert first.returncode == 0, first.stdout + first.stderr
    live = site.folder / "certbot/config/live/www.clinic.example/cert.pem"
    before = x509.load_pem_x509_certificate(live.read_bytes())
    site.launch(before.public_bytes(Encoding.DER))

    renewed = _certbot(site, "renew", "--no-random-sleep-on-renew")

    assert renewed.returncode == 0, renewed.stdout + renewed.stderr
    after = x509.load_pem_x509_certificate(live.read_bytes())
    assert after.serial_number != before.serial_number
    wait_until(
        lambda: site.replacement() == ("replacement-issued", 1),
        within=20,
        what="the new certificate is on record",
    )


def test_caddy_renews_by_itself_once_its_certificate_is_affected(site: Site) -> None:
    admin, http, tls = free_ports(3)
    storage = site.folder / "caddy"
    configuration = {
        "admin": {"listen": f"127.0.0.1:{admin}", "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(storage)},
        "apps": {
            "http": {
                "http_port": http,
                "https_port": tls,
                "servers": {
                    "site": {
                        "listen": [f"127.0.0.1:{tls}"],
                        "routes": [{"match": [{"host": ["www.clinic.example"]}]}],
                    }
                },
            },
            "tls": {
                "automation": {
                    "renew_interval": "2s",
                    "policies": [
                        {
                            "issuers": [
                                {
                                    "module": "acme",
                                    "ca": site.directory,
                                    "trusted_roots_pem_files": [str(site.trust)],
                                }
                            ]
                        }
                    ],
                }
            },
        },
    }
    (site.folder / "caddy.json").write_text(json.dumps(configuration))
    with (site.folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            [str(CADDY), "run", "--config", str(site.folder / "caddy.json")],
            env=os.environ | {"HOME": str(site.folder)},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: bool(_held(storage)), within=60, what="Caddy has one")
        before = _held(storage)[0]
        site.launch(before.public_bytes(Encoding.DER))
        wait_until(
            lambda: (
                [one.serial_number for one in _held(storage)] != [before.serial_number]
            ),
            within=90,
            what="Caddy renewed",
        )
    finally:
        process.terminate()
        process.wait(20)
    assert site.replacement() == ("replacement-issued", 1)


def test_everything_else_passes_as_it_comes(site: Site) -> None:
    directory = site.ask("/dir").json()
    own = site.pebble.account.directory.to_partial_json()

    assert directory.pop("renewalInfo") == f"{site.front}/renewal-info"
    assert {one.rpartition("/")[2] for one in directory.values() if _is_url(one)} == {
        one.rpartition("/")[2] for one in own.values() if _is_url(one)
    }
    assert site.ask("/nowhere").status_code == 404
    nobody = base64.urlsafe_b64encode(b"nobody").decode()
    assert site.ask(f"/renewal-info/{nobody}.AA").status_code == 404


def _is_url(one: Any) -> bool:
    return isinstance(one, str) and one.startswith("https://")


def _held(storage: Path) -> list[x509.Certificate]:
    return [
        x509.load_pem_x509_certificate(path.read_bytes())
        for path in storage.rglob("www.clinic.example.crt")
    ]
