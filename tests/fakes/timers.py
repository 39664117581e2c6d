"""A timer that runs only when somebody waits."""

import threading


class SteppedTimer:
    def __init__(self) -> None:
        self._now = 0.0
        self._lock = threading.Lock()

    def seconds(self) -> float:
        return self._now

    def wait(self, seconds: float) -> None:
        assert seconds >= 0
        with self._lock:
            self._now += seconds
