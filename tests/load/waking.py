"""`uv run python -m tests.load.waking` measures how late a stack executes resting orders.

It lets limit, stop and oco orders of all pairs rest on the local stack, and follows them. The
oracle of `tests.load.resting` computes in which seconds each could execute.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from rich.console import Console

from functions.client import AsyncClient, Update
from functions.contract import unix_ms
from functions.orders.order import Order, Status
from infra.cli.command import exit_on_problem
from infra.cli.local import running_stack
from tests.load.machine import figures
from tests.load.resting import ORACLE_ORDERS, executable_in, random_order, second_at

ORDERS, SECONDS = 1_000, 60
LATE_SECONDS = 10  # after the measurement: for the execution of the orders woken by then
AVAILABLE_SECONDS = 3
POSTS_AT_ONCE = 6


class Watched(NamedTuple):
    """The orders that rested at the start, and when they were executed; market seconds."""

    orders: list[Order]
    executed: dict[str, int]  # by order id: the second of the route
    since: int
    until: int


async def watch(http_url: str, web_socket_url: str, key: str) -> Watched:
    """Let ORDERS orders rest, and record for SECONDS which of them execute."""
    drawn = random.Random(time.time_ns())
    placed: dict[str, Order] = {}
    rested: set[str] = set()
    executed: dict[str, int] = {}

    def record(update: Update) -> None:
        if update.status == Status.RESTING:
            rested.add(update.order_id)
        elif update.status == Status.BUILDING:
            executed.setdefault(update.order_id, second_at(unix_ms(update.timestamp)))

    async with AsyncClient(http_url, key, web_socket_url=web_socket_url) as client:

        async def follow() -> None:
            async for update in client.follow_all(since=datetime.now(UTC)):
                record(update)

        async def post(numbers: range) -> None:
            for number in numbers:
                order = random_order(drawn, number, time.time_ns() // 10**6, reach=0.02)
                if order is None:
                    continue
                posted = await client.submit(
                    order.token_in,
                    order.token_out,
                    order.amount,
                    type=order.type,
                    limit_price=order.limit_price,
                    stop_price=order.stop_price,
                )
                placed[posted.order_id] = order

        following = asyncio.create_task(follow())
        try:
            await asyncio.gather(
                *(post(range(first, ORDERS, POSTS_AT_ONCE)) for first in range(POSTS_AT_ONCE))
            )
            while placed.keys() - rested - executed.keys():
                await asyncio.sleep(1)
            since = second_at(time.time_ns() // 10**6)
            await asyncio.sleep(SECONDS)
            until = second_at(time.time_ns() // 10**6)
            await asyncio.sleep(LATE_SECONDS)
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
    orders = [
        order.model_copy(update={"order_id": order_id})
        for order_id, order in placed.items()
        if executed.get(order_id, since) >= since
    ]
    return Watched(orders, executed, since, until)


def main() -> None:
    """Print the lags behind the oracle; exit 1 if an order is early or missed."""
    argparse.ArgumentParser(prog="python -m tests.load.waking", description=__doc__).parse_args()
    console = Console()
    console.print("Starting the local stack …")
    with running_stack(context={"quoteErrorPpm": "0", "dropPpm": "0"}) as stack:
        console.print(f"Letting {ORDERS} orders rest, for {SECONDS} s …")
        watched = asyncio.run(watch(stack.http_url, stack.web_socket_url, stack.api_key))
    lags, early, missed = compared(watched)
    table = figures(
        "Resting orders on the local stack against the oracle",
        *("resting", "executed", "early", "missed", "lag p50", "lag p99", "lag max (s)"),
    )
    ranks = [lags[len(lags) // 2], lags[len(lags) * 99 // 100], lags[-1]] if lags else ["", "", ""]
    table.add_row(*map(str, (len(watched.orders), len(lags), early, missed, *ranks)))
    console.print(table)
    sys.exit(1 if early or missed else 0)


def compared(watched: Watched) -> tuple[list[int], int, int]:
    """The lags in seconds, and how many orders were executed early (without their price) or missed.

    A lag counts from the first second from which the price was available without interruption. An
    order is missed if its price was available for longer than AVAILABLE_SECONDS. All executed
    orders are compared, and ORACLE_ORDERS of the others, drawn at random.
    """
    lags, early, missed = [], 0, 0
    idle = [order for order in watched.orders if order.order_id not in watched.executed]
    for order in random.sample(idle, min(ORACLE_ORDERS, len(idle))):
        available = [executable_in(order, second) for second in range(watched.since, watched.until)]
        missed += any(len(list(run)) > AVAILABLE_SECONDS for yes, run in groupby(available) if yes)
    for order in watched.orders:
        if (executed := watched.executed.get(order.order_id)) is None:
            continue
        # The update is written after the venues have answered, which may be the next second.
        last = next((each for each in (executed, executed - 1) if executable_in(order, each)), None)
        if last is None:
            early += 1
            continue
        first = last
        while first > watched.since and executable_in(order, first - 1):
            first -= 1
        lags.append(executed - first)
    return sorted(lags), early, missed


if __name__ == "__main__":
    with exit_on_problem():
        main()
