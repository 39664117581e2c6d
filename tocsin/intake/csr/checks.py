"""CSRs against the certificates they are to replace, as findings with stable codes."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding

from models.terms import CertificateId
from tocsin.intake.csr.findings import Finding, not_a_csr
from tocsin.intake.csr.keys import about_key
from tocsin.intake.csr.matching import AffectedNames, CertificateIndex, match
from tocsin.intake.csr.requests import CsrRequest, read_request
from tocsin.intake.csr.weak_keys import KeyBlocklist
from tocsin.phrases import phrase


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrCheck:
    """
    What was found in one CSR.

    Args:
        sha256: Of its DER, hex.
        spki_sha256: Of its public key, hex; empty where there is none.
        pem: As it would be filed; empty where it is none.
        names: The names it asks for, sorted.
        findings: Those that refuse it first.
        matched: The certificates that it is for.

    """

    sha256: str
    spki_sha256: str
    pem: str
    names: tuple[str, ...]
    findings: tuple[Finding, ...]
    matched: tuple[CertificateId, ...]

    @property
    def is_refused(self) -> bool:
        """Whether it cannot be used."""
        return any(finding.refuses for finding in self.findings)


KnownKeys = Callable[[Collection[str]], Mapping[str, bool]]
"""Of these hashes of public keys, those known from affected certificates of anybody, and whether the key itself was the reason to revoke."""


def _knows_none(_keys: Collection[str]) -> Mapping[str, bool]:
    return {}


def check_csrs(
    csrs: Iterable[bytes],
    *,
    certificates: Sequence[AffectedNames],
    chosen: Sequence[CertificateId] = (),
    known_keys: KnownKeys = _knows_none,
    blocklist: KeyBlocklist | None = None,
) -> list[CsrCheck]:
    """
    Check CSRs and find out which certificates they are for.

    Args:
        csrs: DER.
        certificates: The subscriber's own, and no others.
        chosen: The certificates that the subscriber says they are for; empty to match
            by names.
        known_keys: Asked once, for the keys of all CSRs.
        blocklist: Keys known to be compromised, where the CA keeps such a list.

    """
    requests = [read_request(csr) for csr in csrs]
    wanted = frozenset(chosen)
    scope = [
        certificate
        for certificate in certificates
        if certificate.takes_csr
        and (not wanted or certificate.certificate_id in wanted)
    ]
    index = CertificateIndex(
        scope=scope, everything=certificates, is_chosen=bool(wanted)
    )
    index.add_keys(known_keys({one.spki_sha256 for one in requests if one.spki_sha256}))
    return [_check(request, index, blocklist) for request in requests]


def _check(
    read: CsrRequest, index: CertificateIndex, blocklist: KeyBlocklist | None
) -> CsrCheck:
    if read.request is None:
        return CsrCheck(
            sha256=read.sha256,
            spki_sha256="",
            pem="",
            names=(),
            findings=(not_a_csr(phrase("It cannot be read as a CSR. Make it anew.")),),
            matched=(),
        )
    matched, about_names = match(read.names, index)
    findings = [
        *about_key(
            read,
            is_suspect=index.suspect_by_key.get(read.spki_sha256),
            blocklist=blocklist,
        ),
        *about_names,
    ]
    return CsrCheck(
        sha256=read.sha256,
        spki_sha256=read.spki_sha256,
        pem=read.request.public_bytes(Encoding.PEM).decode("ascii"),
        names=tuple(sorted(read.names)),
        findings=tuple(sorted(findings, key=lambda finding: not finding.refuses)),
        matched=matched,
    )
