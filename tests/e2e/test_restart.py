"""The stack stops while it has open orders, and starts again with its data."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable
from pathlib import Path

import pytest

from infra.cli.local import running_stack
from tests.e2e.actions import price
from tests.e2e.conftest import CONTEXT
from tests.orders import is_complete
from tests.stack_client import Client, Json, follow_with_cuts, receive

FAR, NEAR = {"limitPrice": "100000"}, {"stopPrice": "0.000001", "slippageBps": 1000}
# The market reaches none of these prices. A twap order has slices before and after the restart.
WAITING: list[Json] = [
    {"type": "limit", **FAR},
    {"type": "limit", **FAR},
    {"type": "stop", **NEAR},
    {"type": "oco", **FAR, **NEAR},
    {"type": "twap", "slices": 3, "intervalSeconds": 40, "slippageBps": 1000},
]
PAIR = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1"}
KEYS = [f"restart-{number}" for number in range(10)]
LIVES_SECONDS_MAX = 600


@pytest.mark.emulator
async def test_orders_under_way_and_orders_that_wait_survive_a_restart_with_the_data_kept(
    tmp_path: Path,
) -> None:
    """The stack stops during swaps, and while orders of every waiting type are open.

    Each waiting order is followed before the restart, from the restart to its end, and after its
    end.
    """
    data, context = tmp_path / "data", CONTEXT | {"latencyScale": "1"}
    with running_stack(data=data, context=context) as stack:
        client = Client(stack.http_url, stack.web_socket_url, stack.api_key)
        answers = [await client.submit(PAIR | order) for order in WAITING]
        waiting = [answer.json()["orderId"] for answer in answers]
        before = await followed_until_they_wait(client, waiting)
        answers = [await client.submit(idempotency_key=key) for key in KEYS]
        assert {answer.status_code for answer in answers} == {202}
        swaps = [answer.json()["orderId"] for answer in answers]
        await client.close()
    with running_stack(data=data, context=context) as stack:
        client = Client(stack.http_url, stack.web_socket_url, stack.api_key)
        again = [await client.submit(idempotency_key=key) for key in KEYS]
        assert {answer.status_code for answer in again} == {200}
        assert [answer.json()["orderId"] for answer in again] == swaps
        async with asyncio.timeout(LIVES_SECONDS_MAX):
            swapped, _ = await asyncio.gather(
                follow_with_cuts(client, swaps, random.Random(0)),
                end_the_waiting(client, waiting, before),
            )
        await client.close()
    assert [updates for updates in swapped.values() if not is_complete(updates)] == []


async def end_the_waiting(client: Client, ids: list[str], before: dict[str, list[Json]]) -> None:
    """Cancel one order, move the others' prices to the market, and check what followers received.

    Args:
        ids: the orders of WAITING.
        before: the updates of each before the restart.
    """
    during = [asyncio.create_task(client.follow(each)) for each in ids]
    resumed = [asyncio.create_task(client.follow(each, since=len(before[each]))) for each in ids]
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
    assert [order["status"] for order in stored] == ["cancelled"] + ["confirmed"] * 4
    assert stored[-1]["filledAmount"] == "1"
    assert lives == after == [order["updates"] for order in stored]
    assert lives == [before[each] + rest for each, rest in zip(ids, rests, strict=True)]


async def followed_until_they_wait(client: Client, ids: list[str]) -> dict[str, list[Json]]:
    """The updates of the orders until each rests or has executed its first slice."""
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
