"""Records every AWS call that the handlers make over moto for one order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from logging import StreamHandler
from types import SimpleNamespace
from typing import Any, TextIO, TypeVar, cast
from uuid import UUID

import pytest
from moto import mock_aws

import tests.conftest  # noqa: F401 - the settings, before the handlers read them
from functions import publisher, push, runtime
from functions.http import submission
from functions.store import clients
from tests.billing import Item, item_bytes, read_units
from tests.cloud import http_response
from tests.receiver import receiving
from tests.world import World

CONNECTION = "follower"
Json = dict[str, Any]
Counts = dict[str, dict[str, int]]  # calls by function and operation


@dataclass
class Call:
    """One AWS call: the calling function, the parameters, and the answer."""

    function: str
    service: str
    operation: str
    given: Json
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    answer: Json = field(default_factory=dict)

    @property
    def read_units(self) -> float:
        """DynamoDB's read units.

        Items that a Query scans and does not return have the mean size of the returned ones. Those
        of a Query that only counts an owner's open orders have the size of an entry in that index.
        """
        consistent = self.given.get("ConsistentRead", False)
        match self.operation:
            case "GetItem":
                sizes = [item_bytes(self.answer.get("Item", {}))]
                return read_units(sizes, consistent=consistent, together=False)
            case "BatchGetItem":
                sizes = [item_bytes(item) for item in self.answer["Responses"]["orders"]]
                return read_units(sizes, consistent=True, together=False)
            case "Query":
                sizes = [item_bytes(item) for item in self.answer.get("Items", [])]
                mean = sum(sizes) // max(1, len(sizes))
                if self.given.get("Select") == "COUNT":
                    mean = item_bytes(
                        {"openOwner": self.given["ExpressionAttributeValues"][":owner"]}
                        | {"orderId": {"S": str(UUID(int=0))}}
                    )
                sizes += [mean] * (self.answer["ScannedCount"] - len(sizes))
                return read_units(sizes, consistent=consistent, together=True)
        return 0


class Recorder:
    """Records the calls of the watched clients while a function is named."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._function = ""

    @contextmanager
    def of(self, function: str) -> Iterator[None]:
        """Attribute the calls within the block to this function."""
        self._function = function
        try:
            yield
        finally:
            self._function = ""

    def watch(self, client: Any) -> None:
        """Record all calls of a boto3 client; a call that botocore retries is one call."""
        events = client.meta.events
        events.register("provide-client-params.*.*", self._begin)
        events.register("response-received.*.*", self._end)

    def counts(self) -> Counts:
        """How often each function called each operation."""
        functions = dict.fromkeys(call.function for call in self.calls)
        return {
            name: dict(Counter(call.operation for call in self.calls if call.function == name))
            for name in functions
        }

    def take(self) -> list[Call]:
        """Return the calls so far, and begin a new list."""
        calls, self.calls = self.calls, []
        return calls

    def _begin(self, params: Json, model: Any, context: Json, **_: Any) -> None:
        if self._function:
            service = model.service_model.service_name
            context["recorded"] = Call(self._function, service, model.name, dict(params))
            self.calls.append(context["recorded"])

    def _end(self, response_dict: Json, parsed_response: Json, context: Json, **_: Any) -> None:
        if call := context.get("recorded"):
            call.status, call.body = response_dict["status_code"], response_dict["body"]
            call.headers = dict(response_dict["headers"])
            call.answer = {k: v for k, v in parsed_response.items() if k != "ResponseMetadata"}


class RecordedWorld:
    """A world, with every AWS call of its functions."""

    def __init__(self, world: World, recorder: Recorder, logs: StringIO) -> None:
        self.world, self.recorder, self.logs = world, recorder, logs
        self.records: list[Json] = []
        world.connect(CONNECTION)

    def order(self) -> str:
        """Execute a market order with one follower from the start; returns its id."""
        (order_id,) = self.orders(1)
        return order_id

    def orders(self, count: int) -> list[str]:
        """Execute `count` such orders (at most ten) in one batch of the worker; returns the ids."""
        with self.recorder.of("submit"):
            order_ids: list[str] = [self.world.submit()["orderId"] for _ in range(count)]
        self._publish()
        with self.recorder.of("subscribe"):
            for order_id in order_ids:
                self.world.send(CONNECTION, {"orderId": order_id})
        self._publish()
        with self.recorder.of("work"):
            assert not self.world.work()
        self._publish()
        assert all(self.world.read(each)["status"] == "confirmed" for each in order_ids)
        return order_ids

    def create_webhook(self, url: str, *statuses: str) -> None:
        """Create a webhook of the owner, which the publisher uses at once."""
        self.world.create_webhook(url, *statuses)
        publisher.look_ups.clear()

    def notify(self) -> None:
        """Deliver the messages of the webhook queue."""
        with self.recorder.of("deliver"):
            assert self.world.notify() == []

    def images(self) -> list[tuple[Item | None, Item]]:
        """Every write to the orders table so far: the item before it, if any, and after it."""
        records = (
            record.record["dynamodb"] for record in self.world.table("orders").stream_shard.items
        )
        return [(record.get("OldImage"), record["NewImage"]) for record in records]

    def _publish(self) -> None:
        """Publish the stream's records, one invocation for each."""
        records = self.world.stream()
        self.records += records
        with self.recorder.of("publish"):
            for record in records:
                self.world.publish([record])


@contextmanager
def recorded_world() -> Iterator[RecordedWorld]:
    """The handlers over moto, with the real push client, whose requests get prepared answers."""
    cached_clients = (clients.dynamodb, clients.sqs, push.client)
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for cached in cached_clients:
            cached.cache_clear()
        submission.rooms.clear()
        publisher.look_ups.clear()
        world, recorder = World(), Recorder()
        pushes: Any = push.client()
        pushes.meta.events.register_first(
            "before-send", lambda request, **_: http_response(request.url, 200)
        )
        # The clock is stopped, so that no cached entry expires on a slow machine.
        stopped = runtime.now_ms()
        clock = SimpleNamespace(
            now_ms=lambda: stopped, monotonic=lambda: 0.0, sleep=lambda _seconds: None
        )
        patch.setattr(runtime, "clock", clock)
        for cached in cached_clients:
            recorder.watch(cached())
        try:
            with logged_to(StringIO()) as logs:
                yield RecordedWorld(world, recorder, logs)
        finally:
            for cached in cached_clients:
                cached.cache_clear()


def busy_and_first() -> tuple[Counts, Counts]:
    """The calls of a busy owner's order, and those that an owner's first order adds."""
    with recorded_world() as recorded:
        first = _of_one_order(recorded, with_key=True)
        busy = _of_one_order(recorded)
    return busy, added(first, busy)


def with_a_webhook() -> Counts:
    """The calls that a webhook for `confirmed` adds, without Lambda's own calls for its queue."""
    with recorded_world() as recorded, receiving() as receiver:
        recorded.order()
        busy = _of_one_order(recorded)
        recorded.create_webhook(receiver.url, "confirmed")
        recorded.order()
        recorded.notify()
        recorded.recorder.take()
        recorded.order()
        recorded.notify()
        return added(recorded.recorder.counts(), busy)


def added(more: Counts, less: Counts) -> Counts:
    """The calls in `more` beyond those in `less`; functions without any are left out."""
    beyond = {name: dict(Counter(more[name]) - Counter(less.get(name, {}))) for name in more}
    return {name: calls for name, calls in beyond.items() if calls}


def total(counts: Counts) -> int:
    return sum(sum(calls.values()) for calls in counts.values())


def _of_one_order(recorded: RecordedWorld, *, with_key: bool = False) -> Counts:
    recorded.recorder.take()
    if with_key:
        key = recorded.world.add_key("desk-7")
        with recorded.recorder.of("authorize"):
            recorded.world.authorize_http(authorization=f"Bearer {key}")
    recorded.order()
    return recorded.recorder.counts()


Stream = TypeVar("Stream", bound=TextIO)


@contextmanager
def logged_to(stream: Stream) -> Iterator[Stream]:
    """Send the functions' log and metrics to this stream."""
    handler = cast("StreamHandler[TextIO]", runtime.logger.registered_handler)
    before = handler.setStream(stream)
    try:
        with redirect_stdout(stream):  # the functions print their metrics, as Lambda expects
            yield stream
    finally:
        if before:
            handler.setStream(before)
