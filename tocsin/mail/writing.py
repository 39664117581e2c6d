"""What a person wrote, without what they quoted, and never with a private key."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from models.terms import MailTopic
from tocsin.log import redact_links
from tocsin.mail import parts, robots

LONGEST = 20_000
"""Characters of a text that are kept."""

_LONGEST_SUBJECT = 300
_MOST_ATTACHMENTS = 50
_LONGEST_NAME = 200
_SNIFFED = 200_000

_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"
    r"|PuTTY-User-Key-File-\d:.*?(?:Private-MAC:[^\n]*|\Z)",
    re.DOTALL,
)
_KEY_REMOVED = "[a private key stood here; it was not kept]"
_KEY_NAME = re.compile(r"\.(key|pfx|p12|jks|keystore|pvk|ppk)$", re.IGNORECASE)
_CSR = re.compile(r"-----BEGIN (NEW )?CERTIFICATE REQUEST-----")
_CSR_NAME = re.compile(r"\.(csr|req|p10)$", re.IGNORECASE)

# Where what somebody answers begins.
_FROM = r"\*{0,2}(from|von|de|da|van|发件人|寄件者|寄件人|差出人)\*{0,2}\s*[:：]"
_NEXT = (
    r"[ \t]*\*{0,2}(sent|date|to|cc|subject|gesendet|datum|an|envoyé|enviado|发送时间|日期|"
    r"寄件日期|收件人|收件者|主题|主旨|抄送|送信日時|宛先)\*{0,2}\s*[:：]"
)
_QUOTE = re.compile(
    r"^[ \t]*-{2,20}[ \t]*(original message|forwarded message|original appointment|原始邮件|"
    r"原始郵件|原邮件|转发邮件|轉寄郵件|ursprüngliche nachricht|message d'origine|mensaje "
    r"original|元のメッセージ)[ \t]*-{0,20}[ \t]*$"
    rf"|^[ \t]*_{{5,80}}[ \t]*$\n(?=[ \t]*{_FROM})"
    rf"|^[ \t]*{_FROM}.{{0,200}}$\n(?={_NEXT})"
    r"|^[ \t]*on\b.{5,200}\n?.{0,80}\bwrote\s*[:：][ \t]*$"
    r"|^[ \t]*am\b.{5,200}\bschrieb.{0,80}[:：][ \t]*$"
    r"|^[ \t]*le\b.{5,200}\ba écrit\s*[:：][ \t]*$|^[ \t]*el\b.{5,200}\bescribió\s*[:：][ \t]*$"
    r"|^.{0,200}(写道|寫道|のメール|さんは書きました)\s*[:：][ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)

_N = r"( \S{1,40}){0,6}? "
_EXTENSION = re.compile(
    # English
    r"\b(deadline|time|date|short|brief|\d+[- ]?(day|hour|week)s?|(one|two|three)[- ](day|"
    r"week)s?)[- ]extensions?\b|"
    rf"\b(request\w*|ask\w*|grant\w*|need\w*|get|have|give|allow\w*|appl\w+|possib\w*|want|"
    rf"like|consider|for){_N}extension\b(?!s? (number|\d|field|id\b))|"
    rf"\b(extend\w*|prolong\w*){_N}(deadline|date|time\w*|revo\w+|validity|period|"
    r"certificates?|window)\b|"
    r"\b(more|additional|extra|further|longer|some|enough) (time|days|hours|weeks)\b|"
    r"\b(another|a few|a couple of|\d+|two|three|few) (more |extra |additional )?(days?|"
    r"weeks?|hours?|months?)( more| longer| extra)?\b(?= (to|for|before|so|until|would|in "
    r"order|please)|[?.!])|"
    rf"\b(postpone|defer|delay|put off|push back|push|hold off|suspend|pause|wait|keep)\w*{_N}"
    r"(revo\w+|deadline|date|until|till|valid|alive)\b|"
    r"\b(do not|don['’]t|not|stop|cancel|avoid|without) (the )?revo(ke|king|cation)\b"
    r"(?=.{0,80}\b(until|before|yet|till|our|this|these|us|please))|"
    r"\bgrace period\b|\b(exception|exemption|waiver)\b(?! (handling|report))|"
    r"\b(later|different|new) (date|deadline)\b|move the (date|deadline)|reschedul\w+|"
    r"\b(is|are|was)(n['’]t| not)? (too short|not enough time|impossible)|(can ?not|can['’]t|"
    r"unable to|impossible to|not able to) (\w+ ){0,4}(by|before|within) (the|that|this|then|"
    r"such)\b|not enough time|"
    # Chinese
    r"延期|延长|延長|延后|延後|延迟|延遲|推迟|推遲|暂缓|暫緩|押后|押後|宽限|寬限|缓期|緩期|豁免|"
    r"通融|(更|再|多)(给|給|一些|点|點|多)?[^。]{0,6}(时间|時間|天|日|周|週)|"
    r"(晚|迟|遲)(一|几|幾|些|\d)[^。]{0,3}(天|日|周|週|点|點)|(暂时|暫時|先)?(不要|勿|別|别)"
    r"(吊销|吊銷|撤销|撤銷|注销|註銷)|(来不及|來不及|赶不及|趕不及|时间不够|時間不夠|時間不足)",
    re.IGNORECASE,
)
_NEEDS_NONE = re.compile(
    r"\b(no|not|without|don['’]t|doesn['’]t|neither)\b[^.?!\n]{0,24}\b(extension|more time|"
    r"extra time|additional time)|(无需|無需|不需要|毋須|不必)[^。]{0,4}(延期|延长|延長)",
    re.IGNORECASE,
)
_NOT_ME = re.compile(
    r"(wrong|not the (right|correct|appropriate)) (person|contact|address|department|team)|"
    r"not (me|my|our) (area|responsibility|department|domain|certificate)|(i am|i['’]m|we "
    r"are|we['’]re) not (the|in charge|responsible|handling)|please (contact|write to|"
    r"forward|redirect|send|reach out)|(should|must) (go|be (sent|directed|addressed)) to|"
    r"(请|請)(联系|聯絡|联络|聯繫|转|轉|致电|致電)|不是(我|本人|我们|我們)(负责|負責)|"
    r"(由|改由|已由)[^。]{1,16}(负责|負責|接手|跟进|跟進|处理|處理)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """
    What was attached, by name; its content is not kept.

    Args:
        name: As the sender called it; may be empty.
        kind: Its media type.
        size: In bytes.
        topic: "csr" or "private-key" where it seems to hold one, else empty.

    """

    name: str
    kind: str
    size: int
    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """
    What a message says.

    Args:
        subject: One line.
        text: Without quotations, link tokens and private keys.
        is_cut: Whether there was more of it than is kept.
        attachments: What came with it.
        topics: What an officer must see.

    """

    subject: str
    text: str
    is_cut: bool
    attachments: tuple[Attachment, ...]
    topics: tuple[MailTopic, ...]


def read_writing(parsed: Message) -> Written:
    """Read what a message says to people."""
    whole = _body(parsed)
    topics: set[MailTopic] = set()
    safe, keys = _KEY.subn(_KEY_REMOVED, whole)
    if keys:
        topics.add(MailTopic.PRIVATE_KEY)
    if _CSR.search(safe):
        topics.add(MailTopic.CSR)
    attachments = tuple(_attachments(parsed))
    topics |= {MailTopic(one.topic) for one in attachments if one.topic}
    said = without_quotes(safe)
    subject = parts.header(parsed, "Subject")
    if asks_for_extension(said):
        topics.add(MailTopic.EXTENSION)
    if _NOT_ME.search(said[: parts.LONGEST_WORDS]) or robots.says_left(said):
        topics.add(MailTopic.NOT_ME)
    text = redact_links(said)
    return Written(
        subject=redact_links(_printable(subject))[:_LONGEST_SUBJECT],
        text=_printable(text)[:LONGEST],
        is_cut=len(text) > LONGEST or len(whole) >= parts.LONGEST_TEXT,
        attachments=attachments,
        topics=tuple(sorted(topics)),
    )


def read_note(text: str) -> Written:
    """Read what somebody wrote into a form: as a mail, but nothing in it is quoted."""
    safe, keys = _KEY.subn(_KEY_REMOVED, text.replace("\r\n", "\n"))
    kept = _printable(redact_links(safe)).strip()
    return Written(
        subject="",
        text=kept[:LONGEST],
        is_cut=len(kept) > LONGEST,
        attachments=(),
        topics=(MailTopic.PRIVATE_KEY,) if keys else (),
    )


def asks_for_extension(said: str) -> bool:
    """Whether somebody asks for more time, in English or Chinese."""
    said = " ".join(said[: parts.LONGEST_WORDS].split())
    asked = _NEEDS_NONE.sub(" ", said)
    return bool(_EXTENSION.search(asked))


def without_quotes(text: str) -> str:
    """Return what somebody wrote; everything where nothing else is left."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    quote = _QUOTE.search(text)
    own = text[: quote.start()] if quote else text
    own = "\n".join(line for line in own.split("\n") if not re.match(r"\s*>", line))
    if not own.strip() and quote:
        # Written below or among what is quoted.
        rest = text[quote.end() :]
        own = "\n".join(
            line for line in rest.split("\n") if not re.match(r"\s*>", line)
        )
    return re.sub(r"\n{3,}", "\n\n", own if own.strip() else text).strip()


def _body(parsed: Message) -> str:
    """Return the text, of its plain alternative where there are several."""
    plain, rich = [], []
    for part in parts.own_parts(parsed):
        if (
            part.get_content_maintype() == "text"
            and not parts.is_returned(part)
            and part.get_content_disposition() != "attachment"
        ):
            text = parts.decoded_text(part)
            if part.get_content_subtype() == "html":
                rich.append(parts.text_of_html(_without_blockquotes(text)))
            elif part.get_content_subtype() != "calendar":
                plain.append(text)
    chosen = plain if any(text.strip() for text in plain) else rich
    return "\n".join(chosen)[: parts.LONGEST_TEXT]


def _without_blockquotes(source: str) -> str:
    return re.sub(
        r"<blockquote\b.*</blockquote\s*>", " ", source, flags=re.DOTALL | re.IGNORECASE
    )


def _attachments(parsed: Message) -> Iterator[Attachment]:
    for number, part in enumerate(parts.own_parts(parsed)):
        if number >= _MOST_ATTACHMENTS:
            return
        name = _printable(parts.decoded_header(part.get_filename() or ""))
        is_body = part.get_content_maintype() == "text" and not name
        if is_body and part.get_content_disposition() != "attachment":
            continue
        if parts.is_status(part):
            continue
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        yield Attachment(
            name=name[:_LONGEST_NAME],
            kind=part.get_content_type()[:100],
            size=len(content) or len(part.as_bytes()),
            topic=_topic(name, content[:_SNIFFED]),
        )


def _topic(name: str, content: bytes) -> str:
    text = content.decode("latin-1")
    if _KEY_NAME.search(name) or _KEY.search(text):
        return MailTopic.PRIVATE_KEY.value
    if _CSR_NAME.search(name) or _CSR.search(text):
        return MailTopic.CSR.value
    return ""


def _printable(text: str) -> str:
    """Drop what no screen shows; PostgreSQL keeps no NUL, terminals obey escapes."""
    return "".join(
        character
        for character in text
        if character in "\n\t" or (character.isprintable() or character == "\u3000")
    )
