"""Orders that wait for a price or a time, on the deployed stack."""

from __future__ import annotations

import asyncio
from typing import Any

from functions.contract import iso, unix_ms
from tests.e2e.actions import now_ms, price
from tests.stack_client import Client, Json

PAIRS = (("SOL", "USDC"), ("RAY", "USDC"), ("JUP", "SOL"))


def statuses(updates: list[Json]) -> list[str]:
    return [update["status"] for update in updates]


async def rested(client: Client, **order: Any) -> Json:
    """Submit an order, and wait until it rests."""
    body = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1", **order}
    answer = await client.submit(body)
    assert answer.status_code == 202, answer.text
    while True:
        stored = await client.read(answer.json()["orderId"])
        if stored["status"] == "resting":
            return stored
        assert stored["status"] in {"pending", "routing"}, stored
        await asyncio.sleep(0.2)


async def test_orders_execute_when_their_prices_are_reached_without_a_request(
    client: Client,
) -> None:
    """Most orders rest first; the market reaches each price several times within minutes."""
    wanted: list[tuple[Json, str]] = []
    for one, other in PAIRS:
        pair = {"tokenIn": one, "tokenOut": other, "amount": "1"}
        high, low = price(one, other, better_than=0.7), price(one, other, better_than=0.3)
        far = f"{float(high) * 2:.9f}"
        stop = {"stopPrice": low, "slippageBps": 1000}
        wanted.append(({**pair, "type": "limit", "limitPrice": high}, "limit"))
        wanted.append(({**pair, "type": "stop", **stop}, "stop"))
        wanted.append(({**pair, "type": "oco", "limitPrice": far, **stop}, "stop"))
    answers = await asyncio.gather(*(client.submit(order) for order, _ in wanted))
    assert {answer.status_code for answer in answers} == {202}
    lives = await asyncio.gather(*(client.follow(each.json()["orderId"]) for each in answers))
    for (order, trigger), updates in zip(wanted, lives, strict=True):
        assert statuses(updates)[-1] == "confirmed", updates
        assert {each["trigger"] for each in updates if each["status"] == "building"} == {trigger}
        assert [each["sequence"] for each in updates] == list(range(1, len(updates) + 1))
        if trigger == "limit":
            assert float(updates[-1]["outAmount"]) >= float(order["limitPrice"]) * (1 - 1e-9)
    assert any("resting" in statuses(updates) for updates in lives)


async def test_an_order_expires_at_its_time(client: Client) -> None:
    order = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1", "type": "limit"}
    for seconds in (30, 90, 270):  # a busy machine may need part of this until the order rests
        expiry = now_ms() + seconds * 1000
        terms = {"limitPrice": "100000", "expiresAt": iso(expiry)}
        answer = await client.submit(order | terms)
        assert answer.status_code == 202, answer.text
        updates = await client.follow(answer.json()["orderId"])
        if "resting" in statuses(updates):
            break
    assert statuses(updates) == ["pending", "routing", "resting", "expired"]
    assert unix_ms(updates[-1]["timestamp"]) >= expiry


async def test_a_resting_order_is_changed_and_another_one_cancelled(client: Client) -> None:
    changed, cancelled = await asyncio.gather(
        *(rested(client, type="limit", limitPrice="100000") for _ in range(2))
    )
    path = f"/api/orders/{changed['orderId']}"
    answer = await client.http.patch(path, json={"limitPrice": "1"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["limitPrice"] == "1"
    answer = await client.http.delete(f"/api/orders/{cancelled['orderId']}")
    assert answer.status_code == 200, answer.text
    first, second = await asyncio.gather(
        client.follow(changed["orderId"]), client.follow(cancelled["orderId"])
    )
    assert statuses(first)[2:5] == ["resting", "resting", "building"]
    assert statuses(first)[-1] == "confirmed"
    assert statuses(second) == ["pending", "routing", "resting", "cancelled"]


async def test_the_slices_of_a_twap_order_add_up_to_its_amount(client: Client) -> None:
    order = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1", "type": "twap"}
    answer = await client.submit({**order, "slices": 3, "intervalSeconds": 2})
    assert answer.status_code == 202, answer.text
    updates = await client.follow(answer.json()["orderId"])
    assert statuses(updates)[-1] == "confirmed", updates
    assert updates[-1]["filledAmount"] == "1"
    query = {"parentId": answer.json()["orderId"]}
    slices = (await client.http.get("/api/orders", params=query)).json()["orders"]
    assert sorted(each["amount"] for each in slices) == ["0.333333333"] * 2 + ["0.333333334"]
