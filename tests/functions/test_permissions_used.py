"""Each function is granted exactly the calls that it makes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ReadTimeoutError

from functions import (
    api,
    authorizer,
    dead_letters,
    notifier,
    publisher,
    sweeper,
    watcher,
    websocket,
    worker,
)
from functions.contract import WATCHED_PAIRS_ID, order_message, wake_key
from functions.runtime import settings, sleep
from functions.store import resting
from tests.granted import (
    BY_OWNER,
    CONNECTIONS,
    DEAD_LETTERS,
    GRANTED,
    KEYS,
    OPEN_BY_OWNER,
    OPEN_ORDERS,
    ORDERS,
    QUEUE,
    READ_STREAM,
    RECEIVE,
    TICKETS,
    WAKE_ABOVE,
    WAKE_BELOW,
    WATCHED_PAIRS,
    WEBHOOKS,
)
from tests.orders import ORDER
from tests.world import Context, World

Calls = dict[str, dict[str, set[str]]]

# Lambda itself makes these calls in the function's role, to read queues and streams.
BY_LAMBDA: dict[str, dict[str, set[str]]] = {
    "worker": {QUEUE: RECEIVE},
    "dead_letters": {DEAD_LETTERS: RECEIVE},
    "publisher": {"StorageOrders.StreamArn": READ_STREAM},
    "notifier": {WEBHOOKS: RECEIVE},
}
MODULES = (api, authorizer, dead_letters, notifier, publisher, sweeper, watcher, websocket, worker)
INDEXES = {
    "byOwner": BY_OWNER,
    "openOrders": OPEN_ORDERS,
    "openByOwner": OPEN_BY_OWNER,
    "wakeAbove": WAKE_ABOVE,
    "wakeBelow": WAKE_BELOW,
}


class Recorder:
    """Records which function makes which call; one function runs at a time."""

    def __init__(self) -> None:
        self.calls: Calls = defaultdict(lambda: defaultdict(set))
        self.running = ""

    def record(self, resource: str, action: str) -> None:
        if self.running:
            self.calls[self.running][resource].add(action)

    def recorded(self, module: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        def handle(*arguments: Any) -> Any:
            self.running = module
            try:
                return handler(*arguments)
            finally:
                self.running = ""

        return handle


def resources(running: str, given: dict[str, Any]) -> Iterator[str]:
    """The resources of a call, as GRANTED names them."""
    if "QueueUrl" in given:
        yield {settings.queue_url: QUEUE, settings.webhook_queue_url: WEBHOOKS}[given["QueueUrl"]]
    elif "IndexName" in given:
        yield INDEXES[given["IndexName"]]
    else:
        for table in given.get("RequestItems") or [given["TableName"]]:
            key = (given.get("Key") or given.get("Item") or {}).get("id", {}).get("S", "")
            kinds = {"key#": KEYS, "tick": TICKETS, "": "StorageAccess.Arn"}
            watched = (given.get("Key") or {}).get("orderId", {}).get("S") == WATCHED_PAIRS_ID
            orders = WATCHED_PAIRS if watched and running == "watcher" else ORDERS
            tables = {"orders": orders, "connections": CONNECTIONS, "access": kinds[key[:4]]}
            yield tables[table]


@pytest.fixture
def recorder(world: World, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    for module in MODULES:
        name = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(module, "handler", recorder.recorded(name, module.handler))
    call: Callable[..., Any] = BaseClient._make_api_call  # type: ignore[attr-defined]

    def recorded(client: Any, operation: str, given: dict[str, Any]) -> Any:
        service = client.meta.service_model.service_name
        if recorder.running:
            for resource in resources(recorder.running, given):
                # Permission to send a message is permission to send a batch:
                # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-batch-api.html
                action = operation.removesuffix("Batch")
                recorder.record(resource, f"{service}:{action}")
        return call(client, operation, given)

    monkeypatch.setattr(BaseClient, "_make_api_call", recorded)
    delete = world.connections.delete_connection

    def close(*, ConnectionId: str) -> None:  # noqa: N803
        recorder.record("close", "execute-api:ManageConnections")
        delete(ConnectionId=ConnectionId)

    world.connections.before_post = lambda _connection_id: recorder.record(
        "push", "execute-api:ManageConnections"
    )
    monkeypatch.setattr(world.connections, "delete_connection", close)
    return recorder


def use_a_webhook(world: World) -> None:
    """Make every call for a webhook whose receiver does not answer."""
    webhook = world.create_webhook("http://127.0.0.1:9/", "pending")["webhookId"]
    world.http("list_orders", path="/api/webhooks", query={})
    world.submit()
    world.work_until_empty()
    world.notify()
    path = f"/api/webhooks/{webhook}"
    world.http("execute_order", path=f"{path}/test", body=None, headers={})
    world.http("cancel_order", path=path)


def use_everything(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every call of the engine, by each route, message and trigger."""
    use_a_webhook(world)
    world.authorize_http(authorization=f"Bearer {world.add_key('desk-7')}")
    world.authorize_websocket(world.ticket())
    for client in ("here", "gone", "slow"):
        world.connect(client)
        world.send(client, {"orderId": "*"})
    followed = world.submit(key="k")["orderId"]
    world.http("execute_order", body=ORDER, headers={"idempotency-key": "k"})
    for client in ("here", "gone", "slow"):
        world.send(client, {"orderId": followed})
    world.send("here", {"action": "unsubscribe", "orderId": followed})
    world.send("here", {"action": "unsubscribe", "orderId": "*"})
    world.connections.gone.add("gone")
    recording = world.connections.before_post

    def slow(connection_id: str) -> None:
        recording(connection_id)
        if connection_id == "slow":
            raise ReadTimeoutError(endpoint_url="connections")

    world.connections.before_post = slow
    world.publish()
    world.connections.before_post = recording
    failing = world.submit(simulate={"fault": "venue_down"})["orderId"]
    cancelled = world.submit()["orderId"]
    world.cancel(cancelled)
    world.work_until_empty()
    assert world.read(followed)["status"] == "confirmed"
    assert world.read(failing)["status"] == "failed"
    world.http("list_orders", query={})
    world.http("list_orders", query={"status": "failed"})
    world.disconnect("here")
    stuck = world.submit()["orderId"]
    sleep(settings.sweep_idle_seconds)
    world.deliver_dead_letter(order_message(stuck))
    world.submit(simulate={"fault": "venue_down"})
    with monkeypatch.context() as patient:
        patient.setattr(worker, "settings", replace(settings, retry_base_ms=10**11))
        world.work()
    with monkeypatch.context() as later:
        later.setattr(sweeper, "now_ms", lambda: 4_000_000_000_000)
        assert world.sweep() == 1
    resting_order = {
        "orderId": "resting",
        "wakePair": "SOL/USDC",
        "wakeAbove": wake_key(Fraction()),
    }
    world.dynamodb.put_item(
        TableName="orders", Item={name: {"S": value} for name, value in resting_order.items()}
    )
    resting.announce("SOL/USDC")
    watcher.handler({}, Context(12))
    sliced = world.submit(type="twap", slices=2, intervalSeconds=1)["orderId"]
    world.work()
    (slice_,) = world.http("list_orders", query={"parentId": sliced}).json["orders"]
    sleep(settings.sweep_idle_seconds + 10)
    world.deliver_dead_letter(order_message(slice_["orderId"]))


def test_each_function_makes_every_call_that_it_is_granted_and_no_other(
    world: World,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_everything(world, monkeypatch)
    for module, by_resource in BY_LAMBDA.items():
        for resource, actions in by_resource.items():
            recorder.calls[module][resource] |= actions
    assert {module: dict(calls) for module, calls in recorder.calls.items()} == GRANTED
