"""The handlers over moto: every test has tables, a queue and connections of its own."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from moto import mock_aws

from functions import publisher, push, runtime
from functions.http import submission
from tests.functions.world import World


class Clock(runtime.Clock):
    """The machine's clocks plus the time that handlers have slept, so that no sleep takes time."""

    def __init__(self) -> None:
        self.slept_seconds = 0.0

    def now_ms(self) -> int:
        return super().now_ms() + round(self.slept_seconds * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self.slept_seconds

    def sleep(self, seconds: float) -> None:
        self.slept_seconds += seconds


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    submission.rooms.clear()
    publisher.look_ups.clear()
    with mock_aws(config={"core": {"reset_boto3_session": False}}):
        world = World()
        monkeypatch.setattr(push, "_client", lambda: world.connections)
        monkeypatch.setattr(runtime, "clock", Clock())
        yield world


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The log lines that the handlers have written."""
    written = io.StringIO()
    handler = runtime.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", written)
    return written
