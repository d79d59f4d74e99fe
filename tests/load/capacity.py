"""Capacity: `uv run python -m tests.load.capacity` says how many orders a second a region carries.

On paper: each default quota over what one order needs of it (measured over moto, as for the
money), and a simulation of the queue under a burst, with Lambda's pollers as AWS describes them:
five at first, up to 300 more a minute. `--check` runs a real burst on a local stack beside it.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from rich.console import Console
from rich.table import Table

from functions.contract import BATCH_SIZE, PUBLISHERS_PER_SHARD
from infra.cli.local import running_stack
from infra.settings import Settings
from tests.e2e.client import Client
from tests.load.__main__ import Run, measure, percentile
from tests.load.machine import figures, sources
from tests.load.money import (
    CALL_MS,
    PUSH_MS,
    Load,
    Measured,
    Memory,
    held_ms,
    idle_units,
    invocations,
    measured,
)
from tests.load.units import ORDERS_INDEXES, index_write_units, write_units

POLLERS_AT_FIRST = 5
POLLERS_MORE_PER_SECOND = 300 / 60
BURST_ORDERS, BURST_SECONDS = 10_000, 10
CONCURRENCIES = (10, 20, 50, 100, 200, 1000)
CHECK_ORDERS, CHECK_CONCURRENCY, CHECK_AT_ONCE = 300, 20, 20

_GATEWAY = "docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"
_SOCKETS = (
    "docs.aws.amazon.com/apigateway/latest/developerguide/"
    "apigateway-execution-service-websocket-limits-table.html"
)
_LAMBDA = "docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_PULLED = "docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"
_TABLES = "docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html"
_NEW_TABLE = "repost.aws/knowledge-center/on-demand-table-throttling-dynamodb"
_QUEUE = "docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"


@dataclass(frozen=True)
class Limit:
    """A quota, per second or at once, and the part of it that one order needs."""

    name: str
    quota: float
    needed: float
    raise_by: str
    source: str

    @property
    def orders_per_second(self) -> float:
        return self.quota / self.needed


def limits(order: Measured, settings: Settings) -> list[Limit]:
    """All limits; the one that is reached first comes first."""
    memory = Memory(worker=settings.worker_memory_mb, others=settings.memory_mb)
    busy = Load(worker_batch=BATCH_SIZE, publisher_batch=BATCH_SIZE)
    runs = invocations(order, busy, memory)
    seconds = {name: count * milliseconds / 1000 for name, count, milliseconds, _ in runs}
    own = sum(write_units(before, after) for before, after in order.writes)
    index = {each.name: 0 for each in ORDERS_INDEXES}
    for before, after in order.writes:
        for name, units in index_write_units(before, after, ORDERS_INDEXES).items():
            index[name] += units
    open_orders = index["openOrders"] + idle_units(BATCH_SIZE)
    shards, new_table = 4, 4_000
    found = [
        Limit(
            "workers at once (ours)",
            settings.max_concurrency,
            seconds["worker"],
            "-c maxConcurrency",
            "",
        ),
        Limit(
            "open orders of one owner (ours)",
            settings.max_open_orders,
            held_ms(BATCH_SIZE) / 1000,
            "-c maxOpenOrders",
            "",
        ),
        Limit("workers of one queue", 1_000, seconds["worker"], "a second queue", _PULLED),
        Limit(
            "Lambda concurrency",
            1_000,
            sum(seconds.values()),
            "Lambda: concurrent executions",
            _LAMBDA,
        ),
        Limit("requests a second (ours)", settings.throttle_rate, 1, "-c throttleRate", ""),
        Limit(
            "API Gateway requests, messages, pushes",
            10_000,
            2 + order.pushes,
            "API Gateway: throttle rate",
            _GATEWAY,
        ),
        Limit(
            "new connections, if each order has one",
            500,
            1,
            "API Gateway: new connections a second",
            _SOCKETS,
        ),
        Limit("orders table, write units", 40_000, own, "DynamoDB: table write units", _TABLES),
        Limit("orders table while new", new_table, own, "pre-warmed throughput", _NEW_TABLE),
        Limit(
            "openOrders, 8 partitions of 1,000 units",
            8_000,
            open_orders,
            "more shards (OPEN_SHARDS)",
            _NEW_TABLE,
        ),
        Limit(
            "openByOwner, the partition of one owner",
            1_000,
            index["openByOwner"],
            "for one owner only: none",
            _NEW_TABLE,
        ),
        Limit(
            "publishers, 4 stream shards at first",
            shards * PUBLISHERS_PER_SHARD,
            order.pushes * PUSH_MS / 1000,
            "grows with the table's partitions",
            "",
        ),
        Limit("messages in flight", 120_000, held_ms(BATCH_SIZE) / 1000, "SQS: in flight", _QUEUE),
    ]
    return sorted(found, key=lambda limit: limit.orders_per_second)


@dataclass(frozen=True)
class Drain:
    """The result of a burst: seconds from its first order, and to each order's confirmation."""

    seconds: float
    waits: list[float]
    batches: int


def simulate(
    arrivals: Sequence[float],
    concurrency: int,
    held_seconds: float,
    *,
    at_first: int = POLLERS_AT_FIRST,
    more_per_second: float = POLLERS_MORE_PER_SECOND,
) -> Drain:
    """Simulate the queue under orders that arrive at these times (seconds, ascending).

    A free poller takes up to ten waiting orders at once and holds them together. Lambda adds
    pollers to the first ones over time, up to `concurrency`.
    """
    begun = arrivals[0]
    free = [
        begun + max(0, number - at_first + 1) / more_per_second for number in range(concurrency)
    ]
    heapify(free)
    waits: list[float] = []
    taken = batches = 0
    last = begun
    while taken < len(arrivals):
        now = max(heappop(free), arrivals[taken])
        ends = now + held_seconds
        batch = 0
        while batch < BATCH_SIZE and taken < len(arrivals) and arrivals[taken] <= now:
            waits.append(ends - arrivals[taken])
            taken, batch = taken + 1, batch + 1
        heappush(free, ends)
        batches += 1
        last = max(last, ends)
    return Drain(last - begun, waits, batches)


def burst(orders: int, seconds: float) -> list[float]:
    """The arrival times of orders that are spread evenly over some seconds."""
    return [number * seconds / orders for number in range(orders)]


def batch_seconds(order: Measured) -> float:
    """The seconds for which a worker holds a full batch, its AWS calls included."""
    return (held_ms(BATCH_SIZE) + order.worker_calls * CALL_MS) / 1000


def limits_table(found: list[Limit]) -> Table:
    table = figures("What breaks first", "limit", "quota", "an order", "orders/s", "raise")
    table.columns[-1].justify = "left"
    for limit in found:
        table.add_row(
            limit.name,
            f"{limit.quota:,.0f}",
            f"{limit.needed:.3g}",
            f"{limit.orders_per_second:,.0f}",
            limit.raise_by,
        )
    return table


def burst_table(held_seconds: float) -> Table:
    """The burst at each concurrency."""
    title = f"{BURST_ORDERS:,} orders in {BURST_SECONDS} s, simulated"
    table = figures(title, "maxConcurrency", "drained (s)", "p50 (s)", "p99 (s)", "orders/s")
    for concurrency in CONCURRENCIES:
        arrivals = burst(BURST_ORDERS, BURST_SECONDS)
        table.add_row(str(concurrency), *_cells(simulate(arrivals, concurrency, held_seconds)))
    return table


def _cells(drain: Drain) -> list[str]:
    return [
        f"{drain.seconds:.1f}",
        f"{percentile(drain.waits, 0.5):.1f}",
        f"{percentile(drain.waits, 0.99):.1f}",
        f"{len(drain.waits) / drain.seconds:.1f}",
    ]


def check_table(run: Run, held_seconds: float) -> Table:
    """A run on this machine beside the simulation of its arrivals, all pollers from the start."""
    arrivals = sorted(answered for _, answered in run.posted.values())
    ends = {order_id: updates[-1]["_received"] for order_id, updates in run.updates.items()}
    waits = [ends[order_id] - answered for order_id, (_, answered) in run.posted.items()]
    seen = Drain(max(ends.values()) - arrivals[0], waits, 0)
    expected = simulate(arrivals, CHECK_CONCURRENCY, held_seconds, at_first=CHECK_CONCURRENCY)
    title = f"{len(arrivals)} orders at maxConcurrency {CHECK_CONCURRENCY}"
    table = figures(title, "", "drained (s)", "p50 (s)", "p99 (s)", "orders/s")
    table.add_row("simulated", *_cells(expected))
    table.add_row("measured", *_cells(seen))
    return table


def check(console: Console) -> Run:
    """A burst on a local stack, after a burst that warms it."""
    console.print("Starting the local stack …")
    context = {
        "latencyScale": "1",
        "maxConcurrency": str(CHECK_CONCURRENCY),
        "quoteErrorPpm": "0",
        "dropPpm": "0",
    }
    with running_stack(context=context) as stack:

        async def go() -> Run:
            client = Client(stack.http_url, stack.web_socket_url, stack.api_key)
            try:
                for orders in (200, CHECK_ORDERS):
                    console.print(f"Posting {orders} orders, {CHECK_AT_ONCE} at once …")
                    run = await measure(client, orders, CHECK_AT_ONCE)
                return run
            finally:
                await client.close()

        return asyncio.run(go())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.capacity", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help=f"run {CHECK_ORDERS} orders on a local stack as well"
    )
    arguments = parser.parse_args()
    console = Console()
    order = measured()
    held_seconds = batch_seconds(order)
    found = limits(order, Settings(version=""))
    console.print(limits_table(found), burst_table(held_seconds))
    console.print(sources(limit.source for limit in found), soft_wrap=True, highlight=False)
    if arguments.check:
        console.print(check_table(check(console), held_seconds))


if __name__ == "__main__":
    main()
