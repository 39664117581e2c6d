"""500 subscribers on one portal process at once, beside a FastAPI page that does nothing."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.launching import launch_listed
from figures import Figure, paired
from sqlalchemy import select
from whole_incident import make

from models.base import table
from models.incident import AffectedCertificate
from models.subscriber import Contact
from models.terms import CertificateId, Circumstance, ContactId, SubscriberId
from tocsin.clock import SystemClock
from tocsin.demo.children import running, wait_for
from tocsin.demo.ports import free_port
from tocsin.links import SUBSCRIBER, LinkClaims
from tocsin.settings import Settings
from tocsin.steps.advance import Collaborators
from tocsin.steps.collaborators import open_collaborators
from tocsin.steps.replies import take_reply
from tocsin.steps.reply_acts import (
    Acknowledge,
    AcknowledgeChoice,
    ReplyAct,
    ReportReplaced,
)
from tocsin.store.session import reading

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
CERTIFICATES, SUBSCRIBERS, CLIENTS = 1_111, 520, 500
_SIZES = (1, 1, 2, 1, 3, 1, 2, 1, 4, 4)  # most have one or two; the first one has many
_ROUNDS = 7
_SECONDS = 4.0
_AT_LEAST = 0.4
_BUSIEST = 0.8  # of one core: beyond it the clients would be what is measured
_FIRST_ROUNDS = 5
_BARE = [[{"kind": "page", "path": "/"}]] * CLIENTS
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """One of them, as a client knows it."""

    path: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One process that answers."""

    process: subprocess.Popen[str]
    port: int

    @property
    def cpu(self) -> float:
        """Seconds of processor that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / _TICKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    What came of some seconds.

    Args:
        rate: Answers a second.
        p95: Seconds.
        cpu: Of the server, seconds an answer.
        errors: Answers that were none.

    """

    rate: float
    p95: float
    cpu: float
    errors: int


def measure() -> list[Figure]:
    """Load both in turns, then the portal with acts among the pages, then with first pages."""
    with tempfile.TemporaryDirectory(prefix="tocsin-portal-") as name:
        folder = Path(name)
        everybody = _prepare(folder)
        subscribers, others = everybody[:CLIENTS], everybody[CLIENTS:]
        with _portal(folder) as portal:
            pages = _fetch(portal, subscribers)
            file = folder / "page.html"
            file.write_text(_of_median_size(pages), "utf-8")
            with _bare(folder, file) as bare:
                ours, theirs = [], []
                for _ in range(_ROUNDS):
                    ours.append(_load(portal, [[_page(one)] for one in subscribers]))
                    theirs.append(_load(bare, _BARE))
                first, bare_first = [], []
                for _ in range(_FIRST_ROUNDS):
                    first.append(_first(folder, subscribers, others))
                    bare_first.append(_load(bare, _BARE, seconds=0))
            mixed = [_load(portal, [*_busy(subscribers)]) for _ in range(3)]
    return [*_beside(ours, theirs), *_first_pages(first, bare_first), *_mixed(mixed)]


def _first(
    folder: Path, subscribers: Sequence[Subscriber], others: Sequence[Subscriber]
) -> Load:
    """Let each of them ask once for a page that nobody has asked this process for."""
    with _portal(folder) as portal:
        _fetch(portal, others)  # the templates and the statements are in its memory now
        return _load(portal, [[_page(one)] for one in subscribers], seconds=0)


def _beside(ours: Sequence[Load], theirs: Sequence[Load]) -> Iterator[Figure]:
    base = "bare FastAPI page"
    yield paired(
        f"subscriber's page opened again, {CLIENTS} clients at once",
        [one.rate for one in ours],
        base,
        [one.rate for one in theirs],
        unit="pages/s",
        at_least=_AT_LEAST,
    )
    yield paired(
        "the same, for each second of processor",
        [1 / one.cpu for one in ours],
        base,
        [1 / one.cpu for one in theirs],
        unit="pages/s",
        at_least=None,
    )
    yield paired(
        f"p95 of {CLIENTS} clients at once",
        [one.p95 * 1_000 for one in ours],
        base,
        [one.p95 * 1_000 for one in theirs],
        unit="ms",
        at_least=None,
    )
    yield _errors("the same", ours)


def _first_pages(ours: Sequence[Load], theirs: Sequence[Load]) -> Iterator[Figure]:
    what = f"{CLIENTS} subscribers' first pages at once, none written before"
    yield paired(
        what,
        [one.rate for one in ours],
        "bare FastAPI page",
        [one.rate for one in theirs],
        unit="pages/s",
        at_least=None,
    )
    yield _known(f"p95 of {what}", "ms", [one.p95 * 1_000 for one in ours])
    yield _errors(what, ours)


def _mixed(loads: Sequence[Load]) -> Iterator[Figure]:
    what = "pages and acts (1 in 10: acknowledgements, CSRs)"
    for name, unit, values in (
        (what, "requests/s", [one.rate for one in loads]),
        (f"p95 of {what}", "ms", [one.p95 * 1_000 for one in loads]),
    ):
        yield _known(name, unit, values)
    yield _errors(what, loads)


def _known(name: str, unit: str, values: Sequence[float]) -> Figure:
    return Figure(
        name=name,
        value=round(statistics.median(values), 1),
        unit=unit,
        base=None,
        base_value=None,
        ratio=None,
        spread=(round(min(values), 1), round(max(values), 1)),
        goal="to be known",
        met=None,
    )


def _errors(what: str, loads: Sequence[Load]) -> Figure:
    errors = sum(one.errors for one in loads)
    return Figure(
        name=f"errors of {what}",
        value=errors,
        unit="errors",
        base=None,
        base_value=None,
        ratio=None,
        spread=(0, errors),
        goal="0",
        met=not errors,
    )


def _page(one: Subscriber) -> dict[str, Any]:
    return {"kind": "page", "path": one.path}


def _busy(subscribers: Sequence[Subscriber]) -> Iterator[list[dict[str, Any]]]:
    """Let one request in ten be an act, each client at another time."""
    for number, one in enumerate(subscribers):
        acts = {
            "acknowledge": {"choice": "mine"},
            "csr": {"csr": _csr(one.host)},
        }
        script = [
            step
            for slug, fields in acts.items()
            for step in (
                *[_page(one)] * 9,
                {"kind": slug, "path": f"{one.path}/{slug}", "fields": fields},
            )
        ]
        turn = number % len(script)
        yield script[turn:] + script[:turn]


def _csr(host: str) -> str:
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)]))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False
        )
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode("ascii")
    )


def _load(
    server: Server, scripts: list[list[dict[str, Any]]], seconds: float | None = None
) -> Load:
    lasts = _SECONDS if seconds is None else seconds
    before = server.cpu
    done = subprocess.run(
        [sys.executable, HERE / "load.py", HOST, str(server.port), str(lasts)],
        input=json.dumps(scripts).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    used = server.cpu - before
    told = json.loads(done.stdout)
    if told["cpu"] > _BUSIEST * told["seconds"]:
        raise SystemExit(
            "the clients were busier than the server could make them: this machine has "
            "other things to do; measure again when it has not"
        )
    took = sorted(
        chain.from_iterable(kind["seconds"] for kind in told["kinds"].values())
    )
    return Load(
        rate=len(took) / told["seconds"],
        p95=took[int(len(took) * 0.95)],
        cpu=max(used, 1 / _TICKS) / len(took),
        errors=sum(kind["errors"] for kind in told["kinds"].values()),
    )


def _fetch(server: Server, subscribers: Sequence[Subscriber]) -> list[str]:
    with httpx.Client(base_url=f"http://{HOST}:{server.port}") as http:
        answers = [http.get(one.path) for one in subscribers]
    for answer in answers:
        answer.raise_for_status()
    return [answer.text for answer in answers]


def _of_median_size(pages: Sequence[str]) -> str:
    return sorted(pages, key=len)[len(pages) // 2]


def _prepare(folder: Path) -> list[Subscriber]:
    """Launch the incident, let a third of the subscribers answer; the largest is first."""
    clock = SystemClock()
    made_aware_at = clock.now() - timedelta(hours=3)
    owners = [
        owner
        for owner, size in enumerate(islice(cycle(_SIZES), SUBSCRIBERS))
        for _ in range(size)
    ]
    owners = sorted(owners + [0] * (CERTIFICATES - len(owners)))
    make(owners, folder)
    # No mail leaves: an incident is launched, and nothing wakes.
    settings = Settings(data_directory=folder)
    with open_collaborators(settings, clock=clock, owner="benchmark") as c:
        launch_listed(
            c,
            settings,
            circumstance=Circumstance.MISISSUED,
            made_aware_at=made_aware_at,
        )
        return [*_subscribers(c)]


def _subscribers(c: Collaborators) -> Iterator[Subscriber]:
    contact, certificate = table(Contact), table(AffectedCertificate)
    with reading(c.engine) as connection:
        people = connection.execute(
            select(contact)
            .where(contact.c.subscriber_id.is_not(None))
            .order_by(contact.c.subscriber_id)
        ).all()
        owned: dict[int, list[Any]] = {}
        for row in connection.execute(select(certificate).order_by(certificate.c.id)):
            owned.setdefault(row.subscriber_id, []).append(row)
    for number, person in enumerate(people):
        mine = owned[person.subscriber_id]
        claims = LinkClaims(
            incident=person.incident_id,
            subscriber=SubscriberId(person.subscriber_id),
            contact=ContactId(person.id),
            purpose=SUBSCRIBER,
            generation=0,
            expires_at=c.clock.now() + timedelta(days=30),
        )
        acts: list[ReplyAct] = []
        if number % 3 == 0:
            acts.append(Acknowledge(choice=AcknowledgeChoice.MINE))
        if number % 6 == 0:
            acts.append(ReportReplaced(certificates=(CertificateId(mine[-1].id),)))
        for act in acts:
            take_reply(
                c.engine,
                claims=claims,
                act=act,
                nonce=f"{number} {act}"[:64],
                clock=c.clock,
                grace_within=timedelta(hours=9),
                mail_domain="ca.example",
            )
        yield Subscriber(path=f"/s/{c.links.sign(claims)}", host=mine[0].dns_names[0])


@contextmanager
def _portal(folder: Path) -> Iterator[Server]:
    """Serve as `tocsin portal` does."""
    port = free_port()
    with _serving(
        ["tocsin.portal.app"],
        folder,
        port=port,
        path="/healthz",
        TOCSIN_DATA_DIRECTORY=str(folder),
        TOCSIN_PORTAL_PORT=str(port),
        # All clients have one address here, and none of them pauses to read.
        TOCSIN_PORTAL_REQUESTS_PER_MINUTE="100000000",
    ) as server:
        yield server


@contextmanager
def _bare(folder: Path, file: Path) -> Iterator[Server]:
    """Serve one page, always the same."""
    port = free_port()
    with _serving(
        ["bare_page", str(port), str(file)],
        folder,
        port=port,
        path="/",
        PYTHONPATH=str(HERE / "peers"),
    ) as server:
        yield server


@contextmanager
def _serving(
    arguments: list[str], folder: Path, *, port: int, path: str, **environment: str
) -> Iterator[Server]:
    log = folder / f"{arguments[0]}.log"
    with running(arguments, environment=os.environ | environment, log=log) as process:
        wait_for(process, f"http://{HOST}:{port}{path}", log=log)
        yield Server(process=process, port=port)
