"""Rule packs: from a circumstance to its deadline and reason, each with its source."""

import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources

from models.terms import Circumstance, Reason
from tocsin.errors import BadInput

_SHIPPED = "tls-br-2.3.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    One reason to revoke.

    Args:
        circumstance: Which one.
        text: What it says, for people who choose.
        within: From the made-aware time to published revocation.
        reason: The CRLReason to publish; it follows from the circumstance and is
            never chosen by hand.
        source: Where the rule stands, such as "TLS BR 4.9.1.1 (12)".

    """

    circumstance: Circumstance
    text: str
    within: timedelta
    reason: Reason
    source: str

    def deadline(self, made_aware_at: datetime) -> datetime:
        """Return the instant by which revocation is published (TLS BR 4.9.5)."""
        return made_aware_at + self.within


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePack:
    """The rules of one version of one document, and the text they were read from."""

    name: str
    rules: tuple[Rule, ...]
    text: str

    def rule(self, circumstance: Circumstance) -> Rule:
        """Return the rule for a circumstance."""
        return next(rule for rule in self.rules if rule.circumstance is circumstance)


def parse_rule_pack(text: str, *, file: str | None = None) -> RulePack:
    """
    Read a rule pack from TOML.

    Raises:
        BadInput: Not TOML, a circumstance is missing, or a reason is not allowed.

    """
    try:
        data = tomllib.loads(text)
        rules = tuple(
            Rule(
                circumstance=Circumstance(entry["circumstance"]),
                text=entry["text"],
                within=timedelta(hours=entry["hours"]),
                reason=Reason(entry["reason"]),
                source=f"{data['section']} ({entry['item']})",
            )
            for entry in data["rule"]
        )
        name = str(data["name"])
    except KeyError as error:
        raise BadInput(f"the rule pack lacks {error}", file=file) from error
    except (tomllib.TOMLDecodeError, ValueError, TypeError) as error:
        raise BadInput(f"not a rule pack: {error}", file=file) from error
    missing = set(Circumstance) - {rule.circumstance for rule in rules}
    if missing or len(rules) != len(Circumstance):
        names = ", ".join(sorted(missing)) or "one circumstance twice"
        raise BadInput(
            f"each circumstance needs exactly one rule; check: {names}", file=file
        )
    return RulePack(name=name, rules=rules, text=text)


def shipped_rule_pack() -> RulePack:
    """Return the rule pack that comes with Tocsin."""
    source = resources.files("tocsin.policy") / "packs" / _SHIPPED
    return parse_rule_pack(source.read_text("utf-8"), file=_SHIPPED)
