"""Which of the affected certificates a CSR is for."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.terms import CertificateId
from tocsin.intake.csr.findings import Finding, FindingCode, refusal
from tocsin.intake.csr.requests import normal_name
from tocsin.phrases import Phrase, phrase

_SHOWN_NAMES = 5


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


class CertificateIndex:
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
                map(normal_name, certificate.dns_names),
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
                self.add_keys({certificate.spki_sha256: certificate.key_is_suspect})

    def add_keys(self, keys: Mapping[str, bool]) -> None:
        """Take in keys of affected certificates; suspect once is suspect."""
        for key, is_suspect in keys.items():
            self.suspect_by_key[key] = is_suspect or self.suspect_by_key.get(key, False)

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


def match(
    names: frozenset[str], index: CertificateIndex
) -> tuple[tuple[CertificateId, ...], list[Finding]]:
    """Find the certificates that a CSR is for, and what their names differ in."""
    matched = sorted(index.names) if index.is_chosen else index.nearest(names)
    if not matched:
        asked = (
            phrase(
                "It asks for %(names)s, and none of your affected certificates has such"
                " a name.",
                names=_listed(names),
            )
            if names
            else phrase("It names no host.")
        )
        return (), [
            refusal(
                FindingCode.NAME_UNMATCHED,
                phrase(
                    "%(asked)s Choose the certificate it is for, or make it with that"
                    " certificate's names.",
                    asked=asked,
                ),
            )
        ]
    expected = {index.names[certificate] for certificate in matched}
    if len(expected) > 1 and not index.is_chosen:
        return (), [
            refusal(
                FindingCode.NAME_AMBIGUOUS,
                phrase(
                    "It asks for %(names)s, which fits %(several)s of your certificates"
                    " equally well. Choose the certificate it is for.",
                    names=_listed(names),
                    several=len(matched),
                ),
            )
        ]
    known = frozenset().union(*expected)
    findings = []
    if known and (missing := known - names):
        findings.append(
            Finding(
                code=FindingCode.NAME_MISSING,
                refuses=False,
                said=phrase(
                    "It does not ask for %(names)s, which the affected certificate has."
                    " Hand it in only if that is no longer needed.",
                    names=_listed(missing),
                ),
            )
        )
    if known and (extra := names - known):
        findings.append(
            Finding(
                code=FindingCode.NAME_EXTRA,
                refuses=False,
                said=phrase(
                    "It asks for %(names)s, which the affected certificate does not"
                    " have. New names must be validated first: that takes time.",
                    names=_listed(extra),
                ),
            )
        )
    return tuple(matched), findings


def _listed(names: Iterable[str]) -> str | Phrase:
    ordered = sorted(names)
    shown = ", ".join(ordered[:_SHOWN_NAMES])
    more = len(ordered) - _SHOWN_NAMES
    if more <= 0:
        return shown
    return phrase("%(names)s and %(more)s more", names=shown, more=more)
