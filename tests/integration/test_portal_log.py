"""The portal as a process of its own: what it says while it is walked, misused and broken."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from factories import (
    LAUNCH,
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from fakes.stack import wait_until
from portal_server import claims_for, is_healthy, make_csr, nonce_in, visitor

from models.terms import ContactId, NoticeKind
from tocsin.demo.ports import free_port
from tocsin.links import CONFIRMATION, ESCALATION, NO_SUBSCRIBER, Links
from tocsin.policy.effects import SendNotice
from tocsin.policy.ladder import shipped_ladder
from tocsin.steps.sign_in import SIGN_IN
from tocsin.store.intents import plan_notices
from tocsin.store.session import migrate, open_engine, writing

pytestmark = pytest.mark.server

SIGNED_WITH = "a-secret-that-is-long-enough-for-every-test"
FAR = datetime(2200, 1, 1, tzinfo=UTC)  # the process has the machine's clock
PEOPLE = ("admin@clinic.example", "am@ca.example", "mallory@elsewhere.example")


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """A running process, and the links that people have."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    database: str
    tokens: dict[str, str]

    def said(self) -> str:
        return self.log.read_text("utf-8", errors="replace")


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    data = tmp_path / "data"
    data.mkdir()
    (data / "link-secrets").write_text(f"{SIGNED_WITH}\n", "ascii")
    database = f"sqlite:///{data / 'tocsin.sqlite'}"
    engine = open_engine(database)
    migrate(engine)
    with writing(engine) as connection:
        incident = insert_incident(
            connection,
            ladder=shipped_ladder(FAR - FAR.replace(year=2199)).text,
            deadline=FAR,
        )
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber, PEOPLE[0])
        named = insert_contact(
            connection, incident, subscriber, PEOPLE[2], state="unconfirmed"
        )
        plan_notices(
            connection,
            [SendNotice(contact=named, kind=NoticeKind.CONFIRM_ADDRESS, sequence=1)],
            incident=incident,
            mail_domain="ca.example",
            now=LAUNCH,
        )
        staff = insert_contact(
            connection, incident, None, PEOPLE[1], role="account-manager"
        )
        insert_revocations(
            connection,
            incident,
            insert_certificates(connection, incident, subscriber, 2),
            planned_time=FAR,
            revocation_time=FAR,
            due_at=FAR,
        )
    engine.dispose()
    links = Links([SIGNED_WITH])
    claims = replace(claims_for(incident, subscriber, contact), expires_at=FAR)
    of_staff = replace(
        claims, subscriber=NO_SUBSCRIBER, contact=staff, purpose=ESCALATION
    )
    way_in = replace(of_staff, contact=ContactId(1), purpose=SIGN_IN)
    tokens = {
        "/s/": links.sign(claims),
        "/e/": links.sign(of_staff),
        "/c/": links.sign(replace(claims, contact=named, purpose=CONFIRMATION)),
        "/desk/in/": links.sign(way_in),
    }
    port = free_port()
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tocsin.portal.app"],
            cwd=tmp_path,
            env=os.environ
            | {
                "TOCSIN_DATA_DIRECTORY": str(data),
                "TOCSIN_PORTAL_PORT": str(port),
                "PYTHONUNBUFFERED": "1",
            },
            stdout=stream,
            stderr=stream,
        )
        try:
            with visitor(f"http://127.0.0.1:{port}") as http:
                wait_until(lambda: is_healthy(http), within=60, what="the portal")
            yield Portal(
                process=process, port=port, log=log, database=database, tokens=tokens
            )
        finally:
            process.terminate()
            process.wait(30)


def use(http: httpx.Client, tokens: dict[str, str]) -> list[httpx.Response]:
    """Come by every link, rightly and wrongly; act, too."""
    token = tokens["/s/"]
    answers = []
    for door, mine in tokens.items():
        for one in (mine, mine[:-2], f"{mine}A", *tokens.values()):
            path = f"{door}{one}"
            answers += [
                http.get(path),
                http.head(path),
                http.put(path),
                http.post(path, data={"nonce": one, "name": PEOPLE[2]}),
                http.get(f"{path}/nothing"),
                http.get("/nothing", params={"token": one}),
                http.get(
                    "/api/v1/certificates", headers={"Authorization": f"Bearer {one}"}
                ),
            ]
    check = http.post(
        f"/s/{token}/csr/check", data={"csr": make_csr("host-1000.clinic.example")}
    )
    answers.append(check)
    for _ in range(2 if check.is_success else 0):
        answers.append(
            http.post(
                f"/s/{token}/csr",
                data={
                    "csr": re.findall(r'name="csr" value="([^"]+)"', check.text),
                    "nonce": nonce_in(check),
                },
            )
        )
    answers.append(http.post("/desk/sign-in", data={"address": PEOPLE[2]}))
    return answers


def say(port: int, content: bytes) -> bytes:
    """Send octets that are no request, and return what comes back."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        contextlib.suppress(OSError),  # it may hang up on whoever talks so
    ):
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        while taken := connection.recv(65_536):
            answer += taken
    return answer


def test_no_link_and_no_address_is_said_whatever_happens(portal: Portal) -> None:
    token = portal.tokens["/s/"]
    # A connection for each: after a fault of ours the server hangs up.
    alone = httpx.Limits(max_keepalive_connections=0)
    with visitor(f"http://127.0.0.1:{portal.port}", limits=alone) as http:
        answers = use(http, portal.tokens)
        assert {answer.status_code for answer in answers} >= {200, 303, 401, 404}
        for broken in (
            f"GET /s/{token} HTTP/9.9\r\n\r\n",
            f"GET /s/{token}\r\n\r\n",
            f"/s/{token}\r\n\r\n",
            f"GET /s/{token} HTTP/1.1\r\nHost: x\r\nX: {'x' * 200_000}\r\n\r\n",
            f"POST /s/{token}/csr HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            f"POST /s/{token} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx",
            f"GET /s/{token}?\x00\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            heard = say(portal.port, broken.encode("latin-1"))
            # A version of HTTP that nobody knows is taken for one that we do.
            is_page = "HTTP/9.9" in broken and heard.startswith(b"HTTP/1.1 200 ")
            assert is_page or token.encode() not in heard
        engine = open_engine(portal.database)
        with writing(engine) as connection:
            connection.exec_driver_sql("ALTER TABLE csr RENAME TO gone")
        engine.dispose()
        faults = use(http, portal.tokens)
        assert 500 in {answer.status_code for answer in faults}
        for answer in faults:
            if answer.status_code == 500:
                assert token not in answer.text
                if answer.request.method != "HEAD":
                    assert "went wrong on our side" in answer.text

    portal.process.terminate()
    portal.process.wait(30)
    said = portal.said()
    # It does speak, and of faults of ours with what a person needs to find them.
    assert "Portal starts" in said
    assert "Reply received" in said
    assert "Traceback" in said
    for secret in (*portal.tokens.values(), *PEOPLE, SIGNED_WITH):
        assert secret not in said
    # Whatever is signed by us begins like a list of texts.
    assert re.findall(r"Wy[\w-]{20,}", said) == []
    assert re.findall(r"/(?:s|e|in)/(?!\[)\S+", said) == []
