"""Tokens are signed, scoped and expiring, and fail in one way only (I6)."""

import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from factories import DEADLINE, LAUNCH
from hypothesis import given
from hypothesis import strategies as st

from models.terms import ContactId, IncidentId, SubscriberId
from tocsin.errors import Broken, Refused
from tocsin.links import SUBSCRIBER, LinkClaims, Links, read_secrets

OLD, NEW = "o" * 40, "n" * 40
CLAIMS = LinkClaims(
    incident=IncidentId("20260302-abcdef"),
    subscriber=SubscriberId(7),
    contact=ContactId(17),
    purpose=SUBSCRIBER,
    generation=0,
    expires_at=DEADLINE + timedelta(days=90),
)


def test_token_stands_for_what_was_signed() -> None:
    links = Links([NEW])

    assert links.read(links.sign(CLAIMS), purpose=SUBSCRIBER, now=LAUNCH) == CLAIMS


def test_same_claims_give_the_same_token_so_that_a_repeated_mail_is_the_same() -> None:
    assert Links([NEW]).sign(CLAIMS) == Links([NEW]).sign(CLAIMS)


def test_old_links_work_and_new_ones_use_the_new_secret_when_it_is_rotated() -> None:
    rotated = Links([NEW, OLD])

    read = rotated.read(Links([OLD]).sign(CLAIMS), purpose=SUBSCRIBER, now=LAUNCH)
    assert read == CLAIMS
    assert rotated.sign(CLAIMS) == Links([NEW]).sign(CLAIMS)


def test_every_bad_token_is_refused_in_the_same_words() -> None:
    links = Links([NEW])
    token = links.sign(CLAIMS)
    bad = {
        "forged": Links([OLD]).sign(CLAIMS),
        "changed": token[:-2] + ("aa" if token[-2:] != "aa" else "bb"),
        "empty": "",
        "nonsense": "x.y",
        "another purpose": links.sign(replace(CLAIMS, purpose="officer")),
        "expired": links.sign(replace(CLAIMS, expires_at=LAUNCH)),
    }

    words = set()
    for name, one in bad.items():
        with pytest.raises(Refused) as caught:
            links.read(one, purpose=SUBSCRIBER, now=LAUNCH)
        words.add(str(caught.value))
        assert name
    assert len(words) == 1


@given(st.text(max_size=80))
def test_no_text_is_taken_for_a_token(text: str) -> None:
    with pytest.raises(Refused):
        Links([NEW]).read(text, purpose=SUBSCRIBER, now=LAUNCH)


def test_short_secret_stops_the_process() -> None:
    with pytest.raises(Broken, match="32 characters"):
        Links(["short"])


def test_secret_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first = read_secrets(tmp_path / "secrets")

    assert read_secrets(tmp_path / "secrets") == first
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o600


def test_empty_secret_file_stops_the_process(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("\n")

    with pytest.raises(Broken, match="no secret"):
        read_secrets(tmp_path / "secrets")
