"""The field's words as types; without them every layer would spell states its own way."""

from enum import IntEnum, StrEnum
from typing import NewType

IncidentId = NewType("IncidentId", str)
CertificateId = NewType("CertificateId", int)
SubscriberId = NewType("SubscriberId", int)
ContactId = NewType("ContactId", int)
NoticeId = NewType("NoticeId", int)
ReplyId = NewType("ReplyId", int)
ReplacementId = NewType("ReplacementId", int)
MailReplyId = NewType("MailReplyId", int)
EscalationId = NewType("EscalationId", int)
AlarmId = NewType("AlarmId", int)
ScopeChangeId = NewType("ScopeChangeId", int)


class Circumstance(StrEnum):
    """Why certificates must be revoked: the items of TLS BR 4.9.1.1, in its order."""

    SUBSCRIBER_REQUEST = "subscriber-request"
    NOT_AUTHORISED = "not-authorised"
    KEY_COMPROMISE = "key-compromise"
    WEAK_KEY = "weak-key"
    VALIDATION_UNRELIABLE = "validation-unreliable"
    KEY_PARAMETERS = "key-parameters"
    MISUSED = "misused"
    AGREEMENT_BREACHED = "agreement-breached"
    NAME_NOT_PERMITTED = "name-not-permitted"
    MISLEADING_WILDCARD = "misleading-wildcard"
    MATERIAL_CHANGE = "material-change"
    MISISSUED = "misissued"
    INACCURATE = "inaccurate"
    RIGHT_TO_ISSUE_ENDED = "right-to-issue-ended"
    CPS_REQUIRES = "cps-requires"
    KEY_GENERATION_FLAWED = "key-generation-flawed"


class Reason(IntEnum):
    """CRLReason codes that TLS BR 7.2.2 allows for subscriber certificates."""

    UNSPECIFIED = 0  # written as no reasonCode extension at all
    KEY_COMPROMISE = 1
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    PRIVILEGE_WITHDRAWN = 9

    @property
    def label(self) -> str:
        """The code's name as RFC 5280 spells it."""
        first, *rest = self.name.lower().split("_")
        return first + "".join(word.capitalize() for word in rest)


class IncidentState(StrEnum):
    """Where an incident stands."""

    DRAFT = "draft"  # imported for a preview; nothing is due
    RUNNING = "running"  # launched; something is, or may become, due
    CLOSED = "closed"  # everything is published; only records are left


class RevocationState(StrEnum):
    """What is known of one certificate's revocation."""

    SCHEDULED = "scheduled"  # will be sent to the CA at its revocation time
    SUBMITTED = "submitted"  # the intent is on record; the CA may have been called
    REVOKED = "revoked"  # the CA says so; nobody outside can see it yet
    PUBLISHED = "published"  # seen in what the CA publishes
    WITHDRAWN = "withdrawn"  # was listed wrongly: two officers took it out


class ScopeKind(StrEnum):
    """What two officers can decide about certificates that they name."""

    WITHDRAWAL = "withdrawal"  # listed wrongly: not revoked at all
    ORDER = "order"  # a court restrains the CA, until an instant (TLS BR 9.16.3)


class ScopeState(StrEnum):
    """Where such a decision stands."""

    PROPOSED = "proposed"  # without effect until two officers have signed
    AGREED = "agreed"  # both have; it had its effect in the same transaction
    REFUSED = "refused"  # an officer said no
    LAPSED = "lapsed"  # revoked, or ended, before both had signed


class ScopeOutcome(StrEnum):
    """What an agreed decision did to one certificate."""

    OPEN = "open"  # not agreed (yet)
    APPLIED = "applied"
    TOO_LATE = "too-late"  # revoked, withdrawn or at the CA by then: left as it was


class Sighting(StrEnum):
    """Where a revocation is seen that is not published everywhere yet."""

    NOT_LISTED = "not-listed"  # in no CRL, nor in OCSP as far as that was asked
    OCSP_ONLY = "ocsp-only"  # OCSP calls it revoked; no CRL lists it
    CRL_ONLY = "crl-only"  # its CRL lists it; OCSP does not call it revoked
    OTHER_CRL = "other-crl"  # listed, in a CRL that is not the certificate's


class ReplacementState(StrEnum):
    """How far a subscriber is in replacing one certificate; revocation never reads it."""

    AWAITING_CSR = "awaiting-csr"
    CSR_RECEIVED = "csr-received"
    REPLACEMENT_ISSUED = "replacement-issued"
    REPLACED = "replaced"
    NO_LONGER_REQUIRED = "no-longer-required"


UNSETTLED = (
    ReplacementState.AWAITING_CSR,
    ReplacementState.CSR_RECEIVED,
    ReplacementState.REPLACEMENT_ISSUED,
)
"""The certificate may still be in use: neither replaced nor given up."""


class ContactState(StrEnum):
    """Whether a contact can still be reached."""

    UNCONFIRMED = (
        "unconfirmed"  # named by somebody there; the address has yet to say so
    )
    ACTIVE = "active"
    UNREACHABLE = "unreachable"  # mail to the address failed for good
    REMOVED = "removed"  # the subscriber says that this is not the person


class ContactRole(StrEnum):
    """On whose side a contact stands."""

    SUBSCRIBER = "subscriber"
    ACCOUNT_MANAGER = "account-manager"
    OPERATIONS_MANAGER = "operations-manager"
    COMPLIANCE_LEAD = "compliance-lead"


class OfficeRole(StrEnum):
    """What somebody of the CA may do at the officers' desk."""

    OFFICER = "officer"  # everything, the launch included
    MANAGER = "manager"  # see everything, answer for escalations, call, mend contacts


class OfficeMailKind(StrEnum):
    """Why the desk writes to somebody."""

    SIGN_IN = "sign-in"  # they asked for a link
    APPROVAL = "approval"  # a launch waits for a second officer
    SCOPE = "scope-change"  # a withdrawal or a court order waits for their signature


class OfficeMailState(StrEnum):
    """What is known of one mail of the desk."""

    PLANNED = "planned"
    SENDING = "sending"  # the relay may have it
    SENT = "sent"
    FAILED = "failed"  # ask again
    UNLISTED = "unlisted"  # nobody of that address is on the list: nothing is sent
    TOO_MANY = "too-many"  # asked for too often: nothing is sent
    PRINTED = "printed"  # no mail: shown to whoever sits at the machine


class NoticeKind(StrEnum):
    """What a notice is for; a folder of templates each."""

    INITIAL = "initial"  # your certificates will be revoked
    REMINDER = "reminder"  # there is still no CSR
    FINAL = "final"  # the last word before revocation
    ESCALATION = "escalation"  # to the CA's own staff: subscribers who need a person
    ACKNOWLEDGEMENT = "acknowledgement"  # your mail has arrived; only the page counts
    NO_EXTENSION = "no-extension"  # you asked for more time: why there is none
    WITHDRAWAL = "withdrawal"  # certificates were listed wrongly: not revoked
    CONFIRM_ADDRESS = "confirm-address"  # a colleague named you: is that right?
    CONTACTS_CHANGED = "contacts-changed"  # who gets our mails is not as it was

    @property
    def answers_mail(self) -> bool:
        """Whether it answers what a person wrote, and is no step of a ladder."""
        return self in {NoticeKind.ACKNOWLEDGEMENT, NoticeKind.NO_EXTENSION}

    @property
    def is_about_contacts(self) -> bool:
        """Whether it says who gets our mails, and nothing of certificates."""
        return self in {NoticeKind.CONFIRM_ADDRESS, NoticeKind.CONTACTS_CHANGED}


class NoticeState(StrEnum):
    """What is known of one notice."""

    PLANNED = "planned"  # due, not yet tried; or tried and to be tried again
    SENDING = "sending"  # claimed: the relay may have it
    SENT = "sent"  # the relay took it
    FAILED = "failed"  # the relay refused the address for good
    BOUNCED = "bounced"  # taken, and came back
    SUPERSEDED = "superseded"  # its moment passed before it was sent
    HELD = "held"  # it may have left; an officer decides whether it leaves again
    GIVEN_UP = "given-up"  # it may have left; an officer decided not to repeat it


class InDoubt(StrEnum):
    """What follows when the end of a message is unknown."""

    RESEND = "resend"  # again under the same Message-ID, counted
    HOLD = "hold"  # until an officer has decided


class PauseCause(StrEnum):
    """Why sending pauses, for everybody."""

    RELAY_UNREACHABLE = "relay-unreachable"  # it cannot be talked to
    RELAY_REFUSES = "relay-refuses"  # it refuses us, whoever is written to
    ADDRESSES_REFUSED = "addresses-refused"  # too many addresses refused for good


class EscalationCause(StrEnum):
    """Why a person has to look at a subscriber; the last three: at the incident."""

    CSR_MISSING = "csr-missing"
    NOT_ACKNOWLEDGED = "not-acknowledged"
    UNREACHABLE = "unreachable"  # no contact is left to whom mail gets through
    NOT_DELIVERED = "not-delivered"  # the relay took nothing to any of its contacts yet
    CSR_REFUSED = "csr-refused"  # one came in that cannot be used, no good one since
    NOT_INSTALLED = "not-installed"  # a replacement is issued; nobody reports its use
    NOT_REPLACED = "not-replaced"  # neither replaced nor given up, for whatever reason
    NOT_THEIRS = "not-theirs"  # somebody there says that it is somebody else's
    HELP_WANTED = "help-wanted"  # somebody there asks for a person
    FORECAST_LATE = "forecast-late"  # not all will be published by the deadline
    STEP_MISSED = "step-missed"  # something due was not done: the engine needs a person
    ORDER_OVERDUE = "order-overdue"  # a court order keeps some past the deadline


class EscalationState(StrEnum):
    """Where an escalation stands."""

    RAISED = "raised"  # on record; the notice that tells somebody is planned
    TOLD = "told"  # the notice has left, or it stands on the call sheet
    ACKNOWLEDGED = "acknowledged"  # somebody is on it; it comes back if nothing follows
    RAISED_FURTHER = "raised-further"  # a higher step took over
    ENDED = "ended"  # its cause is gone: answered, or everything revoked


LIVE_ESCALATIONS = (
    EscalationState.RAISED,
    EscalationState.TOLD,
    EscalationState.ACKNOWLEDGED,
)
"""The cause is there; of these there is one for each cause at most."""


class EscalationTarget(StrEnum):
    """Who is to act on an escalation: roles of the CA's own people, or a list."""

    ACCOUNT_MANAGER = "account-manager"
    OPERATIONS_MANAGER = "operations-manager"
    COMPLIANCE_LEAD = "compliance-lead"
    CALL_SHEET = "call-sheet"  # whoever telephones; nobody gets a mail for it

    @property
    def role(self) -> ContactRole | None:
        """Whose mail it is; None: nobody's."""
        if self is EscalationTarget.CALL_SHEET:
            return None
        return ContactRole(self.value)


class AlarmState(StrEnum):
    """What is known of one alarm to one channel beside mail."""

    PLANNED = "planned"  # due, not yet tried; or tried and to be tried again
    SENDING = "sending"  # the intent is on record: the channel may have it
    SENT = "sent"  # the channel took it
    FAILED = "failed"  # refused again and again
    SUPERSEDED = "superseded"  # nothing was left to tell


class ReplyKind(StrEnum):
    """What a subscriber did."""

    ACKNOWLEDGE = "acknowledge"
    SUBMIT_CSR = "submit-csr"
    REPLACED = "replaced"
    NO_LONGER_REQUIRED = "no-longer-required"
    CHANGE_CONTACT = "change-contact"  # names one
    CONFIRM_ADDRESS = "confirm-address"  # its holder says that it is right
    DECLINE_ADDRESS = "decline-address"  # its holder does not want our mails
    REMOVE_CONTACT = "remove-contact"
    ASK_AGAIN = "ask-again"  # for a confirmation that does not come
    NOT_MINE = "not-mine"  # of certificates; of none in particular: of everything
    ASK_HELP = "ask-help"
    ASK_EXTENSION = "ask-extension"
    UNDO = "undo"

    @property
    def changes_contacts(self) -> bool:
        """Whether colleagues have to hear of it: who gets our mails is not as it was."""
        return self in {
            ReplyKind.CHANGE_CONTACT,
            ReplyKind.CONFIRM_ADDRESS,
            ReplyKind.DECLINE_ADDRESS,
            ReplyKind.REMOVE_CONTACT,
        }

    @property
    def tells_officers(self) -> bool:
        """Whether it asks for something that only a person of the CA can give."""
        return self in {
            ReplyKind.NOT_MINE,
            ReplyKind.ASK_HELP,
            ReplyKind.ASK_EXTENSION,
        }


class ReplyState(StrEnum):
    """Whether a reply has had its effect."""

    PENDING = "pending"  # waits for the end of its grace period
    APPLIED = "applied"
    UNDONE = "undone"  # taken back by the subscriber within the grace period


class BounceReason(StrEnum):
    """Why a server did not deliver, in one word."""

    NO_SUCH_ADDRESS = "no-such-address"
    ADDRESS_CLOSED = "address-closed"  # there was one
    NO_SUCH_DOMAIN = "no-such-domain"
    MAILBOX_FULL = "mailbox-full"
    GREYLISTED = "greylisted"
    NOT_REACHED = "not-reached"  # their server did not answer, for too long
    REFUSED = "refused"  # by a policy, whoever the recipient is
    TOO_LARGE = "too-large"
    TEMPORARY = "temporary"
    OTHER = "other"


class MailKind(StrEnum):
    """What a message that came back is."""

    FAILURE = "failure"  # a notice was not delivered, and the server gave up
    DELAY = "delay"  # not delivered yet; the server keeps trying
    CONFIRMATION = "confirmation"  # delivered, relayed, read or deleted
    COMPLAINT = "complaint"  # a feedback report (ARF)
    ABSENCE = "absence"  # out of the office; comes back
    DEPARTURE = "departure"  # no longer works there
    CHALLENGE = "challenge"  # wants a person to prove that they are one
    AUTOMATIC = "automatic"  # a program, about nothing in particular
    PERSON = "person"  # somebody wrote


class MailTopic(StrEnum):
    """What a message asks for or holds that an officer must see."""

    EXTENSION = "extension"  # asks for more time
    NOT_ME = "not-me"  # says that somebody else should get this
    HELP = "help"  # asks for a person to help
    CSR = "csr"  # holds a CSR, which only the page takes
    PRIVATE_KEY = "private-key"  # held one; it was not kept


class UnreachableReason(StrEnum):
    """Why mail to a contact is of no more use."""

    REFUSED = "refused"  # the relay or their server refused the address
    BOUNCED = "bounced"  # mail came back for good
    LEFT = "left"  # an automatic answer says that they left


class CallOutcome(StrEnum):
    """What came of a call to a subscriber."""

    REACHED = "reached"  # a person there knows now
    LEFT_MESSAGE = "left-message"
    NO_ANSWER = "no-answer"
    WRONG_NUMBER = "wrong-number"
    REFUSED = "refused"  # would not talk


class WireFinding(StrEnum):
    """What a look at a host came to that was said to have a new certificate."""

    OTHER = "other"  # presents one that is not affected: replaced
    AFFECTED = "affected"  # presents the affected one still
    ANOTHER_AFFECTED = "another-affected"  # presents another of theirs that is affected
    NO_HOST = "no-host"  # the certificate names none that can be looked at
    NO_ADDRESS = "no-address"
    NOT_PUBLIC = "not-public"  # stands where we do not look
    NO_ANSWER = "no-answer"  # not within the time
    NO_TLS = "no-tls"  # answers, and not with a certificate
    BUSY = "busy"  # too many look at once: not looked at


class SourceKind(StrEnum):
    """What an entry of the list of affected certificates was."""

    CERTIFICATE = "certificate"
    PRECERTIFICATE = "precertificate"
    SERIAL = "serial"  # issuer and serial only
