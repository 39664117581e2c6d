"""Finds in a message what it is about: return path, Message-IDs, addresses; nothing is guessed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.utils import getaddresses

from tocsin.mail import parts

_MOST = 60
"""Names of each kind that are looked up; a hostile message could hold thousands."""

_VERP = re.compile(r"\b(?:bounce|reply)\+([0-9a-f]{8,40})(?:@|=|%40)", re.IGNORECASE)
_ID = re.compile(r"<([^<>\s@]{1,150}@[^<>\s]{1,150})>")
_ID_FIELD = re.compile(
    r"(?:^|[\r\n])[> \t*|]{0,8}(?:(?:X-)?(?:Original|Orig|Returned|Ms-Exchange-"
    r"Original)?-?)?Message[- ]?ID[ \t]*[:=]\s*(?:<|&lt;)?([^<>\s@&]{1,150}@[^<>\s&]{1,150})",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"[A-Za-z0-9_.!#$%&'*+/=?^`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z]{2,24}"
)
_LINK = re.compile(r"/s/([A-Za-z0-9_-]{20,600}\.[A-Za-z0-9_-]{20,100})")

# Envelope headers that the receiving server writes; the outermost ones tell whose it is.
_ENVELOPE = (
    "Delivered-To",
    "X-Original-To",
    "X-Envelope-To",
    "Envelope-To",
    "X-Delivered-To",
    "X-RCPT-TO",
    "To",
    "Cc",
)
_RECIPIENT_FIELDS = (
    "Original-Recipient",
    "Final-Recipient",
    "X-Actual-Recipient",
    "X-Original-Recipient",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """
    What a message names.

    Args:
        verp_token: From the return path it was sent to, or the one it returns.
        message_ids: That it is about, the likeliest first; never its own.
        loose_ids: Whatever else in it has the form of a Message-ID, addresses too.
        link_tokens: Of links of ours that it quotes; not checked.
        sender: The address that it says it is from, in lower case; may be empty.
        own_addresses: To whom it was sent: ours.

    """

    verp_token: str | None
    message_ids: tuple[str, ...]
    loose_ids: tuple[str, ...]
    link_tokens: tuple[str, ...]
    sender: str
    own_addresses: frozenset[str]


def names_in(parsed: Message) -> Named:
    """Find everything that a message names."""
    texts = list(parts.returned_texts(parsed))
    return Named(
        verp_token=_verp_token(parsed, texts),
        message_ids=tuple(dict.fromkeys(_message_ids(parsed, texts)))[:_MOST],
        loose_ids=tuple(dict.fromkeys(one for text in texts for one in _ids(text)))[
            :_MOST
        ],
        link_tokens=tuple(
            dict.fromkeys(found for text in texts for found in _links(text))
        )[:_MOST],
        sender=sender_of(parsed),
        own_addresses=frozenset(
            address.casefold()
            for name in _ENVELOPE
            for _, address in _addresses(parsed, name)
        ),
    )


def sender_of(parsed: Message) -> str:
    """Return who a message says it is from, in lower case; empty when it does not."""
    for name in ("From", "Sender", "Reply-To"):
        for _, address in _addresses(parsed, name):
            if "@" in address:
                return address.casefold()[:320]
    return ""


def sender_name(parsed: Message) -> str:
    """Return the name beside the sender's address; may be empty."""
    for shown, _ in _addresses(parsed, "From"):
        return parts.decoded_header(shown)
    return ""


def recipients_in(parsed: Message) -> Iterator[str]:
    """Yield the addresses that failed, in lower case: fields first, then the text."""
    for part in parts.own_parts(parsed):
        if parts.is_status(part):
            for group in parts.status_groups(part):
                for name in _RECIPIENT_FIELDS:
                    yield from _in_text(parts.header(group, name))
    yield from _in_text(parts.header(parsed, "X-Failed-Recipients"))
    # To whom the returned message went.
    for part in parts.own_parts(parsed):
        if parts.is_returned(part):
            payload = part.get_payload()
            inner = payload[0] if isinstance(payload, list) and payload else None
            if isinstance(inner, Message):
                for name in ("X-Original-To", "To"):
                    yield from _in_text(parts.header(inner, name))
            else:
                text = parts.decoded_text(part)
                for line in re.findall(r"(?im)^To:.*(?:\r?\n[ \t].*)*", text):
                    yield from _in_text(line)
    yield from _in_text(parts.own_text(parsed))
    # Where the server's own words hold none: the copy below them.
    yield from _in_text(
        "\n".join(re.findall(r"(?im)^[> \t]*To:.*$", parts.whole_text(parsed)))
    )


def _verp_token(parsed: Message, texts: list[str]) -> str | None:
    """Find our token where the receiving server wrote the envelope, then in the text."""
    for name in _ENVELOPE:
        for value in parts.raw(parsed, name):
            if found := _VERP.search(value):
                return found.group(1).lower()
    # The return path that the returned message carried.
    for part in parsed.walk():
        for _, value in part.raw_items():
            if found := _VERP.search(str(value)):
                return found.group(1).lower()
    for text in texts:
        if found := _VERP.search(text):
            return found.group(1).lower()
    return None


def _message_ids(parsed: Message, texts: list[str]) -> Iterator[str]:
    """Yield what came back before what is merely referred to; never the own one."""
    own = "".join(parts.raw(parsed, "Message-ID")).strip()
    yield from (found for found in _all_ids(parsed, texts) if found != own)


def _all_ids(parsed: Message, texts: list[str]) -> Iterator[str]:
    for part in list(parsed.walk())[1:]:
        for name in ("Message-ID", "Original-Message-ID", "X-Original-Message-ID"):
            for value in parts.raw(part, name):
                yield from _ids(value)
    for text in texts:
        for found in _ID_FIELD.findall(text):
            yield f"<{found.rstrip('.,;)')}>"
    for part in parsed.walk():
        for name in ("In-Reply-To", "References"):
            # The last reference is what it answers.
            ids = [one for value in part.get_all(name, []) for one in _ids(str(value))]
            yield from reversed(ids)


def _ids(text: str) -> Iterator[str]:
    for found in _ID.findall(text.replace("&lt;", "<").replace("&gt;", ">")):
        yield f"<{found}>"


def _links(text: str) -> Iterator[str]:
    # Clients break long lines, and quote them.
    yield from _LINK.findall(re.sub(r"=?\r?\n[> ]*(?=[A-Za-z0-9_.-])", "", text))
    yield from _LINK.findall(text)


def _addresses(parsed: Message, name: str) -> list[tuple[str, str]]:
    return getaddresses(parts.raw(parsed, name))


def _in_text(text: str) -> Iterator[str]:
    for found in _ADDRESS.findall(parts.decoded_header(text)):
        yield found.strip("'.=").casefold()
