"""What a CA publishes, read from files and over HTTP, whole and in shards."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from fakes.authority import DER, PEM, Authority, new_authority
from fakes.web_ca import Asked, Said, WebCa, serve

from models.terms import CertificateId, Reason
from tocsin.ca.proof import Wanted, prove, published_revocations
from tocsin.ca.transport.published import PublishedAt, PublishedPlaces
from tocsin.clock import SystemClock
from tocsin.errors import Unavailable

SHARDS = ("http://crl.example/0.crl", "http://crl.example/1.crl")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


def crl(authority: Authority, *serials: int, url: str | None = None) -> bytes:
    """Sign a CRL, or the shard that says where it is published."""
    now = SystemClock().now()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - timedelta(minutes=1))
        .next_update(now + timedelta(days=1))
        .add_extension(x509.CRLNumber(7), critical=False)
    )
    if url:
        builder = builder.add_extension(
            x509.IssuingDistributionPoint(
                full_name=[x509.UniformResourceIdentifier(url)],
                relative_name=None,
                only_contains_user_certs=True,
                only_contains_ca_certs=False,
                only_some_reasons=None,
                indirect_crl=False,
                only_contains_attribute_certs=False,
            ),
            critical=True,
        )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(
            entry.revocation_date(now)
            .add_extension(x509.CRLReason(x509.ReasonFlags.superseded), critical=False)
            .build()
        )
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(DER)


def places(authority: Authority, *crls: object) -> PublishedPlaces:
    place = PublishedAt(
        certificate=authority.certificate, crls=tuple(str(each) for each in crls)
    )
    return PublishedPlaces({authority.issuer_key: place}, timeout=5)


def wanted(number: int, *urls: str) -> Wanted:
    return Wanted(
        certificate_id=CertificateId(number),
        serial=number,
        reason=Reason.SUPERSEDED,
        crl_urls=frozenset(urls),
    )


@pytest.fixture
def shards(authority: Authority, tmp_path: Path) -> PublishedPlaces:
    files = []
    for number, url in enumerate(SHARDS):
        file = tmp_path / f"{number}.crl"
        file.write_bytes(crl(authority, 10 + number, 20 + number, url=url))
        files.append(file)
    return places(authority, *files)


def test_all_shards_together_are_the_proof(
    authority: Authority, shards: PublishedPlaces
) -> None:
    proof = prove(
        shards,
        issuer_key=authority.issuer_key,
        wanted=[wanted(10, SHARDS[0]), wanted(21, SHARDS[1]), wanted(99)],
        now=SystemClock().now(),
    )

    assert [found.certificate_id for found in proof.published] == [10, 21]
    assert proof.missing == (99,)
    assert (proof.crl_entries, proof.crl_number) == (4, None)
    assert proof.ocsp_answers == 0


def test_a_certificate_in_another_shard_than_it_names_is_not_published(
    authority: Authority, shards: PublishedPlaces
) -> None:
    # RFC 5280 section 6.3.3 (b)(2)(i): whoever checks it reads the other one.
    proof = prove(
        shards,
        issuer_key=authority.issuer_key,
        wanted=[wanted(10, SHARDS[1]), wanted(20)],
        now=SystemClock().now(),
    )

    assert [found.certificate_id for found in proof.published] == [20]
    assert proof.missing == (10,)


def test_nothing_is_proven_when_one_shard_cannot_be_read(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "0.crl").write_bytes(crl(authority, 1))
    publication = places(authority, tmp_path / "0.crl", tmp_path / "gone.crl")

    with pytest.raises(Unavailable, match=r"gone\.crl cannot be read"):
        prove(
            publication,
            issuer_key=authority.issuer_key,
            wanted=[wanted(1)],
            now=SystemClock().now(),
        )


@pytest.mark.parametrize("form", ["der", "pem", "base64"])
def test_a_crl_is_read_in_whatever_form_it_is_published(
    authority: Authority, tmp_path: Path, form: str
) -> None:
    der = crl(authority, 5)
    content = {
        "der": der,
        "pem": x509.load_der_x509_crl(der).public_bytes(PEM),
        "base64": base64.encodebytes(der),
    }[form]
    (tmp_path / "ca.crl").write_bytes(content)

    assert list(
        places(authority, tmp_path / "ca.crl").read_crls(authority.issuer_key)
    ) == [der]


@pytest.fixture
def web(authority: Authority, tmp_path: Path) -> Iterator[str]:
    pem = x509.load_der_x509_crl(crl(authority, 5)).public_bytes(PEM).decode()

    def answer(asked: Asked) -> Said:
        if asked.path == "/ca.crl":
            return Said(200, pem)
        return Said(404, "gone")

    with serve(WebCa(folder=tmp_path, issuer_key=""), answer) as url:
        yield url


def test_a_crl_is_read_over_http(authority: Authority, web: str) -> None:
    found = published_revocations(
        places(authority, f"{web}/ca.crl"),
        issuer_key=authority.issuer_key,
        serials=[5, 6],
    )

    assert {serial: reason for serial, (_, reason) in found.items()} == {5: 4}


def test_a_crl_that_is_not_there_and_a_responder_that_answers_pages_are_unavailable(
    authority: Authority, web: str
) -> None:
    place = PublishedAt(
        certificate=authority.certificate, crls=(f"{web}/x.crl",), ocsp=f"{web}/ocsp"
    )
    publication = PublishedPlaces({authority.issuer_key: place}, timeout=5)

    with pytest.raises(Unavailable, match="HTTP 404"):
        list(publication.read_crls(authority.issuer_key))
    with pytest.raises(Unavailable, match="responder answers HTTP 404"):
        list(publication.ask_ocsp(authority.issuer_key, [1]))
    with pytest.raises(Unavailable, match="not configured"):
        list(publication.read_crls("other"))


def test_the_crl_of_another_key_is_not_believed(
    authority: Authority, tmp_path: Path
) -> None:
    impostor = new_authority()
    (tmp_path / "ca.crl").write_bytes(crl(impostor, 5))

    with pytest.raises(Unavailable, match="not signed by the issuer"):
        published_revocations(
            places(authority, tmp_path / "ca.crl"),
            issuer_key=authority.issuer_key,
            serials=[5],
        )
