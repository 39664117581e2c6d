"""The subscribers of the replay: invented organisations in the proportions of the record."""

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path

from models.terms import ContactRole
from tocsin.demo import record

SEED = 20240318
"""Every run invents the same organisations, contacts and answers."""

STAFF_DOMAIN = "ecert.example"


class Cohort(StrEnum):
    """What the 2024 record says a subscriber did; the replay's subscribers do the same."""

    CONFIRMED = "confirmed"  # replaced, and said so before the deadline
    BY_APRIL = "by-april"  # a CSR by 2024-04-26
    BY_MAY = "by-may"  # a CSR by 2024-05-03
    NOT_REQUIRED = "not-required"  # said by 2024-05-03 that they need it no longer
    WAITING = "waiting"  # silent on 2024-05-03, answered by 2024-05-10
    LOST = "lost"  # silent on 2024-05-10: nobody of theirs can be reached by mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """
    A contact of a subscriber.

    Args:
        name: For the mail's salutation.
        email: Under a reserved example domain.
        phone: Under a number nobody owns.
        rank: 1 is the primary contact.
        has_left: Mail to the address comes back.

    """

    name: str
    email: str
    phone: str
    rank: int
    has_left: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """
    A subscriber of the replay.

    Args:
        number: From 1, stable over runs.
        name: As in the certificates' subjects.
        sector: One of the record's.
        domain: Under which all its certificates' names lie.
        certificates: How many affected certificates it holds.
        cohort: What it will do, and when.
        contacts: Ranked; one or two.

    """

    number: int
    name: str
    sector: str
    domain: str
    certificates: int
    cohort: Cohort
    contacts: tuple[Person, ...]

    @property
    def hosts(self) -> tuple[tuple[str, ...], ...]:
        """The DNS names of each of its certificates; every third has two."""
        return tuple(
            (name, f"b.{name}") if number % 3 == 1 else (name,)
            for number, name in enumerate(self._names())
        )

    def _names(self) -> Iterator[str]:
        for number in range(self.certificates):
            host = _HOSTS[number % len(_HOSTS)]
            yield f"{host}{number // len(_HOSTS) or ''}.{self.domain}"

    @property
    def reachable(self) -> Person | None:
        """The first contact whose mail arrives."""
        return next((one for one in self.contacts if not one.has_left), None)


# Certificates of each special subscriber, so that the cohorts sum to the record's figures.
_SPECIAL: dict[Cohort, tuple[int, ...]] = {
    Cohort.CONFIRMED: (3, 1, 1, 1),
    Cohort.BY_MAY: (9, 7, 6, 4, 3, 2, 1),
    Cohort.NOT_REQUIRED: (6, 4, 3, 2, 2, 1),
    Cohort.WAITING: (7, 5, 3, 2, 1),
    Cohort.LOST: (2, 1, 1, 1),
}

_PLACES = (
    "Amber Point", "Banyan Hill", "Camphor Bay", "Cedar Ferry", "Clearwater",
    "Coral Quay", "Crane Island", "Dawn Harbour", "Egret Marsh", "Ferry Steps",
    "Fig Tree Lane", "Granite Peak", "Heron Wharf", "Incense Lane", "Ivory Shoal",
    "Jade Terrace", "Kite Hill", "Lantern Bay", "Lotus Pond", "Mango Court",
    "Maple Landing", "Moonlit Cove", "Northlight", "Orchid Rise", "Osprey Head",
    "Pearl Steps", "Pine Valley", "Plover Sands", "Quarry Gate", "Reservoir Road",
    "Saltwater Lane", "Silver Strand", "Stonecutter", "Sunrise Pier", "Swallow Nest",
    "Tallow Street", "Tern Rock", "Tidewater", "Typhoon Gate", "Umber Hill",
    "Vermilion Gate", "Wharfside", "Willow Quay", "Windward",
)  # fmt: skip

_KINDS: dict[str, tuple[str, ...]] = {
    "Education": (
        "Secondary School",
        "Primary School",
        "College",
        "Examinations Board",
    ),
    "Medical and Health": ("Clinic", "Hospital", "Health Laboratory"),
    "Transport": ("Ferry Company", "Bus Depot", "Traffic Control Centre"),
    "Social Services": ("Family Centre", "Elderly Home", "Community Fund"),
    "Public Order": ("Fire Station", "Correctional Office", "Licensing Office"),
    "Inland Revenue": ("Tax Office",),
    "Banking and electronic payment": ("Bank", "Savings Bank", "Payment Services"),
}

_HOSTS = ("www", "mail", "portal", "api", "forms", "vpn", "booking", "pay", "sso")
_PROVIDER = "Harbour Health Alliance"
_GIVEN = [
    "Ada",
    "Bo",
    "Chi",
    "Dan",
    "Eva",
    "Fai",
    "Gus",
    "Hoi",
    "Ivy",
    "Jun",
    "Kit",
    "Lok",
    "Mei",
    "Ned",
    "Ora",
    "Pak",
    "Qi",
    "Ray",
    "Sau",
    "Tim",
    "Una",
    "Vic",
    "Wai",
    "Yan",
    "Zoe",
]
_FAMILY = [
    "Au",
    "Bau",
    "Cheung",
    "Dao",
    "Eng",
    "Fung",
    "Gao",
    "Ho",
    "Ip",
    "Jim",
    "Kwan",
    "Lam",
    "Mok",
    "Ng",
    "Or",
    "Poon",
    "Quan",
    "Ruan",
    "Siu",
    "Tam",
    "Ung",
    "Vong",
    "Wu",
    "Yip",
    "Zau",
]


def invent_organisations(*, seed: int = SEED) -> tuple[Organisation, ...]:
    """Invent the subscribers; the same seed gives the same ones."""
    chance = random.Random(seed)  # noqa: S311 - a story, not a secret
    slots = list(_slots(chance))
    drafts = [
        (name, sector, cohort, size)
        for (sector, cohort, size), name in zip(slots, _names(slots), strict=True)
    ]
    leaving = _leaving(drafts, chance)
    return tuple(
        _organisation(number, draft, has_left=number in leaving, chance=chance)
        for number, draft in enumerate(drafts, start=1)
    )


_Slot = tuple[str, Cohort, int]


def _slots(chance: random.Random) -> Iterator[_Slot]:
    """Yield sector, cohort and number of certificates of each subscriber."""
    special = [(cohort, size) for cohort, sizes in _SPECIAL.items() for size in sizes]
    chance.shuffle(special)
    # Small sectors get few of the special ones, so that each sector can be filled up.
    sectors = [
        sector for sector in record.SECTORS if sector.subscribers > len(special) / 4
    ]
    dealt: dict[str, list[tuple[Cohort, int]]] = {}
    for place, one in enumerate(special):
        dealt.setdefault(sectors[place % len(sectors)].name, []).append(one)
    for sector in record.SECTORS:
        mine = dealt.get(sector.name, [])
        if sector.name == "Medical and Health":
            mine = [(Cohort.BY_APRIL, record.LARGEST_HOLDER), *mine]
        rest = sector.subscribers - len(mine)
        left = sector.certificates - sum(size for _, size in mine)
        cuts = sorted(chance.sample(range(1, left), rest - 1))
        sizes = [b - a for a, b in zip([0, *cuts], [*cuts, left], strict=True)]
        for cohort, size in [*mine, *((Cohort.BY_APRIL, size) for size in sizes)]:
            yield sector.name, cohort, size


def _names(slots: Sequence[_Slot]) -> Iterator[str]:
    """Yield a name for each slot, none twice."""
    numbers = {sector: count() for sector in _KINDS}
    for sector, _, size in slots:
        if size == record.LARGEST_HOLDER:
            yield _PROVIDER
            continue
        number = next(numbers[sector])
        kinds = _KINDS[sector]
        place = _PLACES[(number * 7 + len(sector)) % len(_PLACES)]
        kind = kinds[(number // len(_PLACES) + number) % len(kinds)]
        suffix = "" if number < len(_PLACES) else " North"
        yield f"{place}{suffix} {kind}"


def _leaving(
    drafts: Sequence[tuple[str, str, Cohort, int]], chance: random.Random
) -> frozenset[int]:
    """Choose whose primary contact has left: the lost, and enough of the others."""
    lost = {
        number
        for number, (_, _, cohort, _) in enumerate(drafts, start=1)
        if cohort is Cohort.LOST
    }
    others = [
        number
        for number, (_, _, cohort, _) in enumerate(drafts, start=1)
        if cohort in {Cohort.BY_APRIL, Cohort.BY_MAY}
    ]
    return frozenset(lost) | frozenset(
        chance.sample(others, record.LOST_PRIMARIES - len(lost))
    )


def _organisation(
    number: int,
    draft: tuple[str, str, Cohort, int],
    *,
    has_left: bool,
    chance: random.Random,
) -> Organisation:
    """Give a subscriber its domain and contacts."""
    name, sector, cohort, size = draft
    domain = f"{name.lower().replace(' ', '-')}.example"
    second = chance.random() < record.WITH_SECONDARY_SHARE
    if has_left:
        second = cohort is not Cohort.LOST
    contacts = [_person(domain, rank=1, has_left=has_left, chance=chance)]
    if second:
        contacts.append(_person(domain, rank=2, has_left=False, chance=chance))
    return Organisation(
        number=number,
        name=name,
        sector=sector,
        domain=domain,
        certificates=size,
        cohort=cohort,
        contacts=tuple(contacts),
    )


def _person(domain: str, *, rank: int, has_left: bool, chance: random.Random) -> Person:
    given, family = chance.choice(_GIVEN), chance.choice(_FAMILY)
    return Person(
        name=f"{given} {family}",
        # The rank keeps two people of one name apart.
        email=f"{given}.{family}{rank}@{domain}".lower(),
        phone=f"+1 555 01{chance.randrange(100):02}",
        rank=rank,
        has_left=has_left,
    )


_STAFF = (
    ("Account managers", f"accounts@{STAFF_DOMAIN}", ContactRole.ACCOUNT_MANAGER),
    (
        "Operations manager",
        f"operations@{STAFF_DOMAIN}",
        ContactRole.OPERATIONS_MANAGER,
    ),
    ("Compliance lead", f"compliance@{STAFF_DOMAIN}", ContactRole.COMPLIANCE_LEAD),
)


def write_directory(path: Path, organisations: Sequence[Organisation]) -> None:
    """Write the subscriber and contact directory as the CA would export it."""
    header = "subscriber,sector,language,zone,domains,name,email,phone,rank,role"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(header.split(","))
        for one in organisations:
            for person in one.contacts:
                rows.writerow(
                    [
                        one.name,
                        one.sector,
                        "en",
                        record.ZONE,
                        one.domain,
                        person.name,
                        person.email,
                        person.phone,
                        person.rank,
                        ContactRole.SUBSCRIBER,
                    ]
                )
        for rank, (name, email, role) in enumerate(_STAFF, start=1):
            rows.writerow(
                ["", "", "en", record.ZONE, "", name, email, "+1 555 0100", rank, role]
            )


def left_addresses(organisations: Sequence[Organisation]) -> tuple[str, ...]:
    """The addresses that the relay has to return mail for."""
    return tuple(
        person.email
        for one in organisations
        for person in one.contacts
        if person.has_left
    )
