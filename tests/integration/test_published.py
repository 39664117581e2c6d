"""What a CA publishes, read from files and over HTTP, whole and in shards."""

import base64
import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp
from fakes.authority import DER, PEM, Authority, new_authority
from fakes.web_ca import Asked, Said, WebCa, serve

from models.terms import CertificateId, Reason
from tocsin.ca.embedded import EmbeddedPublication
from tocsin.ca.issuers import all_issuers, create_issuer
from tocsin.ca.proof import Wanted, prove, published_revocations
from tocsin.ca.transport.published import PublishedAt, PublishedPlaces
from tocsin.clock import SystemClock
from tocsin.errors import Unavailable

SHARDS = ("http://crl.example/0.crl", "http://crl.example/1.crl")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


def crl(
    authority: Authority,
    *serials: int,
    url: str | None = None,
    reason: x509.ReasonFlags = x509.ReasonFlags.superseded,
    extension: x509.ExtensionType | None = None,
    issuer: x509.Name | None = None,
    **point: Any,
) -> bytes:
    """Sign a CRL, or the shard that says where it is published."""
    now = SystemClock().now()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer or authority.certificate.subject)
        .last_update(now - timedelta(minutes=1))
        .next_update(now + timedelta(days=1))
        .add_extension(x509.CRLNumber(7), critical=False)
    )
    if url or point:
        builder = builder.add_extension(
            x509.IssuingDistributionPoint(
                **{
                    "full_name": [x509.UniformResourceIdentifier(url)] if url else None,
                    "relative_name": None,
                    "only_contains_user_certs": False,
                    "only_contains_ca_certs": False,
                    "only_some_reasons": None,
                    "indirect_crl": False,
                    "only_contains_attribute_certs": False,
                }
                | point
            ),
            critical=True,
        )
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(
            entry.revocation_date(now)
            .add_extension(x509.CRLReason(reason), critical=False)
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
    assert (proof.other_crl, proof.missing) == ((10,), ())


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


# Which CRL is about which certificate


@pytest.mark.parametrize(
    "point",
    [
        {"only_contains_ca_certs": True},
        {"only_contains_attribute_certs": True},
        {"only_some_reasons": frozenset({x509.ReasonFlags.key_compromise})},
        {
            "relative_name": x509.RelativeDistinguishedName(
                [x509.NameAttribute(x509.NameOID.COMMON_NAME, "shard 1")]
            )
        },
    ],
    ids=["of CAs", "of attribute certificates", "of other reasons", "of another name"],
)
def test_a_crl_proves_nothing_of_what_it_is_not_about(
    authority: Authority, tmp_path: Path, point: dict[str, Any]
) -> None:
    (tmp_path / "ca.crl").write_bytes(crl(authority, 5, **point))

    proof = prove(
        places(authority, tmp_path / "ca.crl"),
        issuer_key=authority.issuer_key,
        wanted=[wanted(5, SHARDS[0])],
        now=SystemClock().now(),
    )

    assert (proof.published, proof.other_crl) == ((), (5,))


@pytest.mark.parametrize(
    "point",
    [
        {"only_contains_user_certs": True},
        {"only_some_reasons": frozenset({x509.ReasonFlags.superseded})},
    ],
)
def test_a_crl_proves_what_it_is_about(
    authority: Authority, tmp_path: Path, point: dict[str, Any]
) -> None:
    (tmp_path / "ca.crl").write_bytes(crl(authority, 5, **point))

    proof = prove(
        places(authority, tmp_path / "ca.crl"),
        issuer_key=authority.issuer_key,
        wanted=[wanted(5, SHARDS[0])],
        now=SystemClock().now(),
    )

    assert [found.certificate_id for found in proof.published] == [5]


def test_a_crl_that_says_too_little_or_too_much_is_not_read(
    authority: Authority, tmp_path: Path
) -> None:
    other = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Another CA")])
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    for content, why in (
        (crl(authority, 5, indirect_crl=True, url=SHARDS[0]), "indirect"),
        (crl(authority, 5, extension=unknown), r"not known: 1\.2\.3\.4"),
        (crl(authority, 5, issuer=other), "another issuer with the same key"),
    ):
        (tmp_path / "ca.crl").write_bytes(content)

        with pytest.raises(Unavailable, match=why):
            prove(
                places(authority, tmp_path / "ca.crl"),
                issuer_key=authority.issuer_key,
                wanted=[wanted(5)],
                now=SystemClock().now(),
            )


@pytest.fixture
def shops(authority: Authority, tmp_path: Path) -> Iterator[tuple[str, WebCa]]:
    """Serve shard N at /N.crl: each lists its own number, and 100 more than that."""
    store = WebCa(folder=tmp_path, issuer_key="")

    def answer(asked: Asked) -> Said:
        number = asked.path.partition("?")[0].removeprefix("/").removesuffix(".crl")
        if not number.isdecimal():
            return Said(404, "gone")
        place = f"http://{asked.headers['Host']}/{number}.crl"
        shard = crl(authority, int(number), int(number) + 100, url=place)
        return Said(200, x509.load_der_x509_crl(shard).public_bytes(PEM).decode())

    with serve(store, answer) as url:
        yield url, store


def following(authority: Authority, *crls: object) -> PublishedPlaces:
    place = PublishedAt(
        certificate=authority.certificate,
        crls=tuple(str(each) for each in crls),
        by_certificates=True,
    )
    return PublishedPlaces({authority.issuer_key: place}, timeout=5)


def test_each_certificate_is_proven_by_the_crl_that_it_names(
    authority: Authority, tmp_path: Path, shops: tuple[str, WebCa]
) -> None:
    url, store = shops
    (tmp_path / "whole.crl").write_bytes(crl(authority, 7, 1, 999))

    proof = prove(
        following(authority, tmp_path / "whole.crl"),
        issuer_key=authority.issuer_key,
        wanted=[
            wanted(1, f"{url}/1.crl"),
            wanted(101, f"{url}/1.crl"),
            wanted(2, f"{url}/2.crl", "ldap://ldap.example/2"),
            wanted(3, f"{url}/2.crl"),  # its shard does not list it
            wanted(999, f"{url}/2.crl"),  # the whole one is for those that name none
            wanted(4, f"{url}/gone.crl"),
            wanted(7),
        ],
        now=SystemClock().now(),
    )

    assert [found.certificate_id for found in proof.published] == [1, 101, 2, 7]
    assert (proof.missing, proof.other_crl) == ((3, 4), (999,))
    # Each once, however many certificates name it.
    assert [asked.path for asked in store.asked] == ["/1.crl", "/2.crl", "/gone.crl"]
    assert len(proof.unreadable) == 1
    assert "HTTP 404" in proof.unreadable[0]


def test_nothing_is_proven_when_no_crl_that_is_named_can_be_read(
    authority: Authority, shops: tuple[str, WebCa]
) -> None:
    url, _ = shops
    for place, why in (
        (f"{url}/gone.crl", "HTTP 404"),
        ("ldap://ldap.example/1", "neither HTTP nor HTTPS"),
        ("/etc/passwd", "neither HTTP nor HTTPS"),
    ):
        with pytest.raises(Unavailable, match=why):
            prove(
                following(authority),
                issuer_key=authority.issuer_key,
                wanted=[wanted(1, place)],
                now=SystemClock().now(),
            )


def test_a_crl_at_a_certificates_place_that_is_another_shards_proves_nothing(
    authority: Authority, shops: tuple[str, WebCa]
) -> None:
    # As when a CDN serves one shard under the name of another.
    url, _ = shops
    moved = wanted(1, f"{url}/1.crl?mirror")

    proof = prove(
        following(authority),
        issuer_key=authority.issuer_key,
        wanted=[moved],
        now=SystemClock().now(),
    )

    assert (proof.published, proof.other_crl) == ((), (1,))


# A responder with errors of its own


def responder(folder: Path, errors: Callable[[int], bool]) -> Any:
    """Serve OCSP that answers HTTP 500 to the calls that are named by their number."""
    key = create_issuer(folder, name="OCSP CA", now=SystemClock().now())
    inner = EmbeddedPublication(folder, clock=SystemClock())
    count = itertools.count()

    def answer(asked: Asked) -> Said:
        if errors(next(count)):
            return Said(500, "no")
        serial = ocsp.load_der_ocsp_request(asked.body).serial_number
        (der,) = inner.ask_ocsp(key, [serial])
        return Said(200, der)

    (issuer,) = all_issuers(folder)
    return key, issuer.certificate, answer


def test_an_error_of_the_responder_is_of_one_certificate_alone(
    tmp_path: Path,
) -> None:
    # Asked again twice; the seventh certificate has three errors.
    key, certificate, answer = responder(
        tmp_path / "ca", lambda call: call == 2 or 7 <= call <= 9
    )
    with serve(WebCa(folder=tmp_path, issuer_key=key), answer) as url:
        place = PublishedAt(certificate=certificate, crls=(), ocsp=f"{url}/ocsp")
        publication = PublishedPlaces({key: place}, timeout=5, at_once=1)

        statuses = [
            ocsp.load_der_ocsp_response(der).response_status
            for der in publication.ask_ocsp(key, range(1, 11))
        ]

    later = ocsp.OCSPResponseStatus.TRY_LATER
    assert [number for number, one in enumerate(statuses, 1) if one is later] == [7]


def test_a_responder_that_has_nothing_but_errors_is_left_alone(
    tmp_path: Path,
) -> None:
    key, certificate, answer = responder(tmp_path / "ca", lambda _: True)
    store = WebCa(folder=tmp_path, issuer_key=key)
    with serve(store, answer) as url:
        place = PublishedAt(certificate=certificate, crls=(), ocsp=f"{url}/ocsp")
        publication = PublishedPlaces({key: place}, timeout=5, at_once=1)

        with pytest.raises(Unavailable, match="an error for every one"):
            list(publication.ask_ocsp(key, range(1, 1000)))

    assert len(store.asked) == 9
