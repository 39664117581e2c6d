"""A real portal on a port of its own, and what a visitor of it needs."""

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from factories import DEADLINE, HOUR
from fastapi import FastAPI
from sqlalchemy import Engine

from models.terms import ContactId, IncidentId, SubscriberId
from tocsin.clock import Clock
from tocsin.links import SUBSCRIBER, LinkClaims, Links
from tocsin.portal.app import create_app
from tocsin.portal.desk import PortalConfig

LINKS = Links(["a secret that is long enough for every test"])
GRACE = HOUR
CONFIG = PortalConfig(
    ca_name="Example CA",
    ca_phone="+852 5550 0199",
    ca_site="ca.example",
    grace_within=GRACE,
    max_upload_bytes=200_000,
    requests_per_minute=10_000,
    public_url="https://certificates.ca.example",
    mail_domain="ca.example",
)

_STARTS_WITHIN = 20.0  # seconds


def portal(engine: Engine, clock: Clock, **changes: Any) -> FastAPI:
    return create_app(engine, LINKS, replace(CONFIG, **changes), clock)


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Serve over a real socket; yields the address."""
    # asyncio sends at once only where it sees that this is TCP; else an answer in two
    # pieces takes 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = uvicorn.Server(
        uvicorn.Config(app, access_log=False, log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_STARTS_WITHIN)
        listening.close()


def visitor(address: str, **options: Any) -> httpx.Client:
    """
    Return a browser of a portal; redirects are looked at, not followed.

    It trusts nobody, for it speaks plain HTTP: to read whom a system trusts takes
    longer than many visits.
    """
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.Client(
        base_url=address,
        verify=nobody,
        trust_env=False,
        **{"timeout": 60} | options,
    )


@contextmanager
def visiting(app: FastAPI) -> Iterator[httpx.Client]:
    """Serve, and visit."""
    with running(app) as address, visitor(address) as client:
        yield client


def is_healthy(http: httpx.Client) -> bool:
    """Whether a portal has started."""
    try:
        return http.get("/healthz").is_success
    except httpx.TransportError:
        return False


def claims_for(
    incident: IncidentId,
    subscriber: SubscriberId,
    contact: ContactId,
    *,
    generation: int = 0,
    purpose: str = SUBSCRIBER,
    lives: timedelta = timedelta(days=30),
) -> LinkClaims:
    return LinkClaims(
        incident=incident,
        subscriber=subscriber,
        contact=contact,
        purpose=purpose,
        generation=generation,
        expires_at=DEADLINE + lives,
    )


def nonce_in(page: httpx.Response) -> str:
    found = re.search(r'name="nonce" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def make_csr(
    *names: str,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    common_name: str | None = None,
) -> str:
    """Make a CSR, PEM; with a fresh P-256 key where none is given."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, common_name or names[0])]
            if common_name or names
            else []
        )
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]),
            critical=False,
        )
    signed = builder.sign(
        key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
    )
    return signed.public_bytes(Encoding.PEM).decode()
