"""Who may do what at the officers' desk, and how often a link may be asked for."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from models.terms import OfficeMailState, OfficeRole

COUNTED_WITHIN = timedelta(minutes=15)
"""How far back requests for links are counted."""

LINKS_PER_ADDRESS = 5
LINKS_PER_CLIENT = 20
"""An office behind one address of the network is many people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Officer:
    """
    One of the CA's own people, as the officers' list has them.

    Args:
        name: Stands in the record beside everything they do; the list has it once.
        email: Where their links go.
        role: What they may do.

    """

    name: str
    email: str
    role: OfficeRole

    @property
    def key(self) -> str:
        """What stands for the address in the database."""
        return address_key(self.email)

    @property
    def actor(self) -> str:
        """Who they are in the record of acts."""
        return f"officer:{self.name}"

    @property
    def may_launch(self) -> bool:
        """Whether they may open, change and launch incidents."""
        return self.role is OfficeRole.OFFICER


@dataclass(frozen=True, slots=True, kw_only=True)
class Officers:
    """
    The officers' list.

    Args:
        people: Those who may come in.
        problems: What of the list could not be used, one sentence each with its place.

    """

    people: tuple[Officer, ...]
    problems: tuple[str, ...]

    def find(self, key: str) -> Officer | None:
        """Return who has this address; None where nobody on the list has."""
        return next((one for one in self.people if one.key == key), None)

    def others_who_launch(self, than: Officer) -> Sequence[Officer]:
        """Return whoever else could launch."""
        return [one for one in self.people if one.may_launch and one.key != than.key]

    def other_persons(self, than: Officer) -> Sequence[Officer]:
        """Return the officers who are certainly somebody else."""
        return [
            one for one in self.others_who_launch(than) if not is_same_person(one, than)
        ]


def is_same_person(one: Officer, other: Officer) -> bool:
    """
    Whether two rows of the list may be one person: then they cannot be two officers.

    The same name, in whatever order and spelling of its words, or the same mailbox,
    under a tag of it ("wong+desk@" is wong's). Who shares a name with a colleague is
    told apart by a further word in the list.
    """
    return _name_words(one.name) == _name_words(other.name) or _mailbox(
        one.email
    ) == _mailbox(other.email)


def _name_words(name: str) -> tuple[str, ...]:
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", name.casefold())
        if not unicodedata.combining(letter)
    )
    return tuple(sorted(re.findall(r"\w+", plain)))


def _mailbox(email: str) -> str:
    local, _, domain = email.strip().casefold().rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def address_key(email: str) -> str:
    """Return what stands for an address, however it is spelt."""
    return hashlib.sha256(email.strip().casefold().encode()).hexdigest()


def state_of_request(
    officer: Officer | None, *, of_address: int, of_client: int
) -> OfficeMailState:
    """
    Decide what becomes of a request for a link.

    Args:
        officer: Whose address it is; None: nobody's.
        of_address: Requests for this address before it, within ``COUNTED_WITHIN``.
        of_client: Requests from the same place.

    """
    if of_address >= LINKS_PER_ADDRESS or of_client >= LINKS_PER_CLIENT:
        return OfficeMailState.TOO_MANY
    return OfficeMailState.PLANNED if officer else OfficeMailState.UNLISTED
