"""Waiting for another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS_MAX = 60


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fails after a minute."""
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
