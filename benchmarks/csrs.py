"""How fast CSRs are read and checked, beside badkeys alone on the same ones."""

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from time import perf_counter

import badkeys
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from figures import Figure, paired

from models.terms import CertificateId
from tocsin.intake.csr.checks import check_csrs
from tocsin.intake.csr.matching import AffectedNames
from tocsin.intake.csr.uploads import read_upload

CSRS = 500
_KEYS = 40  # RSA keys are slow to make, and each check knows nothing of the last
_ROUNDS = 7
_AT_LEAST = 0.6
# All that badkeys does by default, without the lists that do not come with it.
_CHECKS = [name for name in badkeys.defaultchecks if name != "blocklist"]


def measure() -> list[Figure]:
    """Check the same CSRs with both, in turns."""
    names = [f"host-{number}.clinic.example" for number in range(CSRS)]
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(_KEYS)]
    csrs = [
        _make(name, key)
        for name, key in zip(names, islice(cycle(keys), CSRS), strict=True)
    ]
    certificates = [
        AffectedNames(
            certificate_id=CertificateId(number),
            dns_names=(name,),
            spki_sha256=None,
            key_is_suspect=False,
        )
        for number, name in enumerate(names, start=1)
    ]
    together = "".join(csrs).encode("ascii")

    def ours() -> None:
        checked = check_csrs(
            [csr for one in read_upload(together, name="all.pem") for csr in one.csrs],
            certificates=certificates,
        )
        if sum(len(check.matched) for check in checked) != CSRS:
            message = "not every CSR found its certificate"
            raise AssertionError(message)

    def theirs() -> None:
        for csr in csrs:
            badkeys.detectandcheck(csr, checks=_CHECKS)

    rates = [(_rate(ours), _rate(theirs)) for _ in range(_ROUNDS)]
    return [
        paired(
            f"{CSRS} RSA-2048 CSRs read, matched and checked",
            _column(rates, 0),
            "badkeys alone",
            _column(rates, 1),
            unit="CSRs/s",
            at_least=_AT_LEAST,
        )
    ]


def _make(name: str, key: rsa.RSAPrivateKey) -> str:
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(Encoding.PEM).decode("ascii")


def _rate(work: Callable[[], None]) -> float:
    started_at = perf_counter()
    work()
    return CSRS / (perf_counter() - started_at)


def _column(rates: Sequence[tuple[float, float]], number: int) -> list[float]:
    return [rate[number] for rate in rates]
