"""Keys whose private half others have or can compute; without it a replacement would have to be revoked, too."""

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from json import JSONDecodeError, loads
from pathlib import Path

import badkeys
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tocsin.errors import BadInput
from tocsin.phrases import Phrase, phrase

_METADATA = "badkeysdata.json"
_ROWS = "blocklist.dat"
_ROW = 16  # octets: 15 of the hash, one with the number of the list it comes from
_HASHED = _ROW - 1

# TLS BR 6.1.1.3 names Debian's keys, ROCA and close primes; the others are as fatal.
# The check called "blocklist" is not among them: it ends the process where its files
# are missing, so that the files are read here.
_WEAKNESSES: Mapping[str, Phrase] = {
    "fermat": phrase("its two primes lie close together (Fermat's method)"),
    "roca": phrase("it was made by a chip or library with the ROCA flaw"),
    "rsapoly": phrase("its modulus has a pattern that makes it easy to factor"),
    "sharedprimes": phrase("it shares a prime with keys found elsewhere"),
    "smalld": phrase("its private exponent is too small (Wiener's attack)"),
    "smallfactors": phrase(
        "its modulus has a small factor, so it is damaged or forged"
    ),
}


@dataclass(frozen=True, slots=True)
class KeyBlocklist:
    """
    Keys that are known to be compromised: a file in the format of ``badkeys``.

    Args:
        rows: Sorted rows of 16 octets, mapped from the file.
        names: What the numbers at the rows' ends stand for.

    """

    rows: mmap.mmap | bytes
    names: Mapping[int, str]

    @classmethod
    def open(cls, directory: Path) -> "KeyBlocklist":
        """
        Open what ``badkeys --update-bl`` keeps in its cache directory.

        Raises:
            BadInput: The files are not there, or are not what they should be.

        """
        try:
            listed = loads((directory / _METADATA).read_text("utf-8"))["blocklists"]
            names = {int(one["id"]): str(one["name"]) for one in listed}
            with (directory / _ROWS).open("rb") as file:
                rows = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise BadInput(
                f"no blocklist of keys there ({error.strerror}). Copy {_METADATA} and "
                f"{_ROWS} from a machine that ran `badkeys --update-bl`.",
                file=str(directory),
            ) from error
        except (JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise BadInput(
                "not a blocklist of keys as badkeys writes it: copy it again.",
                file=str(directory),
            ) from error
        if len(rows) % _ROW:
            raise BadInput(
                f"cut short: not a multiple of {_ROW} octets. Copy it again.",
                file=str(directory / _ROWS),
            )
        return cls(rows=rows, names=names)

    def name_of(self, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str | None:
        """Return the list that a key stands in; None when it stands in none."""
        if isinstance(key, rsa.RSAPublicKey):
            number = key.public_numbers().n
        else:
            number = key.public_numbers().x
        octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
        wanted = sha256(octets).digest()[:_HASHED]
        low, high = 0, len(self.rows) // _ROW
        while low < high:
            middle = (low + high) // 2
            row = self.rows[middle * _ROW : (middle + 1) * _ROW]
            if row[:_HASHED] == wanted:
                return self.names.get(row[_HASHED], f"list {row[_HASHED]}")
            if row[:_HASHED] < wanted:
                low = middle + 1
            else:
                high = middle
        return None


def weaknesses(key: rsa.RSAPublicKey) -> Iterator[Phrase]:
    """Yield why the private half of an RSA key can be computed, in words."""
    numbers = key.public_numbers()
    found = badkeys.checkrsa(numbers.n, e=numbers.e, checks=list(_WEAKNESSES))
    yield from (_WEAKNESSES[name] for name in found)
