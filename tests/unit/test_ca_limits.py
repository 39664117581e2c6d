"""A CA's published limits are kept, and used."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.requests import request_for
from fakes.timers import SteppedTimer
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ca.backend import AnswerKind, Limit, RevocationAnswer, RevocationRequest
from tocsin.ca.transport.limits import Ledger, sustained_rate, wait_before_call
from tocsin.ca.transport.pacing import Pacer, Trouble, TroubleKind, answers

DIGICERT = (Limit(1000, 300), Limit(100, 5))  # dev.digicert.com, "rate limits"


def most_in_a_window(arrivals: list[float], seconds: float) -> int:
    """Return how many arrived in the fullest stretch of so many seconds."""
    most, first = 0, 0
    ordered = sorted(arrivals)
    for last, arrival in enumerate(ordered):
        while ordered[first] <= arrival - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(
    limits=st.lists(
        st.builds(
            Limit,
            calls=st.integers(1, 7),
            seconds=st.floats(0.5, 20, allow_nan=False),
        ),
        min_size=1,
        max_size=3,
    ),
    delays=st.lists(
        st.tuples(st.floats(0, 3), st.floats(0, 3), st.floats(0, 1)),
        min_size=1,
        max_size=40,
    ),
)
def test_no_window_of_the_cas_holds_more_than_the_limit_whatever_the_delays(
    limits: list[Limit], delays: list[tuple[float, float, float]]
) -> None:
    # Each call takes a while to reach the CA, and another while to be answered; the
    # next begins at once or a little later, while others are still on their way.
    now = 0.0
    ends: list[float] = []
    arrivals: list[float] = []
    for there, back, pause in delays:
        now += pause + max(0.0, wait_before_call(limits, ends, now + pause))
        arrivals.append(now + there)
        ends.append(now + there + back)

    for limit in limits:
        assert most_in_a_window(arrivals, limit.seconds) <= limit.calls


@given(
    st.lists(st.floats(0, 100), max_size=20),
    st.integers(1, 5),
    st.floats(0.1, 50),
)
def test_the_wait_ends_when_the_window_has_room(
    ends: list[float], calls: int, seconds: float
) -> None:
    limits = [Limit(calls, seconds)]

    wait = max(0.0, wait_before_call(limits, ends, 100.0))

    assert wait <= seconds * 1.01
    assert wait_before_call(limits, ends, 100.0 + wait) <= 1e-9


def test_there_is_no_wait_without_limits() -> None:
    assert wait_before_call([], [1.0, 2.0], 2.0) == 0
    assert sustained_rate([]) == float("inf")
    assert sustained_rate(DIGICERT) == pytest.approx(1000 / 300)


@dataclass
class SimulatedDigiCert:
    """Counts calls in its windows as DigiCert documents, and answers 429 beyond."""

    timer: SteppedTimer
    latency: Callable[[int], float]
    arrivals: list[float] = field(default_factory=list)
    refused: int = 0

    def revoke(self, request: RevocationRequest) -> RevocationAnswer:
        there = self.latency(len(self.arrivals))
        self.timer.wait(there)
        now = self.timer.seconds()
        for limit in DIGICERT:
            before = bisect_right(self.arrivals, now - limit.seconds)
            if len(self.arrivals) - before >= limit.calls:
                self.refused += 1
                raise Trouble("request_limit_exceeded", kind=TroubleKind.BUSY)
        self.arrivals.append(now)
        self.timer.wait(there)
        return RevocationAnswer(
            certificate_id=request.certificate_id, kind=AnswerKind.DONE
        )


@pytest.mark.parametrize(
    "latency",
    [lambda _: 0.02, lambda number: 0.005 if number % 7 else 0.2],
    ids=["steady", "uneven"],
)
def test_digicerts_limit_is_used_to_95_percent_without_one_429(
    latency: Callable[[int], float],
) -> None:
    timer = SteppedTimer()
    ca = SimulatedDigiCert(timer, latency)
    ledger = Ledger(DIGICERT, timer=timer, timeout=10)
    pacer = Pacer(at_once=1, ledger=ledger, timer=timer)
    requests = [request_for("aa", number) for number in range(10_000)]

    kinds = {answer.kind for answer in answers(pacer, requests, ca.revoke)}

    # Nobody can be faster: 1,000 in the first window, and 1,000 in each that follows,
    # of which the last takes 50 s at 100 in 5 s.
    fastest = 9 * 300 + 9 * 5
    assert kinds == {AnswerKind.DONE}
    assert ca.refused == 0
    assert fastest / (ca.arrivals[-1] - ca.arrivals[0]) >= 0.95


def test_processes_on_one_machine_keep_the_limit_together(tmp_path: Path) -> None:
    timer = SteppedTimer()
    limits = [Limit(3, 10)]
    file = tmp_path / "calls" / "ca.json"
    engine, guard = (
        Ledger(limits, timer=timer, timeout=5, file=file) for _ in range(2)
    )
    calls = []

    for ledger in (engine, guard, engine, guard, engine):
        with ledger.call():
            calls.append(timer.seconds())

    assert calls[:3] == [0, 0, 0]
    assert calls[3] >= 10


def test_what_a_killed_process_began_counts_until_it_would_have_ended(
    tmp_path: Path,
) -> None:
    timer = SteppedTimer()
    limits = [Limit(1, 10)]
    file = tmp_path / "ca.json"
    killed = Ledger(limits, timer=timer, timeout=5, file=file)
    killed._begin()

    with Ledger(limits, timer=timer, timeout=5, file=file).call():
        assert timer.seconds() >= 15


@pytest.mark.parametrize("content", ["", "{", '{"1-1-1": 99999999.0}'])
def test_a_ledger_that_is_damaged_or_of_before_a_restart_holds_up_nobody(
    tmp_path: Path, content: str
) -> None:
    timer = SteppedTimer()
    file = tmp_path / "ca.json"
    file.write_text(content)

    with Ledger([Limit(1, 10)], timer=timer, timeout=5, file=file).call():
        assert timer.seconds() == 0


class Moody:
    """Answers as told, one entry of the script for each call, then well."""

    def __init__(self, *script: Trouble | None) -> None:
        self.script = list(script)
        self.asked: list[int] = []

    def revoke(self, request: RevocationRequest) -> RevocationAnswer:
        self.asked.append(request.serial)
        trouble = self.script.pop(0) if self.script else None
        if trouble is not None:
            raise trouble
        return RevocationAnswer(
            certificate_id=request.certificate_id, kind=AnswerKind.DONE
        )


def trouble(kind: TroubleKind, *, wait: float | None = None) -> Trouble:
    retry = None if wait is None else timedelta(seconds=wait)
    return Trouble("no", kind=kind, retry_after=retry)


def run(
    ca: Moody, *requests: RevocationRequest, at_once: int = 1
) -> tuple[list[AnswerKind], float]:
    timer = SteppedTimer()
    ledger = Ledger([], timer=timer, timeout=10)
    pacer = Pacer(at_once=at_once, ledger=ledger, timer=timer)
    kinds = [answer.kind for answer in answers(pacer, requests, ca.revoke)]
    return kinds, timer.seconds()


def many(number: int, issuer: str = "aa") -> list[RevocationRequest]:
    return [request_for(issuer, serial) for serial in range(number)]


RETRY, DONE, FATAL = AnswerKind.RETRY, AnswerKind.DONE, AnswerKind.FATAL


def test_the_next_call_waits_as_long_as_the_ca_asks_when_it_is_busy() -> None:
    kinds, seconds = run(Moody(trouble(TroubleKind.BUSY, wait=7)), *many(3))

    assert kinds == [RETRY, DONE, DONE]
    assert seconds == 7


def test_no_pause_outlasts_a_claim_on_certificates() -> None:
    _, seconds = run(Moody(trouble(TroubleKind.BUSY, wait=3600)), *many(3))

    assert seconds == 20


def test_pauses_double_when_the_ca_stays_busy() -> None:
    busy = trouble(TroubleKind.BUSY)

    kinds, seconds = run(Moody(busy, busy), *many(3))

    assert kinds == [RETRY, RETRY, DONE]
    assert seconds == 1 + 2


def test_an_error_of_one_certificate_stops_and_delays_no_other() -> None:
    failed = trouble(TroubleKind.FAILED)
    ca = Moody(*[failed] * 10)

    kinds, seconds = run(ca, *many(12))

    assert kinds == [RETRY] * 10 + [DONE] * 2
    assert seconds == 0


@pytest.mark.parametrize(
    ("kind", "answered"), [(TroubleKind.AWAY, RETRY), (TroubleKind.BARRED, FATAL)]
)
def test_the_rest_of_an_issuer_is_not_asked_when_three_in_a_row_got_no_answer(
    kind: TroubleKind, answered: AnswerKind
) -> None:
    ca = Moody(*[trouble(kind)] * 100)

    kinds, _ = run(ca, *many(50))

    assert kinds == [answered] * 50
    assert ca.asked == [0, 1, 2]


def test_another_issuers_certificates_are_asked_for_all_the_same() -> None:
    away = trouble(TroubleKind.AWAY)
    ca = Moody(away, None, away, None, away, None, None, None)
    mixed = [r for pair in zip(many(4, "aa"), many(4, "bb"), strict=True) for r in pair]

    kinds, _ = run(ca, *mixed)

    assert kinds == [RETRY, DONE] * 4


def test_answers_come_in_order_when_several_are_asked_at_once() -> None:
    timer = SteppedTimer()
    pacer = Pacer(at_once=4, ledger=Ledger([], timer=timer, timeout=1), timer=timer)
    requests = many(40)

    found = list(answers(pacer, requests, Moody().revoke))

    assert [a.certificate_id for a in found] == [r.certificate_id for r in requests]


def test_fewer_are_asked_at_once_after_busy_and_more_again_after_calm() -> None:
    timer = SteppedTimer()
    pacer = Pacer(at_once=8, ledger=Ledger([], timer=timer, timeout=1), timer=timer)
    widths = []

    list(answers(pacer, many(1), Moody(trouble(TroubleKind.BUSY)).revoke))
    widths.append(pacer._width)
    for _ in range(5):
        list(answers(pacer, many(20), Moody().revoke))
        widths.append(pacer._width)

    assert widths == [4, 5, 6, 7, 8, 8]
