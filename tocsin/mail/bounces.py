"""Reads mail that came back: which notice it was, and whether trying again could help."""

import re
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import Message
from email.parser import HeaderParser
from enum import StrEnum

from tocsin.log import redact

_LONGEST_DETAIL = 300
_LONGEST_TEXT = 20_000

_VERP = re.compile(r"\bbounce\+([0-9a-f]{8,40})@", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<[^<>\s@]+@[^<>\s]+>")
_RETURNED_ID = re.compile(r"^>?\s*Message-I[dD]:\s*(<[^<>\s]+>)", re.MULTILINE)
# RFC 3463: class.subject.detail.
_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_REPLY_CODE = re.compile(r"(?<![\d.-])([45])[0-5]\d(?![\d.])(?=[ -])")

# Envelope headers that the receiving server writes; the outermost ones tell whose it is.
_ENVELOPE = ("Delivered-To", "X-Original-To", "X-Envelope-To", "Envelope-To", "To")


def _phrases(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


# What servers write, where it says more than their code.
_UNKNOWN = _phrases(
    r"user (is )?unknown",
    r"unknown (user|recipient|address|mailbox|local[ -]part)",
    r"no such (user|recipient|mailbox|address|person)",
    r"(user|recipient|mailbox|address|account)( \S+)? "
    r"(does not exist|doesn'?t exist|not found|not known|is invalid)",
    r"(mailbox|account) (is |has been )?(disabled|inactive|closed|no longer)",
    r"invalid (recipient|mailbox|user)",
    r"not (a|our) (valid )?(user|customer|recipient)",
    r"domain (name )?(not found|does not exist)",
    r"host (or domain name )?not found",
)
_FULL = _phrases(
    r"(mailbox|mail box|inbox|quota|storage)( \S+){0,3} (full|exceeded)",
    r"over ?(the )?quota",
    r"exceed\w* .{0,30}(quota|storage|size of the mailbox)",
    r"quota exceed",
    r"out of (disk )?(space|storage)",
    r"insufficient (system )?(storage|disk space)",
)
_LATER = _phrases(
    r"gr[ea]y-?list",
    r"try (it )?(again )?later",
    r"temporar(y|ily)",
    r"too many (connections|messages|recipients|errors)",
    r"rate[ -]limit",
    r"timed? ?out",
    r"deferred",
)
_FAILED = _phrases(
    r"undeliver(ed|able)",
    r"deliver\w* (status notification )?.{0,20}fail",
    r"(could not|cannot|can't|unable to) be delivered",
    r"fail\w* .{0,20}deliver",
    r"returned (mail|to sender)",
    r"mail delivery (system|subsystem|failed)",
    r"message (was )?not delivered",
    r"delivery (error|problem|report|notification|has failed)",
    r"permanent (fatal )?error",
)
_ROBOT = _phrases(r"mailer-daemon", r"postmaster@", r"mail delivery (sub)?system")


class _Permanence(StrEnum):
    PERMANENT = "permanent"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedMail:
    """
    One message that came back.

    Args:
        verp_token: From the return path it was sent to; None when it is not there.
        message_id: Of what came back, in angle brackets; None when it is not there.
        is_permanent: Whether trying the address again is of no use.
        status: The enhanced status code (RFC 3463), or what its class must be.
        detail: What the other server said, without addresses.

    """

    verp_token: str | None
    message_id: str | None
    is_permanent: bool
    status: str
    detail: str


def read_bounce(message: bytes) -> ReturnedMail | None:
    """
    Read one message of the bounce mailbox; None when it is no bounce.

    Vacation answers (RFC 3834), delays, confirmations of delivery and complaints (ARF,
    RFC 5965) come to the same mailbox and say nothing against the address.
    """
    parsed = message_from_bytes(message, policy=policy.compat32)
    kind = str(parsed.get_param("report-type") or "").casefold()
    if kind in {"feedback-report", "disposition-notification"}:
        return None
    reports = [part for part in parsed.walk() if _is_status(part)]
    if reports:
        return _from_report(parsed, reports)
    return _from_text(parsed)


def _from_report(parsed: Message, reports: Iterable[Message]) -> ReturnedMail | None:
    """Read an RFC 3464 report; the recipient is ours, so one that failed is enough."""
    failed = [
        group
        for report in reports
        for group in _groups(report)
        if _value(group, "Action").partition(" ")[0].strip(";") == "failed"
        # RFC 3464 asks for an action; some leave it out and give a status only.
        or ("Action" not in group and _value(group, "Status")[:1] in {"4", "5"})
    ]
    if not failed:
        return None
    group = failed[0]
    said = " ".join(str(group.get("Diagnostic-Code", "")).split())
    given = _STATUS.search(str(group.get("Status", "")))
    words = said or _text(parsed)
    return _returned(parsed, status=given.group(0) if given else "", said=words)


def _from_text(parsed: Message) -> ReturnedMail | None:
    """Read what a server wrote in words only."""
    if not _is_from_robot(parsed):
        return None
    subject = str(parsed.get("Subject", ""))
    text = _text(parsed)
    if not (_FAILED.search(subject) or _FAILED.search(text) or _UNKNOWN.search(text)):
        return None
    if re.search(
        r"\bdelay|still being retried|no need to resend", subject + text, re.IGNORECASE
    ):
        return None
    line = next(
        (
            line
            for line in text.splitlines()
            if _STATUS.search(line)
            or _REPLY_CODE.search(line)
            or _UNKNOWN.search(line)
            or _FULL.search(line)
        ),
        "",
    )
    given = _STATUS.search(line)
    return _returned(parsed, status=given.group(0) if given else "", said=line or text)


def _returned(parsed: Message, *, status: str, said: str) -> ReturnedMail | None:
    if status.startswith("2"):
        return None
    permanence = _permanence(status, said)
    default = "5.0.0" if permanence is _Permanence.PERMANENT else "4.0.0"
    return ReturnedMail(
        verp_token=_verp_token(parsed),
        message_id=_returned_message_id(parsed),
        is_permanent=permanence is _Permanence.PERMANENT,
        status=status or default,
        detail=redact(" ".join(said.split()))[:_LONGEST_DETAIL],
    )


def _permanence(status: str, said: str) -> _Permanence:
    """
    Tell whether trying again is of use: the status code, but for known exceptions.

    A full mailbox is 5.2.2 and is emptied one day; greylisting comes with any code;
    "user unknown" in a 4xx is a server that waits for somebody to look.
    """
    inner = _STATUS.search(said)
    code = status
    if inner and (not code or code.endswith(".0.0")):
        code = inner.group(0)
    if code == "5.2.2" or _FULL.search(said):
        return _Permanence.TEMPORARY
    if _UNKNOWN.search(said) or code in {"4.1.1", "4.1.2"}:
        return _Permanence.PERMANENT
    reply = _REPLY_CODE.search(said)
    digit = code[:1] or (reply.group(1) if reply else "")
    if digit == "4" or (_LATER.search(said) and code[:3] not in {"5.1", "5.4"}):
        return _Permanence.TEMPORARY
    # RFC 3464 2.3.3: "failed" means that the server gave up.
    return _Permanence.PERMANENT


def _verp_token(parsed: Message) -> str | None:
    """Find our token where the receiving server wrote the envelope, then in the text."""
    for name in _ENVELOPE:
        for value in parsed.get_all(name, []):
            if found := _VERP.search(str(value)):
                return found.group(1).lower()
    # The return path that the returned message carried.
    for part in parsed.walk():
        for text in _raw_texts(part):
            if found := _VERP.search(text):
                return found.group(1).lower()
    return None


def _returned_message_id(parsed: Message) -> str | None:
    """Return the Message-ID of what came back; never the report's own."""
    own = str(parsed.get("Message-ID", "")).strip()
    for part in list(parsed.walk())[1:]:
        if found := _MESSAGE_ID.search(str(part.get("Message-ID", ""))):
            return found.group(0)
    for part in parsed.walk():
        for text in _raw_texts(part):
            if found := _RETURNED_ID.search(text):
                return found.group(1)
    for name in ("In-Reply-To", "References"):
        ids = _MESSAGE_ID.findall(str(parsed.get(name, "")))
        if ids and ids[-1] != own:
            return str(ids[-1])
    return None


def _is_from_robot(parsed: Message) -> bool:
    """Whether a server wrote it, and not a person's program that answers."""
    answered = _value(parsed, "Auto-Submitted")
    sender = f"{parsed.get('From', '')} {parsed.get('Sender', '')}"
    path = str(parsed.get("Return-Path", "")).strip()
    is_robot = bool(_ROBOT.search(sender)) or path == "<>"
    if "X-Autoreply" in parsed or "X-Autorespond" in parsed:
        return False
    if _value(parsed, "Precedence") == "auto_reply":
        return False
    # Servers call their bounces auto-replied, too; people's programs do not send as one.
    if answered.startswith(("auto-replied", "auto-generated")):
        return is_robot and not _is_vacation(parsed)
    return is_robot or "X-Failed-Recipients" in parsed


def _is_vacation(parsed: Message) -> bool:
    return bool(
        re.search(
            r"out of (the )?office|vacation|auto(matic)?[ -]?(reply|response)|"
            r"abwesen|absence",
            str(parsed.get("Subject", "")),
            re.IGNORECASE,
        )
    )


def _is_status(part: Message) -> bool:
    return part.get_content_type() in {
        "message/delivery-status",
        "message/global-delivery-status",
    }


def _groups(report: Message) -> Iterator[Message]:
    """Yield the groups of fields of a status part, however it was encoded."""
    payload = report.get_payload()
    groups = [one for one in payload if isinstance(one, Message)] if payload else []
    encoding = _value(report, "Content-Transfer-Encoding")
    if encoding not in {"base64", "quoted-printable"}:
        yield from groups
        return
    # RFC 2046 forbids it; some do it, and the parser takes the code for text.
    code = "\n\n".join(group.as_string() for group in groups).strip().encode()
    try:
        fields = a2b_base64(code) if encoding == "base64" else a2b_qp(code)
    except ValueError:
        return
    for block in re.split(r"\r?\n\s*\r?\n", fields.decode("utf-8", "replace")):
        yield HeaderParser().parsestr(block.strip() + "\n")


def _value(message: Message, name: str) -> str:
    return str(message.get(name, "")).strip().casefold()


def _text(parsed: Message) -> str:
    """Return what is written for people, up to the message that came back."""
    texts = []
    for part in parsed.walk():
        if part.get_content_type() in {"message/rfc822", "text/rfc822-headers"}:
            break
        if part.get_content_maintype() == "text" and not part.is_multipart():
            text = _decoded(part)
            if part.get_content_subtype() == "html":
                text = re.sub(r"<[^>]*>", " ", text)
            texts.append(text)
    whole = "\n".join(texts)[:_LONGEST_TEXT]
    return re.split(
        r"(?im)^-{2,}.{0,40}(copy of|original|returned) (your )?(message|mail)", whole
    )[0]


def _raw_texts(part: Message) -> Iterator[str]:
    """Yield a part's header values and its text, where the returned message may be."""
    yield from (str(value) for value in part.values() if "bounce+" in str(value))
    if not part.is_multipart() and part.get_content_maintype() in {"text", "message"}:
        yield _decoded(part)[:_LONGEST_TEXT]


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return str(part.get_payload() or "")
    try:
        return payload.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        return payload.decode("utf-8", "replace")
