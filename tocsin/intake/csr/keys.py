"""What a CSR's key must and must not be."""

from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from models.terms import Circumstance
from tocsin.intake.csr.findings import Finding, FindingCode, refusal
from tocsin.intake.csr.requests import CsrRequest
from tocsin.intake.csr.weak_keys import KeyBlocklist, weaknesses
from tocsin.phrases import phrase

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


def about_key(
    read: CsrRequest, *, is_suspect: bool | None, blocklist: KeyBlocklist | None
) -> Iterable[Finding]:
    """
    Yield what is to be said of a CSR's key.

    Args:
        read: The CSR.
        is_suspect: Whether it is the key of an affected certificate that is revoked
            because of its key; None where it is no affected certificate's key.
        blocklist: Keys known to be compromised, where there is such a list.

    """
    key = read.key
    match key:
        case None:
            yield refusal(
                FindingCode.KEY_TYPE,
                phrase(
                    "The kind of its key is not known. Use RSA with 2048 bits or more,"
                    " or ECDSA with P-256 or P-384."
                ),
            )
            return
        case rsa.RSAPublicKey():
            yield from _about_rsa(key)
        case ec.EllipticCurvePublicKey():
            if key.curve.name not in _CURVES:
                yield refusal(
                    FindingCode.KEY_TYPE,
                    phrase(
                        "Certificates cannot use the curve %(curve)s (TLS BR 6.1.5)."
                        " Use P-256, P-384 or P-521.",
                        curve=key.curve.name,
                    ),
                )
        case _:
            yield refusal(
                FindingCode.KEY_TYPE,
                phrase(
                    "Certificates can only have RSA and ECDSA keys (TLS BR 6.1.5). Make"
                    " a new key of one of these kinds."
                ),
            )
    if not read.is_signed:
        yield refusal(
            FindingCode.SIGNATURE_INVALID,
            phrase(
                "Its signature does not fit its key: it was altered, or not made with"
                " the key it names. Make it anew."
            ),
        )
    if blocklist and isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        yield from _about_blocked(blocklist.name_of(key))
    if is_suspect is not None:
        yield _about_reuse(is_suspect=is_suspect)


def _about_blocked(name: str | None) -> Iterable[Finding]:
    if name is not None:
        yield refusal(
            FindingCode.KEY_COMPROMISED,
            phrase(
                "Its key is publicly known to be compromised (%(list)s; TLS BR 6.1.1.3)."
                " Make a new key, on a system that is up to date.",
                list=name,
            ),
        )


def _about_rsa(key: rsa.RSAPublicKey) -> Iterable[Finding]:
    if key.key_size < _SMALLEST_RSA:
        yield refusal(
            FindingCode.KEY_TOO_SMALL,
            phrase(
                "Its RSA key has %(bits)s bits; %(least)s is the least (TLS BR 6.1.5)."
                " Make a new key.",
                bits=key.key_size,
                least=_SMALLEST_RSA,
            ),
        )
    elif key.key_size % 8 or key.key_size > _LARGEST_RSA:
        yield refusal(
            FindingCode.KEY_TYPE,
            phrase(
                "Its RSA key has %(bits)s bits. Use 2048, 3072 or 4096.",
                bits=key.key_size,
            ),
        )
    exponent = key.public_numbers().e
    if exponent < _SMALLEST_EXPONENT or exponent % 2 == 0:
        yield refusal(
            FindingCode.KEY_TYPE,
            phrase(
                "The exponent of its RSA key is not allowed (TLS BR 6.1.6). Use 65537."
            ),
        )
    # Beyond what certificates can have, the checks would take for ever.
    if key.key_size <= _LARGEST_RSA:
        yield from _about_weakness(key)


def _about_weakness(key: rsa.RSAPublicKey) -> Iterable[Finding]:
    for weakness in weaknesses(key):
        yield refusal(
            FindingCode.KEY_WEAK,
            phrase(
                "Anybody can compute its private key: %(weakness)s (TLS BR 6.1.1.3)."
                " Make a new key, on another system or with another program.",
                weakness=weakness,
            ),
        )


def _about_reuse(*, is_suspect: bool) -> Finding:
    if is_suspect:
        return refusal(
            FindingCode.KEY_REUSED,
            phrase(
                "It has the key of an affected certificate, and that key is the reason"
                " for the revocation. Make a new key."
            ),
        )
    return Finding(
        code=FindingCode.KEY_REUSED,
        refuses=False,
        said=phrase(
            "It has the same key as an affected certificate. That is allowed here; a new"
            " key is the better habit."
        ),
    )
