"""Revokes what is due and proves that it is published; the point of everything else."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine

from models.terms import CertificateId
from tocsin.ca.backend import (
    AnswerKind,
    CaBackend,
    Publication,
    RevocationAnswer,
    StatusKind,
)
from tocsin.clock import Clock
from tocsin.errors import Broken, Unavailable
from tocsin.policy.revocation import DueRevocation, Outcome, lease_for, next_attempt
from tocsin.steps.acts import append_acts
from tocsin.steps.publication import prove_due
from tocsin.steps.questions import found_revoked, not_now, requests_for
from tocsin.store import revocations
from tocsin.store.session import writing

log = structlog.get_logger()

_ANSWERS_PER_COMMIT = 100
# A slow CA's answers are recorded at least this often, which also renews the claim.
_SECONDS_PER_COMMIT = 5.0
_REVOKED = frozenset({AnswerKind.DONE, AnswerKind.ALREADY})
_CA_IS_AWAY = frozenset({AnswerKind.RETRY, AnswerKind.FATAL})


@dataclass(slots=True, kw_only=True)
class Revoked:
    """
    What one pass did.

    Args:
        claimed: Revocations taken up; the next seven counts sum to it.
        revoked: Revoked by this pass.
        already: Found revoked at the CA, with the CA's reason and time.
        pending: Waiting for a person at the CA: not revoked, asked again.
        unknown: The CA does not know the certificate; asked again.
        refused: The CA will not, or not any more: expired; asked again.
        retried: The CA could not be reached, or is misconfigured; asked again.
        in_doubt: No answer was recorded; looked up when the claim ends.
        published: Seen in CRL and OCSP.
        unproven: Revoked, and not seen yet; read again soon.
        wrong_reason: Published with another reason than was asked for.

    """

    claimed: int = 0
    revoked: int = 0
    already: int = 0
    pending: int = 0
    unknown: int = 0
    refused: int = 0
    retried: int = 0
    in_doubt: int = 0
    published: int = 0
    unproven: int = 0
    wrong_reason: int = 0

    @property
    def not_revoked(self) -> int:
        """Certificates that were due and that the CA has not revoked."""
        return self.pending + self.unknown + self.refused + self.retried + self.in_doubt


@dataclass(slots=True)
class _Batch:
    """
    A claim in work.

    Args:
        owner: Who claimed it.
        actor: Who acts, for the record.
        lease_within: How long the claim holds without a sign of life.
        open: What has no answer yet.
        until: When the claim ends unless it is renewed.
        outcomes: Answers that are not recorded yet.
        seen: What was in doubt and has been looked up.
        kinds: How often each kind of answer was given.
        recorded_at: When answers were last recorded, by the machine's timer.

    """

    owner: str
    actor: str
    lease_within: timedelta
    open: dict[CertificateId, DueRevocation]
    until: datetime
    outcomes: list[Outcome] = field(default_factory=list)
    seen: set[CertificateId] = field(default_factory=set)
    kinds: dict[AnswerKind, int] = field(default_factory=lambda: defaultdict(int))
    recorded_at: float = field(default_factory=time.monotonic)


def revoke_due(
    engine: Engine,
    backend: CaBackend,
    publication: Publication,
    clock: Clock,
    *,
    owner: str,
    batch: int = 500,
    actor: str = "engine",
    grace: timedelta = timedelta(),
) -> Revoked:
    """
    Revoke everything that is due by now, publish, and prove it.

    Args:
        engine: The database.
        backend: The CA.
        publication: Reads what the CA publishes, as anybody outside would.
        clock: Tells now.
        owner: Names this process in claims.
        batch: How many are claimed at once.
        actor: Who acts, for the record: "engine" or "guard".
        grace: Only what has had its revocation time this long ago; what was tried since
            does not wait anew.

    """
    done = Revoked()
    submit_due(
        engine,
        backend,
        clock,
        owner=owner,
        batch=batch,
        actor=actor,
        grace=grace,
        done=done,
    )
    # Whoever revokes proves it, too, and at once: nobody else may be there to do it.
    has_revoked = bool(done.revoked or done.already)
    proven = prove_due(
        engine,
        backend,
        publication,
        clock,
        actor=actor,
        grace=timedelta() if has_revoked else grace,
    )
    done.published = proven.published
    done.unproven = proven.unproven
    done.wrong_reason = proven.wrong_reason
    if done.claimed or done.published:
        log.info(
            "Revocation pass ended",
            actor=actor,
            claimed=done.claimed,
            revoked=done.revoked,
            already=done.already,
            not_revoked=done.not_revoked,
            published=done.published,
            unproven=done.unproven,
        )
    return done


def submit_due(
    engine: Engine,
    backend: CaBackend,
    clock: Clock,
    *,
    owner: str,
    batch: int,
    actor: str,
    grace: timedelta,
    done: Revoked,
) -> None:
    """
    Claim, ask the CA, record, until nothing is left that was due when it began.

    What the CA did not revoke stays due, for ever; a batch in which the CA answered
    nothing but "not now" ends the pass, since the next would fare no better.
    """
    due_before = clock.now()
    lease_within = lease_for(batch, backend.capabilities.rate_per_second)
    while claimed := _claim(
        engine,
        owner=owner,
        actor=actor,
        now=(claimed_at := clock.now()),
        due_before=due_before,
        grace=grace,
        lease_within=lease_within,
        limit=batch,
    ):
        work = _Batch(
            owner=owner,
            actor=actor,
            lease_within=lease_within,
            open={due.certificate_id: due for due in claimed},
            until=claimed_at + lease_within,
        )
        done.claimed += len(claimed)
        try:
            _ask(engine, backend, clock, work)
        finally:
            _count(done, work)
        if set(work.kinds) <= _CA_IS_AWAY:
            log.error("The CA is away", actor=actor, claimed=len(claimed))
            return


def _claim(
    engine: Engine,
    *,
    owner: str,
    actor: str,
    now: datetime,
    due_before: datetime,
    grace: timedelta,
    lease_within: timedelta,
    limit: int,
) -> list[DueRevocation]:
    with writing(engine) as connection:
        claimed = revocations.claim_due(
            connection,
            owner=owner,
            now=now,
            due_before=due_before,
            promised_before=due_before - grace,
            lease_within=lease_within,
            limit=limit,
        )
        append_acts(
            connection,
            now=now,
            actor=actor,
            action="revocations-submitted",
            lists=[
                (due.incident, "certificates", due.certificate_id) for due in claimed
            ],
        )
    return claimed


def _ask(engine: Engine, backend: CaBackend, clock: Clock, work: _Batch) -> None:
    """Look up what is in doubt, ask for the rest, and record as the answers come."""
    doubted = [due for due in work.open.values() if due.is_in_doubt]
    try:
        if not _look_up(engine, backend, clock, work, doubted):
            return
    except Unavailable as error:
        # Not looked up is not repeated: these wait for the next attempt.
        for due in doubted:
            if due.certificate_id in work.open and due.certificate_id not in work.seen:
                _take(work, not_now(due, str(error)), clock.now())
    requests = requests_for(engine, backend, list(work.open.values()))
    try:
        for answer in backend.revoke(requests):
            _take(work, answer, clock.now())
            if _is_time_to_record(work, clock) and not _record(engine, clock, work):
                return
    except Unavailable as error:
        for due in list(work.open.values()):
            _take(work, not_now(due, str(error)), clock.now())
    finally:
        _record(engine, clock, work)


def _look_up(
    engine: Engine,
    backend: CaBackend,
    clock: Clock,
    work: _Batch,
    doubted: Sequence[DueRevocation],
) -> bool:
    """
    Take off the batch what is revoked already, and of what nothing is known.

    Returns:
        False when the claim was lost.

    Raises:
        Unavailable: The CA does not answer.

    """
    if not doubted:
        return True
    for status in backend.look_up(requests_for(engine, backend, doubted)):
        work.seen.add(status.certificate_id)
        if status.kind is StatusKind.REVOKED:
            _take(work, found_revoked(status), clock.now())
        elif status.kind is StatusKind.NO_ANSWER:
            # Not looked up is not repeated; the others do not wait for it.
            due = work.open[status.certificate_id]
            _take(work, not_now(due, status.detail), clock.now())
        if _is_time_to_record(work, clock) and not _record(engine, clock, work):
            return False
    return True


def _take(work: _Batch, answer: RevocationAnswer, now: datetime) -> None:
    due = work.open.pop(answer.certificate_id, None)
    if due is None:
        message = f"the CA answered for {answer.certificate_id}, which was not asked"
        raise Broken(message)
    work.kinds[answer.kind] += 1
    work.outcomes.append(
        Outcome(
            certificate_id=due.certificate_id,
            incident=due.incident,
            is_revoked=answer.kind in _REVOKED,
            answer=answer.kind.value,
            detail=answer.detail,
            ca_revoked_at=answer.revoked_at,
            next_at=next_attempt(
                due.attempts,
                now,
                answer.retry_after,
                is_ca_away=answer.kind is AnswerKind.RETRY,
            ),
        )
    )


def _is_time_to_record(work: _Batch, clock: Clock) -> bool:
    return (
        len(work.outcomes) >= _ANSWERS_PER_COMMIT
        or time.monotonic() - work.recorded_at > _SECONDS_PER_COMMIT
        # The clock was set forward: to others the claim has ended. Nothing more is
        # asked of the CA before it is ours again, or is found to be theirs.
        or clock.now() >= work.until
    )


def _record(engine: Engine, clock: Clock, work: _Batch) -> bool:
    """Record answers and renew the claim; return whether it still holds."""
    outcomes, work.outcomes = work.outcomes, []
    work.recorded_at = time.monotonic()
    if not outcomes and not work.open:
        return True
    now = clock.now()
    work.until = now + work.lease_within
    with writing(engine) as connection:
        if outcomes:
            revocations.record_answers(
                connection, owner=work.owner, outcomes=outcomes, now=now
            )
        still_ours = revocations.renew_claim(
            connection,
            owner=work.owner,
            certificates=list(work.open),
            until=work.until,
        )
        append_acts(
            connection,
            now=now,
            actor=work.actor,
            action="revocations-answered",
            lists=[
                (outcome.incident, outcome.answer, outcome.certificate_id)
                for outcome in outcomes
            ],
        )
    return still_ours == len(work.open)


def _count(done: Revoked, work: _Batch) -> None:
    done.in_doubt += len(work.open)
    for kind, count in work.kinds.items():
        match kind:
            case AnswerKind.DONE:
                done.revoked += count
            case AnswerKind.ALREADY:
                done.already += count
            case AnswerKind.PENDING_APPROVAL:
                done.pending += count
            case AnswerKind.UNKNOWN:
                done.unknown += count
            case AnswerKind.REFUSED | AnswerKind.EXPIRED:
                done.refused += count
            case AnswerKind.RETRY | AnswerKind.FATAL:  # pragma: no branch
                done.retried += count
