"""Which hosts are looked at on the wire, at which addresses, and what it means; no I/O."""

import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from models.terms import WireFinding
from tocsin.errors import BadInput

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IANA's special-purpose registries and what leads past them, spelled out: what
# ``is_global`` knows of them differs between versions of Python.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # shared by carriers (RFC 6598); clouds' services stand there
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's own services, at an address that looks public
        "169.254.0.0/16",  # link-local; clouds' metadata stand there
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata stand there
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays (RFC 7526): leads anywhere
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "::/8",  # unspecified, loopback, IPv4-compatible, reserved
        "64:ff9b::/96",  # NAT64 (RFC 6052): an IPv4 address in other clothes
        "64:ff9b:1::/48",  # the same, local
        "100::/64",  # discarded
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 (RFC 3056)
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local, as it was
        "ff00::/8",  # multicast
    )
)

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))+")
_LONGEST_HOST = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRules:
    """
    Where a host may stand that is looked at.

    Args:
        own: Networks of the operator's own: never, whatever else is said.
        allowed: Networks that are not public and may be looked at all the same.

    """

    own: tuple[Network, ...] = ()
    allowed: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What tells one certificate from all others: its issuer's key, and its serial."""

    issuer_key: str
    serial: str


def parse_networks(text: str, *, field: str) -> tuple[Network, ...]:
    """
    Read networks such as "10.0.0.0/8, fd00::/8".

    Raises:
        BadInput: One of them is none.

    """
    words = [word for word in re.split(r"[,\s]+", text) if word]
    try:
        return tuple(ipaddress.ip_network(word) for word in words)
    except ValueError as error:
        raise BadInput(
            f"{error}. Give networks such as 192.0.2.0/24, with commas in between.",
            field=field,
        ) from None


def may_be_looked_at(text: str, rules: AddressRules) -> bool:
    """Whether an address that a name led to is one that we connect to."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False  # with a zone, or none at all
    embedded = getattr(address, "ipv4_mapped", None)
    if embedded is not None:
        address = embedded
    if _is_in(address, rules.own):
        return False
    if _is_in(address, rules.allowed):
        return True
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_unspecified
        and not address.is_reserved
        and not _is_in(address, _NEVER)
    )


def may_all_be_looked_at(addresses: Sequence[str], rules: AddressRules) -> bool:
    """Whether a name leads to nowhere else: one bad address spoils all of them."""
    return bool(addresses) and all(may_be_looked_at(one, rules) for one in addresses)


def host_of(names: Iterable[str]) -> str | None:
    """Return the name of a certificate that can be looked at; None: there is none."""
    for name in names:
        host = name.casefold().rstrip(".")
        if len(host) <= _LONGEST_HOST and _HOST.fullmatch(host) and not _is_ip(host):
            return host
    return None


def judge(
    presented: Identity, *, affected: Identity, others: Collection[Identity]
) -> WireFinding:
    """
    Say what it means that a host presents this certificate.

    Args:
        presented: What it presents.
        affected: The certificate that was to be replaced there.
        others: The subscriber's other affected ones.

    """
    if presented == affected:
        return WireFinding.AFFECTED
    if presented in others:
        return WireFinding.ANOTHER_AFFECTED
    return WireFinding.OTHER


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(
        address.version == network.version and address in network
        for network in networks
    )


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
