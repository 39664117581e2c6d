"""
CAs that cannot run here: never tried against the vendor.

A local server behaves as their documents or sources say (see ``fakes.vendors``):

- EJBCA: github.com/Keyfactor/ejbca-ce, CertificateRestResource.java,
  ExceptionHandler.java, RevocationReasons.java.
- Dogtag: github.com/dogtagpki/pki, AgentCertServlet.java, RevocationProcessor.java,
  CertData.java, CertRevokeRequest in cert.py.
- step-ca: github.com/smallstep/certificates, api/revoke.go, authority/tls.go.
- DigiCert: dev.digicert.com, "Revoke certificate", "Rate limits".
- Sectigo: docs.sectigo.com/sps/auto-revoke-ssl/request.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakes import vendors
from fakes.authority import PEM
from fakes.requests import request_for
from fakes.web_ca import Said, WebCa, serve, web_ca

from models.terms import Reason
from tocsin.ca.backend import AnswerKind, CaBackend, Probing, Publication, StatusKind
from tocsin.ca.contract import BackendContract, Subject
from tocsin.ca.factory import find_backend
from tocsin.ca.options import read_options
from tocsin.clock import SystemClock
from tocsin.errors import BadInput, Unavailable

pytestmark = pytest.mark.server

PENDING, REFUSED = AnswerKind.PENDING_APPROVAL, AnswerKind.REFUSED
RETRY, FATAL = AnswerKind.RETRY, AnswerKind.FATAL
ALREADY, UNKNOWN, DONE = AnswerKind.ALREADY, AnswerKind.UNKNOWN, AnswerKind.DONE


@dataclass
class Vendor:
    """A backend, and the local server that it takes for its CA."""

    name: str
    ca: WebCa
    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def open(self, **ca: Any) -> tuple[CaBackend, Publication]:
        kind = find_backend(self.name)
        file = self.ca.options(self.url, **(self.options | {"at_once": 1} | ca))
        return kind.open(read_options(file, kind))

    def revoke(
        self, *instead: Said, serial: int | None = None, **ca: Any
    ) -> tuple[AnswerKind, str]:
        """Revoke a new certificate, the server answering this instead."""
        self.ca.instead += instead
        request = request_for(
            self.ca.issuer_key, self.ca.new_serial() if serial is None else serial
        )
        (answer,) = self.open(**ca)[0].revoke([request])
        return answer.kind, answer.detail


@pytest.fixture
def store(tmp_path: Path) -> WebCa:
    return web_ca(tmp_path / "ca")


def start(name: str, store: WebCa) -> Iterator[Vendor]:
    options: dict[str, Any] = {}
    path = ""
    match name:
        case "ejbca":
            answer, path = vendors.ejbca(store), "/ejbca/ejbca-rest-api"
        case "dogtag":
            answer = vendors.dogtag(store)
        case "digicert":
            answer, options = vendors.digicert(store), {"api_key_file": "secret"}
        case "sectigo":
            answer = vendors.sectigo(store)
            options = {"login_name": "tocsin", "password_file": "secret"}
        case _:
            key = ec.generate_private_key(ec.SECP256R1())
            (store.folder / "provisioner.pem").write_bytes(
                key.private_bytes(
                    PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
            answer = vendors.step_ca(store, key.public_key())
            options = {
                "provisioner": "revoker",
                "provisioner_key_file": "provisioner.pem",
            }
    with serve(store, answer) as url:
        yield Vendor(name=name, ca=store, url=f"{url}{path}", options=options)


NAMES = ["ejbca", "dogtag", "step-ca", "digicert", "sectigo"]


@pytest.fixture(params=NAMES)
def any_vendor(request: pytest.FixtureRequest, store: WebCa) -> Iterator[Vendor]:
    yield from start(request.param, store)


@pytest.fixture
def ejbca(store: WebCa) -> Iterator[Vendor]:
    yield from start("ejbca", store)


@pytest.fixture
def dogtag(store: WebCa) -> Iterator[Vendor]:
    yield from start("dogtag", store)


@pytest.fixture
def step_ca(store: WebCa) -> Iterator[Vendor]:
    yield from start("step-ca", store)


@pytest.fixture
def digicert(store: WebCa) -> Iterator[Vendor]:
    yield from start("digicert", store)


@pytest.fixture
def sectigo(store: WebCa) -> Iterator[Vendor]:
    yield from start("sectigo", store)


class TestVendors(BackendContract):
    @pytest.fixture
    def subject(self, any_vendor: Vendor) -> Subject:
        backend, publication = any_vendor.open()
        return Subject(
            backend=backend,
            publication=publication,
            clock=SystemClock(),
            issuer_key=any_vendor.ca.issuer_key,
            new_serial=any_vendor.ca.new_serial,
            unissued_serial=lambda: 0xDEADBEEF,
        )


@pytest.mark.parametrize("status", [429, 503])
def test_everything_waits_when_the_server_is_busy(
    any_vendor: Vendor, status: int
) -> None:
    kind, _ = any_vendor.revoke(Said(status, "later", {"Retry-After": "0"}))

    assert kind is RETRY


def test_one_error_of_the_server_is_asked_again(any_vendor: Vendor) -> None:
    kind, detail = any_vendor.revoke(Said(500, "Internal Server Error"))

    assert kind is RETRY
    assert "500" in detail


def test_a_page_of_something_else_is_no_answer(any_vendor: Vendor) -> None:
    # A gateway's page, with the status of success.
    kind, _ = any_vendor.revoke(Said(200, "<html>Welcome</html>"))

    assert kind in {RETRY, PENDING}
    assert kind is not DONE


def test_wrong_credentials_are_fatal(any_vendor: Vendor) -> None:
    kind, _ = any_vendor.revoke(Said(401, "who are you?"))

    assert kind is FATAL


def test_a_certificate_that_others_revoked_keeps_its_reason(
    any_vendor: Vendor,
) -> None:
    serial = any_vendor.ca.new_serial()
    any_vendor.ca.revoke(serial, Reason.KEY_COMPROMISE)

    kind, _ = any_vendor.revoke(serial=serial)

    assert kind is ALREADY
    assert any_vendor.ca.status(serial)[2] is Reason.KEY_COMPROMISE


def test_a_look_up_finds_what_is_published_when_the_ca_tells_no_status(
    any_vendor: Vendor,
) -> None:
    revoked, other = any_vendor.ca.new_serial(), any_vendor.ca.new_serial()
    any_vendor.ca.revoke(revoked, Reason.SUPERSEDED)
    key = any_vendor.ca.issuer_key

    found, good = any_vendor.open()[0].look_up(
        [request_for(key, revoked), request_for(key, other)]
    )

    assert (found.kind, found.reason) == (StatusKind.REVOKED, Reason.SUPERSEDED)
    assert good.kind is not StatusKind.REVOKED


def test_no_secret_is_in_an_answer(any_vendor: Vendor) -> None:
    for said in (Said(500, "oops"), Said(401, "no"), Said(200, "<html>")):
        _, detail = any_vendor.revoke(said)
        assert "sesame" not in detail


def test_ejbca_waits_for_an_approval_and_is_not_revoked(ejbca: Vendor) -> None:
    error = {"error_code": 409, "error_message": "An approval request exists already"}

    first = ejbca.revoke(Said(202, {"message": "waiting for approval"}))
    again = ejbca.revoke(Said(409, error))

    assert first[0] is PENDING
    assert again == (PENDING, "An approval request exists already")


@pytest.mark.parametrize("status", [400, 422])
def test_ejbca_refuses_with_its_words(ejbca: Vendor, status: int) -> None:
    said = {"error_code": status, "error_message": "Backdating is not allowed"}

    assert ejbca.revoke(Said(status, said)) == (REFUSED, "Backdating is not allowed")


def test_ejbca_is_away_when_its_key_is_offline(ejbca: Vendor) -> None:
    said = {"error_code": 503, "error_message": "Crypto token is offline"}

    kind, detail = ejbca.revoke(Said(503, said))

    assert kind is RETRY
    assert "Crypto token is offline" in detail


def test_ejbca_is_called_with_the_name_it_is_given_and_a_token(ejbca: Vendor) -> None:
    ejbca.revoke(token_file="secret")  # noqa: S106 - the name of a file

    (asked,) = ejbca.ca.asked
    assert asked.headers["Authorization"] == "Bearer open sesame"
    assert "/CN%3DWeb%20CA%2CO%3DExample/" in asked.path
    assert asked.path.endswith("/revoke?reason=SUPERSEDED")


def test_dogtag_waits_for_an_approval_and_is_not_revoked(dogtag: Vendor) -> None:
    serial = dogtag.ca.new_serial()
    record = Said(200, {"Status": "VALID", "Nonce": 1})
    pending = Said(200, {"requestStatus": "pending", "operationResult": "success"})
    failed = Said(200, {"requestStatus": "complete", "operationResult": "error"})

    assert dogtag.revoke(record, pending, serial=serial)[0] is PENDING
    assert dogtag.revoke(record, failed, serial=serial)[0] is REFUSED


def test_dogtag_refuses_a_wrong_nonce(dogtag: Vendor) -> None:
    kind, detail = dogtag.revoke(Said(200, {"Status": "VALID", "Nonce": 1}))

    assert (kind, detail) == (REFUSED, "Nonce value is missing or invalid")


def test_dogtag_is_sent_only_words_that_it_knows(dogtag: Vendor) -> None:
    # Any other it would take for Unspecified, and say "success".
    backend, _ = dogtag.open()
    for reason in Reason:
        serial = dogtag.ca.new_serial()
        list(backend.revoke([request_for(dogtag.ca.issuer_key, serial, reason=reason)]))
        assert dogtag.ca.status(serial)[2] is reason


def test_step_ca_is_sent_a_token_of_its_own_for_each_serial(step_ca: Vendor) -> None:
    backend, _ = step_ca.open()
    key = step_ca.ca.issuer_key
    requests = [request_for(key, step_ca.ca.new_serial()) for _ in range(3)]

    kinds = [answer.kind for answer in backend.revoke(requests)]

    assert kinds == [DONE] * 3
    assert len({asked.data["ott"] for asked in step_ca.ca.asked}) == 3
    assert all(asked.data["serial"].isdecimal() for asked in step_ca.ca.asked)


def test_step_ca_does_not_notice_a_serial_that_is_not_its_own(step_ca: Vendor) -> None:
    backend, _ = step_ca.open()

    assert not backend.capabilities.checks_unknown


def test_step_ca_is_probed_without_a_revocation(step_ca: Vendor) -> None:
    backend, _ = step_ca.open()
    assert isinstance(backend, Probing)

    assert "it is well" in backend.probe(step_ca.ca.issuer_key)
    assert [asked.path for asked in step_ca.ca.asked] == ["/health"]
    step_ca.ca.instead.append(Said(200, {"status": "starting"}))
    with pytest.raises(Unavailable, match="starting"):
        backend.probe(step_ca.ca.issuer_key)


def test_step_cas_key_is_checked_at_the_start(step_ca: Vendor) -> None:
    (step_ca.ca.folder / "provisioner.pem").write_text("nothing")

    with pytest.raises(BadInput, match=r"provisioner\.pem: no RSA or EC key"):
        step_ca.open()


@pytest.mark.parametrize(
    ("filed", "kind"),
    [("pending", PENDING), ("submitted", PENDING), ("rejected", REFUSED)],
)
def test_digicert_files_a_request_that_revokes_nothing_yet(
    digicert: Vendor, filed: str, kind: AnswerKind
) -> None:
    said = Said(201, {"id": 7, "type": "revoke", "status": filed})

    assert digicert.revoke(said) == (kind, f"CertCentral filed a request: {filed}")


def test_digicert_slows_down_when_told(digicert: Vendor) -> None:
    error = {"errors": [{"code": "request_limit_exceeded", "message": "slow down"}]}

    kind, detail = digicert.revoke(Said(429, error, {"Retry-After": "0"}))

    assert kind is RETRY
    assert "request_limit_exceeded" in detail


def test_digicerts_limits_are_kept_without_being_named(digicert: Vendor) -> None:
    able = digicert.open()[0].capabilities

    assert {(limit.calls, limit.seconds) for limit in able.limits} == {
        (1000, 300),
        (100, 5),
    }
    assert able.rate_per_second == 3


def test_digicerts_key_must_be_an_administrators(digicert: Vendor) -> None:
    backend, _ = digicert.open()
    assert isinstance(backend, Probing)
    key = digicert.ca.issuer_key

    assert "administrator's" in backend.probe(key)
    digicert.ca.instead.append(Said(200, {"access_roles": [{"name": "Standard User"}]}))
    with pytest.raises(Unavailable, match="would wait for an approval"):
        backend.probe(key)
    digicert.ca.instead.append(Said(401, "no"))
    with pytest.raises(Unavailable, match="401"):
        backend.probe(key)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("-14\nAn unknown error occurred!", RETRY),
        ("-16\nPermission denied!", FATAL),
        ("-4\nThe value of an argument is invalid!", REFUSED),
        ("-21\nThe certificate has already been revoked!", ALREADY),
        ("-26\nThe certificate is currently being issued!", REFUSED),
        ("", RETRY),
    ],
)
def test_sectigos_first_line_is_the_answer_whatever_the_status(
    sectigo: Vendor, body: str, kind: AnswerKind
) -> None:
    assert sectigo.revoke(Said(200, body))[0] is kind


def test_sectigo_is_asked_to_revoke_and_not_to_mark_as_replaced(
    sectigo: Vendor,
) -> None:
    backend, _ = sectigo.open()
    serial = sectigo.ca.new_serial()
    request = request_for(
        sectigo.ca.issuer_key, serial, reason=Reason.PRIVILEGE_WITHDRAWN
    )

    (answer,) = backend.revoke([request])

    assert answer.kind is DONE
    # It takes no code 9: better revoked without a reason than not revoked.
    assert sectigo.ca.status(serial)[2] is Reason.UNSPECIFIED
    assert b"includeInCRL=Y" in sectigo.ca.asked[0].body


def test_sectigo_is_probed_with_its_own_test_mode(sectigo: Vendor) -> None:
    backend, _ = sectigo.open()
    assert isinstance(backend, Probing)

    assert "a test call is answered -20" in backend.probe(sectigo.ca.issuer_key)
    assert b"test=Y" in sectigo.ca.asked[0].body
    sectigo.ca.instead.append(Said(200, "-16\nPermission denied!"))
    with pytest.raises(Unavailable, match="Permission denied"):
        backend.probe(sectigo.ca.issuer_key)


def test_a_retry_after_that_is_a_date_counts_from_the_servers_own_clock(
    sectigo: Vendor,
) -> None:
    backend, _ = sectigo.open()
    sectigo.ca.instead.append(
        Said(503, "", {"Retry-After": "Wed, 01 Jan 2003 00:00:00 GMT"})
    )
    request = request_for(sectigo.ca.issuer_key, sectigo.ca.new_serial())

    (answer,) = backend.revoke([request])

    assert answer.retry_after == timedelta()
