"""Any executable as a CA: here a program with the embedded CA behind it."""

import json
import sys
from itertools import count
from pathlib import Path
from typing import Any

import fakes.command_ca
import pytest
from fakes.authority import PEM
from fakes.option_files import write_options
from fakes.requests import request_for

from tocsin.ca.backend import AnswerKind, CaBackend, Publication
from tocsin.ca.backends.command import BACKEND, CommandCa
from tocsin.ca.contract import BackendContract, Subject
from tocsin.ca.issuers import all_issuers, create_issuer, crl_file
from tocsin.ca.options import read_options
from tocsin.clock import SystemClock
from tocsin.errors import Unavailable

_PROGRAM = [sys.executable, fakes.command_ca.__file__]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "ca"


@pytest.fixture
def issuer_key(directory: Path) -> str:
    return create_issuer(directory, name="Command CA", now=SystemClock().now())


def opened(directory: Path, **ca: Any) -> tuple[CommandCa, Publication]:
    (issuer,) = all_issuers(directory)
    certificate = directory / "issuer.pem"
    certificate.write_bytes(issuer.certificate.public_bytes(PEM))
    options = write_options(
        directory / "command.toml",
        {"certificate": certificate, "crl": crl_file(directory, issuer.key)},
        ca={
            "revoke": [*_PROGRAM, directory, "revoke"],
            "look_up": [*_PROGRAM, directory, "look-up"],
            "publish": [*_PROGRAM, directory, "publish"],
            "safe_to_repeat": True,
        }
        | ca,
    )
    return BACKEND.open(read_options(options, BACKEND))  # type: ignore[return-value]


def shell(*lines: str) -> list[str]:
    """Return a command that swallows what it is given and then does this."""
    return ["/bin/sh", "-c", "\n".join(("cat >/dev/null", *lines))]


class TestCommand(BackendContract):
    @pytest.fixture(params=[1, 3], ids=["one a run", "three a run"])
    def subject(
        self, request: pytest.FixtureRequest, directory: Path, issuer_key: str
    ) -> Subject:
        backend, publication = opened(directory, at_once=request.param)
        serials = count(0x1000)
        return Subject(
            backend=backend,
            publication=publication,
            clock=SystemClock(),
            issuer_key=issuer_key,
            new_serial=lambda: next(serials),
            unissued_serial=lambda: 0xDEADBEEF,
        )


def test_a_command_fits_the_protocols(directory: Path, issuer_key: str) -> None:
    backend: CaBackend = opened(directory)[0]

    assert backend.knows_issuer(issuer_key)


def test_what_was_answered_counts_when_the_command_fails_half_way(
    directory: Path, issuer_key: str
) -> None:
    backend, _ = opened(
        directory, revoke=[*_PROGRAM, directory, "revoke", "dies"], at_once=5
    )
    requests = [request_for(issuer_key, serial) for serial in range(1, 6)]

    answers = list(backend.revoke(requests))

    done, later = AnswerKind.DONE, AnswerKind.RETRY
    assert [answer.kind for answer in answers] == [done, done, later, later, later]
    assert "ended with 1: disk full" in answers[2].detail
    # The third was revoked and not answered: a look-up knows.
    kinds = [status.kind for status in backend.look_up(requests)]
    assert kinds == ["revoked", "revoked", "revoked", "good", "good"]


@pytest.mark.parametrize(
    ("command", "kind", "detail"),
    [
        (["/nowhere/tool"], AnswerKind.FATAL, "cannot be run: No such file"),
        (shell("exit 3"), AnswerKind.RETRY, "ended with 3: and said nothing"),
        (shell("echo hello"), AnswerKind.RETRY, "wrote no answer but: hello"),
        (shell("exit 0"), AnswerKind.RETRY, "said nothing of this one"),
        (["/bin/sleep", "60"], AnswerKind.RETRY, "not ended within 1 s"),
    ],
    ids=["not there", "fails", "not JSON", "silent", "hangs"],
)
def test_a_command_that_gives_no_answer_is_asked_again(
    directory: Path,
    issuer_key: str,
    command: list[str],
    kind: AnswerKind,
    detail: str,
) -> None:
    backend, _ = opened(directory, revoke=command, look_up=command, timeout_seconds=1)

    (answer,) = backend.revoke([request_for(issuer_key, 1)])

    assert answer.kind is kind
    assert detail in answer.detail


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"answer": "pending-approval"}, AnswerKind.PENDING_APPROVAL),
        ({"answer": "refused", "detail": "by policy"}, AnswerKind.REFUSED),
        ({"answer": "retry", "retry_after": 30}, AnswerKind.RETRY),
        ({"answer": "yes"}, AnswerKind.RETRY),
        ({"answer": "done", "revoked_at": "2026-03-02T12:00:00"}, AnswerKind.RETRY),
        ({"answer": "done", "reason": "because"}, AnswerKind.RETRY),
        ({}, AnswerKind.RETRY),
    ],
)
def test_only_a_whole_answer_counts(
    directory: Path, issuer_key: str, said: dict[str, object], kind: AnswerKind
) -> None:
    request = request_for(issuer_key, 1)
    line = json.dumps({"id": request.certificate_id} | said)
    backend, _ = opened(directory, revoke=shell(f"echo '{line}'"))

    (answer,) = backend.revoke([request])

    assert answer.kind is kind


def test_a_look_up_that_fails_is_no_look_up(directory: Path, issuer_key: str) -> None:
    backend, _ = opened(directory, look_up=shell("exit 1"), publish=shell("exit 1"))

    with pytest.raises(Unavailable, match="ended with 1"):
        list(backend.look_up([request_for(issuer_key, 1)]))
    with pytest.raises(Unavailable, match="ended with 1"):
        backend.publish(issuer_key)


def test_a_probe_says_what_the_command_says(directory: Path, issuer_key: str) -> None:
    backend, _ = opened(directory, probe=shell("echo would revoke nothing"))
    silent, _ = opened(directory, safe_to_repeat=False, look_up=[])

    assert backend.probe(issuer_key) == "would revoke nothing"
    assert list(backend.remarks(issuer_key)) == []
    with pytest.raises(Unavailable, match="no command to probe"):
        silent.probe(issuer_key)
    assert "it will be asked again" in "; ".join(silent.remarks(issuer_key))
