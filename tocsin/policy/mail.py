"""What officers read of mail that came in; the store fills it, commands and pages show it."""

from dataclasses import dataclass
from datetime import datetime

from models.terms import (
    ContactId,
    IncidentId,
    MailKind,
    MailReplyId,
    MailTopic,
    NoticeKind,
    SubscriberId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentView:
    """An attachment by name, media type and size in bytes; its content was not kept."""

    name: str
    kind: str
    size: int
    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MailReplyView:
    """
    One message, as an officer reads it.

    Args:
        key: Its number.
        received_at: When it was read, UTC.
        kind: What it is.
        known_by: What told whose it is; empty: nothing did.
        incident: Of which incident; None: nobody knows.
        subscriber: Whose; None for the CA's own people, or where nobody knows.
        subscriber_name: The organisation's.
        contact: Whom the notice went to that it answers.
        contact_name: That person's; may be empty.
        sender: The address that it says it is from: anybody can write that.
        is_from_contact: Whether that is the contact's own address.
        subject: One line.
        text: Without quotations, link tokens and private keys.
        is_cut: There was more; the mailbox has it.
        topics: What it asks for or holds.
        attachments: What came with it.
        answered_with: The notice that answers it; None: it is not answered.

    """

    key: MailReplyId
    received_at: datetime
    kind: MailKind
    known_by: str
    incident: IncidentId | None
    subscriber: SubscriberId | None
    subscriber_name: str
    contact: ContactId | None
    contact_name: str
    sender: str
    is_from_contact: bool
    subject: str
    text: str
    is_cut: bool
    topics: tuple[MailTopic, ...]
    attachments: tuple[AttachmentView, ...]
    answered_with: NoticeKind | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailReplies:
    """
    What came in, the newest first.

    Args:
        rows: The first of them, as many as were asked for.
        total: How many there are altogether.
        people: Of those, written by people.
        extensions: Of people's, asking for more time.
        departures: Programs saying that somebody left.
        unattributed: Of people's, nobody knows whose.
        private_keys: Messages that held a private key: each is a key compromise.

    """

    rows: tuple[MailReplyView, ...]
    total: int
    people: int
    extensions: int
    departures: int
    unattributed: int
    private_keys: int
