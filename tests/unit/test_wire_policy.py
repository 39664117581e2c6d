"""Where we look, and what it means: nothing of the CA's own network is ever reached."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.terms import WireFinding
from tocsin.errors import BadInput
from tocsin.policy.wire import (
    AddressRules,
    Identity,
    host_of,
    judge,
    may_all_be_looked_at,
    may_be_looked_at,
    parse_networks,
)

PUBLIC = AddressRules()


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_public_address_is_looked_at(address: str) -> None:
    assert may_be_looked_at(address, PUBLIC)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.8.9.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001:0:53aa:64c::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "",
        "localhost",
        "0x7f000001",
        "2130706433",
    ],
)
def test_address_that_is_not_public_is_never_looked_at(address: str) -> None:
    assert not may_be_looked_at(address, PUBLIC)


def test_own_network_is_never_looked_at_whatever_is_allowed() -> None:
    rules = AddressRules(
        own=parse_networks("8.8.8.0/24, 2606:4700::/32", field="own"),
        allowed=parse_networks("8.8.0.0/16", field="allowed"),
    )

    assert not may_be_looked_at("8.8.8.8", rules)
    assert not may_be_looked_at("::ffff:8.8.8.8", rules)
    assert not may_be_looked_at("2606:4700:4700::1111", rules)
    assert may_be_looked_at("8.8.4.4", rules)


def test_network_can_be_allowed_that_is_not_public() -> None:
    rules = AddressRules(allowed=parse_networks("127.0.0.0/8", field="allowed"))

    assert may_be_looked_at("127.0.0.1", rules)
    assert not may_be_looked_at("10.0.0.1", rules)
    assert not may_be_looked_at("::1", rules)


def test_one_bad_address_of_a_host_spoils_all_of_them() -> None:
    assert may_all_be_looked_at(["8.8.8.8", "1.1.1.1"], PUBLIC)
    assert not may_all_be_looked_at(["8.8.8.8", "10.0.0.1"], PUBLIC)
    assert not may_all_be_looked_at([], PUBLIC)


@given(st.ip_addresses())
def test_whatever_is_looked_at_is_global_and_no_group(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if may_be_looked_at(str(address), PUBLIC):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_private


@given(st.ip_addresses(v=4))
def test_address_in_other_clothes_is_judged_as_itself(
    address: ipaddress.IPv4Address,
) -> None:
    mapped = may_be_looked_at(f"::ffff:{address}", PUBLIC)

    assert mapped == may_be_looked_at(str(address), PUBLIC)
    assert not may_be_looked_at(
        str(
            ipaddress.IPv6Address(int(ipaddress.ip_address("64:ff9b::")) + int(address))
        ),
        PUBLIC,
    )


@given(st.text(alphabet="abZ0179.-_*:/ é", max_size=30))
def test_only_a_name_that_leads_to_a_host_is_looked_up(text: str) -> None:
    host = host_of([text])

    if host is not None:
        assert "." in host
        assert not set(host) - set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
        with pytest.raises(ValueError, match="does not appear"):
            ipaddress.ip_address(host)


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["*.clinic.example", "www.clinic.example"], "www.clinic.example"),
        (["WWW.Clinic.example."], "www.clinic.example"),
        (["*.clinic.example"], None),
        (["localhost", "intranet"], None),
        (["10.0.0.1"], None),
        (["a b.example", "http://x.example/", "x.example:22", "-x.example"], None),
        ([], None),
    ],
)
def test_first_name_that_is_a_host_is_looked_at(
    names: list[str], host: str | None
) -> None:
    assert host_of(names) == host


def test_network_that_is_none_is_refused_with_its_place() -> None:
    with pytest.raises(BadInput, match=r"192\.0\.2\.0"):
        parse_networks("10.0.0.1/8", field="TOCSIN_WIRE_OWN_NETWORKS")


def test_what_is_presented_is_told_from_what_was_to_be_replaced() -> None:
    old = Identity(issuer_key="aa", serial="01")
    other = Identity(issuer_key="aa", serial="02")

    assert judge(old, affected=old, others=[other]) is WireFinding.AFFECTED
    assert judge(other, affected=old, others=[other]) is WireFinding.ANOTHER_AFFECTED
    # The same serial from another CA is another certificate.
    new = Identity(issuer_key="bb", serial="01")
    assert judge(new, affected=old, others=[other]) is WireFinding.OTHER
