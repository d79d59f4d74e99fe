"""The replay of executed orders from their stored data."""

from __future__ import annotations

from typing import Any

import pytest

from functions.orders.stored import StoredOrder
from functions.simulation import replay
from functions.store import orders
from tests.world import World


def executed(world: World, **request: Any) -> StoredOrder:
    order_id = world.submit(**request)["orderId"]
    world.work_until_empty()
    return orders.load_order(order_id)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"tokenIn": "SOL", "tokenOut": "RAY", "amount": "200"},
        {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "10000"},
        {"simulate": {"fault": "slippage", "attempts": 1}},
        {"simulate": {"fault": "slippage"}},
        {"simulate": {"fault": "dropped_transaction"}},
        {"simulate": {"fault": "venue_down", "venue": "meteora"}},
    ],
    ids=str,
)
def test_a_replay_computes_the_stored_routes_and_the_stored_landing(
    world: World, request_: dict[str, Any]
) -> None:
    order, _, signed, *_ = executed(world, **request_)
    found = replay.explain(order, signed)
    assert found["landing"] is not None
    assert found["landing"]["txHash"] == order.tx_hash
    assert [found["differs"], found["landing"]["differences"]] == [False, []]
    assert len(found["routes"]) == order.attempt


def test_a_replay_of_a_limit_order_agrees_with_the_stored_order(world: World) -> None:
    request = {"type": "limit", "limitPrice": "1"}
    order, _, signed, *_ = executed(world, **request)
    assert order.status == "confirmed"
    assert replay.explain(order, signed)["differs"] is False


def test_a_replay_names_a_stored_value_that_differs(world: World) -> None:
    order, _, signed, *_ = executed(world)
    *others, last = order.updates
    false = order.model_copy(
        update={"updates": (*others, last.model_copy(update={"out_amount": "1"}))}
    )
    found = replay.explain(false, signed)
    (difference,) = found["landing"]["differences"]
    assert found["differs"] is True
    assert (difference["field"], difference["stored"]) == ("outAmount", "1")
    assert difference["derived"] == order.out_amount
    route = order.route
    assert route is not None
    wrong = route.model_copy(update={"reason": "for fun"})
    updates = tuple(
        update.model_copy(update={"route": wrong}) if update.route else update
        for update in order.updates
    )
    (explained,) = replay.explain(order.model_copy(update={"updates": updates}), signed)["routes"]
    assert [each["field"] for each in explained["differences"]] == ["reason"]


def test_a_field_that_an_earlier_release_did_not_store_is_not_compared(world: World) -> None:
    order, _, signed, *_ = executed(world)
    *others, last = order.updates
    earlier = last.model_copy(update={"execution": None})
    found = replay.explain(order.model_copy(update={"updates": (*others, earlier)}), signed)
    assert found["differs"] is False


def test_an_order_without_a_transaction_has_no_landing(world: World) -> None:
    order = orders.load_order(world.submit()["orderId"])
    found = replay.explain(order.order, order.transaction)
    assert (found["routes"], found["landing"], found["differs"]) == ([], None, False)
