"""CSRs against the certificates they are to replace, as findings with stable codes."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from models.terms import CertificateId, Circumstance

ABOUT_KEYS = frozenset(
    {
        Circumstance.KEY_COMPROMISE,  # TLS BR 4.9.1.1 (3)
        Circumstance.WEAK_KEY,  # (4)
        Circumstance.KEY_PARAMETERS,  # (6)
        Circumstance.KEY_GENERATION_FLAWED,  # (16)
    }
)
"""Circumstances in which a replacement with the old key would be revoked, too."""

_SMALLEST_RSA = 2048  # bits: TLS BR 6.1.5
_LARGEST_RSA = 8192  # bits: what relying parties still verify at a bearable cost
_SMALLEST_EXPONENT = 3  # TLS BR 6.1.6: an odd number equal to 3 or more
_CURVES = ("secp256r1", "secp384r1", "secp521r1")  # TLS BR 6.1.5
_SHOWN_NAMES = 5
_HOST = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}")


class FindingCode(StrEnum):
    """What can be said of a CSR; programs of subscribers rely on the spelling."""

    NOT_A_CSR = "not-a-csr"
    PRIVATE_KEY = "private-key"
    SIGNATURE_INVALID = "signature-invalid"
    KEY_TYPE = "key-type"
    KEY_TOO_SMALL = "key-too-small"
    KEY_REUSED = "key-reused"
    NAME_MISSING = "name-missing"
    NAME_EXTRA = "name-extra"
    NAME_UNMATCHED = "name-unmatched"
    NAME_AMBIGUOUS = "name-ambiguous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One thing to say about a CSR.

    Args:
        code: Which.
        refuses: Whether the CSR cannot be used because of it.
        message: What is wrong and what to do, for the person who sent it.

    """

    code: FindingCode
    refuses: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedNames:
    """
    What a CSR is compared with.

    Args:
        certificate_id: An affected certificate of the subscriber who sends the CSR.
        dns_names: Its names; empty where only a serial number is known.
        spki_sha256: Hash of its public key, hex; None where only a serial is known.
        key_is_suspect: The incident is about its key (see ``ABOUT_KEYS``).
        takes_csr: Whether it is still to be replaced; if not, only its key counts.

    """

    certificate_id: CertificateId
    dns_names: tuple[str, ...]
    spki_sha256: str | None
    key_is_suspect: bool
    takes_csr: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrCheck:
    """
    What was found in one CSR.

    Args:
        sha256: Of its DER, hex.
        pem: As it would be filed; empty where it is none.
        names: The names it asks for, sorted.
        findings: Those that refuse it first.
        matched: The certificates that it is for.

    """

    sha256: str
    pem: str
    names: tuple[str, ...]
    findings: tuple[Finding, ...]
    matched: tuple[CertificateId, ...]

    @property
    def is_refused(self) -> bool:
        """Whether it cannot be used."""
        return any(finding.refuses for finding in self.findings)


def check_csr(
    csr: bytes,
    *,
    certificates: Sequence[AffectedNames],
    chosen: Sequence[CertificateId] = (),
) -> CsrCheck:
    """Check one CSR, DER; see ``check_csrs``."""
    return check_csrs((csr,), certificates=certificates, chosen=chosen)[0]


def check_csrs(
    csrs: Iterable[bytes],
    *,
    certificates: Sequence[AffectedNames],
    chosen: Sequence[CertificateId] = (),
) -> list[CsrCheck]:
    """
    Check CSRs and find out which certificates they are for.

    Args:
        csrs: DER.
        certificates: The subscriber's own, and no others.
        chosen: The certificates that the subscriber says they are for; empty to match
            by names.

    """
    wanted = frozenset(chosen)
    scope = [
        certificate
        for certificate in certificates
        if certificate.takes_csr
        and (not wanted or certificate.certificate_id in wanted)
    ]
    index = _Index(scope=scope, everything=certificates, is_chosen=bool(wanted))
    return [_check(csr, index) for csr in csrs]


def making_command(names: Sequence[str]) -> str:
    """Return the ``openssl`` command that makes a CSR for these names."""
    hosts = [name for name in names if _HOST.fullmatch(name)] or ["www.example.org"]
    base = re.sub(r"[^a-z0-9.-]", "_", hosts[0].removeprefix("*."))
    alternatives = ",".join(f"DNS:{name}" for name in hosts)
    return (
        "openssl req -new -newkey rsa:2048 -nodes"
        f" -keyout {base}.key -out {base}.csr"
        f" -subj '/CN={hosts[0]}' -addext 'subjectAltName={alternatives}'"
    )


class _Index:
    """The certificates by name, so that many CSRs are matched in one pass each."""

    def __init__(
        self,
        *,
        scope: Sequence[AffectedNames],
        everything: Sequence[AffectedNames],
        is_chosen: bool,
    ) -> None:
        self.is_chosen = is_chosen
        self.names = {
            certificate.certificate_id: frozenset(
                map(_normal, certificate.dns_names),
            )
            for certificate in scope
        }
        self._with_name: dict[str, list[CertificateId]] = defaultdict(list)
        for certificate_id, names in self.names.items():
            for name in names:
                self._with_name[name].append(certificate_id)
        self.suspect_by_key: dict[str, bool] = {}
        for certificate in everything:
            if certificate.spki_sha256:
                self.suspect_by_key[certificate.spki_sha256] = (
                    certificate.key_is_suspect
                    or self.suspect_by_key.get(certificate.spki_sha256, False)
                )

    def nearest(self, names: frozenset[str]) -> list[CertificateId]:
        """Return the certificates whose names come nearest, all of the same distance."""
        shared: dict[CertificateId, int] = defaultdict(int)
        for name in names:
            for certificate_id in self._with_name.get(name, ()):
                shared[certificate_id] += 1
        if not shared:
            return []
        distance = {
            certificate_id: len(names) + len(self.names[certificate_id]) - 2 * count
            for certificate_id, count in shared.items()
        }
        least = min(distance.values())
        return sorted(key for key, value in distance.items() if value == least)


def _check(csr: bytes, index: _Index) -> CsrCheck:
    sha256 = hashlib.sha256(csr).hexdigest()
    try:
        request = x509.load_der_x509_csr(csr)
        names = _names(request)
        is_signed = _is_signed(request)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return CsrCheck(
            sha256=sha256,
            pem="",
            names=(),
            findings=(not_a_csr("It cannot be read as a CSR. Make it anew."),),
            matched=(),
        )
    matched, about_names = _match(names, index)
    findings = [*_about_key(request, index, is_signed=is_signed), *about_names]
    return CsrCheck(
        sha256=sha256,
        pem=request.public_bytes(Encoding.PEM).decode("ascii"),
        names=tuple(sorted(names)),
        findings=tuple(sorted(findings, key=lambda finding: not finding.refuses)),
        matched=matched,
    )


def not_a_csr(message: str) -> Finding:
    """Say that something else was sent."""
    return Finding(code=FindingCode.NOT_A_CSR, refuses=True, message=message)


def _names(request: x509.CertificateSigningRequest) -> frozenset[str]:
    """Return the DNS names a CSR asks for, its common name included where it is one."""
    names = [
        text
        for attribute in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if _HOST.fullmatch(text := _normal(str(attribute.value)))
    ]
    try:
        extension = request.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        pass
    else:
        names += map(_normal, extension.value.get_values_for_type(x509.DNSName))
    return frozenset(names)


def _normal(name: str) -> str:
    text = name.strip().rstrip(".").lower()
    if text.isascii():
        return text
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError:
        return text


def _is_signed(request: x509.CertificateSigningRequest) -> bool:
    """Whether the sender has shown possession of the key (RFC 2986)."""
    try:
        return request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _about_key(
    request: x509.CertificateSigningRequest, index: _Index, *, is_signed: bool
) -> Iterable[Finding]:
    try:
        key = request.public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        yield _refusal(
            FindingCode.KEY_TYPE,
            "The kind of its key is not known. Use RSA with 2048 bits or more, or"
            " ECDSA with P-256 or P-384.",
        )
        return
    match key:
        case rsa.RSAPublicKey():
            yield from _about_rsa(key)
        case ec.EllipticCurvePublicKey():
            if key.curve.name not in _CURVES:
                yield _refusal(
                    FindingCode.KEY_TYPE,
                    f"Certificates cannot use the curve {key.curve.name} (TLS BR"
                    " 6.1.5). Use P-256, P-384 or P-521.",
                )
        case _:
            yield _refusal(
                FindingCode.KEY_TYPE,
                "Certificates can only have RSA and ECDSA keys (TLS BR 6.1.5). Make a"
                " new key of one of these kinds.",
            )
    if not is_signed:
        yield _refusal(
            FindingCode.SIGNATURE_INVALID,
            "Its signature does not fit its key: it was altered, or not made with the"
            " key it names. Make it anew.",
        )
    suspect = index.suspect_by_key.get(hashlib.sha256(spki).hexdigest())
    if suspect is not None:
        yield _about_reuse(is_suspect=suspect)


def _about_rsa(key: rsa.RSAPublicKey) -> Iterable[Finding]:
    if key.key_size < _SMALLEST_RSA:
        yield _refusal(
            FindingCode.KEY_TOO_SMALL,
            f"Its RSA key has {key.key_size} bits; {_SMALLEST_RSA} is the least (TLS BR"
            " 6.1.5). Make a new key.",
        )
    elif key.key_size % 8 or key.key_size > _LARGEST_RSA:
        yield _refusal(
            FindingCode.KEY_TYPE,
            f"Its RSA key has {key.key_size} bits. Use 2048, 3072 or 4096.",
        )
    exponent = key.public_numbers().e
    if exponent < _SMALLEST_EXPONENT or exponent % 2 == 0:
        yield _refusal(
            FindingCode.KEY_TYPE,
            "The exponent of its RSA key is not allowed (TLS BR 6.1.6). Use 65537.",
        )


def _about_reuse(*, is_suspect: bool) -> Finding:
    if is_suspect:
        return _refusal(
            FindingCode.KEY_REUSED,
            "It has the key of an affected certificate, and that key is the reason for"
            " the revocation. Make a new key.",
        )
    return Finding(
        code=FindingCode.KEY_REUSED,
        refuses=False,
        message="It has the same key as an affected certificate. That is allowed here;"
        " a new key is the better habit.",
    )


def _match(
    names: frozenset[str], index: _Index
) -> tuple[tuple[CertificateId, ...], list[Finding]]:
    """Find the certificates that a CSR is for, and what their names differ in."""
    matched = sorted(index.names) if index.is_chosen else index.nearest(names)
    if not matched:
        asked = (
            f"It asks for {_listed(names)}, and none of your affected certificates has"
            " such a name."
            if names
            else "It names no host."
        )
        return (), [
            _refusal(
                FindingCode.NAME_UNMATCHED,
                f"{asked} Choose the certificate it is for, or make it with that"
                " certificate's names.",
            )
        ]
    expected = {index.names[certificate] for certificate in matched}
    if len(expected) > 1 and not index.is_chosen:
        return (), [
            _refusal(
                FindingCode.NAME_AMBIGUOUS,
                f"It asks for {_listed(names)}, which fits {len(matched)} of your"
                " certificates equally well. Choose the certificate it is for.",
            )
        ]
    known = frozenset().union(*expected)
    findings = []
    if known and (missing := known - names):
        findings.append(
            Finding(
                code=FindingCode.NAME_MISSING,
                refuses=False,
                message=f"It does not ask for {_listed(missing)}, which the affected"
                " certificate has. Hand it in only if that is no longer needed.",
            )
        )
    if known and (extra := names - known):
        findings.append(
            Finding(
                code=FindingCode.NAME_EXTRA,
                refuses=False,
                message=f"It asks for {_listed(extra)}, which the affected certificate"
                " does not have. New names must be validated first: that takes time.",
            )
        )
    return tuple(matched), findings


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:_SHOWN_NAMES])
    more = len(ordered) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _refusal(code: FindingCode, message: str) -> Finding:
    return Finding(code=code, refuses=True, message=message)
