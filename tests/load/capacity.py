"""Capacity: `uv run python -m tests.load.capacity` computes the orders a second of one region.

It prints each quota divided by the need of one order, which is measured over moto as for
tests.load.money. It simulates a region at 3,000 orders a second (tests/load/region.py) with enough
settings and quotas, and prints its cost per hour. It simulates the queue under a burst, and
`--check` compares this with a real burst on a local stack.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from statistics import fmean

from rich.console import Console
from rich.table import Table

from functions.contract import BATCH_SIZE, OPEN_SHARDS, PUBLISHERS_PER_SHARD
from infra.cli.local import running_stack
from infra.costs import billed_ms, dollars, idle_month
from infra.settings import Settings
from tests.billing import ALARM_METRICS, ORDERS_INDEXES, index_write_units, write_units
from tests.load.__main__ import percentile
from tests.load.machine import figures, sources
from tests.load.money import (
    CALL_MS,
    CPU_MS,
    METRICS,
    PUSH_MS,
    Load,
    Measured,
    Memory,
    held_ms,
    idle_units,
    invocations,
    measured,
    of_one_order,
)
from tests.load.prices import PRICES
from tests.load.region import (
    DEFAULTS,
    GATEWAY,
    HOT_KEYS,
    LAMBDA,
    ON_DEMAND,
    PARTITION_WRITE_UNITS,
    POLLERS,
    POLLERS_AT_FIRST,
    POLLERS_MORE_PER_SECOND,
    SOCKETS,
    SOURCES,
    STREAMS,
    TABLES,
    Needs,
    Quotas,
    run,
)
from tests.load.run import Run, measure

BURST_ORDERS, BURST_SECONDS = 10_000, 10
CONCURRENCIES = (10, 20, 50, 100, 200, 1000)
CHECK_ORDERS, CHECK_CONCURRENCY, CHECK_AT_ONCE = 300, 20, 20


@dataclass(frozen=True)
class Traffic:
    """How many owners have orders, and how many orders one connection follows."""

    owners: int = 1
    orders_a_connection: int = 1


ONE_OWNER = Traffic()
# Enough for 3,000 orders a second beside 100,000 resting orders, of which the watcher wakes 2,300 a
# second that do not execute (tests.load.resting).
GOAL, WOKEN = 3_000, 2_300
GOAL_TRAFFIC = Traffic(owners=10, orders_a_connection=100)
GOAL_SETTINGS = Settings(
    version="",
    hold_ms=0,
    max_concurrency=500,
    throttle_rate=4_000,
    throttle_burst=8_000,
    max_open_orders=2_000,
)
GOAL_QUOTAS = Quotas(gateway_requests=30_000, warm_write_units=30_000)
GOAL_SECONDS = 600
# The shortest landing. With a lower holdMs the worker re-queues an order instead of waiting for it.
LANDING_MS_MIN = 2_000

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


def load_of(settings: Settings) -> Load:
    """A busy stack with these settings."""
    queued = settings.hold_ms < LANDING_MS_MIN
    return Load(worker_batch=BATCH_SIZE, publisher_batch=BATCH_SIZE, waits_queued=queued)


def needs_of(order: Measured, settings: Settings, traffic: Traffic) -> Needs:
    """The needs of one order on a busy stack."""
    memory = Memory(worker=settings.worker_memory_mb, others=settings.memory_mb)
    load = load_of(settings)
    seconds: dict[str, float] = defaultdict(float)
    for name, count, milliseconds, _ in invocations(order, load, memory):
        seconds[name.partition(",")[0]] += count * milliseconds / 1000
    units: list[dict[str, float]] = []
    for before, after in order.writes:
        units.append({"orders": write_units(before, after)})
        units[-1] |= index_write_units(before, after, ORDERS_INDEXES)
    work: dict[str, float] = defaultdict(float)
    for name, count in (each for write in units[1:] for each in write.items()):
        work[name] += count
    work["openOrders"] += idle_units(BATCH_SIZE)
    if load.waits_queued:  # the first write of the next message is refused, and charged
        work["orders"] += write_units(*order.writes[-1])
    judge_ms = billed_ms(
        cpu_ms=CPU_MS["worker"], memory_mb=settings.worker_memory_mb, waited_ms=CALL_MS
    )
    return Needs(
        requests=2,
        pushes=order.pushes,
        submit_units=units[0],
        work_units=dict(work),
        keys={
            "openOrders": len(OPEN_SHARDS),
            "openByOwner": traffic.owners,
            "byOwner": traffic.owners,
        },
        api_seconds=seconds["api"] + seconds["websocket"],
        worker_seconds=seconds["worker"],
        # If a batch pushes to one follower after another, it takes longest.
        publisher_seconds=max(seconds["publisher"], order.pushes * PUSH_MS / 1000),
        judge_seconds=judge_ms / 1000,
    )


def limits(
    order: Measured,
    settings: Settings,
    quotas: Quotas = DEFAULTS,
    traffic: Traffic = ONE_OWNER,
) -> list[Limit]:
    """All limits, the lowest first."""
    needs = needs_of(order, settings, traffic)
    units = {
        name: needs.submit_units.get(name, 0) + needs.work_units.get(name, 0)
        for name in needs.submit_units.keys() | needs.work_units.keys()
    }
    every = needs.api_seconds + needs.worker_seconds + needs.publisher_seconds
    open_seconds = held_ms(BATCH_SIZE) / 1000
    if load_of(settings).waits_queued:
        open_seconds += 1  # SQS delays by whole seconds
    partitions = quotas.warm_write_units / PARTITION_WRITE_UNITS
    found = [
        Limit(
            "workers at once (setting)",
            settings.max_concurrency,
            needs.worker_seconds,
            "-c maxConcurrency; -c holdMs=0",
            "",
        ),
        Limit(
            "open orders of the owners (setting)",
            settings.max_open_orders * traffic.owners,
            open_seconds,
            "-c maxOpenOrders",
            "",
        ),
        Limit("workers of one queue", 1_000, needs.worker_seconds, "-c holdMs=0", POLLERS),
        Limit(
            "Lambda concurrency", quotas.executions, every, "Lambda: concurrent executions", LAMBDA
        ),
        Limit("requests a second (setting)", settings.throttle_rate, 1, "-c throttleRate", ""),
        Limit(
            "API Gateway requests, messages, pushes",
            quotas.gateway_requests,
            needs.requests + needs.pushes,
            "API Gateway: throttle rate",
            GATEWAY,
        ),
        Limit(
            "orders table, write units",
            quotas.table_write_units,
            units["orders"],
            "DynamoDB: table write units",
            TABLES,
        ),
        Limit(
            "orders table, warm throughput",
            quotas.warm_write_units,
            units["orders"],
            "pre-warmed throughput",
            ON_DEMAND,
        ),
        Limit(
            f"openOrders, {len(OPEN_SHARDS)} keys",
            len(OPEN_SHARDS) * PARTITION_WRITE_UNITS,
            units["openOrders"],
            "more shards (OPEN_SHARDS)",
            HOT_KEYS,
        ),
        Limit(
            "openByOwner, a key for each owner",
            traffic.owners * PARTITION_WRITE_UNITS,
            units["openByOwner"],
            "more owners",
            HOT_KEYS,
        ),
        Limit(
            f"publishers, {partitions:.0f} stream shards",
            partitions * PUBLISHERS_PER_SHARD,
            needs.publisher_seconds,
            "grows with the table's partitions",
            STREAMS,
        ),
        Limit("messages in flight", 120_000, open_seconds, "SQS: in flight", _QUEUE),
        Limit(
            f"new connections, {traffic.orders_a_connection} orders each",
            quotas.new_connections,
            1 / traffic.orders_a_connection,
            "API Gateway: new connections a second",
            SOCKETS,
        ),
    ]
    return sorted(found, key=lambda limit: limit.orders_per_second)


@dataclass(frozen=True)
class Goal:
    """The last minute of the simulation with the goal's orders, and the lowest limit."""

    confirmed: float
    queue_seconds: float
    stream_seconds: float
    throttled: float
    executions: float  # the most of all seconds
    first: Limit

    @property
    def carried(self) -> bool:
        """Whether orders are executed and pushed without delay, and no limit is below the goal."""
        late = max(self.queue_seconds, self.stream_seconds)
        return self.confirmed > 0.999 * GOAL and late < 2 and self.first.orders_per_second >= GOAL


def goal(order: Measured, settings: Settings, quotas: Quotas) -> Goal:
    """Simulate the goal's orders in a region that was quiet."""
    needs = needs_of(order, settings, GOAL_TRAFFIC)
    seconds = run(needs, settings, quotas, rate=GOAL, seconds=GOAL_SECONDS, woken=WOKEN)
    last = seconds[-60:]
    confirmed = fmean(each.confirmed for each in last)
    return Goal(
        confirmed=confirmed,
        queue_seconds=last[-1].oldest_seconds,
        stream_seconds=last[-1].unpublished / max(confirmed, 1),
        throttled=fmean(each.throttled for each in last),
        executions=max(each.executions for each in seconds),
        first=limits(order, settings, quotas, GOAL_TRAFFIC)[0],
    )


def cost_of_an_hour(order: Measured, settings: Settings) -> float:
    """Dollars for an hour of the goal's orders, fixed costs and the watcher included."""
    memory = Memory(worker=settings.worker_memory_mb, others=settings.memory_mb)
    orders = dollars(of_one_order(order, load_of(settings), memory)) * GOAL * 3600
    fixed = dollars(idle_month(memory.others, alarms=ALARM_METRICS, metrics=METRICS)) / (30 * 24)
    judged = (
        WOKEN
        * 3600
        * (
            PRICES["gb_second"].each
            * needs_of(order, settings, GOAL_TRAFFIC).judge_seconds
            * settings.worker_memory_mb
            / 1024
            + PRICES["read_unit"].each
            + PRICES["sqs_request"].each * 3 / BATCH_SIZE
        )
    )
    watcher = PRICES["gb_second"].each * 3600 * Settings.watcher_memory_mb / 1024
    return orders + fixed + judged + watcher


@dataclass(frozen=True)
class Drain:
    """The result of a burst: its seconds, each order's wait in seconds, and the batches."""

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

    A free poller receives a batch of up to ten waiting orders, and is free again when all of them
    have ended. Lambda starts with `at_first` pollers and adds more, up to `concurrency`.
    """
    begun = arrivals[0]
    free = [
        begun + max(0, number - at_first + 1) / more_per_second for number in range(concurrency)
    ]
    heapify(free)
    waits: list[float] = []
    received = batches = 0
    last = begun
    while received < len(arrivals):
        now = max(heappop(free), arrivals[received])
        ends = now + held_seconds
        batch = 0
        while batch < BATCH_SIZE and received < len(arrivals) and arrivals[received] <= now:
            waits.append(ends - arrivals[received])
            received, batch = received + 1, batch + 1
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


def goal_table(order: Measured) -> Table:
    """The goal with the defaults, and with one raised setting or quota after the other."""
    title = f"{GOAL:,} orders/s of {GOAL_TRAFFIC.owners} owners, after {GOAL_SECONDS // 60} minutes"
    columns = ("confirmed/s", "queue (s)", "stream (s)", "throttled", "executions", "$ an hour")
    table = figures(title, "", *columns, "next limit")
    table.columns[-1].justify = "left"
    warm = Quotas(warm_write_units=GOAL_QUOTAS.warm_write_units)
    for name, settings, quotas in (
        ("as deployed", Settings(version=""), DEFAULTS),
        ("with the settings", GOAL_SETTINGS, DEFAULTS),
        ("and a pre-warmed table", GOAL_SETTINGS, warm),
        ("and API Gateway's quota", GOAL_SETTINGS, GOAL_QUOTAS),
    ):
        found = goal(order, settings, quotas)
        table.add_row(
            name,
            f"{found.confirmed:,.0f}",
            f"{found.queue_seconds:,.0f}",
            f"{found.stream_seconds:,.0f}",
            f"{found.throttled:.0%}",
            f"{found.executions:,.0f}",
            f"{cost_of_an_hour(order, settings):,.0f}" if found.carried else "",
            f"{found.first.name}: {found.first.orders_per_second:,.0f}",
        )
    return table


def limits_table(found: list[Limit]) -> Table:
    table = figures("Limits, the lowest first", "limit", "quota", "an order", "orders/s", "raise")
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
    """A measured run beside the simulation of its arrivals with all pollers from the start."""
    arrivals = sorted(answered for _, answered in run.posted.values())
    ends = {order_id: updates[-1]["_received"] for order_id, updates in run.updates.items()}
    waits = [ends[order_id] - answered for order_id, (_, answered) in run.posted.items()]
    measured_drain = Drain(max(ends.values()) - arrivals[0], waits, 0)
    expected = simulate(arrivals, CHECK_CONCURRENCY, held_seconds, at_first=CHECK_CONCURRENCY)
    title = f"{len(arrivals)} orders at maxConcurrency {CHECK_CONCURRENCY}"
    table = figures(title, "", "drained (s)", "p50 (s)", "p99 (s)", "orders/s")
    table.add_row("simulated", *_cells(expected))
    table.add_row("measured", *_cells(measured_drain))
    return table


def check(console: Console) -> Run:
    """Run a burst on a local stack, after a first one that starts its functions."""
    console.print("Starting the local stack …")
    context = {
        "latencyScale": "1",
        "maxConcurrency": str(CHECK_CONCURRENCY),
        "quoteErrorPpm": "0",
        "dropPpm": "0",
    }
    with running_stack(context=context) as stack:
        for orders in (200, CHECK_ORDERS):
            console.print(f"Posting {orders} orders, {CHECK_AT_ONCE} at once …")
            where = (stack.http_url, stack.web_socket_url, stack.api_key)
            run = asyncio.run(measure(*where, orders, CHECK_AT_ONCE))
        return run


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
    console.print(limits_table(found), goal_table(order), burst_table(held_seconds))
    pages = [*SOURCES, *(limit.source for limit in found)]
    console.print(sources(pages), soft_wrap=True, highlight=False)
    if arguments.check:
        console.print(check_table(check(console), held_seconds))


if __name__ == "__main__":
    main()
