"""The CA that comes with us: revokes durably, publishes signed CRLs, answers OCSP."""

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from models.terms import Reason
from tocsin.ca.backend import (
    AnswerKind,
    Capabilities,
    CertificateStatus,
    RevocationAnswer,
    RevocationRequest,
    StatusKind,
)
from tocsin.ca.crl import (
    CrlEntry,
    SigningKey,
    serial_octets,
    serial_of_octets,
    write_crl,
)
from tocsin.ca.files import write_atomically
from tocsin.ca.issuers import (
    IssuerRecord,
    all_issuers,
    crl_file,
    find_issuer,
    open_database,
    signing_key,
)
from tocsin.ca.responder import OcspSigner
from tocsin.ca.shards import Sharding, crl_files, sharding_of
from tocsin.clock import Clock
from tocsin.errors import Unavailable

# Far below what was measured, so that a plan made with it holds on a slow disk.
_RATE_PER_SECOND = 1000.0
_PUBLICATION_DELAY = timedelta(minutes=1)

# TLS BR 4.9.7 allows 10 days for a CRL of subscriber certificates.
_CRL_WITHIN = timedelta(days=7)

_REVOKE = (
    "INSERT INTO revoked (issuer, serial, reason, revoked_at) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (issuer, serial) DO UPDATE SET calls = calls + 1 "
    "RETURNING reason, revoked_at, calls"
)
_LOOK_UP = "SELECT reason, revoked_at FROM revoked WHERE issuer = ? AND serial = ?"
_IS_ISSUED = "SELECT 1 FROM issued WHERE issuer = ? AND serial = ?"


class EmbeddedCa:
    """
    A certificate authority in a directory; a ``CaBackend``.

    Args:
        directory: Holds its database, keys and CRLs.
        clock: Dates revocations and CRLs.

    """

    def __init__(self, directory: Path, *, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        """What this CA can do."""
        issuers = all_issuers(self._directory)
        return Capabilities(
            name="embedded",
            keeps_reasons=frozenset(Reason),
            safe_to_repeat=True,
            checks_unknown=bool(issuers) and all(i.knows_issued for i in issuers),
            rate_per_second=_RATE_PER_SECOND,
            publication_delay=_PUBLICATION_DELAY,
        )

    def knows_issuer(self, issuer_key: str) -> bool:
        """Whether certificates of this issuer can be revoked here."""
        return find_issuer(self._directory, issuer_key) is not None

    def look_up(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[CertificateStatus]:
        """
        Ask for what the CA has on record; changes nothing.

        Raises:
            Unavailable: The database does not answer.

        """
        with _database_or_unavailable(self._directory) as database:
            issuers = {issuer.key: issuer for issuer in all_issuers(self._directory)}
            for request in requests:
                issuer = issuers.get(request.issuer_key)
                yield _status(database, issuer, request)

    def revoke(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[RevocationAnswer]:
        """
        Revoke one after the other, each durable before its answer is given.

        What was revoked before keeps its reason and time: the answer tells them.
        """
        remaining = iter(requests)
        try:
            issuers = {issuer.key: issuer for issuer in all_issuers(self._directory)}
            if not issuers:
                yield from (_unknown(request) for request in remaining)
                return
            with open_database(self._directory) as database:
                for request in remaining:
                    yield self._revoke(database, issuers, request)
        except (sqlite3.Error, OSError, Unavailable) as error:
            # Opening failed: nothing was asked yet, so nothing was done.
            yield from (_not_now(request, error) for request in remaining)

    def publish(self, issuer_key: str) -> None:
        """
        Sign a new CRL, or all shards, and put each in the place of the old one.

        Raises:
            Unavailable: The issuer, its key, the database or the disk.

        """
        file = crl_file(self._directory, issuer_key)
        key = signing_key(self._directory, issuer_key)
        try:
            # One publisher at a time: of two, the slower could put an older CRL in the
            # place of a newer one. Revocations are not held up meanwhile.
            with _exclusive(file.with_suffix(".lock")):
                for place, content in self._new_crls(issuer_key, key):
                    write_atomically(place, content)
        except (sqlite3.Error, OSError) as error:
            message = f"the embedded CA cannot publish: {error}"
            raise Unavailable(message) from error

    def _revoke(
        self,
        database: sqlite3.Connection,
        issuers: dict[str, IssuerRecord],
        request: RevocationRequest,
    ) -> RevocationAnswer:
        issuer = issuers.get(request.issuer_key)
        try:
            if issuer is None or not _is_issued(database, issuer, request.serial):
                return _unknown(request)
            # Read to the end: the statement commits when it is finished.
            ((reason, revoked_at, calls),) = database.execute(
                _REVOKE,
                (
                    issuer.id,
                    serial_octets(request.serial),
                    int(request.reason),
                    int(self._clock.now().timestamp()),
                ),
            ).fetchall()
        except (sqlite3.Error, OSError) as error:
            return _not_now(request, error)
        return RevocationAnswer(
            certificate_id=request.certificate_id,
            kind=AnswerKind.DONE if calls == 1 else AnswerKind.ALREADY,
            revoked_at=datetime.fromtimestamp(revoked_at, UTC),
            reason=Reason(reason),
        )

    def _new_crls(
        self, issuer_key: str, key: SigningKey
    ) -> Iterator[tuple[Path, bytes]]:
        now = self._clock.now().replace(microsecond=0)
        with open_database(self._directory) as database:
            # The number is spent before the CRL exists: one that a crash leaves unused
            # is harmless, one used twice is not.
            numbered = database.execute(
                "UPDATE issuer SET crl_number = crl_number + 1 WHERE key = ? "
                "RETURNING id, certificate, crl_number",
                (issuer_key,),
            ).fetchall()
            if not numbered:
                message = f"the embedded CA has no issuer {issuer_key}"
                raise Unavailable(message)
            ((issuer, certificate, number),) = numbered
            sharding = sharding_of(self._directory, issuer)
            entries = (
                CrlEntry(*row)
                for row in database.execute(
                    "SELECT serial, revoked_at, reason FROM revoked WHERE issuer = ?",
                    (issuer,),
                )
            )
            for file, (url, of_shard) in zip(
                crl_files(self._directory, issuer_key, sharding),
                _divided(entries, sharding),
                strict=True,
            ):
                yield (
                    file,
                    write_crl(
                        x509.load_der_x509_certificate(certificate),
                        key,
                        number=number,
                        this_update=now,
                        next_update=now + _CRL_WITHIN,
                        entries=of_shard,
                        shard_url=url,
                    ),
                )


class EmbeddedPublication:
    """
    What the embedded CA shows the world; a ``Publication``.

    The CRL is the file as it was published; an OCSP answer is signed when it is asked
    for, and says what the CA has on record at that moment.

    Args:
        directory: The embedded CA's.
        clock: Dates OCSP answers.

    """

    def __init__(self, directory: Path, *, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    def issuer_certificate(self, issuer_key: str) -> bytes:
        """
        Return the issuer's certificate, DER.

        Raises:
            Unavailable: The embedded CA has no such issuer.

        """
        issuer = self._issuer(issuer_key)
        return issuer.certificate.public_bytes(serialization.Encoding.DER)

    def read_crls(self, issuer_key: str) -> Iterator[bytes]:
        """
        Yield the CRL in force, DER, or all shards.

        Raises:
            Unavailable: None was published yet, or one cannot be read.

        """
        sharding = sharding_of(self._directory, self._issuer(issuer_key).id)
        for file in crl_files(self._directory, issuer_key, sharding):
            try:
                crl = file.read_bytes()
            except OSError as error:
                message = f"no CRL of issuer {issuer_key} can be read: {error}"
                raise Unavailable(message) from error
            yield crl

    def has_ocsp(self, issuer_key: str) -> bool:
        """Whether the issuer answers OCSP."""
        return find_issuer(self._directory, issuer_key) is not None

    def ask_ocsp(self, issuer_key: str, serials: Sequence[int]) -> Iterator[bytes]:
        """
        Yield one signed OCSP response for each serial, in order.

        Raises:
            Unavailable: The issuer, its key or the database.

        """
        issuer = self._issuer(issuer_key)
        key = signing_key(self._directory, issuer_key)
        signer = OcspSigner(issuer.certificate, key)
        with _database_or_unavailable(self._directory) as database:
            for serial in serials:
                now = self._clock.now()
                revoked = _look_up(database, issuer, serial)
                if revoked is not None:
                    reason, revoked_at = revoked
                    yield signer.revoked(
                        serial, revoked_at=revoked_at, reason=reason, now=now
                    )
                elif _is_issued(database, issuer, serial):
                    yield signer.good(serial, now=now)
                else:
                    # TLS BR 4.9.10: never "good" for what was not issued.
                    yield signer.unknown(serial, now=now)

    def _issuer(self, issuer_key: str) -> IssuerRecord:
        issuer = find_issuer(self._directory, issuer_key)
        if issuer is None:
            message = f"the embedded CA has no issuer {issuer_key}"
            raise Unavailable(message)
        return issuer


def _divided(
    entries: Iterable[CrlEntry], sharding: Sharding | None
) -> Iterator[tuple[str | None, Iterable[CrlEntry]]]:
    """Yield what goes into each CRL, with the place it names; whole: one without."""
    if sharding is None:
        yield None, entries
        return
    shards: list[list[CrlEntry]] = [[] for _ in range(sharding.shards)]
    for entry in entries:
        shards[sharding.shard_of(serial_of_octets(entry.serial))].append(entry)
    for number, of_shard in enumerate(shards):
        yield sharding.url_of(number), of_shard


@contextmanager
def _database_or_unavailable(directory: Path) -> Iterator[sqlite3.Connection]:
    try:
        with open_database(directory) as database:
            yield database
    except (sqlite3.Error, OSError) as error:
        message = f"the embedded CA does not answer: {error}"
        raise Unavailable(message) from error


@contextmanager
def _exclusive(file: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends."""
    with file.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _status(
    database: sqlite3.Connection,
    issuer: IssuerRecord | None,
    request: RevocationRequest,
) -> CertificateStatus:
    if issuer is None:
        return CertificateStatus(
            certificate_id=request.certificate_id, kind=StatusKind.UNKNOWN
        )
    revoked = _look_up(database, issuer, request.serial)
    if revoked is not None:
        reason, revoked_at = revoked
        return CertificateStatus(
            certificate_id=request.certificate_id,
            kind=StatusKind.REVOKED,
            revoked_at=revoked_at,
            reason=reason,
        )
    is_issued = _is_issued(database, issuer, request.serial)
    return CertificateStatus(
        certificate_id=request.certificate_id,
        kind=StatusKind.GOOD if is_issued else StatusKind.UNKNOWN,
    )


def _look_up(
    database: sqlite3.Connection, issuer: IssuerRecord, serial: int
) -> tuple[Reason, datetime] | None:
    """Return reason and time of a revocation, or None where there is none."""
    row = database.execute(_LOOK_UP, (issuer.id, serial_octets(serial))).fetchone()
    return row and (Reason(row[0]), datetime.fromtimestamp(row[1], UTC))


def _is_issued(database: sqlite3.Connection, issuer: IssuerRecord, serial: int) -> bool:
    """Whether the issuer issued it; without a list of what it issued, yes."""
    if not issuer.knows_issued:
        return True
    found = database.execute(_IS_ISSUED, (issuer.id, serial_octets(serial))).fetchone()
    return found is not None


def _unknown(request: RevocationRequest) -> RevocationAnswer:
    return RevocationAnswer(
        certificate_id=request.certificate_id,
        kind=AnswerKind.UNKNOWN,
        detail="the embedded CA did not issue it",
    )


def _not_now(request: RevocationRequest, error: Exception) -> RevocationAnswer:
    return RevocationAnswer(
        certificate_id=request.certificate_id,
        kind=AnswerKind.RETRY,
        detail=f"the embedded CA's database: {error}",
    )
