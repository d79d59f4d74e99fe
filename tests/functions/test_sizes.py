"""The largest order, message and answer of this stack, against AWS's limits."""

from __future__ import annotations

import json
import re

import pytest

from functions.contract import PUBLIC_PATHS
from functions.dex.mixture import LEGS_MAX
from functions.orders.order import UPDATES_BYTES_MAX
from functions.orders.stored import entries
from functions.store import orders
from tests.billing import item_bytes
from tests.events import Json
from tests.world import World

KB, MB = 1024, 1024 * 1024
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
ITEM_BYTES_MAX = 400 * KB
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
FRAME_BYTES_MAX = 32 * KB
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, for a synchronous call
ANSWER_BYTES_MAX = 6 * MB


@pytest.fixture
def largest(world: World) -> tuple[Json, Json]:
    """The item and the answer of a very large order.

    Its route uses direct pools and all hubs. It has three attempts with a route, a transaction
    and an error each, and as many followers as an order can have.
    """
    order_id = world.submit(
        key="k" * 128,
        tokenIn="SOL",
        tokenOut="USDC",
        amount="10000.123456789",
        simulate={"fault": "slippage", "attempts": 3},
    )["orderId"]
    world.send(world.connect("UrZ6idTPliACEvA="), {"orderId": order_id})
    world.work_until_empty()
    answer = world.read(order_id)
    assert len(answer["route"]["routePlan"]) == LEGS_MAX
    assert (answer["status"], answer["attempt"]) == ("failed", 3)
    item = world.item(order_id)
    (follower,) = item["followers"]["M"].values()
    followers = {f"UrZ6idTPliACE{n:03}": follower for n in range(orders.MAX_FOLLOWERS)}
    return item | {"followers": {"M": followers}}, answer


def test_the_largest_order_is_far_below_the_limit_of_an_item(largest: tuple[Json, Json]) -> None:
    item, _ = largest
    assert item_bytes(item) < ITEM_BYTES_MAX / 10


def test_a_limit_order_with_the_most_refusals_fits_into_an_item(
    largest: tuple[Json, Json],
) -> None:
    """Once its updates have UPDATES_BYTES_MAX bytes, the next refusal ends the order."""
    item, _ = largest
    with_transactions = sum(len(each["B"]) for each in item["updates"]["L"])
    assert with_transactions < sum(len(each.text) for each in entries(item)) / 2
    longest = max(len(each.text.encode()) for each in entries(item))
    rest = item_bytes(item | {"updates": {"L": []}})
    last_try = 4 * (longest + 1)  # the updates resting, building, submitted, and the last one
    assert UPDATES_BYTES_MAX + last_try + rest < ITEM_BYTES_MAX


def test_a_page_of_orders_with_many_updates_is_short_and_has_a_next_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [world.submit()["orderId"] for _ in range(5)]
    monkeypatch.setattr(orders, "PAGE_BYTES_MAX", 300)  # each update has 140 bytes
    for status in ({}, {"status": "pending"}, {"status": "open"}):
        pages = list(world.pages(limit=5, **status))
        assert sorted(order["orderId"] for page in pages for order in page) == sorted(ids)
        assert len(pages) == 3


def test_a_page_of_the_most_bytes_is_below_the_limit_of_lambdas_answer(
    largest: tuple[Json, Json],
) -> None:
    """An answer shows the last route of an order twice, and Lambda's answer is JSON in JSON."""
    item, answer = largest
    updates = sum(len(each.text) for each in entries(item))
    shown = len(json.dumps(json.dumps(answer)).encode())
    assert orders.PAGE_BYTES_MAX * shown / updates < ANSWER_BYTES_MAX


def test_the_longest_update_fits_into_a_frame(largest: tuple[Json, Json]) -> None:
    item, _ = largest
    assert max(len(each.text.encode()) for each in entries(item)) < FRAME_BYTES_MAX / 5


def test_every_document_page_and_file_is_below_the_limit_of_lambdas_answer(world: World) -> None:
    paths = [*PUBLIC_PATHS]
    for path in paths:
        answer = world.http("get_docs", path=path)
        assert answer.status == 200, path
        # Lambda returns binary content in base64, and text in JSON.
        assert len(json.dumps(answer.text).encode()) * 4 / 3 < ANSWER_BYTES_MAX, path
        files = (f"/{file}" for file in re.findall(r'"(assets/[^"]+)"', answer.text))
        paths += [file for file in files if file not in paths]
    assert any("lightweight-charts" in path for path in paths)
