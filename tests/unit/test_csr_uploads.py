"""Zips of CSRs, as people and as attackers send them."""

import io
import zipfile

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from portal_server import make_csr

from tocsin.intake.csr.uploads import read_upload


def zipped(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def said(data: bytes) -> list[str]:
    return [
        finding.message
        for read in read_upload(data, name="all.zip")
        for finding in read.findings
    ]


def test_every_csr_of_a_zip_is_read_with_its_files_name() -> None:
    data = zipped(
        ("a.csr", make_csr("a.example").encode()),
        ("folder/b.csr", make_csr("b.example").encode()),
        ("__MACOSX/._a.csr", b"x"),
    )

    read = read_upload(data, name="all.zip")

    assert [(one.name, len(one.csrs)) for one in read] == [
        ("all.zip/a.csr", 1),
        ("all.zip/folder/b.csr", 1),
    ]


def test_private_key_in_a_zip_is_told_with_its_files_name() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    data = zipped(
        ("a.csr", make_csr("a.example", key=key).encode()),
        (
            "a.key",
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ),
    )

    read = read_upload(data, name="all.zip")

    assert [one.name for one in read if one.has_private_key] == ["all.zip/a.key"]


def test_bomb_is_refused_and_not_unpacked() -> None:
    data = zipped(("zeros", bytes(64 << 20)))

    assert len(data) < 100_000
    assert said(data) == ["It cannot be used: larger than 1 MiB: split it."]


def test_many_small_bombs_are_not_unpacked_beyond_a_bound() -> None:
    data = zipped(*((f"{number}", bytes(1 << 20)) for number in range(40)))

    assert len(read_upload(data, name="all.zip")) == 17
    assert said(data)[-1].startswith(
        "It cannot be used: it unpacks to more than 16 MiB"
    )


def test_zip_in_a_zip_is_not_opened() -> None:
    inner = zipped(("a.csr", make_csr("a.example").encode()))

    assert said(zipped(("inner.zip", inner))) == [
        "It cannot be used: a zip in a zip. Send its files directly."
    ]


def test_ten_thousand_files_are_refused_with_the_limit() -> None:
    data = zipped(*((f"{number}.csr", b"") for number in range(10_000)))

    assert said(data) == [
        (
            "It cannot be used: 10000 files in one zip; the limit is 1000. Give them as "
            "one PEM file, or in several zips."
        )
    ]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "C:\\x.csr", "a\nb.csr"]
)
def test_name_that_leads_elsewhere_is_only_a_name(name: str) -> None:
    (read,) = read_upload(
        zipped((name, make_csr("a.example").encode())), name="all.zip"
    )

    assert len(read.csrs) == 1
    assert read.name.startswith("all.zip/")
    assert read.name.isprintable()


@pytest.mark.parametrize("cut", [4, 30, 200])
def test_broken_zip_is_told(cut: int) -> None:
    data = zipped(("a.csr", make_csr("a.example").encode()))[:cut]

    assert said(data) == [
        "It cannot be used: a zip that is broken or cut short: make it again."
    ]


def test_csr_of_a_megabyte_is_refused() -> None:
    der = b"\x30\x83\x0f\xff\xff" + bytes(900_000)

    assert said(zipped(("a.der", der))) == ["It is far larger than any CSR."]


def test_binary_in_a_pem_is_told() -> None:
    text = make_csr("a.example").encode()
    middle = len(text) // 2

    (message,) = said(text[:middle] + bytes(range(128, 256)) + text[middle:])

    assert "damaged" in message
