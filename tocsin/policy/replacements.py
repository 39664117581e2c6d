"""Which affected certificates a newly issued one supersedes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.terms import CertificateId, SubscriberId


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """An affected certificate that may have been replaced, and its owner."""

    certificate: CertificateId
    subscriber: SubscriberId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The affected certificates that a new one is for; a reason where there are none."""

    certificates: tuple[CertificateId, ...] = ()
    why_not: str = ""


def names_key(names: Iterable[str]) -> frozenset[str]:
    """Return names as they are compared: the set of them, whatever their case."""
    return frozenset(name.casefold() for name in names)


def match_replacement(
    *,
    is_affected: bool,
    by_key: Sequence[Superseded],
    by_names: Mapping[frozenset[str], Sequence[Superseded]],
    names: Sequence[str],
) -> Matched:
    """
    Decide what a newly issued certificate supersedes.

    The key of a CSR that was handed in decides; without one, exactly the same names do.
    Several affected certificates of one subscriber can be superseded by one new one;
    certificates of two subscribers cannot, since nobody knows whose it is.

    Args:
        is_affected: It stands in the incident's own list.
        by_key: Certificates for which a CSR with its key was handed in.
        by_names: Certificates still to be replaced, by their names.
        names: Its own.

    """
    if is_affected:
        return Matched(
            why_not="it is one of the incident's affected certificates itself."
        )
    found = by_key or by_names.get(names_key(names), ())
    if not found:
        return Matched(
            why_not="no CSR with its key was handed in, and no certificate that is "
            "still to be replaced has exactly its names."
        )
    if len({one.subscriber for one in found}) > 1:
        return Matched(
            why_not="certificates of more than one subscriber have its names: hand in "
            "its CSR first, which says whose it is."
        )
    return Matched(certificates=tuple(sorted(one.certificate for one in found)))
