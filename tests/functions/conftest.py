"""The handlers over moto: every test has tables, a queue and connections of its own."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Self

import pytest
from moto.core.models import MockAWS

from functions import delivery, notifier, publisher, push, runtime
from functions.http import submission
from tests.clock import START_MS
from tests.receiver import Receiver, receiving
from tests.world import World


class Clock(runtime.Clock):
    """The machine's clocks plus the time that handlers have slept, so that no sleep takes time.

    Each test begins at START_MS, because SOL's price in USDC does not jump in the minutes after it.
    """

    def __init__(self) -> None:
        self.slept_seconds = 0.0
        self._ahead_ms = START_MS - super().now_ms()

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms + round(self.slept_seconds * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self.slept_seconds

    def sleep(self, seconds: float) -> None:
        self.slept_seconds += seconds


@pytest.fixture
def world(aws: MockAWS, monkeypatch: pytest.MonkeyPatch) -> World:
    aws.reset()
    submission.rooms.clear()
    publisher.look_ups.clear()
    world = World()
    monkeypatch.setattr(push, "client", lambda: world.connections)
    monkeypatch.setattr(runtime, "clock", Clock())
    return world


class Now(datetime):
    """A datetime that reads the functions' clock."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(runtime.now_ms() / 1000, tz)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver of webhooks, with timeouts for a busy machine."""
    monkeypatch.setattr(delivery, "CONNECT_SECONDS", 60)
    monkeypatch.setattr(delivery, "READ_SECONDS", 60)
    monkeypatch.setattr(notifier, "DELIVERY_SECONDS_MAX", 60)
    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Now)  # it checks a message's time
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The log lines that the handlers have written."""
    written = io.StringIO()
    handler = runtime.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", written)
    return written
