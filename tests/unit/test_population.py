import csv
from collections import Counter
from pathlib import Path

from tocsin.demo import record
from tocsin.demo.population import (
    Cohort,
    invent_organisations,
    left_addresses,
    write_directory,
)


def test_i3_certificates_sum_to_the_record_when_counted_by_cohort_and_sector() -> None:
    organisations = invent_organisations()

    cohorts: Counter[Cohort] = Counter()
    sectors: Counter[str] = Counter()
    for one in organisations:
        cohorts[one.cohort] += one.certificates
        sectors[one.sector] += one.certificates

    assert cohorts.total() == record.CERTIFICATES
    assert cohorts[Cohort.CONFIRMED] == record.CONFIRMED_BY_DEADLINE
    assert (
        cohorts[Cohort.CONFIRMED] + cohorts[Cohort.BY_APRIL] == record.CSRS_BY_APRIL_26
    )
    assert cohorts[Cohort.BY_MAY] == record.CSRS_BY_MAY_3 - record.CSRS_BY_APRIL_26
    assert cohorts[Cohort.NOT_REQUIRED] == record.NO_LONGER_REQUIRED
    assert cohorts[Cohort.LOST] == record.STILL_WAITING_ON_MAY_10
    assert (
        cohorts[Cohort.WAITING] + cohorts[Cohort.LOST] == record.STILL_WAITING_ON_MAY_3
    )
    assert dict(sectors) == {one.name: one.certificates for one in record.SECTORS}


def test_one_healthcare_provider_holds_nearly_a_hundred_when_invented() -> None:
    largest, next_largest = sorted(
        invent_organisations(), key=lambda one: one.certificates, reverse=True
    )[:2]

    assert largest.certificates == record.LARGEST_HOLDER
    assert largest.sector == "Medical and Health"
    assert next_largest.certificates < record.LARGEST_HOLDER / 2


def test_the_same_subscribers_are_invented_when_the_seed_is_the_same() -> None:
    assert invent_organisations() == invent_organisations()
    assert invent_organisations(seed=1) != invent_organisations(seed=2)


def test_only_the_lost_cannot_be_reached_when_primaries_have_left() -> None:
    organisations = invent_organisations()

    assert len(left_addresses(organisations)) == record.LOST_PRIMARIES
    assert all(
        (one.reachable is None) == (one.cohort is Cohort.LOST) for one in organisations
    )


def test_names_and_addresses_belong_to_nobody_when_invented() -> None:
    organisations = invent_organisations()
    addresses = [person.email for one in organisations for person in one.contacts]

    assert len({one.name for one in organisations}) == len(organisations)
    assert len({one.domain for one in organisations}) == len(organisations)
    assert len(set(addresses)) == len(addresses)
    assert all(address.endswith(".example") for address in addresses)


def test_the_directory_lists_every_contact_and_the_staff_when_written(
    tmp_path: Path,
) -> None:
    organisations = invent_organisations()

    write_directory(tmp_path / "directory.csv", organisations)

    with (tmp_path / "directory.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    roles = Counter(row["role"] for row in rows)
    assert roles["subscriber"] == sum(len(one.contacts) for one in organisations)
    assert roles["account-manager"] == roles["operations-manager"] == 1
    assert roles["compliance-lead"] == 1
