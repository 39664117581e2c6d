"""How fast notices are written, recorded and sent, beside others that send."""

import os
import socket
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from time import monotonic, perf_counter

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from figures import Figure, paired
from notice_peers import CONNECTIONS, HOST, Peers
from programs import program
from sqlalchemy import Connection, insert

from models.base import table
from models.incident import AffectedCertificate, Incident, Issuer
from models.outreach import Notice
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import Circumstance, IncidentId, IncidentState, NoticeKind, Reason
from tocsin.clock import SteppedClock
from tocsin.links import Links
from tocsin.mail.dkim import DkimSigner
from tocsin.mail.messages import OutgoingMessage, SendOutcome, Signer, Witness
from tocsin.mail.render import TemplateSet
from tocsin.mail.smtp import SmtpMailer
from tocsin.policy.rules import shipped_rule_pack
from tocsin.settings import Tls
from tocsin.steps.send import Sender, send_due
from tocsin.store.session import migrate, open_engine, writing

_NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_INCIDENT = IncidentId("benchmark")
_CERTIFICATES = 5  # for each subscriber: as many as a message names itself
_STARTS_WITHIN = 10.0
_SLOW = 5
"""The slow ones send a fifth: their rate is the same."""

SENDER = Sender(
    address="certificates@ca.example",
    name="Example CA",
    bounce_domain="bounces.ca.example",
    portal_url="https://portal.ca.example",
    ca_name="Example CA",
    ca_phone="+852 5550 0100",
    ca_site="www.ca.example",
)


def measure(count: int = 10_000, *, rounds: int = 3) -> list[Figure]:
    """Send so many notices, several times, each time beside the others."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    signer = DkimSigner(domain="ca.example", selector="tocsin", key=key)
    rates: dict[str, list[float]] = defaultdict(list)
    with _sink() as port, tempfile.TemporaryDirectory() as folder:
        _, sample = _send_notices(200, port)  # templates compiled, caches warm
        text, html = _bodies(sample)
        peers = Peers(
            Path(folder),
            port=port,
            text=text,
            html=html,
            key=key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ).decode("ascii"),
        )
        for _ in range(rounds):
            rates["limit"].append(peers.smtp_source(count, size=len(sample)))
            rates["ours"].append(_send_notices(count, port)[0])
            rates["nodemailer"].append(peers.nodemailer(count, signs=False))
            rates["ours signed"].append(_send_notices(count, port, signer)[0])
            rates["nodemailer signed"].append(peers.nodemailer(count, signs=True))
            rates["django"].append(peers.django(count // _SLOW))
            rates["naive"].append(peers.naive(count // _SLOW))
    shown = f"{count:,} notices of {len(sample) / 1000:.0f} kB written, recorded, sent"
    return [
        paired(
            name,
            rates[ours],
            base,
            rates[theirs],
            unit="notices/s",
            at_least=at_least,
        )
        for name, ours, base, theirs, at_least in (
            (shown, "ours", "nodemailer, pool without Nagle", "nodemailer", 1.2),
            (
                f"{shown} (far goal)",
                "ours",
                "nodemailer, pool without Nagle",
                "nodemailer",
                2.5,
            ),
            (f"{shown} (far goal)", "ours", "smtp-source, same size", "limit", 0.35),
            (
                f"{shown}, DKIM",
                "ours signed",
                "nodemailer, pool without Nagle, DKIM",
                "nodemailer signed",
                2.0,
            ),
            (shown, "ours", "Django, one connection", "django", None),
            (shown, "ours", "an object, two commits, a connection each", "naive", None),
        )
    ]


def _bodies(content: bytes) -> tuple[str, str]:
    """Return text and HTML of a notice, for those who write the same."""
    message = message_from_bytes(content, policy=default)
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    if text is None or html is None:
        raise RuntimeError("a notice lacks its text or its HTML")
    return str(text.get_content()), str(html.get_content())


def _send_notices(
    count: int, port: int, signer: Signer | None = None
) -> tuple[float, bytes]:
    """Return notices a second, and one of them as it was sent."""
    # As they are once an incident is launched: a copy (I7).
    templates = TemplateSet.from_sources(TemplateSet.from_files().sources())
    mailer = _Keeping(HOST, port, tls=Tls.NONE, connections=CONNECTIONS, signer=signer)
    with tempfile.TemporaryDirectory() as directory:
        engine = open_engine(f"sqlite:///{Path(directory) / 'tocsin.sqlite'}")
        migrate(engine)
        with writing(engine) as connection:
            _fill(connection, count)
        start = perf_counter()
        sent = send_due(
            engine,
            mailer,
            lambda _: templates,
            Links(["a secret of the benchmark, forty letters"]),
            SENDER,
            SteppedClock(_NOW),
            owner="benchmark",
            journals=Path(directory) / "sending",
        )
        took = perf_counter() - start
        engine.dispose()
    if sent.sent != count:
        raise RuntimeError(f"{sent.sent} of {count} notices were sent")
    return count / took, mailer.last


class _Keeping(SmtpMailer):
    """Keeps the last message."""

    last = b""

    def send(
        self, messages: Iterable[OutgoingMessage], *, witness: Witness | None = None
    ) -> Iterator[SendOutcome]:
        return super().send(self._kept(messages), witness=witness)

    def _kept(self, messages: Iterable[OutgoingMessage]) -> Iterator[OutgoingMessage]:
        for message in messages:
            self.last = message.content
            yield message


@contextmanager
def _sink() -> Iterator[int]:
    """Run smtp-sink, which takes mail and drops it."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    # It will not run as root.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [program("smtp-sink"), *user, f"{HOST}:{port}", "1000"]
    with subprocess.Popen(command) as process:
        try:
            until = monotonic() + _STARTS_WITHIN
            while True:
                with suppress(OSError), socket.create_connection((HOST, port)):
                    break
                if process.poll() is not None or monotonic() > until:
                    raise RuntimeError("smtp-sink did not start")
            yield port
        finally:
            process.terminate()


def _fill(connection: Connection, count: int) -> None:
    """Put in a running incident: subscribers with a contact and a notice each."""
    connection.execute(
        insert(table(Incident)).values(
            id=_INCIDENT,
            title="A benchmark",
            state=IncidentState.RUNNING.value,
            circumstance=Circumstance.MISISSUED.value,
            reason=int(Reason.SUPERSEDED),
            is_drill=False,
            zone="Asia/Hong_Kong",
            made_aware_at=_NOW,
            deadline=_NOW + timedelta(days=5),
            drafted_at=_NOW,
            launched_at=_NOW,
            revocation_starts_at=_NOW + timedelta(days=4),
            plan={},
            rule_pack=shipped_rule_pack().text,
            ladder="",
        )
    )
    connection.execute(insert(table(Issuer)).values(id=1, key="aa" * 32, name="CN=CA"))
    numbers = range(1, count + 1)
    keys = [
        (number * _CERTIFICATES + one, number)
        for number in numbers
        for one in range(_CERTIFICATES)
    ]
    state = {"state": "scheduled", "attempts": 0, "reason": int(Reason.SUPERSEDED)}
    times = dict.fromkeys(
        ("planned_time", "revocation_time", "due_at"), _NOW + timedelta(days=4)
    )
    for model, rows in (
        (
            Subscriber,
            [
                {
                    "id": n,
                    "incident_id": _INCIDENT,
                    "key": f"clinic {n}",
                    "name": f"Clinic {n}",
                    "sector": "Medical and Health",
                    "language": "en",
                    "zone": "Asia/Hong_Kong",
                    "ladder_position": 0,
                }
                for n in numbers
            ],
        ),
        (
            Contact,
            [
                {
                    "id": n,
                    "incident_id": _INCIDENT,
                    "subscriber_id": n,
                    "role": "subscriber",
                    "rank": 1,
                    "name": "Chan Tai Man",
                    "email": f"admin@clinic-{n}.example",
                    "phone": "",
                    "state": "active",
                    "named_by_reply": False,
                    "token_generation": 0,
                }
                for n in numbers
            ],
        ),
        (
            AffectedCertificate,
            [
                {
                    "id": key,
                    "incident_id": _INCIDENT,
                    "issuer_id": 1,
                    "serial": f"{key:08x}",
                    "subscriber_id": n,
                    "subject": f"CN=host-{key}.clinic-{n}.example",
                    "dns_names": [f"host-{key}.clinic-{n}.example"],
                    "not_after": _NOW + timedelta(days=300),
                    "replacement_state": "awaiting-csr",
                }
                for key, n in keys
            ],
        ),
        (
            Revocation,
            [
                {
                    "certificate_id": key,
                    "incident_id": _INCIDENT,
                    "issuer_id": 1,
                    "serial": f"{key:08x}",
                    **state,
                    **times,
                }
                for key, _ in keys
            ],
        ),
        (
            Notice,
            [
                {
                    "id": n,
                    "incident_id": _INCIDENT,
                    "contact_id": n,
                    "kind": NoticeKind.INITIAL.value,
                    "sequence": 0,
                    "state": "planned",
                    "planned_at": _NOW,
                    "due_at": _NOW,
                    "message_id": f"<{n:024x}@ca.example>",
                    "verp_token": f"{n:020x}",
                    "attempts": 0,
                    "possibly_repeated": 0,
                }
                for n in numbers
            ],
        ),
    ):
        connection.execute(insert(table(model)), rows)
