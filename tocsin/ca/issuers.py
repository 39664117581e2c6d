"""The embedded CA's issuers: certificates, keys and the database beside them."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tocsin.ca.crl import SigningKey, serial_octets
from tocsin.ca.files import write_secret
from tocsin.errors import BadInput, Unavailable
from tocsin.names import key_of_name, readable_name

_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS issuer (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    certificate BLOB NOT NULL,
    knows_issued INTEGER NOT NULL DEFAULT 0,
    crl_number INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS issued (
    issuer INTEGER NOT NULL REFERENCES issuer (id),
    serial BLOB NOT NULL,
    PRIMARY KEY (issuer, serial)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revoked (
    issuer INTEGER NOT NULL REFERENCES issuer (id),
    serial BLOB NOT NULL,
    reason INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL,
    calls INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (issuer, serial)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sharding (
    issuer INTEGER PRIMARY KEY REFERENCES issuer (id),
    url TEXT NOT NULL,
    shards INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRecord:
    """
    One issuer of the embedded CA.

    Args:
        id: Its number in the CA's own database.
        key: SHA-256 of its name in canonical form, hex.
        name: The name, for people.
        certificate: Its certificate.
        knows_issued: Whether the CA has the list of serials this issuer issued.
        crl_number: Of the last CRL; 0 before the first.

    """

    id: int
    key: str
    name: str
    certificate: x509.Certificate
    knows_issued: bool
    crl_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSummary:
    """An issuer in figures, for people; without shards its CRL is whole."""

    key: str
    name: str
    crl_number: int
    revoked: int
    crl_file: Path
    shards: int


def create_issuer(
    directory: Path,
    *,
    name: str,
    organisation: str | None = None,
    country: str | None = None,
    now: datetime,
    valid_within: timedelta = timedelta(days=3650),
) -> str:
    """
    Make an issuer with a new P-256 key and a self-signed certificate.

    Args:
        directory: Where the embedded CA lives.
        name: The common name.
        organisation: O of the subject.
        country: C of the subject, two letters.
        now: When its validity begins.
        valid_within: How long it lasts.

    Returns:
        The issuer's key.

    Raises:
        BadInput: Such an issuer exists, or the name cannot stand in a certificate.

    """
    attributes = (
        (x509.NameOID.COUNTRY_NAME, country),
        (x509.NameOID.ORGANIZATION_NAME, organisation),
        (x509.NameOID.COMMON_NAME, name),
    )
    try:
        subject = x509.Name(
            [x509.NameAttribute(oid, value) for oid, value in attributes if value]
        )
    except ValueError as error:
        raise BadInput(f"the name cannot be used: {error}", field="name") from error
    if not name.strip():
        raise BadInput("an issuer needs a name", field="name")
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + valid_within)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return add_issuer(
        directory,
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def add_issuer(directory: Path, *, certificate_pem: bytes, key_pem: bytes) -> str:
    """
    Take in an issuer that exists already; the same one twice changes nothing.

    Args:
        directory: Where the embedded CA lives; made when absent.
        certificate_pem: The issuer's certificate.
        key_pem: Its private key, RSA or EC, without a passphrase.

    Returns:
        The issuer's key.

    Raises:
        BadInput: Unreadable, not a pair, or another issuer has the same name.

    """
    certificate, private = _read_pair(certificate_pem, key_pem)
    key = key_of_name(certificate.subject)
    _prepare(directory)
    with open_database(directory) as database:
        database.execute("BEGIN IMMEDIATE")
        known = database.execute(
            "SELECT certificate FROM issuer WHERE key = ?", (key,)
        ).fetchone()
        if known is not None:
            database.execute("ROLLBACK")
            _refuse_another(certificate, known[0])
            return key
        # The key file first: an issuer without a key could not publish.
        write_secret(
            key_file(directory, key),
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        database.execute(
            "INSERT INTO issuer (key, name, certificate) VALUES (?, ?, ?)",
            (
                key,
                readable_name(certificate.subject),
                certificate.public_bytes(serialization.Encoding.DER),
            ),
        )
        database.execute("COMMIT")
    return key


def add_issued(directory: Path, *, issuer_key: str, serials: Iterable[int]) -> None:
    """
    Tell the CA what an issuer has issued; it then knows no other serials.

    Raises:
        BadInput: There is no such issuer.

    """
    issuer = find_issuer(directory, issuer_key)
    if issuer is None:
        raise BadInput(f"the embedded CA has no issuer {issuer_key}")
    with open_database(directory) as database:
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT INTO issued (issuer, serial) VALUES (?, ?) ON CONFLICT DO NOTHING",
            ((issuer.id, serial_octets(serial)) for serial in serials),
        )
        database.execute(
            "UPDATE issuer SET knows_issued = 1 WHERE id = ?", (issuer.id,)
        )
        database.execute("COMMIT")


def all_issuers(directory: Path) -> list[IssuerRecord]:
    """
    Return the issuers, oldest first; none where there is no CA yet.

    Raises:
        Unavailable: The database does not answer.

    """
    if not _database_file(directory).exists():
        return []
    try:
        with open_database(directory) as database:
            rows = database.execute(
                "SELECT id, key, name, certificate, knows_issued, crl_number "
                "FROM issuer ORDER BY id"
            ).fetchall()
    except (sqlite3.Error, OSError) as error:
        message = f"the embedded CA does not answer: {error}"
        raise Unavailable(message) from error
    return [
        IssuerRecord(
            id=row[0],
            key=row[1],
            name=row[2],
            certificate=x509.load_der_x509_certificate(row[3]),
            knows_issued=bool(row[4]),
            crl_number=row[5],
        )
        for row in rows
    ]


def find_issuer(directory: Path, issuer_key: str) -> IssuerRecord | None:
    """Return one issuer, or None where it is not ours."""
    return next(
        (issuer for issuer in all_issuers(directory) if issuer.key == issuer_key), None
    )


def summarise(directory: Path) -> list[IssuerSummary]:
    """Return the issuers with what they revoked."""
    issuers = all_issuers(directory)
    if not issuers:
        return []
    with open_database(directory) as database:
        counts = dict(
            database.execute("SELECT issuer, count(*) FROM revoked GROUP BY issuer")
        )
        shards = dict(database.execute("SELECT issuer, shards FROM sharding"))
    return [
        IssuerSummary(
            key=issuer.key,
            name=issuer.name,
            crl_number=issuer.crl_number,
            revoked=counts.get(issuer.id, 0),
            crl_file=crl_file(directory, issuer.key),
            shards=shards.get(issuer.id, 0),
        )
        for issuer in issuers
    ]


def signing_key(directory: Path, issuer_key: str) -> SigningKey:
    """
    Read an issuer's private key.

    Raises:
        Unavailable: It cannot be read.

    """
    try:
        pem = key_file(directory, issuer_key).read_bytes()
        key = serialization.load_pem_private_key(pem, password=None)
    except (OSError, ValueError, TypeError) as error:
        message = f"the key of issuer {issuer_key} cannot be read: {error}"
        raise Unavailable(message) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        message = f"the key of issuer {issuer_key} is neither RSA nor EC"
        raise Unavailable(message)
    return key


def key_file(directory: Path, issuer_key: str) -> Path:
    """Return where an issuer's private key lies, readable by its owner only."""
    return directory / "keys" / f"{issuer_key}.pem"


def crl_file(directory: Path, issuer_key: str) -> Path:
    """Return where an issuer's CRL in force lies, DER."""
    return directory / "crl" / f"{issuer_key}.crl"


@contextmanager
def open_database(directory: Path) -> Iterator[sqlite3.Connection]:
    """Open the CA's own database; statements commit by themselves unless told."""
    with closing(
        sqlite3.connect(
            _database_file(directory), timeout=_BUSY_SECONDS, isolation_level=None
        )
    ) as database:
        database.execute("PRAGMA journal_mode=WAL")
        # A revocation that was answered survives a power cut.
        database.execute("PRAGMA synchronous=FULL")
        database.executescript(_SCHEMA)
        yield database


def _database_file(directory: Path) -> Path:
    return directory / "ca.sqlite"


def _prepare(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in ("keys", "crl"):
        (directory / folder).mkdir(exist_ok=True, mode=0o700)


def _read_pair(
    certificate_pem: bytes, key_pem: bytes
) -> tuple[x509.Certificate, SigningKey]:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        message = f"not a certificate in PEM: {error}"
        raise BadInput(message, field="certificate") from error
    try:
        private = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        message = f"not a private key in PEM without a passphrase: {error}"
        raise BadInput(message, field="key") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise BadInput("only RSA and EC keys can sign here", field="key")
    if private.public_key() != public:
        raise BadInput("the key does not belong to the certificate", field="key")
    return certificate, private


def _refuse_another(certificate: x509.Certificate, known: bytes) -> None:
    if x509.load_der_x509_certificate(known).public_key() != certificate.public_key():
        raise BadInput(
            "the embedded CA has another issuer of the same name, with another key",
            field="certificate",
        )


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,  # it signs its OCSP answers itself
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
