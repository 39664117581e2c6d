import random

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin.errors import BadInput
from tocsin.names import (
    canonical_key,
    key_of_name,
    parse_name,
    readable_name,
    subscriber_key,
)

POST = [
    ("2.5.4.6", "HK"),
    ("2.5.4.10", "Hongkong Post"),
    ("2.5.4.3", "Hongkong Post e-Cert SSL CA 3 - 17"),
]
OIDS = st.sampled_from(["2.5.4.3", "2.5.4.10", "2.5.4.11", "2.5.4.6", "1.2.3.4.5"])
ATTRIBUTES = st.lists(
    st.tuples(OIDS, st.text(st.characters(codec="utf-8"), max_size=12)),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize(
    "text",
    [
        "CN=Hongkong Post e-Cert SSL CA 3 - 17,O=Hongkong Post,C=HK",
        "C=HK, O=Hongkong Post, CN=Hongkong Post e-Cert SSL CA 3 - 17",
        "c=hk, o=HONGKONG  POST, cn=hongkong post e-cert ssl ca 3 - 17",
        "/C=HK/O=Hongkong Post/CN=Hongkong Post e-Cert SSL CA 3 - 17",
        "issuer=C = HK, O = Hongkong Post, CN = Hongkong Post e-Cert SSL CA 3 - 17",
        "issuer= /C=HK/O=Hongkong Post/CN=Hongkong Post e-Cert SSL CA 3 - 17",
        'C=HK, O="Hongkong Post", 2.5.4.3=Hongkong Post e-Cert SSL CA 3 - 17',
        "OID.2.5.4.6=HK;O=Hongkong Post;CN=Hongkong Post e-Cert SSL CA 3 - 17",
        "C=HK+O=Hongkong Post+CN=Hongkong Post e-Cert SSL CA 3 - 17",
    ],
)
def test_a_name_has_one_key_however_it_is_printed(text: str) -> None:
    assert canonical_key(parse_name(text)) == canonical_key(POST)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"O=Example\, Inc.", "Example, Inc."),
        ('O="Example, Inc."', "Example, Inc."),
        ("O=Example, Inc., CN=a", "Example, Inc."),
        (r"O=a\2Cb", "a,b"),
        (r"O=\E9\A6\99", "香"),
        ("O=#0C0161", "a"),
        (r"/O=\xE9\xA6\x99/CN=a", "香"),
        ("/O=a/b/CN=c", "a/b"),
        (r'O="say \"hi\""', 'say "hi"'),
        ("O=", ""),
        ("O=A+B", "A+B"),
    ],
)
def test_a_value_is_unescaped_as_it_was_escaped(text: str, value: str) -> None:
    assert parse_name(text)[0] == ("2.5.4.10", value)


@pytest.mark.parametrize(
    "text", ["", "Hongkong Post", "ZZ=a", "/Hongkong Post", 'O="a', 'O="a"b', "CN=a\\"]
)
def test_what_is_no_name_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        parse_name(text)


@given(ATTRIBUTES, st.randoms())
def test_key_does_not_depend_on_order_and_case(
    attributes: list[tuple[str, str]], chance: random.Random
) -> None:
    shuffled = [(oid, f"  {value.casefold()} ") for oid, value in attributes]
    chance.shuffle(shuffled)

    assert canonical_key(shuffled) == canonical_key(attributes)


@given(ATTRIBUTES)
@example([("2.5.4.3", " ")])
@example([("2.5.4.3", " a ")])
@example([("2.5.4.3", "# ")])
def test_readable_name_can_be_read_again(attributes: list[tuple[str, str]]) -> None:
    again = parse_name(readable_name(attributes))

    assert canonical_key(again) == canonical_key(attributes)


def test_key_differs_when_an_attribute_is_repeated() -> None:
    assert canonical_key([*POST, POST[1]]) != canonical_key(POST)


def test_key_of_a_parsed_name_is_the_key_of_its_text() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "HK"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Hongkong Post"),
            x509.NameAttribute(
                NameOID.COMMON_NAME, "Hongkong Post e-Cert SSL CA 3 - 17"
            ),
        ]
    )

    assert key_of_name(name) == canonical_key(POST)
    assert canonical_key(parse_name(name.rfc4514_string())) == key_of_name(name)
    assert readable_name(name) == (
        "C=HK, O=Hongkong Post, CN=Hongkong Post e-Cert SSL CA 3 - 17"
    )


def test_subscriber_key_fits_its_column_and_stays_distinct() -> None:
    long_names = [f"{'Department ' * 30}{number}" for number in range(2)]

    keys = [subscriber_key(name) for name in long_names]

    assert subscriber_key(" Harbour \n CLINIC ") == "harbour clinic"
    assert keys[0] != keys[1]
    assert max(map(len, keys)) <= 200
