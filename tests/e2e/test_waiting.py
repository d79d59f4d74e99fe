"""Orders that wait, on the deployed stack: each rests, and its price or its time ends it.

The simulated market is known in advance, so the tests choose prices that it reaches soon.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from functions.contract import iso, unix_ms
from functions.dex import tokens
from functions.dex.router import find_route
from functions.simulation.market import SLOT_MS, VENUES, snapshot
from infra.cli.local import running_stack
from tests.e2e.client import Client, Json, receive
from tests.e2e.conftest import CONTEXT

WINDOW_SECONDS = 90
PAIRS = (("SOL", "USDC"), ("RAY", "USDC"), ("JUP", "SOL"))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def price(one: str, other: str, *, better_than: float) -> str:
    """The price of one whole token that is higher than this share of the next minutes' prices."""
    source, target = tokens.find(one), tokens.find(other)
    units = 10**source.decimals
    outs = []
    for ms in range(now_ms(), now_ms() + WINDOW_SECONDS * 1000, 2000):
        pools = {venue: snapshot(venue, ms // SLOT_MS) for venue in VENUES}
        outs.append(find_route(source, target, units, 0, pools).out_amount)
    chosen = sorted(outs)[int(better_than * len(outs))]
    return tokens.price_text(units, source, chosen, target)


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


async def test_orders_execute_when_their_prices_come_though_nothing_is_asked_of_the_stack(
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
    expiry = now_ms() + 30_000  # a busy machine needs part of this time until the order rests
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


@pytest.mark.emulator
async def test_orders_of_every_type_go_on_after_a_restart_with_the_data_kept(
    tmp_path: Path,
) -> None:
    """No price is reached before the restart; a twap order has slices before and after it.

    Each order is followed from before the restart, from between it and its end, and from its end.
    """
    far, near = {"limitPrice": "100000"}, {"stopPrice": "0.000001", "slippageBps": 1000}
    wanted: list[Json] = [
        {"type": "limit", **far},
        {"type": "limit", **far},
        {"type": "stop", **near},
        {"type": "oco", **far, **near},
        {"type": "twap", "slices": 3, "intervalSeconds": 20, "slippageBps": 1000},
    ]
    with running_stack(data=tmp_path, context=CONTEXT) as stack:
        client = Client(stack.http_url, stack.web_socket_url, stack.api_key)
        pair = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1"}
        answers = [await client.submit(pair | order) for order in wanted]
        ids = [answer.json()["orderId"] for answer in answers]
        before = await followed_until_they_wait(client, ids)
        await client.close()
    with running_stack(data=tmp_path, context=CONTEXT) as stack:
        client = Client(stack.http_url, stack.web_socket_url, stack.api_key)
        during = [asyncio.create_task(client.follow(each)) for each in ids]
        resumed = [
            asyncio.create_task(client.follow(each, since=len(before[each]))) for each in ids
        ]
        cancelled, limit, *stops, _twap = ids
        high, low = (price("SOL", "USDC", better_than=share) for share in (0.7, 0.3))
        changes = [(limit, {"limitPrice": high}), *((each, {"stopPrice": low}) for each in stops)]
        for order_id, change in changes:
            answer = await client.http.patch(f"/api/orders/{order_id}", json=change)
            assert answer.status_code == 200, answer.text
        answer = await client.http.delete(f"/api/orders/{cancelled}")
        assert answer.status_code == 200, answer.text
        lives = await untimed(*during)
        rests = await untimed(*resumed)
        stored = await asyncio.gather(*(client.read(each) for each in ids))
        after = await untimed(*(client.follow(each) for each in ids))
        await client.close()
    assert [order["status"] for order in stored] == ["cancelled"] + ["confirmed"] * 4
    assert stored[-1]["filledAmount"] == "1"
    assert lives == after == [order["updates"] for order in stored]
    assert lives == [before[each] + rest for each, rest in zip(ids, rests, strict=True)]


async def followed_until_they_wait(client: Client, ids: list[str]) -> dict[str, list[Json]]:
    """The updates of the orders until each rests, or has its first slice behind it."""
    seen: dict[str, list[Json]] = {each: [] for each in ids}
    async with client.socket() as socket:
        for each in ids:
            await socket.send(json.dumps({"orderId": each}))
        while not all(
            updates and (updates[-1]["status"] == "resting" or updates[-1].get("slicesDone"))
            for updates in seen.values()
        ):
            update = await receive(socket)
            assert "error" not in update, update
            seen[update["orderId"]].append(untimed_update(update))
    return seen


async def untimed(*following: Awaitable[list[Json]]) -> list[list[Json]]:
    """The updates that each follower got, without the times of their arrival."""
    return [list(map(untimed_update, each)) for each in await asyncio.gather(*following)]


def untimed_update(update: Json) -> Json:
    return {name: value for name, value in update.items() if name != "_received"}
