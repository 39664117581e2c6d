"""How fast notices are written, recorded and sent, beside the fastest sender there is."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, perf_counter

from figures import Figure, paired
from sqlalchemy import Connection, insert

from models.base import table
from models.incident import AffectedCertificate, Incident, Issuer
from models.outreach import Notice
from models.revocation import Revocation
from models.subscriber import Contact, Subscriber
from models.terms import Circumstance, IncidentId, IncidentState, NoticeKind, Reason
from tocsin.clock import SteppedClock
from tocsin.links import Links
from tocsin.mail.render import TemplateSet
from tocsin.mail.smtp import OutgoingMessage, SendOutcome, SmtpMailer
from tocsin.policy.rules import shipped_rule_pack
from tocsin.settings import Tls
from tocsin.steps.send import Sender, send_due
from tocsin.store.session import migrate, open_engine, writing

_NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_INCIDENT = IncidentId("benchmark")
_HOST = "127.0.0.1"
_CONNECTIONS = 10
_CERTIFICATES = 5  # for each subscriber: as many as a message names itself
_STARTS_WITHIN = 10.0

SENDER = Sender(
    address="certificates@ca.example",
    name="Example CA",
    bounce_domain="bounces.ca.example",
    portal_url="https://portal.ca.example",
    ca_name="Example CA",
    ca_phone="+852 5550 0100",
    ca_site="www.ca.example",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """
    Rates of both senders, measured in turns.

    Args:
        ours: Notices a second: claimed, written, sent, recorded.
        theirs: Messages a second of smtp-source: the same bytes again and again.

    """

    ours: tuple[float, ...]
    theirs: tuple[float, ...]


def measure(count: int = 3000, *, rounds: int = 3) -> list[Figure]:
    """Send so many notices, several times, each time beside smtp-source."""
    measured = send_in_rounds(count, rounds=rounds)
    return [
        paired(
            f"{count:,} notices written, recorded, sent",
            measured.ours,
            "smtp-source (Postfix), same size",
            measured.theirs,
            unit="notices/s",
            at_least=None,
        )
    ]


def send_in_rounds(count: int, *, rounds: int) -> Rounds:
    """Send notices from a fresh SQLite database and bare messages, in turns."""
    ours, theirs = [], []
    with _sink() as port:
        _, size = _send_notices(200, port)  # templates compiled, caches warm
        for _ in range(rounds):
            theirs.append(_send_bare(count, port, size))
            ours.append(_send_notices(count, port)[0])
    return Rounds(ours=tuple(ours), theirs=tuple(theirs))


def _send_notices(count: int, port: int) -> tuple[float, int]:
    """Return notices a second, and the size of one in bytes."""
    # As they are once an incident is launched: a copy (I7).
    templates = TemplateSet.from_sources(TemplateSet.from_files().sources())
    mailer = _Weighing(_HOST, port, tls=Tls.NONE, connections=_CONNECTIONS)
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
        )
        took = perf_counter() - start
        engine.dispose()
    if sent.sent != count:
        raise RuntimeError(f"{sent.sent} of {count} notices were sent")
    return count / took, mailer.size


class _Weighing(SmtpMailer):
    """Remembers how large a message was."""

    size = 0

    def send(self, messages: Iterable[OutgoingMessage]) -> Iterator[SendOutcome]:
        weighed = list(messages)
        self.size = max(len(one.content) for one in weighed)
        return super().send(weighed)


def _send_bare(count: int, port: int, size: int) -> float:
    """Return messages a second of smtp-source, a process of its own, in C."""
    start = perf_counter()
    subprocess.run(
        [
            *(_program("smtp-source"), "-d"),  # -d: keep the connections
            *("-s", str(_CONNECTIONS), "-m", str(count), "-l", str(size)),
            *("-f", "bounce@bounces.ca.example", "-t", "admin@clinic.example"),
            f"{_HOST}:{port}",
        ],
        check=True,
        timeout=300,
    )
    return count / (perf_counter() - start)


@contextmanager
def _sink() -> Iterator[int]:
    """Run smtp-sink, which takes mail and drops it."""
    with closing(socket.socket()) as probe:
        probe.bind((_HOST, 0))
        port = int(probe.getsockname()[1])
    # It will not run as root.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [_program("smtp-sink"), *user, f"{_HOST}:{port}", "1000"]
    with subprocess.Popen(command) as process:
        try:
            until = monotonic() + _STARTS_WITHIN
            while True:
                with suppress(OSError), socket.create_connection((_HOST, port)):
                    break
                if process.poll() is not None or monotonic() > until:
                    raise RuntimeError("smtp-sink did not start")
            yield port
        finally:
            process.terminate()


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if found is None:
        raise RuntimeError(f"{name} is not installed: it comes with Debian's postfix")
    return found


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
