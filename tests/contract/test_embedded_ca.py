import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from factories import LAUNCH

from models.terms import CertificateId, Reason
from tocsin.ca.backend import (
    AnswerKind,
    CaBackend,
    Publication,
    RevocationRequest,
    StatusKind,
)
from tocsin.ca.contract import BackendContract, Subject
from tocsin.ca.crl import CrlEntry, serial_octets, write_crl
from tocsin.ca.embedded import EmbeddedCa, EmbeddedPublication
from tocsin.ca.issuers import (
    add_issued,
    add_issuer,
    create_issuer,
    crl_file,
    key_file,
    signing_key,
    summarise,
)
from tocsin.ca.proof import ProofOfIssuer, Wanted, prove
from tocsin.clock import SteppedClock
from tocsin.errors import BadInput, Unavailable

PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "ca"


@pytest.fixture
def issuer_key(directory: Path) -> str:
    return create_issuer(directory, name="Test CA R1", country="HK", now=LAUNCH)


@pytest.fixture
def ca(directory: Path, issuer_key: str, clock: SteppedClock) -> EmbeddedCa:
    assert issuer_key
    return EmbeddedCa(directory, clock=clock)


@pytest.fixture
def publication(directory: Path, clock: SteppedClock) -> EmbeddedPublication:
    return EmbeddedPublication(directory, clock=clock)


def all_serials() -> Iterator[int]:
    """Yield serials of every shape: one octet, a set top bit, twenty octets."""
    yield from (1, 0x80, 0xFF, 0x100, 2**159 - 1, 2**152)
    yield from count(0x1000)


class TestEmbeddedCa(BackendContract):
    @pytest.fixture(params=["ec", "rsa", "ec with a list of what it issued"])
    def subject(
        self, request: pytest.FixtureRequest, directory: Path, clock: SteppedClock
    ) -> Subject:
        if request.param == "rsa":
            certificate, key = self_signed(rsa.generate_private_key(65537, 2048))
            issuer_key = add_issuer(directory, certificate_pem=certificate, key_pem=key)
        else:
            issuer_key = create_issuer(directory, name="Test CA R1", now=LAUNCH)
        known = all_serials()
        if request.param.startswith("ec with"):
            issued = [next(known) for _ in range(50)]
            add_issued(directory, issuer_key=issuer_key, serials=issued)
            known = iter(issued)
        return Subject(
            backend=EmbeddedCa(directory, clock=clock),
            publication=EmbeddedPublication(directory, clock=clock),
            clock=clock,
            issuer_key=issuer_key,
            new_serial=lambda: next(known),
            unissued_serial=lambda: 0xDEADBEEF,
        )


def test_the_embedded_ca_fits_the_protocols(
    ca: EmbeddedCa, publication: EmbeddedPublication
) -> None:
    backend: CaBackend = ca
    reader: Publication = publication

    assert backend.capabilities.name == "embedded"
    assert not backend.capabilities.checks_unknown
    assert reader is publication


def test_an_issuer_that_exists_can_be_added_again_but_not_with_another_key(
    directory: Path,
) -> None:
    certificate, key = self_signed(ec.generate_private_key(ec.SECP256R1()))
    other_certificate, other_key = self_signed(ec.generate_private_key(ec.SECP256R1()))

    first = add_issuer(directory, certificate_pem=certificate, key_pem=key)
    again = add_issuer(directory, certificate_pem=certificate, key_pem=key)

    assert first == again
    with pytest.raises(BadInput, match="another key"):
        add_issuer(directory, certificate_pem=other_certificate, key_pem=other_key)
    assert [issuer.key for issuer in summarise(directory)] == [first]


def test_an_issuer_is_refused_when_key_and_certificate_are_no_pair(
    directory: Path,
) -> None:
    certificate, key = self_signed(ec.generate_private_key(ec.SECP256R1()))
    _, other = self_signed(ec.generate_private_key(ec.SECP256R1()))
    strange, strange_key = self_signed(ed25519.Ed25519PrivateKey.generate())

    with pytest.raises(BadInput, match="does not belong"):
        add_issuer(directory, certificate_pem=certificate, key_pem=other)
    with pytest.raises(BadInput, match="not a certificate"):
        add_issuer(directory, certificate_pem=b"-----BEGIN", key_pem=key)
    with pytest.raises(BadInput, match="not a private key"):
        add_issuer(directory, certificate_pem=certificate, key_pem=certificate)
    with pytest.raises(BadInput, match="only RSA and EC"):
        add_issuer(directory, certificate_pem=strange, key_pem=strange_key)
    with pytest.raises(BadInput, match="name"):
        create_issuer(directory, name=" ", now=LAUNCH)
    with pytest.raises(BadInput, match="name"):
        create_issuer(directory, name="CA", country="Hongkong", now=LAUNCH)
    with pytest.raises(BadInput, match="no issuer"):
        add_issued(directory, issuer_key="00", serials=[1])
    assert summarise(directory) == []


def test_the_key_is_readable_by_its_owner_only(
    directory: Path, issuer_key: str
) -> None:
    mode = key_file(directory, issuer_key).stat().st_mode

    assert stat.S_IMODE(mode) == 0o600


def test_a_ca_that_does_not_exist_knows_nothing(
    tmp_path: Path, clock: SteppedClock
) -> None:
    ca = EmbeddedCa(tmp_path / "nowhere", clock=clock)
    publication = EmbeddedPublication(tmp_path / "nowhere", clock=clock)

    (answer,) = ca.revoke([request("00")])

    assert answer.kind is AnswerKind.UNKNOWN
    assert not ca.knows_issuer("00")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(Unavailable):
        ca.publish("00")
    with pytest.raises(Unavailable):
        publication.issuer_certificate("00")


def test_the_ca_says_not_now_when_its_database_is_broken(
    directory: Path, ca: EmbeddedCa, issuer_key: str, publication: EmbeddedPublication
) -> None:
    with sqlite3.connect(directory / "ca.sqlite") as database:
        database.execute("DROP TABLE revoked")
        database.execute("CREATE TABLE revoked (unfit)")
    database.close()

    (answer,) = ca.revoke([request(issuer_key)])

    assert answer.kind is AnswerKind.RETRY
    assert "no column" in answer.detail
    with pytest.raises(Unavailable):
        list(ca.look_up([request(issuer_key)]))
    with pytest.raises(Unavailable):
        ca.publish(issuer_key)
    with pytest.raises(Unavailable):
        list(publication.ask_ocsp(issuer_key, [1]))


def test_the_ca_says_not_now_when_its_database_cannot_be_opened(
    directory: Path, ca: EmbeddedCa, issuer_key: str
) -> None:
    (directory / "ca.sqlite").write_bytes(b"not a database" * 1000)

    answers = list(ca.revoke([request(issuer_key), request(issuer_key, 2)]))

    assert [answer.kind for answer in answers] == [AnswerKind.RETRY] * 2


def test_revocations_survive_when_the_ca_is_opened_again(
    directory: Path, ca: EmbeddedCa, issuer_key: str, clock: SteppedClock
) -> None:
    (first,) = ca.revoke([request(issuer_key)])
    clock.step_to(LAUNCH + timedelta(hours=1))

    (second,) = EmbeddedCa(directory, clock=clock).revoke([request(issuer_key)])

    assert second.kind is AnswerKind.ALREADY
    assert second.revoked_at == first.revoked_at == LAUNCH


def test_a_revocation_is_invisible_until_it_is_published_when_the_crl_lags(
    ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    # I9: the CA's answer is not publication, nor is OCSP alone.
    ca.publish(issuer_key)
    list(ca.revoke([request(issuer_key)]))

    before = proof(publication, issuer_key)
    ca.publish(issuer_key)
    after = proof(publication, issuer_key)

    assert (before.published, before.ocsp_only) == ((), (CertificateId(1),))
    assert [found.certificate_id for found in after.published] == [1]
    assert after.crl_number == (before.crl_number or 0) + 1
    assert after.crl_entries == 1
    assert after.ocsp_answers == 1


def test_the_crl_is_in_force_for_seven_days_and_carries_its_number_and_issuer(
    ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    ca.publish(issuer_key)

    crl = x509.load_der_x509_crl(next(iter(publication.read_crls(issuer_key))))

    assert crl.last_update_utc == LAUNCH
    assert crl.next_update_utc == LAUNCH + timedelta(days=7)
    extensions = {extension.oid.dotted_string for extension in crl.extensions}
    assert extensions == {"2.5.29.20", "2.5.29.35"}  # CRLNumber, AKI


def test_nothing_is_proven_when_the_crl_is_out_of_date(
    ca: EmbeddedCa,
    publication: EmbeddedPublication,
    issuer_key: str,
    clock: SteppedClock,
) -> None:
    list(ca.revoke([request(issuer_key)]))
    ca.publish(issuer_key)
    clock.step_to(LAUNCH + timedelta(days=7, seconds=1))

    with pytest.raises(Unavailable, match="in force until"):
        proof(publication, issuer_key, days=7, seconds=1)


def test_nothing_is_proven_when_the_crl_is_of_the_future(
    ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    ca.publish(issuer_key)

    with pytest.raises(Unavailable, match="not in force before"):
        proof(publication, issuer_key, minutes=-5, seconds=-1)


def test_what_is_signed_while_a_long_list_is_read_is_in_force(
    ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    list(ca.revoke([request(issuer_key)]))
    ca.publish(issuer_key)

    seen = proof(publication, issuer_key, minutes=-5)

    assert [one.certificate_id for one in seen.published] == [1]
    assert seen.ocsp_answers == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda der: der[:-1] + bytes((der[-1] ^ 1,)),
        lambda der: der[: len(der) // 2],
        lambda _: b"",
    ],
    ids=["a bit of the signature", "half of it is missing", "it is empty"],
)
def test_nothing_is_proven_when_the_crl_is_damaged(
    damage: object,
    directory: Path,
    ca: EmbeddedCa,
    publication: EmbeddedPublication,
    issuer_key: str,
) -> None:
    assert callable(damage)
    list(ca.revoke([request(issuer_key)]))
    ca.publish(issuer_key)
    file = crl_file(directory, issuer_key)
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(Unavailable, match="CRL"):
        proof(publication, issuer_key)


def test_nothing_is_proven_when_the_crl_is_another_issuers(
    directory: Path, ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    other = create_issuer(directory, name="Test CA R2", now=LAUNCH)
    list(ca.revoke([request(other)]))
    ca.publish(other)
    shutil.copy(crl_file(directory, other), crl_file(directory, issuer_key))

    with pytest.raises(Unavailable, match="not signed by the issuer"):
        proof(publication, issuer_key)


def test_nothing_is_proven_before_anything_was_published(
    publication: EmbeddedPublication, issuer_key: str
) -> None:
    with pytest.raises(Unavailable, match="no CRL"):
        proof(publication, issuer_key)


def test_the_ca_knows_no_other_serials_when_it_knows_what_it_issued(
    directory: Path, ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    add_issued(directory, issuer_key=issuer_key, serials=[1])

    statuses = ca.look_up([request(issuer_key), request(issuer_key, 2), request("00")])
    answers = publication.ask_ocsp(issuer_key, [1, 2])

    assert ca.capabilities.checks_unknown
    assert [status.kind for status in statuses] == [
        StatusKind.GOOD,
        StatusKind.UNKNOWN,
        StatusKind.UNKNOWN,
    ]
    # TLS BR 4.9.10: never "good" for what was not issued.
    assert [
        ocsp.load_der_ocsp_response(answer).certificate_status for answer in answers
    ] == [ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.UNKNOWN]


def test_a_crl_of_another_make_is_read_unless_it_is_a_delta(
    directory: Path, ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    list(ca.revoke([request(issuer_key)]))
    certificate = x509.load_der_x509_certificate(
        publication.issuer_certificate(issuer_key)
    )
    entry = x509.RevokedCertificateBuilder().serial_number(1).revocation_date(LAUNCH)
    plain = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(LAUNCH)
        .next_update(LAUNCH + timedelta(days=1))
        .add_revoked_certificate(
            entry.add_extension(
                x509.CRLReason(x509.ReasonFlags.ca_compromise), critical=False
            ).build()
        )
    )
    delta = plain.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    key = signing_key(directory, issuer_key)

    found = proof(
        Altered(publication, crl=plain.sign(key, hashes.SHA256()).public_bytes(DER)),
        issuer_key,
    )

    assert found.crl_number is None
    assert [entry.reason for entry in found.published] == [2]
    assert found.wrong_reason == (1,)
    with pytest.raises(Unavailable, match="delta"):
        proof(
            Altered(
                publication, crl=delta.sign(key, hashes.SHA256()).public_bytes(DER)
            ),
            issuer_key,
        )


def test_nothing_is_proven_when_the_issuers_certificate_is_no_help(
    ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    ca.publish(issuer_key)
    strange, _ = self_signed(ed25519.Ed25519PrivateKey.generate())
    other = x509.load_pem_x509_certificate(strange).public_bytes(DER)

    with pytest.raises(Unavailable, match="certificate cannot be read"):
        proof(Altered(publication, certificate=b"nonsense"), issuer_key)
    with pytest.raises(Unavailable, match="CRL"):
        proof(Altered(publication, certificate=other), issuer_key)


class Altered:
    """A publication of which some part is another's."""

    def __init__(
        self,
        inner: Publication,
        *,
        ocsp_answer: bytes | None = None,
        crl: bytes = b"",
        certificate: bytes = b"",
    ) -> None:
        self._inner = inner
        self._answer = ocsp_answer
        self._crl = crl
        self._certificate = certificate

    def issuer_certificate(self, issuer_key: str) -> bytes:
        return self._certificate or self._inner.issuer_certificate(issuer_key)

    def read_crls(self, issuer_key: str) -> Iterator[bytes]:
        yield from [self._crl] if self._crl else self._inner.read_crls(issuer_key)

    def has_ocsp(self, issuer_key: str) -> bool:
        return self._inner.has_ocsp(issuer_key)

    def ask_ocsp(self, issuer_key: str, serials: Sequence[int]) -> Iterator[bytes]:
        for found in self._inner.ask_ocsp(issuer_key, serials):
            yield found if self._answer is None else self._answer


def test_a_wrong_reason_is_published_and_said_when_the_ca_had_another(
    ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    list(ca.revoke([request(issuer_key, reason=Reason.KEY_COMPROMISE)]))
    ca.publish(issuer_key)

    found = proof(publication, issuer_key)

    assert [entry.reason for entry in found.published] == [1]
    assert found.wrong_reason == (1,)


def test_it_is_not_published_when_ocsp_calls_it_good(
    ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    (answer,) = list(publication.ask_ocsp(issuer_key, [1]))
    list(ca.revoke([request(issuer_key)]))
    ca.publish(issuer_key)

    found = proof(Altered(publication, ocsp_answer=answer), issuer_key)
    refused = ocsp.OCSPResponseBuilder.build_unsuccessful(
        ocsp.OCSPResponseStatus.TRY_LATER
    ).public_bytes(DER)
    silent = proof(Altered(publication, ocsp_answer=refused), issuer_key)

    assert (found.published, found.ocsp_disagrees) == ((), (1,))
    assert (silent.published, silent.ocsp_disagrees) == ((), (1,))
    assert (found.ocsp_answers, silent.ocsp_answers) == (1, 0)


def test_it_is_told_apart_when_ocsp_knows_and_the_crl_does_not(
    ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    ca.publish(issuer_key)
    list(ca.revoke([request(issuer_key)]))

    found = proof(publication, issuer_key)
    silent = proof(Altered(publication, ocsp_answer=b"nonsense"), issuer_key)

    assert (found.published, found.ocsp_only, found.missing) == ((), (1,), ())
    # What hangs where is for people: an OCSP that fails holds up no proof.
    assert (silent.published, silent.ocsp_only, silent.missing) == ((), (), (1,))


def test_a_reason_that_only_ocsp_has_wrong_is_said(
    ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str, directory: Path
) -> None:
    list(ca.revoke([request(issuer_key)]))
    ca.publish(issuer_key)
    with sqlite3.connect(directory / "ca.sqlite") as database:
        database.execute("UPDATE revoked SET reason = 1")

    found = proof(publication, issuer_key)

    assert [entry.reason for entry in found.published] == [1]
    assert found.wrong_reason == (1,)


def test_nothing_is_proven_when_an_ocsp_answer_is_not_what_it_should_be(
    directory: Path, ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    other = create_issuer(directory, name="Test CA R2", now=LAUNCH)
    list(ca.revoke([request(issuer_key), request(other)]))
    ca.publish(issuer_key)
    (of_another_issuer,) = publication.ask_ocsp(other, [1])
    (of_another_serial,) = publication.ask_ocsp(issuer_key, [2])
    signed_by_a_stranger = delegated_answer(
        directory, issuer_key, serial=1, signed_by=issuer_key, usage=None
    )
    for answer, sentence in (
        (of_another_issuer, "not signed"),
        (of_another_serial, "another certificate"),
        (signed_by_a_stranger, "not signed"),
        (b"nonsense", "cannot be read"),
    ):
        with pytest.raises(Unavailable, match=sentence):
            proof(Altered(publication, ocsp_answer=answer), issuer_key)


def test_an_ocsp_answer_counts_when_a_delegated_responder_signed_it(
    directory: Path, ca: EmbeddedCa, publication: EmbeddedPublication, issuer_key: str
) -> None:
    other = create_issuer(directory, name="Test CA R2", now=LAUNCH)
    list(ca.revoke([request(issuer_key)]))
    ca.publish(issuer_key)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
    answer = delegated_answer(
        directory, issuer_key, serial=1, signed_by=issuer_key, usage=usage
    )
    from_elsewhere = delegated_answer(
        directory, issuer_key, serial=1, signed_by=other, usage=usage
    )

    found = proof(Altered(publication, ocsp_answer=answer), issuer_key)

    assert [entry.certificate_id for entry in found.published] == [1]
    with pytest.raises(Unavailable, match="not signed"):
        proof(Altered(publication, ocsp_answer=from_elsewhere), issuer_key)


def test_a_crl_with_many_entries_reads_back_as_it_was_written(
    directory: Path, issuer_key: str, publication: EmbeddedPublication
) -> None:
    certificate = x509.load_der_x509_certificate(
        publication.issuer_certificate(issuer_key)
    )
    reasons = [int(reason) for reason in Reason]
    after_2050 = 2_600_000_000
    entries = [
        CrlEntry(serial_octets(serial), after_2050 * (serial % 2), reasons[serial % 6])
        for serial in range(1, 20_001)
    ]

    der = write_crl(
        certificate,
        signing_key(directory, issuer_key),
        number=7,
        this_update=LAUNCH,
        next_update=LAUNCH + timedelta(days=1),
        entries=entries,
    )

    found = proof(Altered(publication, crl=der), issuer_key)
    assert found.crl_entries == 20_000
    assert found.crl_number == 7
    assert sum(1 for _ in x509.load_der_x509_crl(der)) == 20_000


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs Debian's openssl")
def test_openssl_accepts_crl_and_ocsp(
    tmp_path: Path,
    directory: Path,
    ca: EmbeddedCa,
    publication: EmbeddedPublication,
    issuer_key: str,
) -> None:
    revoked = [
        request(issuer_key, 0xABC, Reason.SUPERSEDED),
        request(issuer_key, 0xDEF, Reason.UNSPECIFIED),
    ]
    list(ca.revoke(revoked))
    ca.publish(issuer_key)
    issuer = tmp_path / "issuer.pem"
    issuer.write_bytes(
        x509.load_der_x509_certificate(
            publication.issuer_certificate(issuer_key)
        ).public_bytes(PEM)
    )
    answer = tmp_path / "answer.der"
    (der,) = publication.ask_ocsp(issuer_key, [0xABC])
    answer.write_bytes(der)

    crl = openssl(
        f"crl -inform DER -in {crl_file(directory, issuer_key)} -noout -text "
        f"-CAfile {issuer}"
    )
    status = openssl(
        f"ocsp -respin {answer} -issuer {issuer} -sha256 -serial 0xABC "
        f"-CAfile {issuer} -VAfile {issuer} -resp_text "
        f"-attime {int(LAUNCH.timestamp())}"
    )

    assert "verify OK" in crl
    assert "Serial Number: 0ABC" in crl
    assert crl.count("X509v3 CRL Reason Code") == 1
    assert "Superseded" in crl
    assert "Response verify OK" in status
    assert "Cert Status: revoked" in status
    assert "Revocation Reason: superseded" in status


def openssl(arguments: str) -> str:
    done = subprocess.run(
        ["openssl", *arguments.split()],  # noqa: S607 - whichever is installed
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def request(
    issuer_key: str, serial: int = 1, reason: Reason = Reason.SUPERSEDED
) -> RevocationRequest:
    return RevocationRequest(
        certificate_id=CertificateId(serial),
        issuer_key=issuer_key,
        serial=serial,
        reason=reason,
    )


def proof(publication: Publication, issuer_key: str, **later: int) -> ProofOfIssuer:
    return prove(
        publication,
        issuer_key=issuer_key,
        wanted=[
            Wanted(certificate_id=CertificateId(1), serial=1, reason=Reason.SUPERSEDED)
        ],
        now=LAUNCH + timedelta(**later),
    )


def self_signed(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
) -> tuple[bytes, bytes]:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA R1")])
    is_edwards = isinstance(key, ed25519.Ed25519PrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(LAUNCH)
        .not_valid_after(LAUNCH + timedelta(days=1))
        .sign(key, None if is_edwards else hashes.SHA256())
    )
    return certificate.public_bytes(PEM), key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def delegated_answer(
    directory: Path,
    issuer_key: str,
    *,
    serial: int,
    signed_by: str,
    usage: x509.ExtendedKeyUsage | None,
) -> bytes:
    """Make an answer by a responder that ``signed_by`` certified."""
    clock = SteppedClock(LAUNCH)
    publication = EmbeddedPublication(directory, clock=clock)
    issuer = x509.load_der_x509_certificate(publication.issuer_certificate(issuer_key))
    signer = x509.load_der_x509_certificate(publication.issuer_certificate(signed_by))
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "OCSP")]))
        .issuer_name(signer.subject)
        .public_key(key.public_key())
        .serial_number(99)
        .not_valid_before(LAUNCH)
        .not_valid_after(LAUNCH + timedelta(days=1))
    )
    if usage is not None:
        builder = builder.add_extension(usage, critical=False)
    responder = builder.sign(signing_key(directory, signed_by), hashes.SHA256())
    (der,) = publication.ask_ocsp(issuer_key, [serial])
    ours = ocsp.load_der_ocsp_response(der)
    return (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            issuer_name_hash=ours.issuer_name_hash,
            issuer_key_hash=ours.issuer_key_hash,
            serial_number=serial,
            algorithm=hashes.SHA256(),
            cert_status=ocsp.OCSPCertStatus.REVOKED,
            this_update=LAUNCH,
            next_update=LAUNCH + timedelta(days=1),
            revocation_time=LAUNCH,
            revocation_reason=x509.ReasonFlags.superseded,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
        .certificates([responder, issuer])
        .sign(key, hashes.SHA256())
        .public_bytes(DER)
    )
