"""Reads mail that came back: which notice it was, and whether trying again could help."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message

from flufl.bounce import all_failures

from models.terms import BounceReason
from tocsin.log import redact
from tocsin.mail import parts, phrases, robots
from tocsin.mail.attribution import Named, names_in, recipients_in
from tocsin.mail.classify import STATUS, classify, find_reply, find_status
from tocsin.mail.robots import Likelihood

_LONGEST_DETAIL = 300
_LINES_AROUND = 3
_LONGEST_LINE = 1_000
_FIELDS = re.compile(
    r"^(Final-Recipient|Action|Status)[ \t]*:", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedMail:
    """
    One message that came back.

    Args:
        verp_token: From the return path it was sent to; None when it is not there.
        message_id: Of what came back, in angle brackets; None when it is not there.
        message_ids: All that it may have been, the likeliest first.
        recipients: Addresses that failed, in lower case, the likeliest first.
        is_permanent: Whether trying the address again is of no use.
        status: The enhanced status code (RFC 3463), or what its class must be.
        reason: Why, in one word.
        detail: What the other server said, without addresses.

    """

    verp_token: str | None
    message_id: str | None
    message_ids: tuple[str, ...]
    recipients: tuple[str, ...]
    is_permanent: bool
    status: str
    reason: BounceReason
    detail: str


def read_bounce(message: bytes) -> ReturnedMail | None:
    """
    Read one message; None when it is no failure to deliver.

    Vacation answers (RFC 3834), delays, confirmations of delivery (RFC 3464, RFC 8098)
    and complaints (RFC 5965) come to the same mailbox and say nothing against the
    address.
    """
    return bounce_in(parts.parse(message))


def bounce_in(parsed: Message) -> ReturnedMail | None:
    """Do the same with a message that was parsed."""
    if robots.is_complaint(parsed) or robots.is_receipt(parsed):
        return None
    groups = [group for part in _reports(parsed) for group in part]
    if any(_is_about_a_recipient(group) for group in groups):
        return _from_report(parsed, groups)
    return _from_text(parsed)


def is_delay(parsed: Message) -> bool:
    """Whether a server says that it has not delivered yet, and keeps trying."""
    groups = [group for part in _reports(parsed) for group in part]
    if any(_is_about_a_recipient(group) for group in groups):
        return any(_action(group) == "delayed" for group in groups)
    return _likelihood(parsed) >= Likelihood.LIKELY and _says_delayed(parsed)


def is_report(parsed: Message) -> bool:
    """Whether it is a report (RFC 3464) of anything."""
    return any(True for _ in _reports(parsed))


def _reports(parsed: Message) -> Iterable[list[Message]]:
    """Yield the groups of fields of each report, one in plain text too."""
    found = False
    for part in parts.own_parts(parsed):
        if parts.is_status(part):
            found = True
            yield list(parts.status_groups(part))
    if found or not _likelihood(parsed):
        return
    # A report whose frame was lost on the way, or that never had one.
    for part in parts.own_parts(parsed):
        if part.is_multipart() or parts.is_returned(part):
            continue
        text = parts.decoded_text(part)
        if len({found.casefold() for found in _FIELDS.findall(text)}) > 1:
            yield [
                group
                for group in parts.groups_in(text)
                if any(name in group for name in ("Action", "Status"))
                and "Final-Recipient" in group
            ]


def _is_about_a_recipient(group: Message) -> bool:
    return _action(group) != "" or (
        "Status" in group
        and any(name in group for name in ("Final-Recipient", "Original-Recipient"))
    )


def _action(group: Message) -> str:
    """Return the action as RFC 3464 spells it, however it was spelled."""
    word = re.sub(r"[^a-z].*", "", parts.token(group, "Action"))
    for action in ("fail", "delay", "deliver", "relay", "expand"):
        if word.startswith(action):
            return {"fail": "failed", "delay": "delayed"}.get(action, "delivered")
    return "failed" if word.startswith(("undeliver", "bounce", "error")) else ""


def _from_report(parsed: Message, groups: Sequence[Message]) -> ReturnedMail | None:
    """Read an RFC 3464 report; the recipient is ours, so one that failed is enough."""
    failed = [
        group
        for group in groups
        if _action(group) == "failed"
        # RFC 3464 asks for an action; some leave it out and give a status only.
        or (
            not _action(group)
            and parts.header(group, "Status")[:1] in {"4", "5"}
            and not _says_delayed(parsed)
        )
    ]
    if not failed:
        return None
    group = failed[0]
    said = parts.header(group, "Diagnostic-Code")
    given = STATUS.search(parts.header(group, "Status"))
    status = given.group(0) if given else ""
    if status.startswith("2"):
        # "Failed" and "2.x.x" at once: only the words can say.
        status = ""
    explained = _explanation(parts.own_text(parsed))
    # What the server said is in the words for people where the field says little.
    is_vague = not said or not (find_status(said) or find_reply(said))
    words = f"{said} {explained}".strip() if is_vague else said
    return _returned(parsed, status=status, said=words, shown=said or explained)


def _from_text(parsed: Message) -> ReturnedMail | None:
    """Read what a server wrote in words only."""
    likelihood = _likelihood(parsed)
    if not likelihood:
        return None
    subject = parts.header(parsed, "Subject")
    explained = _explanation(parts.own_text(parsed))
    if not (_has_code(explained) or _has_reason(explained)):
        # A server that puts the reason below what it returns.
        below = _explanation(parts.whole_text(parsed))
        explained = below if _has_code(below) else explained
    if not _says_failed(parsed, likelihood, subject, explained):
        return None
    if _says_delayed(parsed):
        return None
    said = explained
    if not _has_code(said) and _has_reason(subject):
        said = f"{subject} {said}"
    return _returned(parsed, status="", said=said, shown=explained)


def _says_failed(
    parsed: Message, likelihood: Likelihood, subject: str, explained: str
) -> bool:
    """Whether it is a failure: the less its frame says, the more its words must."""
    text = parts.own_text(parsed)
    in_subject = bool(phrases.FAILED.search(subject) or phrases.UNKNOWN.search(subject))
    in_text = bool(phrases.FAILED.search(text))
    has_reason = _has_code(explained) or _has_reason(explained)
    returns = any(parts.is_returned(part) for part in parts.own_parts(parsed))
    match likelihood:
        case Likelihood.CERTAIN:
            # Somebody may sit at an address of servers, and answer.
            is_answer = "In-Reply-To" in parsed and not returns
            return (
                in_subject
                or "X-Failed-Recipients" in parsed
                or (in_text and (has_reason or not is_answer))
                or (has_reason and not is_answer)
            )
        case Likelihood.LIKELY:
            return (in_subject and (has_reason or returns or in_text)) or (
                in_text and _has_code(explained)
            )
        case Likelihood.POSSIBLE:
            return (
                _has_code(explained)
                or (has_reason and returns)
                or bool(_known_form(parsed))
            )
        case Likelihood.NONE:
            return False


def _likelihood(parsed: Message) -> Likelihood:
    return robots.server_likelihood(parsed)


def _says_delayed(parsed: Message) -> bool:
    """Whether the words are a warning only; "I gave up" ends that."""
    subject = parts.header(parsed, "Subject")
    text = parts.own_text(parsed)
    if not (phrases.DELAYED.search(subject) or phrases.DELAYED.search(text)):
        return False
    if re.search(r"\b(failure|failed|returned)\b|undeliver", subject, re.IGNORECASE):
        return False
    if phrases.FINAL.search(text):
        return False
    # "Delayed" in the courtesy around a refusal.
    code = _code(_explanation(text))
    return bool(phrases.DELAYED.search(subject)) or not code.startswith("5")


def _explanation(text: str) -> str:
    """
    Return the lines that give the reason, with those around them.

    Servers wrap their words in courtesy that says "permanent" of whatever happened.
    """
    lines = [
        line.strip()[:_LONGEST_LINE]
        for line in text[: parts.LONGEST_WORDS].splitlines()
        if line.strip()
    ]
    for telling in (_has_code, _has_reason):
        for number, line in enumerate(lines):
            if telling(line):
                first = max(0, number - 1)
                return " ".join(lines[first : number + 1 + _LINES_AROUND])
    return " ".join(lines)


def _has_code(line: str) -> bool:
    return bool(_code(line))


def _code(line: str) -> str:
    return find_status(line) or find_reply(line)


def _has_reason(line: str) -> bool:
    return any(
        pattern.search(line)
        for pattern in (
            phrases.UNKNOWN,
            phrases.CLOSED,
            phrases.FULL,
            phrases.GREYLISTED,
            phrases.NO_HOST,
            phrases.TOO_LARGE,
            phrases.NOT_REACHED,
        )
    )


def _returned(parsed: Message, *, status: str, said: str, shown: str) -> ReturnedMail:
    verdict = classify(status, said)
    named: Named = names_in(parsed)
    return ReturnedMail(
        verp_token=named.verp_token,
        message_id=named.message_ids[0] if named.message_ids else None,
        message_ids=named.message_ids + named.loose_ids,
        recipients=_recipients(parsed, named.own_addresses),
        is_permanent=verdict.is_permanent,
        status=verdict.status,
        reason=verdict.reason,
        detail=redact(" ".join(shown.split())[:_LONGEST_LINE])[:_LONGEST_DETAIL],
    )


def _recipients(parsed: Message, own: frozenset[str]) -> tuple[str, ...]:
    """Find the address that failed: its fields first, then by known forms of servers."""
    found = dict.fromkeys(recipients_in(parsed))
    found |= dict.fromkeys(_known_form(parsed))
    return tuple(address for address in found if address not in own)


def _known_form(parsed: Message) -> list[str]:
    """Return the addresses that failed where a server's own form is known."""
    try:
        # For the address only: it takes most temporary failures for permanent ones.
        known = sorted(address for kind in all_failures(parsed) for address in kind)
    except Exception:  # noqa: BLE001 - a reader of strange forms meets strange forms
        return []
    return [address.decode("utf-8", "replace").casefold() for address in known]
