"""How fast a list is imported, beside a bare loop that only extracts the same fields."""

import hashlib
import random
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID
from figures import Figure, paired
from sqlalchemy import Engine, insert

from models.base import table
from models.incident import Incident
from models.terms import Circumstance, IncidentId, IncidentState, Reason
from tocsin.steps.intake import import_incident
from tocsin.store.session import migrate, open_engine, writing

_NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_INCIDENT = IncidentId("benchmark")
_SLOWER_AT_MOST = 1.3
_FILES = 4
_PRECERTIFICATES = 0.06  # the share in the founding case: 65 of 1,111
_SEED = 1111
_PEM_BLOCK = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """
    Rates of imports and bare loops over the same files, measured in turns.

    Args:
        ours: Entries imported per second: files read, database, duplicates included.
        bare: Entries extracted per second, kept nowhere.

    """

    ours: tuple[float, ...]
    bare: tuple[float, ...]


def measure(
    counts: Sequence[int] = (10_000, 100_000), *, rounds: int = 3
) -> list[Figure]:
    """Import lists of these lengths into fresh SQLite databases, several times."""
    measured = {count: import_in_rounds(count, rounds=rounds) for count in counts}
    figures = [
        paired(
            f"import of {count:,} certificates",
            of_count.ours,
            "cryptography, bare extraction",
            of_count.bare,
            unit="entries/s",
            at_least=1 / 6,
        )
        for count, of_count in measured.items()
    ]
    if len(measured) > 1:
        figures.append(_slowdown(measured, min(counts), max(counts)))
    return figures


def import_in_rounds(count: int, *, rounds: int) -> Rounds:
    """
    Issue a list of so many certificates, then extract and import it in turns.

    The list: PEM bundles of certificates of the usual size, some with their
    precertificates, and a fortieth of all twice.
    """
    with tempfile.TemporaryDirectory(prefix="tocsin-benchmark-") as folder:
        root = Path(folder)
        entries = write_list(root / "list", count)
        ours: list[float] = []
        bare: list[float] = []
        for number in range(rounds):
            bare.append(entries / _timed(lambda: _extract(root / "list")))
            seconds = _import(root / "list", root / f"{number}.sqlite", entries, count)
            ours.append(entries / seconds)
    return Rounds(ours=tuple(ours), bare=tuple(bare))


def _slowdown(measured: Mapping[int, Rounds], few: int, many: int) -> Figure:
    ratios = [
        faster / slower
        for faster, slower in zip(measured[few].ours, measured[many].ours, strict=True)
    ]
    ratio = median(ratios)
    return Figure(
        name=f"time per entry of {many:,} beside {few:,}",
        value=round(1e6 / median(measured[many].ours), 1),
        unit="µs",
        base=f"{few:,} certificates",
        base_value=round(1e6 / median(measured[few].ours), 1),
        ratio=round(ratio, 3),
        spread=(round(min(ratios), 3), round(max(ratios), 3)),
        goal=f"≤ {_SLOWER_AT_MOST} of the base",
        met=ratio <= _SLOWER_AT_MOST,
    )


def write_list(folder: Path, count: int) -> int:
    """Issue certificates into PEM bundles; return the number of entries."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    rng = random.Random(_SEED)  # noqa: S311 - a list that is the same each time
    entries = 0
    repeated: list[bytes] = []
    for number in range(_FILES):
        size = count // _FILES + (number < count % _FILES)
        with (folder / f"certificates-{number}.pem").open("wb") as bundle:
            for index in range(size):
                serial = rng.getrandbits(126) | 1 << 126
                certificate = _issue(key, serial, index, rng, poison=False)
                bundle.write(certificate)
                entries += 1
                if rng.random() < _PRECERTIFICATES:
                    bundle.write(_issue(key, serial, index, rng, poison=True))
                    entries += 1
                if number == 0 and index % 10 == 0:
                    repeated.append(certificate)
    (folder / "repeated.pem").write_bytes(b"".join(repeated))
    return entries + len(repeated)


def _issue(
    key: ec.EllipticCurvePrivateKey,
    serial: int,
    index: int,
    rng: random.Random,
    *,
    poison: bool,
) -> bytes:
    organisation = f"Subscriber {index // 4}"
    hosts = [f"{host}.s{index // 4}.example.hk" for host in ("www", f"h{index}", "api")]
    url = "http://ca.example.hk/"
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False),
        (x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH]), False),
        (x509.AuthorityKeyIdentifier(rng.randbytes(20), None, None), False),
        (x509.SubjectKeyIdentifier(rng.randbytes(20)), False),
        (
            x509.CRLDistributionPoints(
                [
                    x509.DistributionPoint(
                        [x509.UniformResourceIdentifier(url + "crl")], None, None, None
                    )
                ]
            ),
            False,
        ),
        (
            x509.AuthorityInformationAccess(
                [
                    x509.AccessDescription(
                        x509.OID_OCSP, x509.UniformResourceIdentifier(url + "ocsp")
                    )
                ]
            ),
            False,
        ),
        # A room the size of three signed certificate timestamps.
        (
            x509.UnrecognizedExtension(
                x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), rng.randbytes(366)
            ),
            False,
        ),
    ]
    if poison:
        extensions[-1] = (x509.PrecertPoison(), True)
    builder = (
        x509.CertificateBuilder()
        .serial_number(serial)
        .issuer_name(_name(("HK", "Example CA Limited", "Example TLS CA 1")))
        .subject_name(_name(("HK", organisation, hosts[0])))
        .public_key(key.public_key())
        .not_valid_before(_NOW - timedelta(days=90))
        .not_valid_after(_NOW + timedelta(days=275))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM)


def _name(values: tuple[str, str, str]) -> x509.Name:
    oids = (NameOID.COUNTRY_NAME, NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    return x509.Name(
        [
            x509.NameAttribute(oid, value)
            for oid, value in zip(oids, values, strict=True)
        ]
    )


def _extract(folder: Path) -> None:
    """The peer: ``cryptography`` gives the same fields, nothing is kept."""
    for path in sorted(folder.iterdir()):
        for match in _PEM_BLOCK.finditer(path.read_bytes()):
            _fields(x509.load_pem_x509_certificate(match[0]))


def _fields(certificate: x509.Certificate) -> tuple[object, ...]:
    extensions = certificate.extensions
    names = extensions.get_extension_for_oid(
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME
    ).value
    if not isinstance(names, x509.SubjectAlternativeName):
        raise TypeError(names)
    poisons = [
        extension
        for extension in extensions
        if extension.oid == ExtensionOID.PRECERT_POISON and extension.critical
    ]
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return (
        certificate.issuer.rfc4514_string(),
        certificate.serial_number,
        certificate.subject.rfc4514_string(),
        names.get_values_for_type(x509.DNSName),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        bool(poisons),
        certificate.fingerprint(hashes.SHA256()),
        hashlib.sha256(key).digest(),
    )


def _import(folder: Path, database: Path, entries: int, count: int) -> float:
    engine = open_engine(f"sqlite:///{database}")
    try:
        migrate(engine)
        _insert_draft(engine)
        started = perf_counter()
        imported = import_incident(
            engine,
            incident=_INCIDENT,
            certificates=[folder],
            directory=None,
            default_zone="Asia/Hong_Kong",
            now=_NOW,
        )
        seconds = perf_counter() - started
    finally:
        engine.dispose()
        for path in database.parent.glob(f"{database.name}*"):
            path.unlink()
    if (imported.entries, imported.certificates) != (entries, count):
        raise RuntimeError(f"imported something else: {imported}")
    return seconds


def _insert_draft(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(
            insert(table(Incident)).values(
                id=_INCIDENT,
                title="Benchmark",
                state=IncidentState.DRAFT.value,
                circumstance=Circumstance.MISISSUED.value,
                reason=int(Reason.SUPERSEDED),
                is_drill=True,
                zone="Asia/Hong_Kong",
                made_aware_at=_NOW,
                deadline=_NOW + timedelta(days=5),
                drafted_at=_NOW,
                plan={},
                rule_pack="",
                ladder="",
            )
        )


def _timed(act: Callable[[], None]) -> float:
    started = perf_counter()
    act()
    return perf_counter() - started
