import base64
import json
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from fakes.lists import ISSUER, NOT_AFTER, NOT_BEFORE, make_certificate, name, pem
from hypothesis import given
from hypothesis import strategies as st

from models.terms import SourceKind
from tocsin.errors import BadInput
from tocsin.intake.certificates import read_certificates
from tocsin.intake.serials import parse_serial
from tocsin.intake.tlv import parse_certificate, read_name
from tocsin.names import canonical_key, key_of_name, parse_name
from tocsin.policy.entries import FileNote, ParsedEntry, SetAside

KEY = canonical_key(parse_name(ISSUER))
HEADER = "issuer,serial,subscriber\n"


def write(folder: Path, content: bytes | str, file: str = "list") -> Path:
    path = folder / file
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(
    *paths: Path,
) -> tuple[list[ParsedEntry], list[SetAside], list[FileNote]]:
    items = list(read_certificates(paths))
    return (
        [item for item in items if isinstance(item, ParsedEntry)],
        [item for item in items if isinstance(item, SetAside)],
        [item for item in items if isinstance(item, FileNote)],
    )


def rows(*serials: str, issuer: str = ISSUER) -> str:
    return "".join(f'"{issuer}",{serial}\n' for serial in serials)


def test_a_certificate_is_read_as_cryptography_reads_it(tmp_path: Path) -> None:
    der = make_certificate(0x1F00, dns_names=("WWW.Clinic.example", "*.clinic.example"))
    peer = x509.load_der_x509_certificate(der)

    (entry,), set_aside, _ = read(write(tmp_path, der))

    assert not set_aside
    assert entry.issuer_key == key_of_name(peer.issuer) == KEY
    assert entry.issuer_name == ISSUER
    assert entry.serial == "1f00"
    assert entry.kind is SourceKind.CERTIFICATE
    assert entry.organisation == "Harbour Clinic"
    assert entry.subject == "C=HK, O=Harbour Clinic, CN=WWW.Clinic.example"
    assert entry.dns_names == ("www.clinic.example", "*.clinic.example")
    assert (entry.not_before, entry.not_after) == (NOT_BEFORE, NOT_AFTER)
    assert entry.sha256 == peer.fingerprint(hashes.SHA256()).hex()
    assert entry.der == der
    assert entry.finding is None
    spki = peer.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    assert entry.spki_sha256 == digest.finalize().hex()


def points(*urls: str, **more: Any) -> x509.DistributionPoint:
    return x509.DistributionPoint(
        **{
            "full_name": [x509.UniformResourceIdentifier(url) for url in urls] or None,
            "relative_name": None,
            "reasons": None,
            "crl_issuer": None,
        }
        | more
    )


def test_a_certificate_says_where_its_crl_is(tmp_path: Path) -> None:
    der = make_certificate(
        0x1F01,
        crl_points=[
            points("http://crl.example/7.crl", "ldap://ldap.example/7"),
            points("http://crl.example/7.crl"),
            points(
                "http://crl.example/compromised.crl",
                reasons=frozenset({x509.ReasonFlags.key_compromise}),
            ),
            points(
                relative_name=x509.RelativeDistinguishedName(
                    [x509.NameAttribute(x509.NameOID.COMMON_NAME, "7")]
                )
            ),
        ],
    )

    (entry,), _, _ = read(write(tmp_path, der))

    assert entry.crl_urls == ("http://crl.example/7.crl", "ldap://ldap.example/7")


def test_a_damaged_place_of_a_crl_damages_nothing_else(tmp_path: Path) -> None:
    der = make_certificate(0x1F02, crl_points=[points("http://crl.example/7.crl")])
    for old, new in (
        (b"http://crl.example/7.crl", b"http://crl.example/\xff.crl"),
        (bytes.fromhex("551d1f04"), bytes.fromhex("551d1f05")),
        (bytes.fromhex("86186874"), bytes.fromhex("86ff6874")),
    ):
        (entry,), _, _ = read(write(tmp_path, malformed(der, old, new)))

        assert entry.serial == "1f02"
        assert entry.dns_names == ("www.clinic.example",)
        assert entry.finding is None


def test_a_precertificate_is_known_by_its_poison(tmp_path: Path) -> None:
    both = [make_certificate(7), make_certificate(7, precertificate=True)]

    entries, _, _ = read(write(tmp_path, pem(both)))

    assert [entry.kind for entry in entries] == [
        SourceKind.CERTIFICATE,
        SourceKind.PRECERTIFICATE,
    ]
    assert entries[0].serial == entries[1].serial == "07"


def test_every_form_of_list_gives_the_same_certificates(tmp_path: Path) -> None:
    ders = [make_certificate(serial) for serial in range(1, 6)]
    text = b"Some words\r\n" + pem(ders).replace(b"\n", b"\r\n") + b"and more"
    folder = tmp_path / "folder" / "deeper"
    folder.mkdir(parents=True)
    for number, der in enumerate(ders):
        write(folder, der, f"{number}.pem")  # suffixes may lie
    packed = tmp_path / "packed.csv"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.der", text)
    forms = [
        write(tmp_path, text, "bundle.txt"),
        write(tmp_path, b"".join(ders), "concatenated"),
        write(tmp_path, text.decode().encode("utf-16"), "powershell.txt"),
        tmp_path / "folder",
        packed,
    ]

    for form in forms:
        entries, set_aside, _ = read(form)

        assert not set_aside, form
        assert [entry.serial for entry in entries] == ["01", "02", "03", "04", "05"]
        assert [entry.der for entry in entries] == ders


def test_bare_base64_is_read_as_a_certificate(tmp_path: Path) -> None:
    der = make_certificate(9)

    (entry,), set_aside, _ = read(write(tmp_path, base64.encodebytes(der)))

    assert (entry.serial, set_aside) == ("09", [])


def test_a_bundle_longer_than_one_read_loses_nothing(tmp_path: Path) -> None:
    blocks = pem([make_certificate(serial) for serial in range(1, 4)])
    times = 1 + (3 << 18) // len(blocks)
    path = write(tmp_path, (b"# text\n" + blocks) * times)

    entries, set_aside, _ = read(path)

    assert not set_aside
    assert [entry.serial for entry in entries] == ["01", "02", "03"] * times
    lines = path.read_bytes().split(b"\n")
    assert all(lines[entry.row - 1].startswith(b"-----BEGIN") for entry in entries)


def test_a_long_file_of_der_loses_nothing(tmp_path: Path) -> None:
    ders = [make_certificate(serial) for serial in (1, 2, 3)]
    times = 1 + (2 << 18) // len(ders[0])

    entries, set_aside, _ = read(write(tmp_path, b"".join(ders) * times))

    assert not set_aside
    assert [entry.serial for entry in entries] == ["01", "02", "03"] * times


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content)

    _, (problem,), _ = read(path)

    assert problem.file == str(path)
    assert "empty" in problem.finding


def test_a_missing_file_is_set_aside(tmp_path: Path) -> None:
    _, (problem,), _ = read(tmp_path / "nothing.pem")

    assert "no such file" in problem.finding


def test_a_truncated_pem_is_set_aside_and_the_rest_is_read(tmp_path: Path) -> None:
    first, second = pem([make_certificate(1)]), pem([make_certificate(2)])
    cut_inside = first[: len(first) // 2] + b"\n" + second
    cut_at_end = first + second[: len(second) // 2]

    for content, serial, line in ((cut_inside, "02", 1), (cut_at_end, "01", None)):
        (entry,), (problem,), _ = read(write(tmp_path, content))

        assert entry.serial == serial
        assert "cut short" in problem.finding
        assert problem.row == (line or first.count(b"\n") + 1)


def test_a_truncated_der_is_set_aside(tmp_path: Path) -> None:
    ders = make_certificate(1) + make_certificate(2)[:-7]

    (entry,), (problem,), _ = read(write(tmp_path, ders))

    assert entry.serial == "01"
    assert (problem.row, "ends early" in problem.finding) == (2, True)


def test_altered_base64_is_set_aside(tmp_path: Path) -> None:
    block = bytearray(pem([make_certificate(1)]))
    block[100] = ord("*")

    _, (problem,), _ = read(write(tmp_path, bytes(block)))

    assert "not base64" in problem.finding


def test_other_pem_blocks_are_set_aside_with_what_they_are(tmp_path: Path) -> None:
    labels = ["PRIVATE KEY", "CERTIFICATE REQUEST", "PKCS7", "X509 CRL"]
    blocks = "".join(
        f"-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n" for label in labels
    )

    entries, set_aside, _ = read(write(tmp_path, blocks))

    assert not entries
    assert [problem.row for problem in set_aside] == [1, 4, 7, 10]
    for problem, word in zip(
        set_aside,
        ["private key", "signing request", "PKCS#7", "X509 CRL"],
        strict=True,
    ):
        assert word in problem.finding


def test_a_ca_certificate_is_set_aside(tmp_path: Path) -> None:
    chain = pem([make_certificate(1), make_certificate(2, authority=True)])

    entries, (problem,), _ = read(write(tmp_path, chain))

    assert len(entries) == 1
    assert "4.9.1.2" in problem.finding


def test_a_wrong_header_says_what_is_wanted_and_found(tmp_path: Path) -> None:
    _, (problem,), _ = read(write(tmp_path, "Name,Number\nA,1\nB,2\n"))

    assert problem.row == 1
    assert "Wanted: issuer, serial" in problem.finding
    assert "found: name, number" in problem.finding
    assert "none of its 3 lines" in problem.finding


def test_a_header_without_rows_is_set_aside(tmp_path: Path) -> None:
    _, (problem,), _ = read(write(tmp_path, HEADER))

    assert "no rows" in problem.finding


def test_a_crt_sh_csv_is_set_aside_as_a_whole(tmp_path: Path) -> None:
    header = "crt.sh ID,Logged At,Not Before,Not After,Common Name,Issuer Name\n"

    entries, (problem,), _ = read(write(tmp_path, header + "1,a,b,c,d,CN=x\n"))

    assert not entries
    assert "no serial numbers" in problem.finding
    assert "JSON" in problem.finding


def crt_sh_row(serial: int) -> dict[str, object]:
    return {
        "issuer_ca_id": 1,
        "issuer_name": ISSUER,
        "common_name": "www.clinic.example",
        "name_value": "www.clinic.example\nwww.clinic.example\nap@clinic.example",
        "id": serial,
        "entry_timestamp": "2025-12-01T00:00:00.1",
        "not_before": "2025-12-01T00:00:00",
        "not_after": "2026-12-01T00:00:00",
        "serial_number": f"{serial:036x}",
        "result_count": 2,
    }


def test_a_crt_sh_json_is_read(tmp_path: Path) -> None:
    content = json.dumps([crt_sh_row(0x11), crt_sh_row(0x12)])

    entries, set_aside, notes = read(write(tmp_path, content))

    assert not set_aside
    assert [entry.serial for entry in entries] == ["11", "12"]
    assert entries[0].kind is SourceKind.SERIAL
    assert entries[0].issuer_key == KEY
    assert entries[0].dns_names == ("www.clinic.example",)
    assert (entries[0].not_before, entries[0].not_after) == (NOT_BEFORE, NOT_AFTER)
    assert len(notes) == 1


def test_exactly_ten_thousand_crt_sh_rows_are_warned_of(tmp_path: Path) -> None:
    for count, warned in ((10_000, True), (9_999, False)):
        content = json.dumps([crt_sh_row(serial + 1) for serial in range(count)])

        entries, _, notes = read(write(tmp_path, content))

        assert len(entries) == count
        assert any("10,000" in note.text for note in notes) is warned


@pytest.mark.parametrize(
    ("content", "read_before", "word"),
    [
        (json.dumps([crt_sh_row(1), crt_sh_row(2)])[:-30], 1, "cut short"),
        (json.dumps([crt_sh_row(1)])[:-1], 1, "cut short"),
        ("[1]", 0, "not an object"),
        ("[]", 0, "without any certificate"),
        ("{'issuer': 1}", 0, "cut short"),
    ],
)
def test_json_that_is_broken_is_set_aside(
    tmp_path: Path, content: str, read_before: int, word: str
) -> None:
    entries, (problem,), _ = read(write(tmp_path, content))

    assert len(entries) == read_before
    assert word in problem.finding


def test_lines_of_json_are_read(tmp_path: Path) -> None:
    content = "\n".join(json.dumps(crt_sh_row(serial)) for serial in (1, 2, 3))

    entries, set_aside, _ = read(write(tmp_path, content))

    assert (len(entries), set_aside) == (3, [])


@pytest.mark.parametrize(
    ("serial", "word"),
    [
        ("0x1G", "not hexadecimal"),
        ("ABC-12", "not hexadecimal"),
        ("1.23E+35", "rounded"),
        ("1,23E+35", "rounded"),
        ("123456789012345000000", "rounded"),
        ("", "no serial"),
        ("ab" * 40, "octets"),
    ],
)
def test_an_unusable_serial_is_set_aside_with_its_place(
    tmp_path: Path, serial: str, word: str
) -> None:
    path = write(tmp_path, f'issuer;serial\n"{ISSUER}";01\n"{ISSUER}";{serial}\n')

    (entry,), (problem,), _ = read(path)

    assert entry.serial == "01"
    assert (problem.file, problem.row, problem.field) == (str(path), 3, "serial")
    assert word in problem.finding


@given(
    st.integers(min_value=1, max_value=2**160 - 1),
    st.sampled_from(["", ":", " "]),
    st.sampled_from([str.lower, str.upper]),
    st.sampled_from(["", "0x"]),
    st.integers(min_value=0, max_value=3),
)
def test_spellings_of_a_serial_are_one_serial(
    number: int, between: str, style: Callable[[str], str], prefix: str, zeros: int
) -> None:
    digits = f"{number:x}"
    expected = "0" * (len(digits) % 2) + digits
    digits = "00" * zeros + expected
    pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
    # Digits only might be a spreadsheet's rounding; with 0x they cannot be.
    prefix = prefix or "0x" * digits.isdecimal()
    spelled = prefix + style(between.join(pairs))

    assert parse_serial(f" {spelled} ") == expected
    assert parse_serial(str(number), decimal=True) == expected or (
        len(str(number)) >= 18 and not str(number)[15:].strip("0")
    )


def test_digits_are_hex_unless_the_header_says_decimal(tmp_path: Path) -> None:
    as_hex = write(tmp_path, "issuer,serial\n" + rows("4096"), "hex.csv")
    as_decimal = write(
        tmp_path, "issuer,Serial (decimal)\n" + rows("4096"), "decimal.csv"
    )

    (one,), _, hex_notes = read(as_hex)
    (other,), _, decimal_notes = read(as_decimal)

    assert (one.serial, other.serial) == ("4096", "1000")
    assert any("read as hex" in note.text for note in hex_notes)
    assert not any("read as hex" in note.text for note in decimal_notes)


@pytest.mark.parametrize(
    ("encoding", "delimiter", "noted"),
    [
        ("utf-8", ",", "UTF-8"),
        ("utf-8-sig", ",", "BOM"),
        ("utf-16", "\t", "UTF-16"),
        ("utf-16-le", ";", "UTF-16"),
        ("big5", ",", "Big5"),
        ("cp950", ";", "Big5"),
    ],
)
def test_spreadsheets_of_any_kind_are_read(
    tmp_path: Path, encoding: str, delimiter: str, noted: str
) -> None:
    lines = [
        ["issuer", "serial", "subscriber", "", ""],
        [f'"{ISSUER}"', "00:AB", "醫院管理局", "", ""],
        [f'"{ISSUER}"', '"=""01"""', "香港郵政", "", ""],
        ["", "", "", "", ""],
    ]
    text = "\r\n".join(delimiter.join(line) for line in lines) + "\r\n"

    entries, set_aside, notes = read(write(tmp_path, text.encode(encoding)))

    assert not set_aside
    assert [(entry.serial, entry.claimed_by) for entry in entries] == [
        ("ab", "醫院管理局"),
        ("01", "香港郵政"),
    ]
    assert noted in notes[0].text


def test_western_code_pages_are_not_taken_for_big5(tmp_path: Path) -> None:
    text = f'issuer,serial,subscriber\n"{ISSUER}",01,Société Générale à Zürich\n'

    (entry,), _, _ = read(write(tmp_path, text.encode("cp1252")))

    assert entry.claimed_by == "Société Générale à Zürich"


def test_excels_own_separator_line_is_understood(tmp_path: Path) -> None:
    (entry,), set_aside, _ = read(
        write(tmp_path, f'sep=;\r\nissuer;serial\r\n"{ISSUER}";0x2\r\n')
    )

    assert (entry.serial, entry.row, set_aside) == ("02", 3, [])


def test_a_quotation_mark_that_is_not_closed_names_each_row(tmp_path: Path) -> None:
    # I3: the rows it swallows are set aside one by one.
    content = HEADER + f'"{ISSUER}",01,A\n"{ISSUER},02,B\n' + "CN=x,03,C\n" * 3

    entries, set_aside, _ = read(write(tmp_path, content))

    assert [entry.serial for entry in entries] == ["01"]
    assert [problem.row for problem in set_aside] == [3, 4, 5, 6]


def test_too_many_cells_are_set_aside(tmp_path: Path) -> None:
    _, (problem,), _ = read(write(tmp_path, f"issuer,serial\n{ISSUER},01\n"))

    assert "4 cells where the header has 2" in problem.finding


def test_optional_columns_are_read_and_checked(tmp_path: Path) -> None:
    content = (
        "Certificate SHA-256 hash,Issuer,Serial #,kind,Not after,unknown\n"
        f'{"AB" * 32},"{ISSUER}",01,Pre-certificate,2026-12-01T08:00:00+08:00,x\n'
        f'{"AB" * 3},"{ISSUER}",02,,,\n'
        f',"{ISSUER}",03,something,,\n'
        f',"{ISSUER}",04,certificate,tomorrow,\n'
        ",Hongkong Post,05,,,\n"
    )

    entries, set_aside, notes = read(write(tmp_path, content))

    assert [entry.serial for entry in entries] == ["01", "04"]
    assert entries[0].kind is SourceKind.PRECERTIFICATE
    assert entries[0].sha256 == "ab" * 32
    assert entries[0].not_after == NOT_AFTER
    assert "not after" in (entries[1].finding or "")
    assert [(problem.row, problem.field) for problem in set_aside] == [
        (3, "sha256"),
        (4, "kind"),
        (6, "issuer"),
    ]
    assert "not used: unknown" in notes[0].text


def malformed(der: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert der.count(old) >= 1
    return der.replace(old, new)


def test_certificates_that_cryptography_refuses_keep_their_identity(
    tmp_path: Path,
) -> None:
    der = make_certificate(0x51)
    san = bytes.fromhex("0603551d11")
    broken = {
        "subjectAltName": malformed(der, san + b"\x04\x16\x30", san + b"\x04\x16\x31"),
        "key": malformed(der, bytes.fromhex("2a8648ce3d0201"), b"\x2a" * 7),
        "time": malformed(der, b"251201000000Z", b"25120100zz00Z"),
    }

    for what, octets in broken.items():
        (entry,), set_aside, _ = read(write(tmp_path, octets))

        assert not set_aside, what
        assert (entry.issuer_key, entry.serial) == (KEY, "51")
        if what != "key":
            assert entry.finding


def test_an_empty_rdn_and_trailing_octets_do_not_change_the_identity() -> None:
    der = make_certificate(0x52)
    peer = x509.load_der_x509_certificate(der)
    issuer = peer.issuer.public_bytes()
    # One empty SET at the end of the issuer; every length around it grows by two.
    content = issuer[2:] + bytes.fromhex("3100")
    tbs = peer.tbs_certificate_bytes[4:].replace(
        issuer, bytes((0x30, len(content))) + content, 1
    )
    inner = bytes.fromhex("3082") + len(tbs).to_bytes(2, "big") + tbs
    rest = der[4 + len(peer.tbs_certificate_bytes) :]
    whole = inner + rest
    octets = bytes.fromhex("3082") + len(whole).to_bytes(2, "big") + whole

    fields = parse_certificate(octets + b"\0\0trailing")

    assert fields.length == len(octets)
    assert fields.serial == 0x52
    assert fields.dns_names == ("www.clinic.example",)


@given(st.binary(max_size=300))
def test_arbitrary_octets_are_bad_input_and_nothing_else(octets: bytes) -> None:
    with pytest.raises(BadInput):
        parse_certificate(octets)


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4
    )
)
def test_a_damaged_certificate_never_breaks_the_reader(
    changes: list[tuple[int, int]],
) -> None:
    der = bytearray(make_certificate(0x77))
    for place, octet in changes:
        der[place] = octet

    try:
        fields = parse_certificate(bytes(der))
    except BadInput:
        return

    assert fields.length <= len(der)


def test_zips_are_read_safely(tmp_path: Path) -> None:
    packed = tmp_path / "list.zip"
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.pem", pem([make_certificate(8)]))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../etc/one.pem", pem([make_certificate(1)]))
        archive.writestr("inner.zip", inner.read_bytes())
        archive.writestr("bomb.csv", bytes(64 << 20))
        archive.writestr(".hidden", b"x")
        archive.writestr("__MACOSX/._one.pem", b"x")

    (entry,), set_aside, notes = read(packed)

    assert entry.serial == "01"
    assert not (tmp_path.parent / "etc").exists()
    assert ["zip inside" in problem.finding for problem in set_aside] == [True, False]
    assert "zip bombs" in set_aside[1].finding
    assert "2 hidden" in notes[0].text


def test_a_damaged_zip_is_set_aside(tmp_path: Path) -> None:
    packed = tmp_path / "list.zip"
    bundle = pem([make_certificate(1)])
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("one.pem", bundle)
    content = bytearray(packed.read_bytes())
    content[200] ^= 1
    damaged = write(tmp_path, bytes(content), "damaged.zip")
    cut = write(tmp_path, packed.read_bytes()[:300], "cut.zip")

    for path in (damaged, cut):
        entries, set_aside, _ = read(path)

        assert not entries
        assert len(set_aside) == 1


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"%PDF-1.7 ...", "PDF"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "Excel"),
        (b"\x1f\x8b" + bytes(100), "unpack"),
        (b"\x7fELF\x02\x01" + bytes(60), "neither text nor certificates"),
        (b"\x30\x82\x00\x10" + b"\x02" * 16, "not a certificate"),
        (b"hello world", "wrong header"),
        (b"-----BEGIN CERTIFICATE", "not complete"),
    ],
)
def test_junk_is_set_aside_with_advice(
    tmp_path: Path, content: bytes, word: str
) -> None:
    _, (problem,), _ = read(write(tmp_path, content))

    assert word in problem.finding


def test_an_excel_workbook_is_set_aside_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "list.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")

    _, (problem,), _ = read(path)

    assert "CSV UTF-8" in problem.finding


def test_a_folder_is_read_in_order_and_hidden_files_are_counted(
    tmp_path: Path,
) -> None:
    for number in (3, 1, 2):
        write(tmp_path, make_certificate(number), f"{number}.der")
    write(tmp_path, b"x", ".DS_Store")

    entries, set_aside, notes = read(tmp_path)

    assert [entry.serial for entry in entries] == ["01", "02", "03"]
    assert not set_aside
    assert "1 hidden" in notes[0].text


@given(
    st.lists(st.sampled_from(["certificate", "ca", "junk", "key", "cut"]), max_size=12)
)
def test_i3_every_block_of_a_bundle_comes_out_once(
    tmp_path_factory: pytest.TempPathFactory, kinds: Sequence[str]
) -> None:
    blocks = {
        "certificate": pem([make_certificate(1)]),
        "ca": pem([make_certificate(2, authority=True)]),
        "junk": b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        "key": b"-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n",
        "cut": b"-----BEGIN CERTIFICATE-----\nMIIB\n",
    }
    path = write(
        tmp_path_factory.mktemp("bundle"),
        b"\n".join(blocks[kind] for kind in kinds),
    )

    entries, set_aside, _ = read(path)

    assert len(entries) == kinds.count("certificate")
    assert len(entries) + len(set_aside) == (len(kinds) or 1)


def test_names_of_issuers_with_other_string_types_match_their_text(
    tmp_path: Path,
) -> None:
    issuer = name("香港 CA", "Örg")
    der = make_certificate(5, issuer=issuer)

    (entry,), _, _ = read(write(tmp_path, der))

    assert entry.issuer_key == key_of_name(issuer)


def test_octets_between_der_certificates_are_reported(tmp_path: Path) -> None:
    one, two = make_certificate(1), make_certificate(2)

    (entry,), (problem,), _ = read(write(tmp_path, one + b"junk" + two))
    entries, set_aside, _ = read(write(tmp_path, one + b"\r\n" + two + bytes(9)))

    assert (entry.serial, problem.row) == ("01", 2)
    assert "what follows cannot be read" in problem.finding
    assert ([each.serial for each in entries], set_aside) == (["01", "02"], [])


def test_octets_behind_a_certificate_in_pem_are_left_out(tmp_path: Path) -> None:
    der = make_certificate(1)
    label = "TRUSTED CERTIFICATE"
    body = base64.encodebytes(der + b"more").decode()
    text = f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"

    (entry,), _, _ = read(write(tmp_path, text))

    assert entry.der == der
    assert "4 octets after the certificate" in (entry.finding or "")


def test_pem_with_headers_is_read_and_mixed_up_lines_are_not(tmp_path: Path) -> None:
    block = pem([make_certificate(1)])
    with_header = block.replace(b"-----\n", b"-----\nSource: log\n\n", 1)
    mixed_up = block.replace(b"END CERTIFICATE", b"END PKCS7")

    (entry,), (problem,), _ = read(write(tmp_path, with_header + mixed_up))

    assert entry.serial == "01"
    assert "do not belong together" in problem.finding


def test_a_poison_that_is_not_critical_makes_no_precertificate(tmp_path: Path) -> None:
    der = make_certificate(1, precertificate=True)
    oid = bytes.fromhex("060a2b06010401d679020403")
    soft = malformed(der, oid + b"\x01\x01\xff", oid + b"\x01\x01\x00")

    (entry,), _, _ = read(write(tmp_path, soft))

    assert entry.kind is SourceKind.CERTIFICATE
    assert "not critical" in (entry.finding or "")


def test_dates_beyond_2049_are_read(tmp_path: Path) -> None:
    not_after = NOT_AFTER.replace(year=2061)

    (entry,), _, _ = read(write(tmp_path, make_certificate(1, not_after=not_after)))

    assert entry.not_after == not_after


def with_time(der: bytes, time: bytes) -> bytes:
    """Replace notBefore by a time of another length."""
    old = b"\x17\x0d251201000000Z"
    validity = der.index(old) - 1
    tbs = 4
    parts = bytearray(der.replace(old, bytes((0x17, len(time))) + time))
    parts[validity] += len(time) - 13
    for place in (2, tbs + 2):
        length = int.from_bytes(parts[place : place + 2], "big") + len(time) - 13
        parts[place : place + 2] = length.to_bytes(2, "big")
    return bytes(parts)


@pytest.mark.parametrize(
    ("time", "instant"),
    [
        (b"2511302400Z", None),
        (b"2512010000Z", NOT_BEFORE),
        (b"251201080000+0800", NOT_BEFORE),
        (b"2511301900-0500", NOT_BEFORE),
        (b"2512010800+08", None),
        (b"some other day", None),
    ],
)
def test_a_time_is_read_where_it_is_one_and_reported_where_not(
    tmp_path: Path, time: bytes, instant: datetime | None
) -> None:
    der = with_time(make_certificate(1), time)

    (entry,), _, _ = read(write(tmp_path, der))

    assert entry.not_before == instant
    assert entry.dns_names == ("www.clinic.example",)
    assert ("validity" in (entry.finding or "")) is (instant is None)


def test_old_string_types_are_read_as_cryptography_reads_them(tmp_path: Path) -> None:
    issuer = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "香港", _ASN1Type.BMPString),
            x509.NameAttribute(NameOID.COMMON_NAME, "CA", _ASN1Type.UniversalString),
            x509.NameAttribute(
                x509.ObjectIdentifier("2.5.4.45"), b"\1\2", _ASN1Type.BitString
            ),
            x509.NameAttribute(x509.ObjectIdentifier("2.999.1"), "x"),
        ]
    )

    (entry,), _, _ = read(write(tmp_path, make_certificate(1, issuer=issuer)))

    assert entry.issuer_key == key_of_name(issuer)
    assert (
        entry.issuer_name == "O=香港, CN=CA, x500UniqueIdentifier=#03020102, 2.999.1=x"
    )
    assert canonical_key(parse_name(entry.issuer_name)) == entry.issuer_key


def test_a_name_that_cannot_be_read_still_has_one_key() -> None:
    broken = b"\x30\x05\x31\x03\x30\x09\x00"

    assert (
        read_name(broken) == read_name(bytes(broken)) == [("0.0", "#" + broken.hex())]
    )


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    write(real, make_certificate(1), "1.der")
    listed = tmp_path / "listed"
    listed.mkdir()
    (listed / "loop").symlink_to(tmp_path, target_is_directory=True)

    entries, (problem,), _ = read(listed)

    assert not entries
    assert "not followed" in problem.finding


def test_a_device_is_set_aside() -> None:
    _, (problem,), _ = read(Path("/dev/null"))

    assert "not a file" in problem.finding


def test_an_empty_zip_is_set_aside(tmp_path: Path) -> None:
    packed = tmp_path / "empty.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.mkdir("folder")

    _, (problem,), _ = read(packed)

    assert "without files" in problem.finding


def test_a_member_under_a_password_is_set_aside(tmp_path: Path) -> None:
    packed = tmp_path / "list.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("one.pem", pem([make_certificate(1)]))
    content = bytearray(packed.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1

    _, (problem,), _ = read(write(tmp_path, bytes(content), "locked.zip"))

    assert "password" in problem.finding


def test_a_file_that_is_not_what_its_beginning_says_is_set_aside(
    tmp_path: Path,
) -> None:
    content = b"\xef\xbb\xbf" + (HEADER + row_of("Zürich")).encode("cp1252")

    _, (problem,), _ = read(write(tmp_path, content))

    assert "begins as UTF-8" in problem.finding


def row_of(subscriber: str) -> str:
    return f'"{ISSUER}",01,{subscriber}\n'
