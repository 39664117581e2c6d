"""Takes messages apart as they really come; without it a wrong charset would hide a reason."""

import html
import re
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import Message
from email.parser import HeaderParser

from charset_normalizer import from_bytes

LONGEST_TEXT = 30_000
"""Characters of one message that are looked at; reasons stand at the beginning."""

LONGEST_WORDS = 6_000
"""Characters in which words are looked for: whoever writes more has said it by then."""

_STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_RETURNED_TYPES = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/partial",
        "text/rfc822-headers",
        "text/rfc822-header",
        "message/rfc822-headers",
        "message/global-headers",
    }
)
# Charsets that senders name and mean a larger one.
_MEANT = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs"}
_MEANT |= {"x-gbk": "gb18030", "ks_c_5601-1987": "cp949", "x-sjis": "cp932"}
_MEANT |= {"shift_jis": "cp932", "us-ascii": "utf-8", "ascii": "utf-8"}

# What servers put between their own words and the message that they return.
_MARK = re.compile(
    r"^\W{0,3}[-=_*~#+]{2,}\W{0,3}.{0,40}\b(copy of|original|returned|undelivered|unsent|"
    r"forwarded|below this line|原邮件|原郵件).{0,60}$"
    r"|^\W{0,3}[-=_*~#+]{2,}\W{0,3}(the )?(message|mail) (header|text|content)s?\b.{0,40}$"
    r"|^.{0,20}(original message|message header|header of the original|returned message|"
    r"message that was returned|unsent message|copy of the (original )?message|first "
    r".{0,12}lines of|message text)s? ?.{0,40}(follow\w*|below|headers?)?.{0,12}[:.]?"
    r"\s*[-=]*\s*$",
    re.IGNORECASE | re.MULTILINE,
)
# Headers that stand in a returned message and in no server's explanation of its own.
_RETURNED_HEADER = re.compile(
    r"^[> \t]{0,4}(Return-Path|Received|Message-ID|DKIM-Signature|MIME-Version|"
    r"X-Mailer|Content-Type)[ \t]*:[ \t]*\S",
    re.IGNORECASE | re.MULTILINE,
)


_BREAK = re.compile(
    r"<\s{0,9}(br|/p|/div|/tr|/li|/h\d|/td|/pre)\b[^<>]{0,500}>", re.IGNORECASE
)
# An address in angle brackets is no tag.
_TAG = re.compile(r"<(?![^<>\s]{0,80}@)[!/a-zA-Z][^<>]{0,2000}>|-->")


def parse(content: bytes) -> Message:
    """Parse a message; whatever comes, the parser makes something of it."""
    # An mbox line in front of the headers would end them.
    if content.startswith((b"From ", b">From ")):
        content = content.partition(b"\n")[2]
    return message_from_bytes(content.lstrip(b"\r\n"), policy=policy.compat32)


def raw(message: Message, name: str) -> list[str]:
    """Return the values of a header, in whatever charset somebody wrote them raw."""
    return [
        _decode(value.encode("utf-8", "surrogateescape"), None)
        if not value.isascii()
        else value
        for key, value in message.raw_items()
        if key.casefold() == name.casefold() and isinstance(value, str)
    ]


def header(message: Message, name: str) -> str:
    """Return a header as a person reads it; empty where it is missing."""
    values = raw(message, name)
    return decoded_header(values[0]) if values else ""


def decoded_header(value: str) -> str:
    """Decode the encoded words of a header value."""
    if "=?" not in value:
        return " ".join(value.split())
    try:
        pieces = decode_header(re.sub(r"\?=\s+=\?", "?==?", value))
    except ValueError:
        return " ".join(value.split())
    text = "".join(
        piece if isinstance(piece, str) else _decode(piece, charset)
        for piece, charset in pieces
    )
    return " ".join(text.split())


def token(message: Message, name: str) -> str:
    """Return a header's first word in lower case: what machines compare."""
    values = raw(message, name)
    return re.split(r"[\s;(,]", values[0].strip().casefold())[0] if values else ""


def own_parts(message: Message) -> Iterator[Message]:
    """Yield the leaves of a message, not descending into what it returns or forwards."""
    if message.get_content_type() in _RETURNED_TYPES | _STATUS_TYPES:
        yield message
    elif message.is_multipart():
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from own_parts(part)
    else:
        yield message


def is_status(part: Message) -> bool:
    """Whether it is the part of RFC 3464 that machines read."""
    return part.get_content_type() in _STATUS_TYPES


def is_returned(part: Message) -> bool:
    """Whether it is what came back, or its headers."""
    return part.get_content_type() in _RETURNED_TYPES


def status_groups(part: Message) -> Iterator[Message]:
    """Yield the groups of fields of a status part, however it was encoded."""
    payload = part.get_payload()
    groups = (
        [one for one in payload if isinstance(one, Message)]
        if isinstance(payload, list)
        else []
    )
    encoding = token(part, "Content-Transfer-Encoding")
    if encoding not in {"base64", "quoted-printable"}:
        yield from groups
        return
    # RFC 2046 forbids it; some do it, and the parser takes the code for text.
    code = "\n\n".join(group.as_string() for group in groups).strip().encode()
    try:
        fields = a2b_base64(code) if encoding == "base64" else a2b_qp(code)
    except ValueError:
        return
    yield from groups_in(fields.decode("utf-8", "replace"))


def groups_in(text: str) -> Iterator[Message]:
    """Yield the blocks of header-like fields in a text."""
    for block in re.split(r"\r?\n[ \t]*\r?\n", text):
        if block.strip():
            yield HeaderParser().parsestr(block.strip() + "\n")


def own_text(message: Message) -> str:
    """Return what is written for people, up to the message that came back."""
    text = whole_text(message)
    cut = len(text)
    for pattern in (_MARK, _RETURNED_HEADER):
        if found := pattern.search(text):
            cut = min(cut, found.start())
    # A server that begins with what it returns says its reason after it.
    return (text[:cut] if text[:cut].strip() else text)[:LONGEST_WORDS]


def whole_text(message: Message) -> str:
    """Return everything written for people, the returned message within it too."""
    texts = []
    for part in own_parts(message):
        if is_returned(part) or is_status(part):
            continue
        if part.get_content_maintype() == "text" and not _is_attachment(part):
            text = decoded_text(part)
            if part.get_content_subtype() == "html":
                text = text_of_html(text)
            texts.append(text)
    return "\n".join(texts)[:LONGEST_TEXT]


def returned_texts(message: Message) -> Iterator[str]:
    """Yield every text in which the returned message may stand, headers first."""
    for part in own_parts(message):
        if part.get_content_type() in {"message/rfc822", "message/global"}:
            yield from _embedded(part)
        elif is_status(part):
            for group in status_groups(part):
                yield group.as_string()
    for part in own_parts(message):
        if not (part.is_multipart() or is_status(part)) and (
            part.get_content_maintype() in {"text", "message"}
            # Some name what they return by a type of their own.
            or not part.get_filename()
        ):
            text = decoded_text(part)[:LONGEST_TEXT]
            if part.get_content_subtype() == "html":
                text = text_of_html(text)
            yield text


def _embedded(part: Message) -> Iterator[str]:
    payload = part.get_payload()
    if isinstance(payload, list):
        for inner in payload:
            if isinstance(inner, Message):
                yield "".join(f"{name}: {value}\n" for name, value in inner.items())
                yield whole_text(inner)
    encoding = token(part, "Content-Transfer-Encoding")
    if encoding in {"base64", "quoted-printable"}:
        # Forbidden, and done: the code stands where the message should.
        code = "".join(
            inner.as_string() for inner in payload if isinstance(inner, Message)
        )
        try:
            raw = code.strip().encode("utf-8", "replace")
            content = a2b_base64(raw) if encoding == "base64" else a2b_qp(raw)
        except ValueError:
            return
        yield content.decode("utf-8", "replace")[:LONGEST_TEXT]


def decoded_text(part: Message) -> str:
    """Return a part's text, whatever charset it names or means."""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return str(part.get_payload() or "")
    return _decode(payload, part.get_content_charset())


def text_of_html(source: str) -> str:
    """Return the words of HTML, line by line."""
    source = _without(source, "<!--", "-->")
    for tag in ("head", "style", "script", "title"):
        source = _without(source, f"<{tag}", f"</{tag}")
    source = _BREAK.sub("\n", source)
    return html.unescape(_TAG.sub(" ", source)).replace("\xa0", " ")


def _without(source: str, start: str, end: str) -> str:
    """Take out what stands between two marks; what is never closed stays."""
    lower = source.lower()
    if len(lower) != len(source):
        lower = source  # a letter that is longer in lower case; then only exact marks
    kept, at = [], 0
    while (opened := lower.find(start, at)) >= 0:
        closed = lower.find(end, opened + len(start))
        if closed < 0:
            break
        kept.append(source[at:opened])
        at = closed
    kept.append(source[at:])
    return " ".join(kept)


def _decode(content: bytes, charset: str | None) -> str:
    named = (charset or "").casefold().strip()
    for candidate in (_MEANT.get(named, named) or "utf-8", "utf-8"):
        try:
            return content.decode(candidate)
        except (LookupError, UnicodeDecodeError):
            continue
    best = from_bytes(content[:8_000]).best() if named in {"", "us-ascii"} else None
    try:
        return content.decode(_MEANT.get(named, best.encoding if best else named))
    except (LookupError, UnicodeDecodeError):
        return content.decode(
            _MEANT.get(named, "utf-8") if best is None else "utf-8", "replace"
        )


def _is_attachment(part: Message) -> bool:
    return part.get_content_disposition() == "attachment"
