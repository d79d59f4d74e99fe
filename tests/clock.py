"""A virtual clock for `runtime.clock` and for the simulated network."""

from __future__ import annotations

START_MS = 1_800_000_000_000


class VirtualClock:
    """A clock that only a sleep or the test advances."""

    def __init__(self, at_ms: int = START_MS) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic(self) -> float:
        return self.at_ms / 1000

    def sleep(self, seconds: float) -> None:
        self.at_ms += round(seconds * 1000)
