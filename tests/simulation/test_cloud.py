"""The in-memory cloud answers the engine's requests as moto does."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

import tests.conftest  # noqa: F401 - the settings, before the store reads them
from functions.contract import OPEN_SHARDS, iso
from functions.orders.order import Order, Status, routing_update
from functions.store import connections, notices, orders, queue, webhooks
from functions.store.webhooks import StoredWebhook, WebhookNotFound
from tests.clock import START_MS
from tests.cloud import PAGE_ITEMS, Cloud, serve
from tests.orders import pending_order
from tests.world import World, fresh_clients, in_memory

OWNERS = ("ada", "ben")
STEPS = 80


class StoreCalls:
    """Calls of the store, drawn from a seed, and the answer to each."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.known: dict[str, Order] = {}
        self.answers: list[str] = []

    def run(self) -> list[str]:
        calls = [self.create, self.begin, self.append, self.read, self.listed, self.idle]
        calls += [self.follow, self.unfollow, self.connect, self.follow_all, self.counts]
        calls += [self.create_webhook, self.change_webhook, self.webhooks]
        calls += [self.append, self.follow]  # twice, because they have the most conditions
        for number in range(STEPS):
            call = self.random.choice(calls)
            self.answers.append(f"{number} {call.__name__} {self._answer(call)}")
        return self.answers

    def _answer(self, call: Callable[[], Any]) -> str:
        try:
            return repr(call())
        except ClientError as error:
            return f"refused: {error.response['Error']['Code']}"
        except (
            orders.OrderExists,
            orders.OrderNotFound,
            orders.StaleOrder,
            connections.ConnectionGone,
            WebhookNotFound,
        ) as refused:
            return repr(refused)

    def _order_id(self) -> str:
        return str(UUID(int=self.random.randrange(9)))

    def _owner(self) -> str:
        return self.random.choice(OWNERS)

    def _connection(self) -> str:
        return f"c{self.random.randrange(4)}"

    def create(self) -> Any:
        order = pending_order(self._order_id(), START_MS + len(self.answers))
        self.known.setdefault(order.order_id, order)
        return orders.create_order(order, self._owner())

    def begin(self) -> Any:
        begun = orders.begin_order(routing_update(self._order_id(), START_MS))
        self.known[begun.order.order_id] = begun.order
        return begun

    def append(self) -> Any:
        order = self.known.get(self._order_id())
        if order is None or order.status.terminal:
            return None
        ends = {Status.PENDING: Status.CANCELLED, Status.ROUTING: Status.FAILED}
        status = ends.get(order.status, Status.FAILED)
        changed = orders.append_update(order, self._owner(), order.next_update(status, START_MS))
        if self.random.random() < 0.5:  # otherwise the kept copy becomes stale
            self.known[order.order_id] = changed
        return changed

    def read(self) -> Any:
        return orders.get_order(self._order_id(), self._owner())

    def listed(self) -> Any:
        owner, found, cursor = self._owner(), [], None
        while True:
            page, cursor = orders.list_orders(owner, limit=2, cursor=cursor)
            found += page
            if cursor is None:
                return found

    def idle(self) -> Any:
        before = iso(START_MS + 60_000)
        found = [o for s in OPEN_SHARDS for o in sorted(orders.idle_orders(s, before, limit=9))]
        moved = [orders.restart_idle_time(order, START_MS + 120_000) for order in found]
        return found, moved, queue.enqueue_all([order.order_id for order in found[:10]])

    def follow(self) -> Any:
        owner = self._owner()
        return orders.follow(
            owner,
            self._connection(),
            self._order_id(),
            since_sequence=0,
            request_id=str(len(self.answers)),
            open_connections=lambda: connections.open_connections(owner, START_MS),
        )

    def unfollow(self) -> Any:
        return orders.unfollow(self._order_id(), self._connection())

    def connect(self) -> Any:
        call = self.random.choice([self._connect, self._disconnect])
        return call(self._owner(), self._connection())

    def _connect(self, owner: str, connection_id: str) -> None:
        connections.connect(owner, connection_id, START_MS)

    def _disconnect(self, owner: str, connection_id: str) -> None:
        connections.disconnect(owner, connection_id)

    def follow_all(self) -> Any:
        return connections.follow_all(self._owner(), self._connection())

    def _webhook(self) -> StoredWebhook:
        number = self.random.randrange(3)
        statuses = frozenset(["confirmed", "failed"][:number])
        url, created_at = "https://receiver.example", iso(START_MS + number)
        return StoredWebhook(f"w{number}", url, statuses, "secret", created_at)

    def create_webhook(self) -> Any:
        return webhooks.create(self._owner(), self._webhook())

    def change_webhook(self) -> Any:
        owner, webhook = self._owner(), self._webhook()
        change = self.random.choice(["fail", "succeed", "disable", "delete"])
        if change == "fail":
            return webhooks.delivery_failed(owner, webhook.webhook_id, "refused", START_MS)
        if change == "succeed":
            stored = webhooks.load(owner, webhook.webhook_id)
            return webhooks.delivery_succeeded(owner, stored)
        return {"disable": webhooks.disable, "delete": webhooks.delete}[change](
            owner, webhook.webhook_id
        )

    def webhooks(self) -> Any:
        return webhooks.of_owner(self._owner())

    def counts(self) -> Any:
        owner = self._owner()
        return (
            sorted(connections.open_connections(owner, START_MS)),
            sorted(connections.followers_of_all(owner)),
            orders.open_order_count(owner),
        )


def images(records: list[Any]) -> list[Any]:
    """The images of each stream record, without the `writer` that each put draws by chance."""

    def without_writer(image: Any) -> Any:
        return {name: value for name, value in image.items() if name != "writer"}

    changes = [record["dynamodb"] for record in records]
    return [
        {name: without_writer(c[name]) for name in ("OldImage", "NewImage") if name in c}
        for c in changes
    ]


@pytest.mark.parametrize("seed", range(6))
def test_the_cloud_answers_and_streams_as_moto_does(seed: int) -> None:
    with mock_aws(), fresh_clients():
        world = World()
        expected, streamed = StoreCalls(seed).run(), images(world.stream())
    with in_memory(Cloud(lambda: START_MS)) as cloud:
        assert StoreCalls(seed).run() == expected
        assert images(cloud.tables["orders"].stream) == streamed


def test_a_message_is_kept_with_its_queue_and_its_delay() -> None:
    with in_memory(Cloud(lambda: START_MS)) as cloud:
        queue.enqueue(str(UUID(int=1)), delay_seconds=7)
        notices.send([notices.notice_of_test("ada", "w1", "r1", iso(START_MS))])
    order, notice = cloud.sent
    assert (order.queue, order.delay_ms, str(UUID(int=1)) in order.body) == ("orders", 7000, True)
    assert (notice.queue, notice.delay_ms) == ("webhooks", 0)


def test_a_page_holds_few_items_and_an_index_lags() -> None:
    now_ms = START_MS
    cloud = Cloud(lambda: now_ms, lag_ms=lambda: 1000)
    client = boto3.client("dynamodb", region_name="eu-central-1")
    serve(client, cloud)
    for number in range(PAGE_ITEMS + 1):
        order_id, created_at = f"o{number}", iso(START_MS + number)
        item = {"orderId": order_id, "owner": "ada", "createdAt": created_at}
        client.put_item(TableName="orders", Item={k: {"S": v} for k, v in item.items()})
    query: Any = {
        "TableName": "orders",
        "IndexName": "byOwner",
        "KeyConditionExpression": "#owner = :owner",
        "ExpressionAttributeNames": {"#owner": "owner"},
        "ExpressionAttributeValues": {":owner": {"S": "ada"}},
    }
    assert client.query(**query)["Count"] == 0
    now_ms += 1000
    first = client.query(**query)
    rest = client.query(**query, ExclusiveStartKey=first["LastEvaluatedKey"])
    assert (first["Count"], rest["Count"], "LastEvaluatedKey" in rest) == (PAGE_ITEMS, 1, False)
