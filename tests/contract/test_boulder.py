"""
Boulder, through its `admin` tool: never tried against Boulder.

A program behaves as the source says: github.com/letsencrypt/boulder, cmd/admin/main.go
and cert.go.
"""

import sys
from pathlib import Path

import fakes.boulder_admin
import pytest
from fakes.authority import new_authority
from fakes.option_files import write_options
from fakes.requests import request_for

from models.terms import Reason
from tocsin.ca.backend import AnswerKind
from tocsin.ca.backends.command import BACKEND, CommandCa
from tocsin.ca.options import read_options

_DONE, _ALREADY = AnswerKind.DONE, AnswerKind.ALREADY
_UNKNOWN, _RETRY = AnswerKind.UNKNOWN, AnswerKind.RETRY


@pytest.fixture
def store(tmp_path: Path) -> Path:
    states = ("valid", "valid", "superseded", "valid", "silent")
    file = tmp_path / "admin.json"
    file.write_text(
        "".join(f"{number:036x} {state}\n" for number, state in enumerate(states, 1))
    )
    return file


@pytest.fixture
def key(tmp_path: Path) -> str:
    authority = new_authority()
    authority.write(tmp_path)
    return authority.issuer_key


@pytest.fixture
def ca(tmp_path: Path, store: Path, key: str) -> CommandCa:
    assert key
    admin = tmp_path / "admin"
    admin.write_text(
        f'#!/bin/sh\nexec {sys.executable} {fakes.boulder_admin.__file__} "$@"\n'
    )
    admin.chmod(0o755)
    tool = ["--admin", str(admin), "--config", str(store)]
    ours = [sys.executable, "-P", "-m", "tocsin.ca.backends.boulder"]
    options = write_options(
        tmp_path / "boulder.toml",
        {"certificate": "issuer.pem"},
        ca={
            "revoke": [*ours, "revoke", *tool],
            "probe": [*ours, "probe", *tool],
            "at_once": 10,
        },
    )
    backend = BACKEND.open(read_options(options, BACKEND))[0]
    assert isinstance(backend, CommandCa)
    return backend


def states(store: Path) -> dict[int, str]:
    lines = (line.split() for line in store.read_text().splitlines())
    return {int(serial, 16): state for serial, state in lines}


def test_each_certificate_is_answered_from_the_log_and_really_revoked(
    ca: CommandCa, store: Path, key: str
) -> None:
    # Exit code 1, since some were errors: the others are done all the same.
    requests = [request_for(key, serial) for serial in (1, 2, 3, 99, 2**200)]

    kinds = [answer.kind for answer in ca.revoke(requests)]

    assert kinds == [_DONE, _DONE, _ALREADY, _UNKNOWN, _UNKNOWN]
    assert states(store)[1] == "superseded"  # the tool's default would revoke nothing


def test_nothing_is_believed_when_the_log_names_fewer_errors_than_it_counts(
    ca: CommandCa, key: str
) -> None:
    requests = [request_for(key, serial) for serial in (1, 5)]

    kinds = [answer.kind for answer in ca.revoke(requests)]

    assert kinds == [_RETRY, _RETRY]


def test_a_reason_that_the_tool_has_no_word_for_is_left_out(
    ca: CommandCa, store: Path, key: str
) -> None:
    requests = [
        request_for(key, 1, reason=Reason.AFFILIATION_CHANGED),
        request_for(key, 2, reason=Reason.KEY_COMPROMISE),
    ]

    kinds = [answer.kind for answer in ca.revoke(requests)]

    assert kinds == [_DONE, _DONE]
    assert [states(store)[number] for number in (1, 2)] == [
        "unspecified",
        "keyCompromise",
    ]


def test_a_probe_is_the_tools_own_dry_run(ca: CommandCa, store: Path, key: str) -> None:
    before = store.read_bytes()

    assert ca.probe(key) == "a dry run ended well"
    assert store.read_bytes() == before
