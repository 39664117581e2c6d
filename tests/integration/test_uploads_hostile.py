"""What hostile or unlucky people upload, through the page and over a real socket."""

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from factories import (
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from portal_server import LINKS, claims_for, make_csr, portal, visiting
from sqlalchemy import Engine, func, select

from models.base import table
from models.outreach import Csr, Reply
from tocsin.clock import SteppedClock
from tocsin.store.session import reading, writing

pytestmark = pytest.mark.server

KEY = ec.generate_private_key(ec.SECP256R1())
GOOD = make_csr("host-1000.clinic.example").encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The page on which CSRs are handed in."""

    engine: Engine
    http: httpx.Client
    path: str

    def send(self, *files: tuple[str, bytes]) -> httpx.Response:
        return self.http.post(self.path, files=[("file", file) for file in files])

    def filed(self) -> int:
        with reading(self.engine) as connection:
            return sum(
                connection.execute(
                    select(func.count()).select_from(table(one))
                ).scalar_one()
                for one in (Csr, Reply)
            )


@pytest.fixture
def page(sqlite_engine: Engine, clock: SteppedClock) -> Iterator[Page]:
    with writing(sqlite_engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        contact = insert_contact(connection, incident, subscriber)
        insert_revocations(
            connection,
            incident,
            insert_certificates(connection, incident, subscriber, 2),
        )
    token = LINKS.sign(claims_for(incident, subscriber, contact))
    app = portal(sqlite_engine, clock, max_upload_bytes=2_000_000)
    with visiting(app) as http:
        yield Page(engine=sqlite_engine, http=http, path=f"/s/{token}/csr/check")


def zipped(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def lied_about(archive: bytes) -> bytes:
    """Say in every header of a zip that its file is ten octets long."""
    size = (64 << 20).to_bytes(4, "little")
    assert archive.count(size) == 2
    return archive.replace(size, (10).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("bomb.zip", lambda: zipped(("zeros", bytes(64 << 20))), "larger than 1 MiB"),
        (
            "lie.zip",
            lambda: lied_about(zipped(("zeros", bytes(64 << 20)))),
            "cannot be used",
        ),
        (
            "nested.zip",
            lambda: zipped(("a.zip", zipped(("b.csr", GOOD)))),
            "a zip in a zip",
        ),
        (
            "many.zip",
            lambda: zipped(*((f"{number}.csr", b"") for number in range(10_000))),
            "the limit is 1000",
        ),
        ("cut.zip", lambda: zipped(("a.csr", GOOD))[:90], "broken or cut short"),
        ("large.csr", lambda: b"\x30\x83\x0f\xff\xff" + bytes(1 << 20), "far larger"),
        (
            "binary.pem",
            lambda: GOOD[:200] + b"\x00\xff\x00" + GOOD[203:],
            "There is a problem",
        ),
        ("empty.csr", lambda: b"", "There is a problem"),
        ("photo.jpg", lambda: b"\xff\xd8\xff\xe0" * 1_000, "There is a problem"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_page_says_what_is_wrong_when_an_upload_is_hostile(
    page: Page, name: str, make: Callable[[], bytes], words: str
) -> None:
    answer = page.send((name, make()))

    assert answer.status_code == 422
    assert words in answer.text
    assert name in answer.text
    assert page.filed() == 0


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "..\\x.csr"])
def test_name_that_leads_elsewhere_is_only_a_name(
    page: Page, name: str, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))

    for file in ((name, GOOD), ("all.zip", zipped((name, GOOD)))):
        assert "Hand in 1 CSR" in page.send(file).text

    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("password", [None, b"secret"], ids=["plain", "encrypted"])
@pytest.mark.parametrize("where", ["alone", "after a CSR", "in a zip", "as DER"])
def test_private_key_is_refused_kept_nowhere_and_called_compromised(
    page: Page,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    where: str,
    password: bytes | None,
) -> None:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    key = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    der = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, how)
    sent = {
        "alone": ("server.key", key),
        "after a CSR": ("server.pem", GOOD + key),
        "in a zip": ("all.zip", zipped(("a.csr", GOOD), ("a.key", key))),
        "as DER": ("server.key", der),
    }[where]

    answer = page.send(sent)

    assert answer.status_code == 422
    assert "compromised" in answer.text
    assert page.filed() == 0
    secret = key.splitlines()[1]
    assert secret.decode() not in answer.text + "".join(capfd.readouterr())
    for file in tmp_path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert secret not in content
            assert der[-40:] not in content


def test_form_is_refused_whole_when_it_has_too_many_files(page: Page) -> None:
    answer = page.send(*((f"{number}.csr", b"x") for number in range(501)))

    assert answer.status_code == 400
    assert page.filed() == 0


def test_form_is_refused_when_it_is_larger_than_what_is_taken(page: Page) -> None:
    answer = page.send(("a.csr", bytes(1_100_000)), ("b.csr", bytes(1_100_000)))

    assert answer.status_code == 413
    assert "too large" in answer.text
    assert page.filed() == 0
