"""What the embedded CA publishes, whole and in shards, judged by other people's tools."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from factories import LAUNCH

from models.terms import CertificateId, Reason
from tocsin.ca.backend import RevocationRequest
from tocsin.ca.crl import SigningKey
from tocsin.ca.embedded import EmbeddedCa, EmbeddedPublication
from tocsin.ca.issuers import all_issuers, create_issuer, find_issuer, signing_key
from tocsin.ca.proof import Wanted, prove
from tocsin.ca.shards import Sharding, crl_files, shard_crl, sharding_of
from tocsin.clock import SteppedClock, SystemClock
from tocsin.errors import BadInput

URL = "http://crl.ca.example/r1-{shard}.crl"
SHARDS = 4
COUNT = 30
REASONS = list(Reason)


@dataclass
class Published:
    """A CA that has revoked every second of its certificates and published."""

    directory: Path
    issuer_key: str
    publication: EmbeddedPublication
    key: SigningKey
    issuer: x509.Certificate
    sharding: Sharding | None
    clock: SteppedClock

    def crls(self) -> list[Path]:
        return crl_files(self.directory, self.issuer_key, self.sharding)

    def certificate(self, serial: int, *, place: str | None) -> bytes:
        """Issue a certificate that names a place for its CRL, PEM."""
        now = self.clock.now()
        builder = (
            x509.CertificateBuilder()
            .subject_name(
                x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
            )
            .issuer_name(self.issuer.subject)
            .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
            .serial_number(serial)
            .not_valid_before(now)
            .not_valid_after(now.replace(year=now.year + 1, day=1))
        )
        if place is not None:
            builder = builder.add_extension(
                x509.CRLDistributionPoints(
                    [
                        x509.DistributionPoint(
                            full_name=[x509.UniformResourceIdentifier(place)],
                            relative_name=None,
                            reasons=None,
                            crl_issuer=None,
                        )
                    ]
                ),
                critical=False,
            )
        made = builder.sign(self.key, hashes.SHA256())
        return made.public_bytes(Encoding.PEM)


@pytest.fixture(params=["whole", "sharded"])
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Published:
    # openssl goes by the machine's clock.
    clock = SteppedClock(SystemClock().now())
    directory = tmp_path / "ca"
    key = create_issuer(directory, name="Test CA R1", country="HK", now=clock.now())
    if request.param == "sharded":
        shard_crl(directory, issuer_key=key, url=URL, shards=SHARDS)
    ca = EmbeddedCa(directory, clock=clock)
    list(ca.revoke([_request(key, serial) for serial in range(1, COUNT, 2)]))
    ca.publish(key)
    issuer = find_issuer(directory, key)
    assert issuer is not None
    (tmp_path / "issuer.pem").write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
    return Published(
        directory=directory,
        issuer_key=key,
        publication=EmbeddedPublication(directory, clock=clock),
        key=signing_key(directory, key),
        issuer=issuer.certificate,
        sharding=sharding_of(directory, issuer.id),
        clock=clock,
    )


def _request(issuer_key: str, serial: int) -> RevocationRequest:
    return RevocationRequest(
        certificate_id=CertificateId(serial),
        issuer_key=issuer_key,
        serial=serial,
        reason=REASONS[serial % len(REASONS)],
    )


def run(folder: Path, *command: str) -> tuple[int, str]:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_openssl_verifies_every_crl(published: Published, tmp_path: Path) -> None:
    crls = published.crls()

    said = [
        run(
            tmp_path,
            *("openssl", "crl", "-inform", "DER", "-in", str(crl)),
            *("-CAfile", "issuer.pem", "-noout", "-text"),
        )
        for crl in crls
    ]

    assert len(crls) == (SHARDS if published.sharding else 1)
    assert all(code == 0 and "verify OK" in text for code, text in said)
    assert sum(text.count("Serial Number:") for _, text in said) == COUNT // 2


def test_pkilint_finds_nothing_to_complain_of(
    published: Published, tmp_path: Path
) -> None:
    lint = str(Path(sys.executable).with_name("lint_crl"))
    for crl in published.crls()[:2]:
        pem = tmp_path / "crl.pem"
        pem.write_bytes(
            x509.load_der_x509_crl(crl.read_bytes()).public_bytes(Encoding.PEM)
        )

        code, said = run(
            tmp_path,
            *(lint, "lint", "--type", "CRL", "--profile", "BR"),
            *("--severity", "NOTICE", "crl.pem"),
        )

        assert (code, said.strip()) == (0, "")


def test_pkilint_would_complain_of_a_reason_that_the_rules_forbid(
    published: Published, tmp_path: Path
) -> None:
    # Else the test above could not fail.
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(5)
        .revocation_date(published.clock.now())
        .add_extension(
            x509.CRLReason(x509.ReasonFlags.certificate_hold), critical=False
        )
        .build()
    )
    now = published.clock.now()
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(published.issuer.subject)
        .last_update(now)
        .next_update(now.replace(year=now.year + 1, day=1))
        .add_revoked_certificate(entry)
        .sign(published.key, hashes.SHA256())
    )
    (tmp_path / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))

    code, said = run(
        tmp_path,
        *(str(Path(sys.executable).with_name("lint_crl")), "lint"),
        *("--type", "CRL", "--profile", "BR", "crl.pem"),
    )

    assert code > 0
    assert "prohibited_reason_code" in said
    assert "validity_period" in said


@pytest.mark.parametrize("serial", [5, 6])
def test_openssl_refuses_what_is_revoked_and_nothing_else(
    published: Published, tmp_path: Path, serial: int
) -> None:
    place = None
    crl = published.crls()[0]
    if published.sharding:
        shard = published.sharding.shard_of(serial)
        place = published.sharding.url_of(shard)
        crl = published.crls()[shard]
    (tmp_path / "a.pem").write_bytes(published.certificate(serial, place=place))
    (tmp_path / "crl.der").write_bytes(crl.read_bytes())

    _, said = run(
        tmp_path,
        *("openssl", "verify", "-crl_check", "-CRLfile", "crl.der"),
        *("-CAfile", "issuer.pem", "a.pem"),
    )

    assert ("certificate revoked" in said) is (serial == 5)
    assert ("a.pem: OK" in said) is (serial == 6)


def test_openssl_takes_no_shard_for_another(tmp_path: Path) -> None:
    clock = SteppedClock(SystemClock().now())
    key = create_issuer(tmp_path / "ca", name="Test CA R1", now=clock.now())
    shard_crl(tmp_path / "ca", issuer_key=key, url=URL, shards=2)
    ca = EmbeddedCa(tmp_path / "ca", clock=clock)
    list(ca.revoke([_request(key, 5)]))
    ca.publish(key)
    publication = EmbeddedPublication(tmp_path / "ca", clock=clock)

    def proof(shard: int) -> tuple[int, int]:
        found = prove(
            publication,
            issuer_key=key,
            wanted=[
                Wanted(
                    certificate_id=CertificateId(5),
                    serial=5,
                    reason=REASONS[5],
                    crl_urls=frozenset({URL.replace("{shard}", str(shard))}),
                )
            ],
            now=clock.now(),
        )
        return len(found.published), len(found.other_crl)

    assert proof(1) == (1, 0)
    assert proof(0) == (0, 1)


def test_openssl_verifies_the_ocsp_answers(
    published: Published, tmp_path: Path
) -> None:
    for serial, status in ((5, "revoked"), (6, "good")):
        (answer,) = published.publication.ask_ocsp(published.issuer_key, [serial])
        (tmp_path / "answer.der").write_bytes(answer)

        code, said = run(
            tmp_path,
            *("openssl", "ocsp", "-respin", "answer.der", "-issuer", "issuer.pem"),
            *("-sha256", "-serial", str(serial), "-CAfile", "issuer.pem"),
            *("-VAfile", "issuer.pem"),
        )

        assert code == 0
        assert "Response verify OK" in said
        assert f"{serial}: {status}" in said


def test_a_crl_is_divided_once_and_for_good(tmp_path: Path) -> None:
    key = create_issuer(tmp_path, name="Test CA R1", now=LAUNCH)
    shard_crl(tmp_path, issuer_key=key, url=URL, shards=2)
    shard_crl(tmp_path, issuer_key=key, url=URL, shards=2)

    with pytest.raises(BadInput, match="divided already: 2 shards"):
        shard_crl(tmp_path, issuer_key=key, url=URL, shards=3)
    with pytest.raises(BadInput, match="where the number of the shard goes"):
        shard_crl(tmp_path, issuer_key=key, url="http://crl.ca.example", shards=2)
    with pytest.raises(BadInput, match="from 1 to"):
        shard_crl(tmp_path, issuer_key=key, url=URL, shards=0)
    with pytest.raises(BadInput, match="no issuer"):
        shard_crl(tmp_path, issuer_key="ff", url=URL, shards=2)
    assert len(all_issuers(tmp_path)) == 1
