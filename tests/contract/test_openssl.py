"""A CA directory of `openssl ca`, with the program itself."""

import os
import subprocess
import sys
from pathlib import Path

import fakes.any_revoker
import pytest
from fakes.authority import DER, PEM
from fakes.openssl_ca import OpenSslDirectory, openssl_directory
from fakes.requests import request_for

from models.terms import Reason
from tocsin.ca.backend import AnswerKind, CaBackend, Publication, StatusKind
from tocsin.ca.backends.openssl import BACKEND, OpenSsl
from tocsin.ca.contract import BackendContract, Subject
from tocsin.ca.options import read_options
from tocsin.clock import SystemClock
from tocsin.errors import BadInput, Unavailable


@pytest.fixture
def directory(tmp_path: Path) -> OpenSslDirectory:
    return openssl_directory(tmp_path / "ca")


def opened(options: Path) -> tuple[OpenSsl, Publication]:
    return BACKEND.open(read_options(options, BACKEND))  # type: ignore[return-value]


@pytest.fixture
def ca(directory: OpenSslDirectory) -> OpenSsl:
    return opened(directory.options())[0]


class TestOpenSsl(BackendContract):
    @pytest.fixture
    def subject(self, directory: OpenSslDirectory) -> Subject:
        backend, publication = opened(directory.options())
        # One octet, a set top bit, an odd number of digits, twenty octets.
        serials = iter((0x12, 0xFF, 0x123, 2**159 - 1, *range(0x1000, 0x1100)))
        return Subject(
            backend=backend,
            publication=publication,
            clock=SystemClock(),
            issuer_key=directory.authority.issuer_key,
            new_serial=lambda: directory.issue(next(serials)),
            unissued_serial=lambda: 0xDEADBEEF,
            certificate_of=directory.certificates.get,
        )


def test_openssl_fits_the_protocols(ca: OpenSsl) -> None:
    backend: CaBackend = ca

    assert Reason.PRIVILEGE_WITHDRAWN not in backend.capabilities.keeps_reasons


def test_a_serial_that_was_never_issued_is_not_added_to_the_index(
    directory: OpenSslDirectory, ca: OpenSsl
) -> None:
    # By itself openssl adds it and revokes it, with exit code 0.
    stranger = directory.authority.issue(0xBAD)
    (directory.folder / "stranger.pem").write_bytes(stranger.public_bytes(PEM))
    directory.issue(0x1000)

    (answer,) = ca.revoke(
        [
            request_for(
                directory.authority.issuer_key,
                0xBAD,
                certificate=stranger.public_bytes(DER),
            )
        ]
    )

    assert answer.kind is AnswerKind.UNKNOWN
    assert set(directory.rows()) == {0x1000}
    assert directory.run("-revoke", "stranger.pem").returncode == 0
    assert set(directory.rows()) == {0x1000, 0xBAD}


def test_reason_and_time_stay_when_it_was_revoked_by_others_before(
    directory: OpenSslDirectory, ca: OpenSsl
) -> None:
    serial = directory.issue(name="early.example")
    (directory.folder / "early.pem").write_bytes(
        directory.authority.issue(serial, name="early.example").public_bytes(PEM)
    )
    assert (
        directory.run("-revoke", "early.pem", "-crl_reason", "keyCompromise").returncode
        == 0
    )
    row = directory.rows()[serial]

    (answer,) = ca.revoke(
        [
            request_for(
                directory.authority.issuer_key,
                serial,
                certificate=directory.certificates[serial],
            )
        ]
    )

    assert (answer.kind, answer.reason) == (
        AnswerKind.ALREADY,
        Reason.KEY_COMPROMISE,
    )
    assert directory.rows()[serial] == row


def test_only_a_serial_is_enough_when_the_ca_keeps_its_certificates(
    directory: OpenSslDirectory,
) -> None:
    serial = directory.issue(0xABC)
    kept = directory.folder / "0ABC.pem"
    kept.write_bytes(directory.authority.issue(serial).public_bytes(PEM))
    request = request_for(directory.authority.issuer_key, serial)
    without, _ = opened(directory.options())
    with_folder, _ = opened(directory.options(issuer={"new_certs_dir": "."}))

    (refused,) = without.revoke([request])
    (done,) = with_folder.revoke([request])

    assert refused.kind is AnswerKind.REFUSED
    assert "new_certs_dir" in refused.detail
    assert done.kind is AnswerKind.DONE


def test_a_reason_that_openssl_has_no_word_for_does_not_hold_up_the_revocation(
    directory: OpenSslDirectory, ca: OpenSsl
) -> None:
    serial = directory.issue()

    (answer,) = ca.revoke(
        [
            request_for(
                directory.authority.issuer_key,
                serial,
                reason=Reason.PRIVILEGE_WITHDRAWN,
                certificate=directory.certificates[serial],
            )
        ]
    )

    assert (answer.kind, answer.reason) == (AnswerKind.DONE, Reason.UNSPECIFIED)


def test_an_index_that_a_killed_openssl_left_between_two_renames_is_mended(
    directory: OpenSslDirectory, ca: OpenSsl
) -> None:
    serial = directory.issue()
    directory.index.rename(directory.folder / "index.txt.new")

    (status,) = ca.look_up([request_for(directory.authority.issuer_key, serial)])

    assert status.kind is StatusKind.GOOD
    assert serial in directory.rows()


def test_what_openssl_says_is_passed_on_when_it_fails(
    directory: OpenSslDirectory, ca: OpenSsl
) -> None:
    serial = directory.issue()
    (directory.folder / "issuer-key.pem").write_text("no key")
    request = request_for(
        directory.authority.issuer_key,
        serial,
        certificate=directory.certificates[serial],
    )

    (answer,) = ca.revoke([request])

    assert answer.kind is AnswerKind.RETRY
    assert "openssl ended with 1" in answer.detail
    assert directory.rows()[serial][0] == "V"
    with pytest.raises(Unavailable, match="openssl ended"):
        ca.publish(directory.authority.issuer_key)


def test_a_program_that_is_not_there_is_fatal(directory: OpenSslDirectory) -> None:
    serial = directory.issue()
    ca, _ = opened(directory.options(openssl="/nowhere/openssl"))
    request = request_for(
        directory.authority.issuer_key,
        serial,
        certificate=directory.certificates[serial],
    )

    (answer,) = ca.revoke([request])

    assert answer.kind is AnswerKind.FATAL


def start_revoking(
    directory: OpenSslDirectory, serials: list[int]
) -> subprocess.Popen[str]:
    for serial in serials:
        (directory.folder / str(serial)).write_bytes(directory.certificates[serial])
    return subprocess.Popen(
        [
            sys.executable,
            fakes.any_revoker.__file__,
            "openssl",
            str(directory.options()),
            str(directory.folder),
            *(str(serial) for serial in serials),
        ],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_lose_no_revocation(directory: OpenSslDirectory) -> None:
    # Of two that run openssl at once the slower overwrites the other's index.
    serials = [directory.issue(0x1000 + number) for number in range(16)]

    processes = [start_revoking(directory, serials[start::2]) for start in (0, 1)]

    said = [process.communicate(timeout=60)[0] for process in processes]
    assert said == ["done\n" * 8] * 2
    assert {row[0] for row in directory.rows().values()} == {"R"}


@pytest.mark.faults
def test_nothing_is_lost_or_changed_when_killed_at_any_moment(
    directory: OpenSslDirectory,
) -> None:
    # openssl goes on when we are killed: it holds the lock until it has ended.
    serials = [directory.issue(0x1000 + number) for number in range(40)]
    key = directory.authority.issuer_key
    seen: dict[int, list[str]] = {}
    for after in (5, 15, 25, 35, 40):
        process = start_revoking(directory, serials)
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()

        process.kill()
        process.wait()
        process.stdout.close()

        ca, _ = opened(directory.options())
        list(ca.look_up([request_for(key, serials[0])]))  # waits until openssl ended
        revoked = {s: row for s, row in directory.rows().items() if row[0] == "R"}
        assert {serial: revoked[serial] for serial in seen} == seen
        seen = revoked

    assert set(seen) == set(directory.rows()) == set(serials)


@pytest.mark.parametrize(
    ("issuer", "ca", "sentence"),
    [
        (
            {"config": "gone.cnf"},
            {},
            r"field issuer 1\.config: there is no file .*gone",
        ),
        ({"colour": "red"}, {}, r"field issuer 1\.colour: no such option; there are:"),
        ({}, {"rate_per_second": 0}, r"field ca\.rate_per_second: .*greater than 0"),
        ({}, {"at_once": 2}, r"field ca\.at_once: .*less than or equal to 1"),
    ],
)
def test_wrong_options_are_named_in_one_sentence(
    directory: OpenSslDirectory,
    issuer: dict[str, str],
    ca: dict[str, int],
    sentence: str,
) -> None:
    with pytest.raises(BadInput, match=sentence):
        opened(directory.options(issuer=issuer, **ca))
