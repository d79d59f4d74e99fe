"""The handlers over moto: every test has tables, a queue and connections of its own."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from moto import mock_aws
from moto.core.models import MockAWS

from functions import publisher, push, runtime
from functions.http import submission
from tests.world import World


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


@pytest.fixture(scope="module")
def aws() -> Iterator[MockAWS]:
    """Moto: to start it takes longer than to reset it."""
    with mock_aws(config={"core": {"reset_boto3_session": False}}) as started:
        yield started


@pytest.fixture
def world(aws: MockAWS, monkeypatch: pytest.MonkeyPatch) -> World:
    aws.reset()
    submission.rooms.clear()
    publisher.look_ups.clear()
    world = World()
    monkeypatch.setattr(push, "client", lambda: world.connections)
    monkeypatch.setattr(runtime, "clock", Clock())
    return world


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The log lines that the handlers have written."""
    written = io.StringIO()
    handler = runtime.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", written)
    return written
