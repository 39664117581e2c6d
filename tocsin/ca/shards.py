"""CRLs of the embedded CA in shards: which certificate is in which, and where they are."""

from dataclasses import dataclass
from pathlib import Path

from tocsin.ca.issuers import crl_file, find_issuer, open_database
from tocsin.errors import BadInput

MARK = "{shard}"
"""Stands for the number of a shard in the URL of all of them."""
_MOST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """
    How an issuer's CRL is divided.

    Args:
        url: Where the shards are published, with ``MARK`` for the number of each.
        shards: How many there are.

    """

    url: str
    shards: int

    def shard_of(self, serial: int) -> int:
        """Return in which shard a certificate is: its serial, modulo their number."""
        return serial % self.shards

    def url_of(self, shard: int) -> str:
        """Return the distribution point that a certificate of a shard must name."""
        return self.url.replace(MARK, str(shard))


def shard_crl(directory: Path, *, issuer_key: str, url: str, shards: int) -> None:
    """
    Have an issuer's CRL published in shards from now on; the same again changes nothing.

    Args:
        directory: The embedded CA's.
        issuer_key: Of which issuer.
        url: Where they will be, with ``MARK`` for the number of each.
        shards: How many.

    Raises:
        BadInput: There is no such issuer, the URL is of no use, or the CRL is divided
            otherwise already, as certificates that are out there say.

    """
    issuer = find_issuer(directory, issuer_key)
    if issuer is None:
        raise BadInput(f"the embedded CA has no issuer {issuer_key}")
    if not url.startswith(("http://", "https://")) or MARK not in url:
        raise BadInput(
            f"give a URL with {MARK} where the number of the shard goes", field="url"
        )
    if not 1 <= shards <= _MOST:
        raise BadInput(f"from 1 to {_MOST} shards", field="shards")
    with open_database(directory) as database:
        database.execute(
            "INSERT INTO sharding (issuer, url, shards) VALUES (?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (issuer.id, url, shards),
        )
    wanted = Sharding(url=url, shards=shards)
    if (known := sharding_of(directory, issuer.id)) != wanted:
        raise BadInput(
            f"the CRL is divided already: {known and known.shards} shards at "
            f"{known and known.url}",
            field="url",
        )


def sharding_of(directory: Path, issuer: int) -> Sharding | None:
    """Return how an issuer's CRL is divided; None: it is whole."""
    with open_database(directory) as database:
        row = database.execute(
            "SELECT url, shards FROM sharding WHERE issuer = ?", (issuer,)
        ).fetchone()
    return row and Sharding(url=row[0], shards=row[1])


def crl_files(
    directory: Path, issuer_key: str, sharding: Sharding | None
) -> list[Path]:
    """Return where the CRLs in force lie, DER: one, or that of each shard."""
    whole = crl_file(directory, issuer_key)
    if sharding is None:
        return [whole]
    return [
        whole.with_name(f"{whole.stem}-{shard}{whole.suffix}")
        for shard in range(sharding.shards)
    ]
