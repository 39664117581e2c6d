"""Tells what a server's refusal means; the code first, but for known exceptions."""

import re
from dataclasses import dataclass

from models.terms import BounceReason
from tocsin.mail import phrases

# RFC 3463: class.subject.detail; the subjects are 0 to 7. Version numbers and
# addresses of hosts look alike.
STATUS = re.compile(r"(?<![\d.])([245])\.([0-7])\.(\d{1,3})(?!\.?\d)")
_REPLY = re.compile(
    # "said: 550 ", "smtp; 550-5.1.1", "(550)", "#550", "error 550:", line beginnings.
    r"(?:^|[:;(\[<#=\"'>]|(?:error|code|reply|response|said|status|returned|message)"
    r"\b[ :]*)\s*([45][0-5]\d)(?=[ \-:;,)\]>\"'.]|$)(?!\.\d)",
    re.IGNORECASE | re.MULTILINE,
)
_ANY_REPLY = re.compile(
    r"(?<![\d.,/-])([45][0-5]\d)(?=[ -][#(<\[\"'A-Za-z\d])"
    r"(?! (days?|hours?|minutes?|seconds?|[kmg]?b(ytes)?|messages|recipients|times|users|"
    r"attempts|mails)\b)"
)
_NO_SUCH_ADDRESS = re.compile(r"[45]\.1\.(1|6|10)")
_EXPIRED = re.compile(r"[45]\.4\.7")

_TELLING = tuple(
    (reason, words, re.compile(codes))
    for reason, words, codes in (
        (BounceReason.GREYLISTED, phrases.GREYLISTED, r"-"),
        (BounceReason.TOO_LARGE, phrases.NEVER, r"[45]\.3\.4|5\.2\.3"),
        (BounceReason.MAILBOX_FULL, phrases.FULL, r"[45]\.2\.2"),
        (BounceReason.TOO_LARGE, phrases.TOO_LARGE, r"-"),
        (BounceReason.TEMPORARY, phrases.UNVERIFIED, r"-"),
        (BounceReason.NO_SUCH_ADDRESS, phrases.UNKNOWN, _NO_SUCH_ADDRESS.pattern),
        (BounceReason.NOT_REACHED, phrases.NEVER, _EXPIRED.pattern),
        (BounceReason.ADDRESS_CLOSED, phrases.CLOSED, r"5\.2\.1"),
        (BounceReason.NO_SUCH_DOMAIN, phrases.NO_HOST, r"5\.1\.2|5\.4\.4"),
        (BounceReason.NOT_REACHED, phrases.NOT_REACHED, r"[45]\.4\.[1-9]"),
        (BounceReason.REFUSED, phrases.REFUSED, r"[45]\.7\.\d+"),
        (BounceReason.TEMPORARY, phrases.LATER, r"4\d\d|4\..*"),
    )
)
"""Reasons with the words and codes that tell them; no code is written as "-"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    What a refusal means.

    Args:
        is_permanent: Trying the address again is of no use.
        status: The enhanced status code (RFC 3463), or what its class must be.
        reason: Why, in one word.

    """

    is_permanent: bool
    status: str
    reason: BounceReason


def find_status(text: str) -> str:
    """Return the first enhanced status code of a failure in a text, or nothing."""
    for found in STATUS.finditer(text):
        if found[1] != "2":
            return found[0]
    return ""


def find_reply(text: str) -> str:
    """Return the first SMTP reply code of a failure in a text, or nothing."""
    found = _REPLY.search(text) or _ANY_REPLY.search(text)
    return found[1] if found else ""


def classify(status: str, said: str) -> Verdict:
    """
    Tell whether trying again is of use: the status code, but for known exceptions.

    A full mailbox is 5.2.2 and is emptied one day; greylisting comes with any code;
    "user unknown" in a 4xx is a server that waits for somebody to look.

    Args:
        status: The report's own status code; may be empty or as vague as 5.0.0.
        said: What the server said.

    """
    said = " ".join(said.split())
    code = _governing(status, said)
    reason = _reason(code, said)
    is_permanent = _is_permanent(code, said, reason)
    shown = code if STATUS.fullmatch(code) else (status or find_status(said))
    return Verdict(
        is_permanent=is_permanent,
        status=shown or ("5.0.0" if is_permanent else "4.0.0"),
        reason=reason,
    )


def _governing(status: str, said: str) -> str:
    """Return the code that says most: the report's, the server's own, its reply."""
    if status and not status.endswith(".0.0"):
        return status
    # A report that gave up says 5.0.0 of what the server called 4.2.0 until the end.
    return find_status(said) or find_reply(said) or status


def _reason(code: str, said: str) -> BounceReason:
    """Return the first reason that fits; the more telling ones come first."""
    if code.startswith("5.1.") and phrases.UNKNOWN.search(said):
        # "Full, or does not exist": the code says which.
        return BounceReason.NO_SUCH_ADDRESS
    return next(
        (
            reason
            for reason, words, codes in _TELLING
            if words.search(said) or codes.fullmatch(code)
        ),
        BounceReason.OTHER,
    )


def _is_permanent(code: str, said: str, reason: BounceReason) -> bool:
    match reason:
        case BounceReason.GREYLISTED | BounceReason.MAILBOX_FULL:
            return False
        case BounceReason.NO_SUCH_ADDRESS:
            return code[:1] != "4" or bool(
                _NO_SUCH_ADDRESS.fullmatch(code) or phrases.SURELY_UNKNOWN.search(said)
            )
        case BounceReason.NOT_REACHED:
            # "Gave up": the address may be good; only their own refusal says otherwise.
            return _is_refusal(code, said)
        case BounceReason.TEMPORARY if not code:
            return False
        case _:
            # RFC 3464 2.3.3: "failed" means that the server gave up.
            return code[:1] != "4" and not phrases.LATER.search(said)


def _is_refusal(code: str, said: str) -> bool:
    """Whether the other server said it, and not ours that could not talk to it."""
    if code[:1] != "5" or _EXPIRED.fullmatch(code) or code.endswith(".0.0"):
        return False
    words = phrases.NOT_REACHED.search(said)
    return "." in code or words is None or said.find(code) < words.start()
