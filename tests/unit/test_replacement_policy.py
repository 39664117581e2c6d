"""Which affected certificates a newly issued one supersedes."""

from hypothesis import given
from hypothesis import strategies as st

from models.terms import CertificateId, SubscriberId
from tocsin.policy.replacements import (
    Matched,
    Superseded,
    match_replacement,
    names_key,
)

NAMES = ("www.clinic.example", "clinic.example")


def superseded(certificate: int, subscriber: int = 1) -> Superseded:
    return Superseded(
        certificate=CertificateId(certificate), subscriber=SubscriberId(subscriber)
    )


def match(
    *,
    is_affected: bool = False,
    by_key: tuple[Superseded, ...] = (),
    by_names: tuple[Superseded, ...] = (),
    names: tuple[str, ...] = NAMES,
) -> Matched:
    return match_replacement(
        is_affected=is_affected,
        by_key=by_key,
        by_names={names_key(NAMES): by_names},
        names=names,
    )


def test_key_of_a_csr_decides_when_names_say_otherwise() -> None:
    found = match(by_key=(superseded(1),), by_names=(superseded(2),))

    assert found.certificates == (1,)


def test_names_decide_when_no_csr_has_its_key() -> None:
    found = match(by_names=(superseded(2),), names=("CLINIC.example", NAMES[0]))

    assert found.certificates == (2,)


def test_one_certificate_replaces_several_when_one_subscriber_owns_them() -> None:
    assert match(by_names=(superseded(2), superseded(1))).certificates == (1, 2)


def test_nothing_is_matched_when_two_subscribers_could_own_it() -> None:
    found = match(by_names=(superseded(1, 1), superseded(2, 2)))

    assert found.certificates == ()
    assert "more than one subscriber" in found.why_not


def test_nothing_is_matched_when_only_some_names_are_the_same() -> None:
    assert match(by_names=(superseded(1),), names=NAMES[:1]).certificates == ()


def test_affected_certificate_is_no_replacement_of_itself() -> None:
    found = match(is_affected=True, by_key=(superseded(1),))

    assert found.certificates == ()
    assert "affected" in found.why_not


@given(st.booleans(), st.lists(st.tuples(st.integers(1, 9), st.integers(1, 2))))
def test_what_is_not_matched_has_a_reason(
    is_affected: bool,  # noqa: FBT001 - drawn
    owned: list[tuple[int, int]],
) -> None:
    found = match(
        is_affected=is_affected,
        by_names=tuple(superseded(*one) for one in owned),
    )

    assert bool(found.certificates) != bool(found.why_not)
