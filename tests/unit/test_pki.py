import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tocsin.ca.issuers import all_issuers
from tocsin.demo import record
from tocsin.demo.pki import Issued, issue_all, issue_log_entries
from tocsin.demo.population import invent_organisations

ISSUER_NAME = x509.Name(
    [x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example SSL CA")]
)
POISON = x509.PrecertPoison.oid
START = datetime(2020, 1, 1, tzinfo=UTC)


def _make_issuer() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(ISSUER_NAME)
        .issuer_name(ISSUER_NAME)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=3650))
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _read(issued: Issued) -> Iterator[x509.Certificate]:
    bundle, folder, archive = issued.files
    yield from x509.load_pem_x509_certificates(bundle.read_bytes())
    for path in sorted(folder.iterdir()):
        yield x509.load_der_x509_certificate(path.read_bytes())
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            yield x509.load_der_x509_certificate(file.read(name))


def _is_poisoned(certificate: x509.Certificate) -> bool:
    return any(
        isinstance(extension.value, x509.PrecertPoison) and extension.critical
        for extension in certificate.extensions
    )


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[x509.Certificate]:
    certificate, key = _make_issuer()
    issued = issue_log_entries(
        tmp_path_factory.mktemp("pki"),
        invent_organisations(),
        issuer=certificate,
        key=key,
    )
    found = list(_read(issued))
    assert issued.entries == len(found)
    for entry in found:
        entry.verify_directly_issued_by(certificate)
    return found


def test_i3_1176_entries_are_1111_certificates_when_precertificates_are_known(
    entries: list[x509.Certificate],
) -> None:
    finals = {entry.serial_number for entry in entries if not _is_poisoned(entry)}
    poisoned = {entry.serial_number for entry in entries if _is_poisoned(entry)}

    assert len(entries) == record.LOG_ENTRIES == 1_176
    assert len(finals) == record.CERTIFICATES == 1_111
    assert len(poisoned) == record.PRECERTIFICATES == 65
    assert poisoned < finals


def test_the_ca_knows_what_it_issued_when_everything_is_issued(tmp_path: Path) -> None:
    issued = issue_all(tmp_path / "ca", tmp_path / "input", invent_organisations())

    (issuer,) = all_issuers(tmp_path / "ca")
    assert issuer.knows_issued
    assert len(issued.serials) == 1_111
    for entry in _read(issued):
        entry.verify_directly_issued_by(issuer.certificate)


def test_a_precertificate_matches_its_certificate_when_the_poison_is_taken_out(
    entries: list[x509.Certificate],
) -> None:
    finals = {one.serial_number: one for one in entries if not _is_poisoned(one)}

    for entry in filter(_is_poisoned, entries):
        final = finals[entry.serial_number]
        kept = [one for one in entry.extensions if one.oid != POISON]
        assert kept == list(final.extensions)
        assert entry.subject == final.subject
        assert entry.public_key() == final.public_key()
        assert entry.not_valid_after_utc == final.not_valid_after_utc


def test_every_certificate_has_the_defect_when_its_policies_are_read(
    entries: list[x509.Certificate],
) -> None:
    for entry in entries:
        policies = entry.extensions.get_extension_for_class(x509.CertificatePolicies)
        (information,) = policies.value
        (uri,) = list(information.policy_qualifiers or [])
        assert isinstance(uri, str)
        assert not uri.startswith(("http:", "https:"))


def test_no_certificate_ends_when_the_replay_still_runs(
    entries: list[x509.Certificate],
) -> None:
    last = record.STATUSES[-1].at

    assert all(entry.not_valid_before_utc < record.MADE_AWARE_AT for entry in entries)
    assert all(entry.not_valid_after_utc > last for entry in entries)
    assert all(
        len(entry.public_bytes(serialization.Encoding.DER)) < 2_000 for entry in entries
    )


def test_the_same_serials_are_issued_when_the_seed_is_the_same(
    tmp_path: Path, entries: list[x509.Certificate]
) -> None:
    certificate, key = _make_issuer()

    again = issue_log_entries(
        tmp_path, invent_organisations(), issuer=certificate, key=key
    )

    assert [one.serial_number for one in _read(again)] == [
        one.serial_number for one in entries
    ]
