"""The settings, logger, clock and threads that all handlers share."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar, overload

from aws_lambda_powertools import Logger

from functions.contract import EngineSettings, settings_from


@dataclass(frozen=True, kw_only=True)
class Settings(EngineSettings):
    """The deployment's settings, and the names of the resources that this function may use."""

    orders_table: str = ""
    connections_table: str = ""
    access_table: str = ""
    queue_url: str = ""
    webhook_queue_url: str = ""
    web_socket_url: str = ""


settings = settings_from(Settings, os.environ)
# Set here, because botocore would otherwise build the text twice for each call.
USER_AGENT = f"order-execution-engine/{settings.version}"
# Without the location: logs are billed by the byte, and the message shows the place in the code.
logger = Logger(location=None, use_rfc3339=True)
# Powertools obeys the level that the function has in Lambda, which is never above INFO, because
# Lambda would drop the metrics (infra/stack/compute.py). So a higher level is set here.
_level = logging.getLevelNamesMapping()[os.environ.get("POWERTOOLS_LOG_LEVEL", "INFO")]
logging.getLogger(logger.name).setLevel(_level)
# Libraries log nothing below INFO, because botocore's debug lines contain the session token.
logging.getLogger().setLevel(max(_level, logging.INFO))


T = TypeVar("T")


class Clock:
    """The clocks that handlers read and wait by; a test puts its own in `runtime.clock`."""

    def now_ms(self) -> int:
        """Unix time in milliseconds; it may jump when the machine's clock is set."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; it never jumps, and is unrelated to the date."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block this thread for this many seconds."""
        time.sleep(seconds)


clock = Clock()


def now_ms() -> int:
    """Unix time in milliseconds."""
    return clock.now_ms()


def monotonic() -> float:
    """Seconds since an arbitrary moment, for durations."""
    return clock.monotonic()


def sleep(seconds: float) -> None:
    """Block this thread for this many seconds."""
    clock.sleep(seconds)


CALLS_AT_ONCE = 16  # more than a batch has orders; each client has as many connections
_pools = [ThreadPoolExecutor(CALLS_AT_ONCE)]


@overload
def at_once(calls: Sequence[Callable[[], T]]) -> list[T]: ...
@overload
def at_once(calls: Sequence[Callable[[], T]], seconds: float) -> list[T | None]: ...
def at_once(
    calls: Sequence[Callable[[], T]], seconds: float | None = None
) -> list[T] | list[T | None]:
    """Make calls in threads, `CALLS_AT_ONCE` at a time, and return their results.

    Handlers call `runtime.at_once`, so that a test can put its own function there.

    With `seconds`, the result of a call that is not finished in time is None; the call continues,
    because a thread cannot be ended. Raises what a call raised.
    """
    futures = [_pools[0].submit(call) for call in calls]
    done, late = wait(futures, timeout=seconds if seconds is None else max(0, seconds))
    if late:  # the next calls must not wait for these threads
        _pools[0].shutdown(wait=False, cancel_futures=True)
        _pools[0] = ThreadPoolExecutor(CALLS_AT_ONCE)
    return [future.result() if future in done else None for future in futures]
