"""When a planned notice may leave; without it a relay's trouble would become everybody's."""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.terms import InDoubt, NoticeId, NoticeKind

DAY = timedelta(hours=24)

STEPS = (NoticeKind.INITIAL, NoticeKind.REMINDER, NoticeKind.FINAL)
"""The ladder's own kinds: of these a later one to the same contact says it all."""

UNCAPPED = frozenset({NoticeKind.FINAL, NoticeKind.ESCALATION})
"""The last word before revocation; and the CA's own people, who are on duty."""

_FIRST_OF_ALL = (NoticeKind.INITIAL,)
"""Who has not heard at all comes before who is reminded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingRules:
    """
    What an operator set about sending; counts are of attempts.

    Args:
        in_doubt: What follows when the end of a message is unknown.
        per_address: Mails to one address within 24 hours; 0: as many as there are.
        pause_from: Below so many attempts nothing can be told of a share.
        pause_share: From this share of refusals on, 0 to 1, sending pauses.
        pause_within: How far back attempts count.
        probe_every: How often one message is tried while sending pauses.
        alarm_after: How long a relay may be out of reach until people are told.

    """

    in_doubt: InDoubt = InDoubt.RESEND
    per_address: int = 12
    pause_from: int = 20
    pause_share: float = 0.5
    pause_within: timedelta = timedelta(hours=1)
    probe_every: timedelta = timedelta(minutes=1)
    alarm_after: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingNotice:
    """
    A notice that is due.

    Args:
        notice: Which.
        kind: What it is for.
        address: Where it goes, folded: one mailbox, however it is spelled.

    """

    notice: NoticeId
    kind: NoticeKind
    address: str


def after_doubt(kind: NoticeKind, rules: SendingRules) -> InDoubt:
    """
    Return what follows when it is unknown whether a notice has left.

    The CA's own people are told again in any case: who has to decide on what is held
    must not be kept from hearing of it.
    """
    return InDoubt.RESEND if kind is NoticeKind.ESCALATION else rules.in_doubt


def is_overtaken(kind: NoticeKind, planned_at: datetime, latest: datetime) -> bool:
    """
    Whether a notice's moment has passed because a later step has spoken, or will.

    Args:
        kind: What it is for.
        planned_at: When it was decided on, UTC.
        latest: When the latest of the ladder's notices to its contact was, UTC.

    """
    return kind in STEPS and planned_at < latest


def is_past_use(
    kind: NoticeKind, *, revocation_time: datetime, is_revoked: bool, now: datetime
) -> bool:
    """
    Whether a notice to a subscriber says nothing any more that helps.

    A reminder and a last word are about what can be done before the revocation. A first
    notice still has to be read after it.
    """
    if kind not in {NoticeKind.REMINDER, NoticeKind.FINAL}:
        return False
    return is_revoked or revocation_time <= now


def postponed(
    waiting: Sequence[WaitingNotice],
    left: Mapping[str, Sequence[datetime]],
    *,
    per_address: int,
    now: datetime,
) -> dict[NoticeId, datetime]:
    """
    Say which of the notices that are due have to wait, and until when.

    In any 24 hours an address gets ``per_address`` mails at most, of whatever kind and
    incident; final notices go beyond that, and count.

    Args:
        waiting: What is due, the most urgent first.
        left: When mails left to each address, UTC; older ones than a day do no harm.
        per_address: How many at most; 0: no limit.
        now: The present instant, UTC.

    """
    if not per_address:
        return {}
    by_address: dict[str, list[WaitingNotice]] = defaultdict(list)
    for notice in waiting:
        by_address[notice.address].append(notice)
    later: dict[NoticeId, datetime] = {}
    for address, notices in by_address.items():
        times = sorted(left.get(address, ()))
        for notice in sorted(notices, key=_rank):
            free_at = now
            if notice.kind not in UNCAPPED:
                free_at = _free_at(times, per_address, now)
            if free_at > now:
                later[notice.notice] = free_at
            insort(times, free_at)
    return later


def _rank(notice: WaitingNotice) -> int:
    """Return what goes first; those alike stay in their order."""
    if notice.kind in UNCAPPED:
        return 0
    return 1 if notice.kind in _FIRST_OF_ALL else 2


def _free_at(times: Sequence[datetime], per_address: int, now: datetime) -> datetime:
    """Return the first instant from now on with room in the 24 hours before it."""
    within = len(times) - bisect_right(times, now - DAY)
    if within < per_address:
        return now
    return times[-per_address] + DAY
