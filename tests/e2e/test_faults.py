"""The deployed stack under faults: killed workers and cut connections."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.conftest import Target
from tests.orders import LIFE, is_complete
from tests.stack_client import Client, Json, Unanswered, follow_all, follow_with_cuts, receive

PROC = Path("/proc")
ORDERS = 200
FOLLOWERS = 20
KILLS = 6
KILL_APART_SECONDS = 1.0
SWEPT_SECONDS_MAX = 600  # the sweeper runs each minute; the rest is for a busy machine


@pytest.mark.emulator
async def test_two_hundred_orders_are_confirmed_though_workers_are_killed_and_connections_cut(
    target: Target, client: Client
) -> None:
    """Each order executes once, and each follower receives every update despite the cuts."""
    assert target.deployed
    if not PROC.exists():
        pytest.skip("the emulator's processes are found by Linux's /proc")
    made = asyncio.gather(*(client.accepted() for _ in range(ORDERS)))
    port = urlsplit(str(target.deployed.endpoint_url)).port
    killing = asyncio.create_task(_kill_workers_mid_swap(client, f"GATEWAY_PORT={port}"))
    ids = [order["orderId"] for order in await made]
    shares = [ids[number::FOLLOWERS] for number in range(FOLLOWERS)]
    async with asyncio.timeout(SWEPT_SECONDS_MAX):
        followed = await asyncio.gather(
            *(follow_with_cuts(client, share, random.Random(n)) for n, share in enumerate(shares)),
            _follow_more_until(killing, client),
        )
    assert await killing >= KILLS
    seen = {order_id: updates for share in followed for order_id, updates in share.items()}
    assert set(seen) >= set(ids)
    # A killed worker loses no status, and the next worker repeats none.
    assert [order_id for order_id, updates in seen.items() if not is_complete(updates)] == []
    stored = await asyncio.gather(*(client.read(order_id) for order_id in seen))
    assert {order["status"] for order in stored} == {"confirmed"}
    assert all(order["updates"] == seen[order["orderId"]] for order in stored)


async def test_a_subscriber_after_the_end_of_an_order_receives_all_its_updates(
    client: Client,
) -> None:
    order_id = (await client.accepted())["orderId"]
    assert is_complete(await client.follow(order_id))
    assert [update["status"] for update in await client.follow(order_id)] == LIFE


async def _kill_workers_mid_swap(client: Client, ours: str) -> int:
    """Kill workers whose transactions are under way; returns how many were killed."""
    killed, last = 0, 0.0
    while killed < KILLS:
        with suppress(ConnectionClosed, TimeoutError, Unanswered):
            async with client.socket() as socket:
                await follow_all(socket)
                while killed < KILLS:
                    message = await receive(socket)
                    if message.get("status") == "submitted" and time.monotonic() > last:
                        last = time.monotonic() + KILL_APART_SECONDS
                        for process in _workers(ours):
                            with suppress(ProcessLookupError):
                                os.kill(process, signal.SIGKILL)
                                killed += 1
    return killed


async def _follow_more_until(killing: asyncio.Task[int], client: Client) -> dict[str, list[Json]]:
    """Submit and follow more orders, so that a fast machine also has workers to kill."""
    seen: dict[str, list[Json]] = {}
    while not killing.done():
        order = await client.accepted()
        seen |= await follow_with_cuts(client, [order["orderId"]], random.Random(0))
    return seen


def _workers(ours: str) -> Iterator[int]:
    """The worker's processes in this emulator, recognised by their environment."""
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            names = [e for e in environment if e.startswith("AWS_LAMBDA_FUNCTION_NAME=")]
            if ours in environment and any("Worker" in name for name in names):
                yield int(folder.name)
