"""Orders that wait, on the deployed stack: each comes to rest, and ends as its price or time says.

The market is known, so prices are chosen that it reaches soon, but not at once.
"""

from __future__ import annotations

import asyncio
import time
from itertools import permutations
from typing import Any

from functions.contract import iso, unix_ms
from functions.dex import tokens
from functions.dex.router import find_route
from functions.simulation.market import SLOT_MS, VENUES, snapshot
from tests.e2e.client import Client, Json

SOON, LATE = 8, 40  # seconds from now between which a chosen price is reached first
NAMES = ("SOL", "USDC", "RAY", "JUP", "BONK")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def outs(one: str, other: str, units: int) -> list[int]:
    """What the best route gives in each of the next seconds."""
    found = []
    for ms in range(now_ms(), now_ms() + LATE * 1000, 1000):
        pools = {venue: snapshot(venue, ms // SLOT_MS) for venue in VENUES}
        route = find_route(tokens.find(one), tokens.find(other), units, 0, pools)
        found.append(route.out_amount)
    return found


def coming(*, rises: bool) -> Json:
    """The tokens, amount and price of an order whose price comes soon; `rises` for a limit."""
    for one, other in permutations(NAMES, 2):
        source, target = tokens.find(one), tokens.find(other)
        units = 10 ** (source.decimals + (one != "SOL"))
        found = [out if rises else -out for out in outs(one, other, units)]
        best, before = max(found[SOON:]), max(found[:SOON])
        wanted = (best + before) // 2
        if wanted - before > abs(wanted) // 20_000:
            price = tokens.price_text(units, source, abs(wanted), target)
            amount = tokens.to_text(units, source.decimals)
            return {"tokenIn": one, "tokenOut": other, "amount": amount, "price": price}
    raise AssertionError("no price comes soon")


def statuses(updates: list[Json]) -> list[str]:
    return [update["status"] for update in updates]


async def rested(client: Client, **order: Any) -> Json:
    """An order that the stack has accepted and that has come to rest."""
    body = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1", **order}
    answer = await client.submit(body)
    assert answer.status_code == 202, answer.text
    while True:
        stored = await client.read(answer.json()["orderId"])
        if stored["status"] == "resting":
            return stored
        assert stored["status"] in {"pending", "routing"}, stored
        await asyncio.sleep(0.2)


async def test_a_limit_a_stop_and_an_oco_order_execute_when_their_prices_come(
    client: Client,
) -> None:
    up, down = coming(rises=True), coming(rises=False)
    limit, stop = up.pop("price"), down.pop("price")
    far = f"{float(stop) * 2:.12f}"
    orders = await asyncio.gather(
        rested(client, type="limit", limitPrice=limit, **up),
        rested(client, type="stop", stopPrice=stop, slippageBps=1000, **down),
        rested(client, type="oco", stopPrice=stop, limitPrice=far, slippageBps=1000, **down),
    )
    lives = await asyncio.gather(*(client.follow(order["orderId"]) for order in orders))
    for updates, trigger in zip(lives, ("limit", "stop", "stop"), strict=True):
        assert statuses(updates)[:4] == ["pending", "routing", "resting", "building"], updates
        assert statuses(updates)[-1] == "confirmed"
        assert updates[3]["trigger"] == trigger
        assert [update["sequence"] for update in updates] == list(range(1, len(updates) + 1))
    sold = await client.read(orders[0]["orderId"])
    assert float(sold["outAmount"]) >= float(limit) * float(sold["amount"]) * (1 - 1e-9)


async def test_an_order_expires_at_its_time(client: Client) -> None:
    expiry = now_ms() + 12_000
    order = await rested(client, type="limit", limitPrice="100000", expiresAt=iso(expiry))
    updates = await client.follow(order["orderId"])
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


async def test_an_order_in_slices_adds_up(client: Client) -> None:
    order = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1", "type": "twap"}
    answer = await client.submit({**order, "slices": 3, "intervalSeconds": 2})
    assert answer.status_code == 202, answer.text
    updates = await client.follow(answer.json()["orderId"])
    assert statuses(updates)[-1] == "confirmed", updates
    assert updates[-1]["filledAmount"] == "1"
    query = {"parentId": answer.json()["orderId"]}
    slices = (await client.http.get("/api/orders", params=query)).json()["orders"]
    assert sorted(each["amount"] for each in slices) == ["0.333333333"] * 2 + ["0.333333334"]
