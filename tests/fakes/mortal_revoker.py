"""A process that revokes what is due and is killed at a stated point: run by tests."""

import argparse
import os
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from tocsin.ca.backend import (
    Capabilities,
    CertificateStatus,
    RevocationAnswer,
    RevocationRequest,
)
from tocsin.ca.embedded import EmbeddedCa, EmbeddedPublication
from tocsin.clock import SteppedClock
from tocsin.steps.revoke import revoke_due
from tocsin.store.session import open_engine


class MortalCa:
    """The embedded CA; whoever calls it dies at one point."""

    def __init__(self, inner: EmbeddedCa, *, dies: str, after: int) -> None:
        self._inner = inner
        self._dies = dies
        self._after = after

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def knows_issuer(self, issuer_key: str) -> bool:
        return self._inner.knows_issuer(issuer_key)

    def look_up(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[CertificateStatus]:
        return self._inner.look_up(requests)

    def revoke(
        self, requests: Sequence[RevocationRequest]
    ) -> Iterator[RevocationAnswer]:
        self._die_if("claimed")
        for count, answer in enumerate(self._inner.revoke(requests), start=1):
            if count == self._after:
                self._die_if("calling")
            yield answer
        self._die_if("called")

    def publish(self, issuer_key: str) -> None:
        self._die_if("recorded")
        self._inner.publish(issuer_key)
        self._die_if("published")

    def _die_if(self, point: str) -> None:
        if self._dies == point:
            os.kill(os.getpid(), signal.SIGKILL)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    parser.add_argument("--dies", default="")
    parser.add_argument("--after", type=int, default=0)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--actor", default="engine")
    given = parser.parse_args(words)
    clock = SteppedClock(given.now)
    engine = open_engine(given.url)
    inner = EmbeddedCa(given.ca, clock=clock)
    revoke_due(
        engine,
        MortalCa(inner, dies=given.dies, after=given.after),
        EmbeddedPublication(given.ca, clock=clock),
        clock,
        owner=f"{given.actor}-{os.getpid()}",
        batch=given.batch,
        actor=given.actor,
    )
    engine.dispose()


if __name__ == "__main__":
    main()
