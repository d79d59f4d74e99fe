"""The list of orders with filters: what it finds, and how many orders it reads for that."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from functions import runtime
from functions.dex.tokens import TOKENS
from functions.orders.order import routing_update
from functions.store import orders
from tests.clock import START_MS
from tests.cloud import Cloud
from tests.orders import pending_order
from tests.world import World, fresh_clients, in_memory

OTHER: dict[str, Any] = {"tokenIn": "USDC", "tokenOut": "SOL", "amount": 100}


def fail(world: World, **fields: Any) -> str:
    fault = {"fault": "slippage", "attempts": 3}
    order_id: str = world.submit(**fields, simulate=fault)["orderId"]
    world.work_until_empty()
    assert world.read(order_id)["status"] == "failed"
    return order_id


def mixed(world: World) -> dict[str, list[str]]:
    """The ids of two orders in each status, newest first."""
    ids: dict[str, list[str]] = {"confirmed": [], "failed": [], "cancelled": [], "pending": []}
    for _ in range(2):
        ids["confirmed"].insert(0, world.submit()["orderId"])
        world.work_until_empty()
        ids["failed"].insert(0, fail(world))
        ids["cancelled"].insert(0, world.submit(**OTHER)["orderId"])
        assert world.cancel(ids["cancelled"][0]).status == 200
    ids["pending"] = [world.submit(**OTHER)["orderId"] for _ in range(2)][::-1]
    return ids


@pytest.fixture
def reads(world: World) -> Iterator[list[int]]:
    """How many orders each BatchGetItem reads."""
    sizes: list[int] = []

    def count(params: Any, **_: Any) -> None:
        sizes.append(len(params["RequestItems"]["orders"]["Keys"]))

    with fresh_clients() as (dynamodb, _):
        dynamodb.meta.events.register("provide-client-params.dynamodb.BatchGetItem", count)
        yield sizes


@pytest.mark.parametrize("limit", [1, 2, 20])
def test_every_status_is_found_newest_first(world: World, limit: int) -> None:
    for status, ids in mixed(world).items():
        assert world.listed_ids(limit=limit, status=status) == ids
    for status in ("resting", "expired"):
        assert world.listed_ids(limit=limit, status=status) == []


def test_filters_are_combined(world: World) -> None:
    made = mixed(world)
    both: dict[str, Any] = {"tokenIn": "USDC", "tokenOut": "SOL", "type": "market"}
    assert world.listed_ids(**both) == sorted(made["cancelled"] + made["pending"], reverse=True)
    assert world.listed_ids(status="cancelled", **both) == made["cancelled"]
    assert world.listed_ids(status="open", tokenOut="SOL") == made["pending"]
    assert world.listed_ids(status="failed", tokenIn="USDC") == []
    assert world.listed_ids(status="confirmed", type="limit") == []
    by_mint = both | {"tokenIn": TOKENS["USDC"].mint}
    assert world.listed_ids(**by_mint) == world.listed_ids(**both)


QUERIES: list[tuple[dict[str, str], int]] = [
    ({"status": "failed"}, 1),
    ({"status": "cancelled"}, 1),
    ({"status": "cancelled", "type": "limit"}, 1),
    ({"status": "open"}, 10),
    ({"status": "pending", "limit": "5"}, 5),
    ({"status": "confirmed"}, 10),
    ({"type": "limit"}, 1),
    ({"tokenIn": "USDC"}, 1),
    ({"type": "limit", "tokenIn": "USDC"}, 1),
]


def test_only_the_orders_of_the_page_are_read(world: World, reads: list[int]) -> None:
    fail(world)
    limit = world.submit(type="limit", limitPrice="1", **OTHER)["orderId"]
    assert world.cancel(limit).status == 200
    for _ in range(10):
        world.submit()
        world.work_until_empty()
    for _ in range(10):
        world.submit()
    for query, orders_of_page in QUERIES:
        reads.clear()
        page = world.http("list_orders", query=query).json["orders"]
        assert (len(page), sum(reads)) == (orders_of_page, orders_of_page), query


def remove_keys(world: World) -> None:
    """Store every ended order as earlier releases did, without the keys for its type and end."""
    for item in world.dynamodb.scan(TableName="orders")["Items"]:
        if "openOwner" not in item and "updates" in item:
            old = {n: v for n, v in item.items() if n not in ("openShard", "idleSince")}
            old["createdAt"] = {"S": item["createdAt"]["S"].split(" ")[0]}
            # moto cannot change the index key of a stored item, so the item is stored anew.
            world.dynamodb.delete_item(TableName="orders", Key={"orderId": item["orderId"]})
            world.dynamodb.put_item(TableName="orders", Item=old)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 3, 20])
def test_orders_of_an_earlier_release_are_listed_and_found(world: World, limit: int) -> None:
    old = mixed(world)
    for order_id in old["pending"]:
        assert world.cancel(order_id).status == 200
    old["cancelled"] = old.pop("pending") + old["cancelled"]
    remove_keys(world)
    for status, ids in old.items():
        assert world.listed_ids(limit=limit, status=status) == ids
    new = mixed(world)
    for status, ids in new.items():
        assert world.listed_ids(limit=limit, status=status) == ids + old.get(status, [])
    newest = sorted([i for made in (old, new) for ids in made.values() for i in ids], reverse=True)
    assert world.listed_ids(limit=limit) == world.listed_ids(limit=limit, type="market") == newest


def test_an_order_of_an_earlier_release_that_this_one_ended_is_found_once(world: World) -> None:
    old = [world.submit()["orderId"] for _ in range(3)]
    for item in world.dynamodb.scan(TableName="orders")["Items"]:
        item["createdAt"] = {"S": item["createdAt"]["S"].split(" ")[0]}
        world.dynamodb.delete_item(TableName="orders", Key={"orderId": item["orderId"]})
        world.dynamodb.put_item(TableName="orders", Item=item)
    for order_id in old:
        assert world.cancel(order_id).status == 200
    assert world.listed_ids(limit=2, status="cancelled") == old[::-1]
    assert world.listed_ids(limit=2, status="cancelled", tokenIn="SOL") == old[::-1]


def test_a_page_reads_a_bounded_number_of_keys(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "BATCH_GET_MAX", 2)
    monkeypatch.setattr(orders, "LIST_KEYS_MAX", 4)
    wanted = world.submit(**OTHER)["orderId"]
    for _ in range(9):
        world.submit()
    page = world.http("list_orders", query={"tokenIn": "USDC"}).json
    assert (page["orders"], "nextCursor" in page) == ([], True)
    assert world.listed_ids(tokenIn="USDC") == [wanted]


def test_a_page_reads_a_bounded_number_of_orders_that_do_not_match(
    world: World, monkeypatch: pytest.MonkeyPatch, reads: list[int]
) -> None:
    """Only orders of an earlier release are read without a match in their keys."""
    monkeypatch.setattr(orders, "LIST_READS_MAX", 2)
    monkeypatch.setattr(orders, "BATCH_GET_MAX", 3)
    confirmed = world.submit()["orderId"]
    world.work_until_empty()
    for _ in range(9):
        assert world.cancel(world.submit()["orderId"]).status == 200
    remove_keys(world)
    page = world.http("list_orders", query={"status": "confirmed"}).json
    assert (page["orders"], "nextCursor" in page, sum(reads)) == ([], True, 6)
    assert world.listed_ids(status="confirmed") == [confirmed]


def test_cursors_of_earlier_releases_continue_their_lists(world: World) -> None:
    ids: list[str] = []
    for _ in range(3):
        runtime.sleep(1)  # an old cursor has only the time, so no two orders may share it
        ids.insert(0, world.submit()["orderId"])
    created = world.read(ids[0])["createdAt"]
    for key in (f"{created} market SOL USDC", created):
        cursor = urlsafe_b64encode(f"{key} {ids[0]}".encode()).decode().rstrip("=")
        page = world.http("list_orders", query={"cursor": cursor}).json["orders"]
        assert [order["orderId"] for order in page] == ids[1:]


def test_a_list_shows_the_newest_update_of_each_order() -> None:
    """The index and reads without consistency are a second old."""
    now_ms = START_MS
    with in_memory(Cloud(lambda: now_ms, lag_ms=lambda: 1000)):
        order = pending_order(str(UUID(int=1)), now_ms)
        orders.create_order(order, "desk")
        now_ms += 5000
        changed = orders.begin_order(routing_update(order.order_id, now_ms)).order
        assert orders.list_orders("desk", limit=1) == ([changed], None)
