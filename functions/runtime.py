"""What all handlers share: settings, logger, clock."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from aws_lambda_powertools import Logger


def _text(name: str, default: str = "") -> str:
    value: str = field(default_factory=lambda: os.environ.get(name, default))
    return value


def _number(name: str, default: int) -> int:
    value: int = field(default_factory=lambda: int(os.environ.get(name, default)))
    return value


@dataclass(frozen=True, slots=True)
class Settings:
    """The stack's settings, read from the environment that infra/stack/compute.py sets."""

    orders_table: str = _text("ORDERS_TABLE")
    connections_table: str = _text("CONNECTIONS_TABLE")
    access_table: str = _text("ACCESS_TABLE")
    queue_url: str = _text("QUEUE_URL")
    web_socket_url: str = _text("WEB_SOCKET_URL")
    version: str = _text("ENGINE_VERSION", "dev")
    market_seed: str = _text("MARKET_SEED")
    latency_percent: int = field(
        default_factory=lambda: round(float(os.environ.get("LATENCY_SCALE", "1")) * 100)
    )
    quote_error_ppm: int = _number("QUOTE_ERROR_PPM", 0)
    drop_ppm: int = _number("DROP_PPM", 0)
    simulate_allowed: bool = field(
        default_factory=lambda: os.environ.get("SIMULATE_ALLOWED") == "true"
    )
    retry_base_ms: int = _number("RETRY_BASE_MS", 1000)
    hold_ms: int = _number("HOLD_MS", 5000)
    order_expiry_days: int = _number("ORDER_EXPIRY_DAYS", 0)
    max_open_orders: int = _number("MAX_OPEN_ORDERS", 1000)
    sweep_idle_seconds: int = _number("SWEEP_IDLE_SECONDS", 120)


settings = Settings()
# botocore's own, which tells of Python and the machine, is made anew for each call, twice.
USER_AGENT = f"order-execution-engine/{settings.version}"
logger = Logger()


class Clock:
    """The clocks that handlers read and wait by; a test puts its own in `runtime.clock`."""

    def now_ms(self) -> int:
        """Unix time in milliseconds; it may jump when the machine's clock is set."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since some moment; it never jumps, and tells nothing about the date."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)


clock = Clock()


def now_ms() -> int:
    """Unix time in milliseconds."""
    return clock.now_ms()


def monotonic() -> float:
    """Seconds since some moment, for durations."""
    return clock.monotonic()


def sleep(seconds: float) -> None:
    """Block this thread for so long."""
    clock.sleep(seconds)
