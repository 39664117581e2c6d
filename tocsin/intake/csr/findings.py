"""What can be said of something handed in as a CSR, with codes that stay."""

from dataclasses import dataclass
from enum import StrEnum

from tocsin.phrases import Phrase


class FindingCode(StrEnum):
    """What can be said of a CSR; programs of subscribers rely on the spelling."""

    NOT_A_CSR = "not-a-csr"
    PRIVATE_KEY = "private-key"
    SIGNATURE_INVALID = "signature-invalid"
    KEY_TYPE = "key-type"
    KEY_TOO_SMALL = "key-too-small"
    KEY_WEAK = "key-weak"
    KEY_COMPROMISED = "key-compromised"
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
        said: What is wrong and what to do, for the person who sent it.

    """

    code: FindingCode
    refuses: bool
    said: Phrase

    @property
    def message(self) -> str:
        """The same in English."""
        return str(self.said)


def not_a_csr(said: Phrase) -> Finding:
    """Say that something else was sent."""
    return Finding(code=FindingCode.NOT_A_CSR, refuses=True, said=said)


def refusal(code: FindingCode, said: Phrase) -> Finding:
    """Say why a CSR cannot be used."""
    return Finding(code=code, refuses=True, said=said)
