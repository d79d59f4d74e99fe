"""Numbers every AWS call of the handlers, and injects faults at some numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.retries.quota import RetryQuota

import tests.conftest  # noqa: F401 - the settings, before the handlers read them
from functions import delivery, publisher, push, runtime, worker
from functions.http import submission
from functions.store import notices
from tests.clock import VirtualClock
from tests.cloud import Cloud, Json, Sent, http_answer, http_response, tables
from tests.errors import Killed
from tests.stepping import in_turns, pause, pause_at_calls
from tests.world import Connections, World, fresh_clients


class Kind(StrEnum):
    """The faults of a call."""

    FAIL = "fail"  # AWS throttles the call and each of botocore's retries
    REPEAT = "repeat"  # the call takes effect; its answer is lost, and botocore repeats it
    LOSE = "lose"  # the call takes effect; neither its answer nor that of a retry arrives
    KILL_BEFORE = "kill-before"  # the process dies before the call takes effect
    KILL_AFTER = "kill-after"  # the process dies after the call has taken effect


Effect = Callable[[], Any]


class Calls:
    """Numbers the calls of a schedule from 0, answers them by `cloud`, and injects faults."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.reset({})

    def reset(self, plan: dict[int, Kind]) -> None:
        """Number the next call 0; `plan` maps the numbers of calls to their faults."""
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
        """Answer and number all calls of a boto3 client; a call keeps its number when retried."""
        client.meta.events.register_first("before-call", self._before_call)
        client.meta.events.register_first("before-send", self._before_send)

    def _before_call(self, model: Any, **_: Any) -> None:
        self.number(model.name)

    def _before_send(self, request: Any, **_: Any) -> AWSResponse:
        kind = self._kind
        if kind is Kind.FAIL:
            error = {"__type": "ThrottlingException", "message": ""}
            return http_response(request.url, 400, error)
        if kind is Kind.KILL_BEFORE:
            raise Killed
        answer = http_answer(self._cloud, request)
        if kind is None:
            return answer
        if kind is Kind.KILL_AFTER:
            raise Killed
        if kind is Kind.REPEAT:
            self._kind = None
        raise ReadTimeoutError(endpoint_url=request.url)

    def make(self, name: str, effect: Effect) -> None:
        """Number a call that uses no boto3 client, and make it with its fault, if it has one."""
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


class Clock(VirtualClock):
    """A clock on which several invocations can sleep at the same time."""

    def sleep(self, seconds: float) -> None:
        until_ms = self.at_ms + round(seconds * 1000)
        pause()
        self.at_ms = max(self.at_ms, until_ms)


class NumberedConnections(Connections):
    """The @connections endpoint with numbered calls; `deliver` gets each frame."""

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
        """A replacement for `delivery.post`."""
        return self.receive(headers["webhook-id"], body)

    def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        """A replacement for `notices.hide`, with a numbered call."""
        self._calls.make("ChangeMessageVisibility", lambda: self.hide(receipt_handle, seconds))


class CloudWorld(World):
    """The handlers over `cloud` instead of moto, without the methods that read a queue."""

    def __init__(self) -> None:
        self.connections = Connections()
        self._requests = 0


@dataclass
class Harness:
    """The handlers over an in-memory cloud, for one schedule after another."""

    cloud: Cloud
    world: CloudWorld
    calls: Calls
    clock: Clock
    connections: NumberedConnections
    receiver: Receiver

    def reset(self, plan: dict[int, Kind], now_ms: int) -> None:
        """Empty tables, queues and stream, and set the clock; the next call is number 0."""
        self.cloud.tables = tables()
        self.cloud.sent.clear()
        self.connections.open.clear()
        self.calls.reset(plan)
        self.clock.at_ms = now_ms
        submission.rooms.clear()
        publisher.look_ups.clear()

    def orders(self) -> list[Json]:
        """The items of the orders table, read without a numbered call."""
        return self.cloud.tables["orders"].items()

    def sent(self) -> list[Sent]:
        """The messages that were sent since the last call."""
        sent = self.cloud.sent[:]
        self.cloud.sent.clear()
        return sent

    def records(self) -> list[Json]:
        """The stream records since the last call."""
        stream = self.cloud.tables["orders"].stream
        records = stream[:]
        stream.clear()
        return records


@contextmanager
def new_harness() -> Iterator[Harness]:
    """A harness for the block: the unchanged handlers under a clock that the schedule advances."""
    clock = Clock()
    cloud = Cloud(lambda: clock.at_ms)
    calls = Calls(cloud)
    connections, receiver = NumberedConnections(calls), Receiver(calls)
    with (
        Path(os.devnull).open("w") as null,
        redirect_stdout(null),  # the handlers print their metrics, as Lambda expects
        pytest.MonkeyPatch.context() as patch,
        fresh_clients() as clients,
    ):
        for client in clients:
            calls.watch(client)
            pause_at_calls(client)
        patch.setattr(push, "client", lambda: connections)
        patch.setattr(runtime, "clock", clock)
        patch.setattr(delivery, "post", receiver.post)
        patch.setattr(notices, "hide", receiver.change_visibility)
        patch.setattr(runtime, "at_once", in_turns)
        patch.setattr(worker, "network", replace(worker.network, latency_scale=1))
        patch.setattr(worker, "settings", replace(runtime.settings, retry_base_ms=1000))
        # botocore's retries take no time here, and their number has no quota.
        patch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _seconds: None))
        patch.setattr(RetryQuota, "acquire", lambda _quota, _capacity: True)
        level = runtime.logger.log_level
        runtime.logger.setLevel("CRITICAL")
        try:
            yield Harness(cloud, CloudWorld(), calls, clock, connections, receiver)
        finally:
            runtime.logger.setLevel(level)
