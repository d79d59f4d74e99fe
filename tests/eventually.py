"""Waiting for another thread or process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

SECONDS_MAX = 300  # on a busy machine


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fails after SECONDS_MAX."""
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


async def eventually_async(condition: Callable[[], bool]) -> None:
    """Like `eventually`, in a thread: the event loop runs on, and the condition may block."""
    await asyncio.to_thread(eventually, condition)
