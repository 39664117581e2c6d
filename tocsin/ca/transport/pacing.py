"""Calls a CA for many certificates: several at once, within its limits, slower when it asks for it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from tocsin.ca.backend import (
    AnswerKind,
    CertificateStatus,
    RevocationAnswer,
    RevocationRequest,
    StatusKind,
)
from tocsin.ca.transport.limits import Ledger, Timer
from tocsin.errors import Unavailable

_T = TypeVar("_T")

# A claim on certificates outlives this without a sign of life (policy.lease_for).
_LONGEST_PAUSE = 20.0
_FIRST_PAUSE = 1.0
# So many in a row, and the rest is not asked: a dead CA would cost a time-out for each
# of them, and wrong credentials can lock an account.
_ENOUGH = 3
_CALM_BEFORE_FASTER = 20


class TroubleKind(StrEnum):
    """Why a CA gave no answer."""

    AWAY = "away"  # out of reach: the others would fare no better
    FAILED = "failed"  # it answered this one with an error of its own
    BUSY = "busy"  # it asks us to be slower, or is too slow itself
    BARRED = "barred"  # our credentials or settings are wrong


class Trouble(Unavailable):
    """
    The CA gave no answer to one request.

    Args:
        message: What happened, for people.
        kind: Why.
        retry_after: How long the CA asked us to wait.

    """

    def __init__(
        self, message: str, *, kind: TroubleKind, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after


class MonotonicTimer:
    """The machine's timer; setting its clock does not touch it."""

    def seconds(self) -> float:
        """Return seconds since the machine was started."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Return after so many seconds."""
        threading.Event().wait(seconds)


class Pacer:
    """
    Makes one call for each certificate, and adapts to how the CA takes it.

    Never more at once than configured. After "busy" half as many, after a pause;
    one more again after a while without.

    Args:
        at_once: How many calls are on their way at most.
        ledger: Keeps the CA's limits.
        timer: Measures and waits.

    """

    def __init__(self, *, at_once: int, ledger: Ledger, timer: Timer) -> None:
        self._at_once = at_once
        self._width = at_once
        self._ledger = ledger
        self._timer = timer
        self._not_before = 0.0
        self._calm = 0
        self._pause = _FIRST_PAUSE
        self._lock = threading.Lock()

    def each(
        self,
        requests: Sequence[RevocationRequest],
        call: Callable[[RevocationRequest], _T],
    ) -> Iterator[_T | Trouble]:
        """
        Yield for each request, in order, what the call returned, or why it did not.

        After a few failures in a row of one issuer the rest of it is not called any
        more, and has the last failure for an answer.
        """
        if not requests:
            return
        given_up: dict[str, Trouble] = {}
        in_a_row: dict[str, int] = {}
        remaining = deque(requests)
        sent: deque[tuple[str, Future[_T | Trouble]]] = deque()
        with (
            ThreadPoolExecutor(self._at_once)
            if self._at_once > 1
            else nullcontext() as pool
        ):
            while remaining or sent:
                while remaining and len(sent) < self._width:
                    request = remaining.popleft()
                    sent.append(
                        (
                            request.issuer_key,
                            _submit(
                                pool,
                                self._call,
                                request,
                                call,
                                given_up.get(request.issuer_key),
                            ),
                        )
                    )
                issuer, future = sent.popleft()
                outcome = future.result()
                if not isinstance(outcome, Trouble):
                    in_a_row[issuer] = 0
                elif outcome.kind is not TroubleKind.FAILED:
                    in_a_row[issuer] = in_a_row.get(issuer, 0) + 1
                    if in_a_row[issuer] >= _ENOUGH:
                        given_up[issuer] = outcome
                yield outcome

    def once(self, call: Callable[[], _T]) -> _T:
        """
        Make one call within the limits.

        Raises:
            Unavailable: The CA gave no answer.

        """
        self._wait_out_pause()
        with self._ledger.call():
            return call()

    def _call(
        self,
        request: RevocationRequest,
        call: Callable[[RevocationRequest], _T],
        given_up: Trouble | None,
    ) -> _T | Trouble:
        if given_up is not None:
            return given_up
        try:
            outcome = self.once(lambda: call(request))
        except Trouble as trouble:
            if trouble.kind is TroubleKind.BUSY:
                self._slow_down(trouble.retry_after)
            return trouble
        self._speed_up()
        return outcome

    def _wait_out_pause(self) -> None:
        while (wait := self._not_before - self._timer.seconds()) > 0:
            self._timer.wait(wait)

    def _slow_down(self, retry_after: timedelta | None) -> None:
        with self._lock:
            wait = self._pause if retry_after is None else retry_after.total_seconds()
            self._not_before = max(
                self._not_before, self._timer.seconds() + min(wait, _LONGEST_PAUSE)
            )
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._width = max(1, self._width // 2)
            self._calm = 0

    def _speed_up(self) -> None:
        with self._lock:
            self._calm += 1
            if self._calm >= _CALM_BEFORE_FASTER:
                self._calm = 0
                self._pause = _FIRST_PAUSE
                self._width = min(self._at_once, self._width + 1)


def answers(
    pacer: Pacer,
    requests: Sequence[RevocationRequest],
    revoke: Callable[[RevocationRequest], RevocationAnswer],
) -> Iterator[RevocationAnswer]:
    """Yield an answer for each request: what the CA said, or that it said nothing."""
    for request, outcome in zip(requests, pacer.each(requests, revoke), strict=True):
        if isinstance(outcome, Trouble):
            barred = outcome.kind is TroubleKind.BARRED
            yield RevocationAnswer(
                certificate_id=request.certificate_id,
                kind=AnswerKind.FATAL if barred else AnswerKind.RETRY,
                detail=str(outcome),
                retry_after=outcome.retry_after,
            )
        else:
            yield outcome


def statuses(
    pacer: Pacer,
    requests: Sequence[RevocationRequest],
    look_up: Callable[[RevocationRequest], CertificateStatus],
) -> Iterator[CertificateStatus]:
    """
    Yield a status for each request; an error of one holds up no other.

    Raises:
        Unavailable: The CA does not answer.

    """
    for request, outcome in zip(requests, pacer.each(requests, look_up), strict=True):
        if not isinstance(outcome, Trouble):
            yield outcome
        elif outcome.kind in (TroubleKind.AWAY, TroubleKind.BARRED):
            raise outcome
        else:
            yield CertificateStatus(
                certificate_id=request.certificate_id,
                kind=StatusKind.NO_ANSWER,
                detail=str(outcome),
            )


def _submit(
    pool: ThreadPoolExecutor | None, function: Callable[..., _T], *arguments: object
) -> Future[_T]:
    if pool is not None:
        return pool.submit(function, *arguments)
    future: Future[_T] = Future()
    try:
        future.set_result(function(*arguments))
    except Exception as error:  # noqa: BLE001 - raised where the result is asked for
        future.set_exception(error)
    return future
