"""CSR checks. Each file in golden/csr is one case: certificates, input, findings."""

import os
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st
from portal_server import make_csr

from models.terms import CertificateId
from tocsin.errors import BadInput
from tocsin.intake.csr.checks import check_csrs
from tocsin.intake.csr.files import read_csrs
from tocsin.intake.csr.findings import FindingCode
from tocsin.intake.csr.matching import AffectedNames
from tocsin.intake.csr.requests import making_command
from tocsin.intake.csr.weak_keys import KeyBlocklist

CASES = sorted((Path(__file__).parents[1] / "golden" / "csr").glob("*.txt"))
MARK = "=== findings ===\n"


def certificate(number: int, *names: str, key: str | None = None) -> AffectedNames:
    return AffectedNames(
        certificate_id=CertificateId(number),
        dns_names=names,
        spki_sha256=key,
        key_is_suspect=False,
    )


def findings_of(text: str) -> str:
    """Run a case; its first lines describe the certificates."""
    head, _, body = text.partition("=== input ===\n")
    certificates, chosen, known = [], [], {}
    blocklist = None
    for line in head.splitlines():
        kind, _, rest = line.partition(":")
        if kind.startswith("certificate "):
            words = rest.split()
            certificates.append(
                AffectedNames(
                    certificate_id=CertificateId(int(kind.split()[1])),
                    dns_names=tuple(word for word in words if "=" not in word),
                    spki_sha256=next(
                        (word[5:] for word in words if word.startswith("spki=")), None
                    ),
                    key_is_suspect="key=suspect" in words,
                )
            )
        elif kind == "chosen":
            chosen = [CertificateId(int(word)) for word in rest.split()]
        elif kind == "known":
            known[rest.split()[0]] = "suspect" in rest
        elif kind == "blocked":
            blocklist = KeyBlocklist(bytes.fromhex(rest) + b"\x07", {7: "a test's"})
    read = read_csrs(body.encode(), name="case.csr")
    lines = [
        f"file: {'refuses' if finding.refuses else 'says'} {finding.code}: "
        f"{finding.message}"
        for finding in read.findings
    ]
    for check in check_csrs(
        read.csrs,
        certificates=certificates,
        chosen=chosen,
        known_keys=lambda keys: {key: known[key] for key in keys & known.keys()},
        blocklist=blocklist,
    ):
        lines.append(f"csr {check.sha256[:16]}: {' '.join(check.names) or 'no names'}")
        lines.append(f"  for: {' '.join(map(str, check.matched)) or 'none'}")
        lines += [
            f"  {'refuses' if finding.refuses else 'says'} {finding.code}: "
            f"{finding.message}"
            for finding in check.findings
        ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_csr_gets_the_findings_on_file(case: Path) -> None:
    text, _, expected = case.read_text("utf-8").partition(MARK)

    found = findings_of(text)

    if os.environ.get("UPDATE_GOLDEN"):
        case.write_text(text + MARK + found, "utf-8")
    else:
        assert found == expected


def test_every_code_has_a_case_on_file() -> None:
    text = "".join(case.read_text("utf-8").partition(MARK)[2] for case in CASES)

    assert [code for code in FindingCode if f" {code}: " not in text] == []


KEY = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
(CSR,) = read_csrs(make_csr("www.clinic.example", key=KEY).encode(), name="x").csrs


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            id="pkcs8",
        ),
        pytest.param(
            KEY.private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            ),
            id="sec1",
        ),
        pytest.param(
            RSA.private_bytes(
                Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            ),
            id="pkcs1-der",
        ),
        pytest.param(
            RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            id="pkcs8-der",
        ),
        pytest.param(
            KEY.private_bytes(
                Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            ),
            id="sec1-der",
        ),
        pytest.param(
            RSA.private_bytes(
                Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")
            ),
            id="encrypted-pkcs8-der",
        ),
        pytest.param(
            RSA.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
            id="openssh",
        ),
        pytest.param(
            pkcs12.serialize_key_and_certificates(
                b"x", KEY, None, None, BestAvailableEncryption(b"pass")
            ),
            id="pkcs12",
        ),
    ],
)
@pytest.mark.parametrize("beside", [b"", make_csr("www.clinic.example").encode()])
def test_private_key_is_refused_and_nothing_is_read_when_one_is_sent(
    data: bytes, beside: bytes
) -> None:
    # A binary key cannot have text before it: there the CSR comes behind.
    upload = data + b"\n" + beside

    read = read_csrs(upload, name="server.key")

    assert read.has_private_key
    assert read.csrs == ()
    assert [finding.code for finding in read.findings] == [FindingCode.PRIVATE_KEY]


@pytest.mark.parametrize("kind", [PublicFormat.SubjectPublicKeyInfo])
def test_public_key_is_no_private_key(kind: PublicFormat) -> None:
    read = read_csrs(RSA.public_key().public_bytes(Encoding.PEM, kind), name="key")

    assert [finding.code for finding in read.findings] == [FindingCode.NOT_A_CSR]


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda text: text.encode(), id="as-it-is"),
        pytest.param(lambda text: text.replace("\n", "\r\n").encode(), id="crlf"),
        pytest.param(lambda text: b"\xef\xbb\xbf" + text.encode(), id="utf-8-bom"),
        pytest.param(lambda text: text.encode("utf-16"), id="utf-16"),
        pytest.param(
            lambda text: text.replace("CERTIFICATE", "NEW CERTIFICATE").encode(),
            id="keytool-label",
        ),
        pytest.param(
            lambda text: "".join(f"> {line}\n" for line in text.splitlines()).encode(),
            id="quoted-mail",
        ),
        pytest.param(
            lambda text: b"Here it is:\n\n" + text.encode() + b"\nRegards", id="in-mail"
        ),
        pytest.param(
            lambda text: "".join(text.splitlines()[1:-1]).encode(), id="bare-base64"
        ),
    ],
)
def test_csr_is_read_when_sent_as_people_do(wrap: object) -> None:
    assert callable(wrap)
    text = make_csr("www.clinic.example")

    read = read_csrs(wrap(text), name="x.csr")

    assert len(read.csrs) == 1
    assert read.findings == ()


def test_same_csr_counts_once_when_sent_twice() -> None:
    text = make_csr("www.clinic.example")

    read = read_csrs((text + text).encode(), name="x.csr")

    assert len(read.csrs) == 1


def test_reading_is_bounded_when_a_file_has_countless_beginnings() -> None:
    read = read_csrs(b"-----BEGIN CERTIFICATE REQUEST-----\n" * 28_000, name="x.csr")

    assert [finding.code for finding in read.findings] == [FindingCode.NOT_A_CSR]


@given(st.binary(max_size=400))
def test_any_bytes_give_findings_and_no_error(data: bytes) -> None:
    read = read_csrs(data, name="x.csr")

    checks = check_csrs(read.csrs, certificates=[certificate(1, "a.example")])

    assert read.findings or checks
    assert all(check.is_refused for check in checks)


@given(st.data())
def test_altered_csr_is_refused_wherever_it_was_altered(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(CSR) - 1))
    altered = bytearray(CSR)
    altered[place] ^= data.draw(st.integers(1, 255))

    (check,) = check_csrs(
        [bytes(altered)], certificates=[certificate(1, "www.clinic.example")]
    )

    assert check.is_refused


def test_csr_of_another_version_is_refused() -> None:
    altered = bytearray(CSR)
    version = altered.index(b"\x02\x01\x00")
    altered[version + 2] = 1

    (check,) = check_csrs(
        [bytes(altered)], certificates=[certificate(1, "www.clinic.example")]
    )

    assert [finding.code for finding in check.findings] == [FindingCode.NOT_A_CSR]


def test_hundred_csrs_find_their_hundred_certificates() -> None:
    certificates = [
        certificate(number, f"h{number}.clinic.example", f"www{number}.clinic.example")
        for number in range(1, 101)
    ]
    text = "".join(
        make_csr(*one.dns_names) for one in sorted(certificates, key=str, reverse=True)
    )

    checks = check_csrs(
        read_csrs(text.encode(), name="all.pem").csrs, certificates=certificates
    )

    assert sorted(key for check in checks for key in check.matched) == [*range(1, 101)]
    assert all(not check.findings for check in checks)


@pytest.mark.parametrize("others", [0, 1, 2, 1000])
def test_blocked_key_is_found_wherever_it_stands_in_the_list(
    others: int, tmp_path: Path
) -> None:
    key, free = (ec.generate_private_key(ec.SECP256R1()).public_key() for _ in "ab")
    number = key.public_numbers().x
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    hashes = [
        sha256(octets),
        *(sha256(bytes([n % 256, n // 256])) for n in range(others)),
    ]
    rows = sorted(one.digest()[:15] + b"\x02" for one in hashes)
    (tmp_path / "blocklist.dat").write_bytes(b"".join(rows))
    (tmp_path / "badkeysdata.json").write_text(
        '{"blocklists": [{"id": "2", "name": "debianweak"}]}'
    )

    blocklist = KeyBlocklist.open(tmp_path)

    assert blocklist.name_of(key) == "debianweak"
    assert blocklist.name_of(free) is None


def test_blocklist_says_what_to_do_when_it_is_not_there_or_damaged(
    tmp_path: Path,
) -> None:
    with pytest.raises(BadInput, match="badkeys --update-bl"):
        KeyBlocklist.open(tmp_path)
    (tmp_path / "badkeysdata.json").write_text('{"blocklists": []}')
    (tmp_path / "blocklist.dat").write_bytes(b"x" * 31)
    with pytest.raises(BadInput, match="cut short"):
        KeyBlocklist.open(tmp_path)
    (tmp_path / "badkeysdata.json").write_text("[]")
    with pytest.raises(BadInput, match="not a blocklist"):
        KeyBlocklist.open(tmp_path)


def test_command_names_every_host_and_nothing_a_shell_would_run() -> None:
    command = making_command(
        ("*.clinic.example", "clinic.example", "$(reboot).example")
    )

    assert "subjectAltName=DNS:*.clinic.example,DNS:clinic.example'" in command
    assert "-out clinic.example.csr" in command
    assert "reboot" not in command
