"""The tests that every CA backend passes; derive from them to test your own."""

# ruff: noqa: S101, D102 - these are tests: the names say what must hold.

from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography import x509

from models.terms import CertificateId, Reason
from tocsin.ca.backend import (
    AnswerKind,
    CaBackend,
    Publication,
    RevocationAnswer,
    RevocationRequest,
    StatusKind,
)
from tocsin.ca.proof import Wanted, prove
from tocsin.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """
    A backend under test.

    Args:
        backend: The backend.
        publication: Reads what its CA publishes; None where it publishes nothing.
        clock: The clock that both use.
        issuer_key: An issuer that the CA has.
        new_serial: Returns the serial of another certificate that can be revoked.
        unissued_serial: Returns a serial that the CA never issued; called only where
            the backend says that it checks.
        certificate_of: Returns the certificate with a serial, DER, for a backend that
            needs it.

    """

    backend: CaBackend
    publication: Publication | None
    clock: Clock
    issuer_key: str
    new_serial: Callable[[], int]
    unissued_serial: Callable[[], int]
    certificate_of: Callable[[int], bytes | None] = lambda _: None

    @property
    def tells_status(self) -> bool:
        """Whether a look-up tells what is revoked."""
        return self.backend.capabilities.tells_status


class BackendContract:
    """
    What Tocsin relies on.

    Derive a class whose name begins with ``Test`` and give it, or its module, a pytest
    fixture ``subject`` that returns a ``Subject``.
    """

    def test_every_request_is_answered_once_and_in_order(
        self, subject: Subject
    ) -> None:
        requests = [_request(subject, number) for number in range(5)]

        answers = list(subject.backend.revoke(requests))

        assert [answer.certificate_id for answer in answers] == list(range(5))
        assert {answer.kind for answer in answers} == {AnswerKind.DONE}

    def test_nothing_is_answered_when_nothing_is_asked(self, subject: Subject) -> None:
        assert list(subject.backend.revoke([])) == []
        assert list(subject.backend.look_up([])) == []

    def test_no_more_requests_are_sent_than_at_once_before_an_answer_is_given(
        self, subject: Subject
    ) -> None:
        if not subject.tells_status:
            return  # this CA tells no status
        at_once = subject.backend.capabilities.at_once
        requests = [_request(subject, number) for number in range(at_once + 1)]
        answers = iter(subject.backend.revoke(requests))

        next(answers)

        first, *_, last = subject.backend.look_up(requests)
        assert first.kind is StatusKind.REVOKED
        assert last.kind is not StatusKind.REVOKED
        list(answers)

    def test_the_first_revocation_stays_when_it_is_repeated(
        self, subject: Subject
    ) -> None:
        if not subject.backend.capabilities.safe_to_repeat:
            return  # this CA is not asked again before it was looked up
        serial = subject.new_serial()
        first = _revoke(subject, serial, Reason.SUPERSEDED)

        second = _revoke(subject, serial, Reason.KEY_COMPROMISE)

        assert first.kind is AnswerKind.DONE
        assert second.kind is AnswerKind.ALREADY
        assert second.revoked_at == first.revoked_at
        assert second.reason == first.reason

    def test_a_look_up_shows_the_first_revocation_when_it_must_not_be_repeated(
        self, subject: Subject
    ) -> None:
        if subject.backend.capabilities.safe_to_repeat:
            return  # this CA may be asked again
        request = _request(subject, 1)
        answer = _only(subject, request)
        subject.backend.publish(subject.issuer_key)

        first, second = subject.backend.look_up([request] * 2)

        assert answer.kind is AnswerKind.DONE
        assert first == second
        assert first.kind is StatusKind.REVOKED

    def test_a_revocation_time_has_a_zone_and_lies_in_the_past(
        self, subject: Subject
    ) -> None:
        answer = _revoke(subject, subject.new_serial(), Reason.SUPERSEDED)

        if answer.revoked_at is None:
            return  # this CA does not say when it revoked
        assert answer.revoked_at.tzinfo is not None
        assert answer.revoked_at <= subject.clock.now()

    def test_a_look_up_changes_nothing(self, subject: Subject) -> None:
        request = _request(subject, 1)

        before = [status.kind for status in subject.backend.look_up([request] * 2)]

        assert StatusKind.REVOKED not in before
        assert _only(subject, request).kind is AnswerKind.DONE

    def test_a_look_up_tells_reason_and_time_of_a_revocation(
        self, subject: Subject
    ) -> None:
        if not subject.tells_status:
            return  # this CA tells no status
        request = _request(subject, 1)
        answer = _only(subject, request)

        (status,) = subject.backend.look_up([request])

        assert status.certificate_id == request.certificate_id
        assert status.kind is StatusKind.REVOKED
        assert answer.revoked_at in (None, status.revoked_at)
        if request.reason in subject.backend.capabilities.keeps_reasons:
            assert status.reason is request.reason

    def test_an_unknown_issuer_is_an_answer_and_holds_up_nobody(
        self, subject: Subject
    ) -> None:
        stranger = replace(_request(subject, 1), issuer_key="00" * 32)
        known = _request(subject, 2)

        answers = list(subject.backend.revoke([stranger, known]))

        assert [answer.kind for answer in answers] == [
            AnswerKind.UNKNOWN,
            AnswerKind.DONE,
        ]
        assert not subject.backend.knows_issuer(stranger.issuer_key)
        assert subject.backend.knows_issuer(subject.issuer_key)

    def test_an_unissued_serial_is_unknown_when_the_backend_checks(
        self, subject: Subject
    ) -> None:
        if not subject.backend.capabilities.checks_unknown:
            return  # this CA does not check

        answer = _revoke(subject, subject.unissued_serial(), Reason.SUPERSEDED)

        assert answer.kind is AnswerKind.UNKNOWN

    def test_every_reason_it_claims_to_keep_reaches_crl_and_ocsp(
        self, subject: Subject
    ) -> None:
        if subject.publication is None:
            return  # this CA publishes nothing
        reasons = sorted(subject.backend.capabilities.keeps_reasons)
        requests = [_request(subject, int(reason), reason) for reason in reasons]
        list(subject.backend.revoke(requests))
        subject.backend.publish(subject.issuer_key)

        proof = prove(
            subject.publication,
            issuer_key=subject.issuer_key,
            wanted=[_wanted(request) for request in requests],
            now=subject.clock.now(),
        )

        assert {found.certificate_id: found.reason for found in proof.published} == {
            int(reason): int(reason) for reason in reasons
        }
        assert proof.wrong_reason == ()

    def test_an_unspecified_reason_is_published_by_saying_nothing(
        self, subject: Subject
    ) -> None:
        if subject.publication is None:
            return  # this CA publishes nothing
        # TLS BR 7.2.2: reason 0 is the absence of the extension.
        serial = subject.new_serial()
        _revoke(subject, serial, Reason.UNSPECIFIED)
        subject.backend.publish(subject.issuer_key)

        entry = _crl(subject).get_revoked_certificate_by_serial_number(serial)

        assert entry is not None
        assert not list(entry.extensions)

    def test_what_was_not_revoked_is_not_proven(self, subject: Subject) -> None:
        if subject.publication is None:
            return  # this CA publishes nothing
        revoked, spared = _request(subject, 1), _request(subject, 2)
        list(subject.backend.revoke([revoked]))
        subject.backend.publish(subject.issuer_key)

        proof = prove(
            subject.publication,
            issuer_key=subject.issuer_key,
            wanted=[_wanted(revoked), _wanted(spared)],
            now=subject.clock.now(),
        )

        assert [found.certificate_id for found in proof.published] == [1]
        assert proof.missing == (2,)

    def test_crl_numbers_rise(self, subject: Subject) -> None:
        if subject.publication is None:
            return  # this CA publishes nothing
        numbers: list[int] = []
        for _ in range(3):
            _revoke(subject, subject.new_serial(), Reason.SUPERSEDED)
            subject.backend.publish(subject.issuer_key)
            # A CRL without a number is the CA's fault, and no reason not to revoke.
            numbers += [
                extension.value.crl_number
                for extension in _crl(subject).extensions
                if isinstance(extension.value, x509.CRLNumber)
            ]

        assert numbers == sorted(set(numbers))

    def test_a_crl_is_published_when_nothing_is_revoked(self, subject: Subject) -> None:
        if subject.publication is None:
            return  # this CA publishes nothing
        subject.backend.publish(subject.issuer_key)

        assert _crl(subject).issuer is not None


def _request(
    subject: Subject, certificate: int, reason: Reason = Reason.SUPERSEDED
) -> RevocationRequest:
    return _request_for(subject, certificate, subject.new_serial(), reason)


def _request_for(
    subject: Subject, certificate: int, serial: int, reason: Reason
) -> RevocationRequest:
    return RevocationRequest(
        certificate_id=CertificateId(certificate),
        issuer_key=subject.issuer_key,
        serial=serial,
        reason=reason,
        certificate=subject.certificate_of(serial),
    )


def _revoke(subject: Subject, serial: int, reason: Reason) -> RevocationAnswer:
    return _only(subject, _request_for(subject, 1, serial, reason))


def _only(subject: Subject, request: RevocationRequest) -> RevocationAnswer:
    (answer,) = subject.backend.revoke([request])
    return answer


def _wanted(request: RevocationRequest) -> Wanted:
    return Wanted(
        certificate_id=request.certificate_id,
        serial=request.serial,
        reason=request.reason,
    )


def _crl(subject: Subject) -> x509.CertificateRevocationList:
    assert subject.publication is not None
    der, *_ = subject.publication.read_crls(subject.issuer_key)
    return x509.load_der_x509_crl(der)
