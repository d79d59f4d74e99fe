"""Numbers every AWS call of the handlers, and injects faults at some numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from botocore.awsrequest import AWSResponse, HTTPHeaders
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.retries.quota import RetryQuota
from moto import mock_aws
from moto.core.models import botocore_stubber

import tests.conftest  # noqa: F401 - the settings, before the handlers read them
from functions import delivery, notifier, publisher, push, runtime, worker
from functions.http import submission
from functions.store import notices
from tests.clock import VirtualClock
from tests.functions.world import Connections, World, fresh_clients
from tests.stepping import Killed, in_turns, one_by_one, pause, pause_at_calls


class Kind(StrEnum):
    """The faults of a call."""

    FAIL = "fail"  # AWS throttles the call and each of botocore's retries
    REPEAT = "repeat"  # the call takes effect; its answer is lost, and botocore repeats it
    LOSE = "lose"  # the call takes effect; neither its answer nor that of a retry arrives
    KILL_BEFORE = "kill-before"  # the process dies before the call takes effect
    KILL_AFTER = "kill-after"  # the process dies after the call has taken effect


Effect = Callable[[], Any]


class Calls:
    """Numbers the calls of a schedule from 0 and injects the planned faults."""

    def __init__(self) -> None:
        self.reset({})

    def reset(self, plan: dict[int, Kind]) -> None:
        """Number the next call 0; `plan` has a fault for some numbers."""
        self.plan = plan
        self.names: list[str] = []
        self.injected: list[Kind] = []
        self._kind: Kind | None = None

    def number(self, name: str) -> Kind | None:
        """Count a call; returns its fault, if it has one."""
        kind = self._kind = self.plan.get(len(self.names))
        self.names.append(name)
        if kind:
            self.injected.append(kind)
        return kind

    def watch(self, client: Any) -> None:
        """Number all calls of a boto3 client: a call once, however often botocore sends it."""
        client.meta.events.register_first("before-call", self._before_call)
        client.meta.events.register_first("before-send", self._before_send)

    def _before_call(self, model: Any, **_: Any) -> None:
        self.number(model.name)

    def _before_send(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        kind = self._kind
        if kind is None:
            return None
        if kind is Kind.FAIL:
            return _throttled(request.url)
        if kind is Kind.KILL_BEFORE:
            raise Killed
        botocore_stubber(event_name, request)
        if kind is Kind.KILL_AFTER:
            raise Killed
        if kind is Kind.REPEAT:
            self._kind = None
        raise ReadTimeoutError(endpoint_url=request.url)

    def make(self, name: str, effect: Effect) -> None:
        """Number a call that goes to no boto3 client, and make it, with its fault if it has one."""
        match self.number(name):
            case Kind.FAIL:
                raise ClientError({"Error": {"Code": "LimitExceededException"}}, name)
            case Kind.KILL_BEFORE:
                raise Killed
            case Kind.REPEAT:
                effect()
                effect()
            case Kind.LOSE:
                effect()
                raise ReadTimeoutError(endpoint_url="https://connections")
            case Kind.KILL_AFTER:
                effect()
                raise Killed
            case None:
                effect()


def _throttled(url: str) -> AWSResponse:
    body = BytesIO(json.dumps({"__type": "ThrottlingException", "message": ""}).encode())
    raw = SimpleNamespace(stream=lambda **_: iter([body.read()]))
    return AWSResponse(url, 400, HTTPHeaders(), raw)


class Clock(VirtualClock):
    """A clock on which several invocations can sleep at the same time."""

    def sleep(self, seconds: float) -> None:
        until_ms = self.at_ms + round(seconds * 1000)
        pause()
        self.at_ms = max(self.at_ms, until_ms)


class NumberedConnections(Connections):
    """The @connections endpoint with numbered calls; `deliver` gets each frame's connection."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls
        self.open: set[str] = set()
        self.deliver: Callable[[str, bytes], None] = lambda _connection_id, _data: None

    def post_to_connection(self, *, ConnectionId: str, Data: bytes) -> None:  # noqa: N803
        self._calls.make("PostToConnection", lambda: self._post(ConnectionId, Data))

    def delete_connection(self, *, ConnectionId: str) -> None:  # noqa: N803
        self._calls.make("DeleteConnection", lambda: self.open.discard(ConnectionId))

    def _post(self, connection_id: str, data: bytes) -> None:
        if connection_id not in self.open:
            raise self.GoneException
        self.deliver(connection_id, data)


class Receiver:
    """The receiver of webhooks; `receive` gets an id and a body, and returns the HTTP status.

    `hide` gets the receipt handle of a failed notice, and the seconds until its retry.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.receive: Callable[[str, bytes], int]
        self.hide: Callable[[str, int], None]

    def post(self, _url: str, body: bytes, headers: dict[str, str], **_: Any) -> int:
        """In place of `delivery.post`."""
        return self.receive(headers["webhook-id"], body)

    def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        """In place of `notices.hide`, with a numbered call."""
        self._calls.make("ChangeMessageVisibility", lambda: self.hide(receipt_handle, seconds))


class FaultyWorld(World):
    """A world whose queues can be read and emptied without a numbered call."""

    def messages(self, name: str = "orders") -> list[Any]:
        from moto.sqs.models import sqs_backends

        queue = sqs_backends["123456789012"]["eu-central-1"].queues[name]
        messages: list[Any] = queue._messages
        return messages


def delay_seconds(message: Any) -> int:
    """The delay of a message of moto's, which stores two times of the machine's clock instead."""
    delay_ms: float = message.delayed_until - message.sent_timestamp
    return max(0, round(delay_ms / 1000))


@dataclass
class Harness:
    """The handlers over moto, for one schedule after another."""

    world: FaultyWorld
    calls: Calls
    clock: Clock
    connections: NumberedConnections
    receiver: Receiver

    def reset(self, plan: dict[int, Kind], now_ms: int) -> None:
        """Empty tables, queues and stream, and set the clock; the next call is number 0."""
        for name in ("orders", "connections"):
            table = self.world.table(name)
            table.items.clear()
            if table.stream_shard:
                table.stream_shard.items.clear()
        for name in ("orders", "webhooks"):
            self.world.messages(name).clear()
        self.connections.open.clear()
        self.calls.reset(plan)
        self.clock.at_ms = now_ms
        submission.rooms.clear()
        publisher.look_ups.clear()


@contextmanager
def new_harness() -> Iterator[Harness]:
    """A harness for the block: the unchanged handlers under a clock that the schedule moves."""
    calls, clock = Calls(), Clock()
    connections, receiver = NumberedConnections(calls), Receiver(calls)
    with (
        Path(os.devnull).open("w") as null,
        redirect_stdout(null),  # the handlers print their metrics, as Lambda expects
        pytest.MonkeyPatch.context() as patch,
        mock_aws(),
        fresh_clients() as clients,
    ):
        world = FaultyWorld()
        for client in clients:
            calls.watch(client)
            pause_at_calls(client)
        patch.setattr(push, "client", lambda: connections)
        patch.setattr(runtime, "clock", clock)
        for module in (publisher, notifier):
            patch.setattr(module, "at_once", one_by_one)
        patch.setattr(delivery, "post", receiver.post)
        patch.setattr(notices, "hide", receiver.change_visibility)
        patch.setattr(worker, "at_once", in_turns)
        patch.setattr(worker, "network", replace(worker.network, latency_scale=1))
        patch.setattr(worker, "settings", replace(runtime.settings, retry_base_ms=1000))
        # botocore's retries take no time here, and their budget outlasts many schedules.
        patch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _seconds: None))
        patch.setattr(RetryQuota, "acquire", lambda _quota, _capacity: True)
        level = runtime.logger.log_level
        runtime.logger.setLevel("CRITICAL")
        try:
            yield Harness(
                world=world, calls=calls, clock=clock, connections=connections, receiver=receiver
            )
        finally:
            runtime.logger.setLevel(level)
