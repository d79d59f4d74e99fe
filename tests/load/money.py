"""Money: `uv run python -m tests.load.money` prices a million market orders, service by service.

The needs of an order (AWS calls, write units with their index writes, pushes, log lines) are
measured over moto, by an order that passes through the handlers. The billed time is that of the
simulated venues plus the CPU that `tests.load.cpu` measured, on Lambda's share of a core. The
prices are those of infra/costs.py. Each order has one follower, whose connection counts for a
minute. Orders are stored for a month.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from math import ceil
from statistics import fmean
from uuid import UUID

from rich.console import Console
from rich.table import Table

import tests.conftest  # noqa: F401 - the settings, before the handlers read them
from functions.orders.stored import IDLE_GRID_MS
from functions.simulation.network import BUILDING_MS
from infra.costs import (
    GB,
    READ_ON,
    REGION,
    Usage,
    billed_ms,
    dollars,
    gb_seconds,
    idle_month,
)
from infra.settings import Settings
from infra.stack.compute import PUBLISHER_MB
from tests.billing import (
    ALARM_METRICS,
    ORDERS_INDEXES,
    STORED_OVERHEAD_BYTES,
    Item,
    all_write_units,
    index_write_units,
    item_bytes,
    write_units,
)
from tests.load.machine import figures, sources
from tests.load.prices import PRICES
from tests.load.simulated import batch_ms, quoting_ms
from tests.recording import Call, recorded_world

MILLION = 1_000_000
MONTH_HOURS = 730
METRICS = 8  # custom metrics that have data when market orders are executed
# CPU of an invocation, for the publisher of a record, for the worker of an order (tests.load.cpu,
# 2026-11-22). The worker needs 1.6 times the CPU of its calls alone, which is 2.8 ms (2026-11-28,
# in a batch). Lambda gives a whole core at 1,769 MB.
CPU_MS = {"api": 1.6, "websocket": 0.6, "publisher": 0.4, "worker": 4.5}
BATCH_CPU_MS = 0.3  # of an invocation of the worker, without its orders
CALL_MS = 8.0  # assumed for one AWS call in the region; the handlers make theirs in sequence
PUSH_MS = 12.0  # assumed for one call of the stage's @connections endpoint
ACCESS_LOG_BYTES = 400  # assumed for one line of a gateway's access log


@dataclass(frozen=True)
class Measured:
    """The measured needs of one order over moto."""

    api_calls: int
    websocket_calls: int
    worker_calls: int
    queue_sends: int
    records: int
    pushes: int
    writes: list[tuple[Item | None, Item]]
    other_writes: int
    reads: float
    log_bytes: int
    shared_log_bytes: int  # lines of metrics, which each batch writes once

    @property
    def write_units(self) -> int:
        return sum(all_write_units(*write) for write in self.writes) + self.other_writes

    @property
    def index_units(self) -> int:
        each = (index_write_units(before, after, ORDERS_INDEXES) for before, after in self.writes)
        return sum(sum(units.values()) for units in each)

    @property
    def stored_bytes(self) -> int:
        """The bytes of the ended order and its entries in the indexes."""
        ended = self.writes[-1][1]
        entries = [entry for index in ORDERS_INDEXES if (entry := index.entry(ended))]
        return sum(item_bytes(item) + STORED_OVERHEAD_BYTES for item in (ended, *entries))


@dataclass(frozen=True)
class Load:
    """The sizes of batches, and whether the worker re-queues an order while it lands."""

    worker_batch: int = 1
    publisher_batch: int = 1
    waits_queued: bool = False


QUIET = Load()
BUSY = Load(worker_batch=10, publisher_batch=10)


@dataclass(frozen=True)
class Memory:
    """The memory of the functions, in MB."""

    worker: int
    others: int
    publisher: int = PUBLISHER_MB


def measured() -> Measured:
    """Measure one order of a busy owner."""
    with recorded_world() as recorded:
        recorded.order()
        recorded.recorder.take()
        known = len(recorded.images())
        before = len(recorded.logs.getvalue())
        recorded.order()
        logs = recorded.logs.getvalue()[before:]
        return _measured(recorded.images()[known:], recorded.recorder.take(), logs)


def _measured(images: list[tuple[Item | None, Item]], calls: list[Call], logs: str) -> Measured:
    def count(function: str) -> int:
        return sum(call.function == function for call in calls)

    shared = sum(len(line) for line in logs.splitlines() if '"_aws"' in line)
    writing = {"PutItem", "UpdateItem", "DeleteItem"}
    return Measured(
        api_calls=count("submit"),
        websocket_calls=count("subscribe"),
        worker_calls=count("work"),
        queue_sends=sum(call.operation == "SendMessage" for call in calls),
        records=len(images),
        pushes=sum(call.operation == "PostToConnection" for call in calls),
        writes=images,
        other_writes=sum(
            call.operation in writing and call.given["TableName"] != "orders" for call in calls
        ),
        reads=sum(call.read_units for call in calls),
        log_bytes=len(logs) - shared,
        shared_log_bytes=shared,
    )


# --- an order ---------------------------------------------------------------------------------


def held_ms(batch: int, *, samples: int = 400, seed: int = 0) -> float:
    """The average milliseconds for which the simulated venues hold a worker's batch."""
    drawn = random.Random(seed)
    return fmean(
        batch_ms(
            [str(UUID(int=drawn.getrandbits(128))) for _ in range(batch)],
            drawn.randrange(4 * 10**11, 4 * 10**12),
        )
        for _ in range(samples)
    )


def idle_units(batch: int) -> float:
    """Write units of an order for its idleSince, which a busy worker renews every IDLE_GRID_MS.

    `measured` counts none of them, because an order takes no time over moto. A changed key is two
    writes to the openOrders index.
    """
    return 2 * held_ms(batch) / IDLE_GRID_MS


def quoted_ms(batch: int, *, samples: int = 400, seed: int = 0) -> float:
    """The average milliseconds until the orders of a worker's batch are quoted and signed."""
    drawn = random.Random(seed)
    ids = ([str(UUID(int=drawn.getrandbits(128))) for _ in range(batch)] for _ in range(samples))
    return BUILDING_MS + fmean(max(map(quoting_ms, batch_ids)) for batch_ids in ids)


def of_one_order(order: Measured, load: Load, memory: Memory) -> Usage:
    """The usage of one order."""
    usage: dict[str, float] = defaultdict(float)
    usage["http_request"] = 1
    usage["message"] = 1 + order.pushes
    usage["connection_minute"] = 1
    usage["write_unit"] = order.write_units + idle_units(load.worker_batch)
    usage["read_unit"] = order.reads
    usage["stored_gb_month"] = usage["recoverable_gb_month"] = order.stored_bytes / GB
    log_bytes = order.log_bytes + 2 * ACCESS_LOG_BYTES
    log_bytes += round(order.shared_log_bytes / load.publisher_batch)
    usage["sqs_request"] = order.queue_sends + 2 / load.worker_batch
    for function, runs, milliseconds, memory_mb in invocations(order, load, memory):
        usage["invocation"] += runs
        usage["gb_second"] += runs * gb_seconds(milliseconds, memory_mb)
        if function == "worker, again":
            # Another message continues the order. The worker's first write is refused: it returns
            # the stored order, and costs as much as a write.
            usage["sqs_request"] += 1 + 2 / load.worker_batch
            usage["write_unit"] += write_units(*order.writes[-1])
    usage["log_gb"] = log_bytes / GB
    return dict(usage)


def invocations(order: Measured, load: Load, memory: Memory) -> list[tuple[str, float, float, int]]:
    """Function, runs per order, milliseconds per run, MB."""
    batch = load.worker_batch
    records = load.publisher_batch
    once = {
        "api": (1.0, order.api_calls * CALL_MS, CPU_MS["api"]),
        "websocket": (1.0, order.websocket_calls * CALL_MS, CPU_MS["websocket"]),
        "publisher": (order.records / records, PUSH_MS, CPU_MS["publisher"] * records),
    }
    found = []
    for name, (runs, waited, cpu) in once.items():
        memory_mb = memory.publisher if name == "publisher" else memory.others
        billed = billed_ms(cpu_ms=cpu, memory_mb=memory_mb, waited_ms=waited)
        found.append((name, runs, billed, memory_mb))
    calls_ms = order.worker_calls * CALL_MS
    cpu_ms = CPU_MS["worker"] * batch + BATCH_CPU_MS
    if load.waits_queued:
        waits = {"worker": quoted_ms(batch) + calls_ms, "worker, again": 2 * CALL_MS}
    else:
        waits = {"worker": held_ms(batch) + calls_ms}
    found += [
        (
            name,
            1 / batch,
            billed_ms(cpu_ms=cpu_ms / len(waits), memory_mb=memory.worker, waited_ms=waited),
            memory.worker,
        )
        for name, waited in waits.items()
    ]
    return found


def by_service(usage: Usage) -> dict[str, float]:
    """Dollars by service, the most expensive first."""
    services: dict[str, float] = defaultdict(float)
    for name, units in usage.items():
        services[PRICES[name].service] += PRICES[name].each * units
    return dict(sorted(services.items(), key=lambda each: -each[1]))


# --- a month, and a stack that is always on ---------------------------------------------------

DAY_SECONDS = 24 * 3600
BUSY_FROM = 10.0  # orders a second from which batches are assumed to be full
TASK_VCPU, TASK_GB, TASKS = 0.5, 1.0, 2
ADDRESSES = 4  # two tasks and a load balancer in two zones, without a NAT gateway
POSTGRES_GB = 20
REDIS_NODES = 2
# Two tasks of half a core each at 60 %; an order takes about 12 ms of a core, as here.
ALWAYS_ON_ORDERS_PER_SECOND = 50


def load_of(orders_a_day: float) -> Load:
    """The load of a day with evenly spread orders; batches are full from BUSY_FROM on."""
    rate = orders_a_day / DAY_SECONDS
    batch = 10 if rate >= BUSY_FROM else 1
    return Load(worker_batch=batch, publisher_batch=batch)


def cost_of_a_month(order: Measured, orders_a_day: float, memory: Memory, fixed: Usage) -> float:
    """Dollars for thirty such days, fixed costs included."""
    each = dollars(of_one_order(order, load_of(orders_a_day), memory))
    return 30 * orders_a_day * each + dollars(fixed)


def always_on() -> Usage:
    """The smallest sensible always-on stack for a month: two tasks behind one load balancer."""
    return {
        "vcpu_hour": TASKS * TASK_VCPU * MONTH_HOURS,
        "gb_hour": TASKS * TASK_GB * MONTH_HOURS,
        "balancer_hour": MONTH_HOURS,
        "balancer_unit_hour": MONTH_HOURS,
        "postgres_hour": MONTH_HOURS,
        "postgres_gb_month": POSTGRES_GB,
        "redis_hour": REDIS_NODES * MONTH_HOURS,
        "address_hour": ADDRESSES * MONTH_HOURS,
    }


def always_on_month(orders_a_day: float = 0) -> float:
    """Dollars a month of the always-on stacks that so many orders, evenly spread, need."""
    stacks = max(1, ceil(orders_a_day / DAY_SECONDS / ALWAYS_ON_ORDERS_PER_SECOND))
    return stacks * sum(by_service(always_on()).values())


def break_even(order: Measured, memory: Memory, fixed: Usage) -> int:
    """The orders a day from which the smallest always-on stack is cheaper."""
    low, high = 0.0, 10.0 * MILLION
    while high - low > 1:
        middle = (low + high) / 2
        if cost_of_a_month(order, middle, memory, fixed) < always_on_month():
            low = middle
        else:
            high = middle
    return round(high)


# --- tables -----------------------------------------------------------------------------------


@dataclass
class Bill:
    """The figures from which the tables are computed."""

    order: Measured
    memory: Memory
    fixed: Usage
    loads: dict[str, Load] = field(
        default_factory=lambda: {
            "quiet": QUIET,
            "quiet, holdMs 0": replace(QUIET, waits_queued=True),
            "busy": BUSY,
            "busy, holdMs 0": replace(BUSY, waits_queued=True),
        }
    )


def million_table(bill: Bill) -> Table:
    """Dollars of a million orders, a service a row."""
    table = figures(f"A million orders ($, {REGION})", "service", *bill.loads)
    usages = [of_one_order(bill.order, load, bill.memory) for load in bill.loads.values()]
    columns = [by_service(usage) for usage in usages]
    for service in {service: None for column in columns for service in column}:
        table.add_row(service, *(f"{column.get(service, 0) * MILLION:.2f}" for column in columns))
    table.add_section()
    table.add_row("in all", *(f"{dollars(usage) * MILLION:.2f}" for usage in usages))
    return table


def usage_table(bill: Bill) -> Table:
    """Units of one order and what each costs a million times."""
    columns = (
        "unit",
        "an order, quiet",
        "$ a million",
        "an order, busy",
        "$ a million",
        "$ each per",
    )
    table = figures("What an order uses", *columns)
    quiet = of_one_order(bill.order, QUIET, bill.memory)
    busy = of_one_order(bill.order, BUSY, bill.memory)
    for name, units in quiet.items():
        price = PRICES[name]
        table.add_row(
            price.unit,
            f"{units:.3g}",
            f"{units * price.each * MILLION:.2f}",
            f"{busy[name]:.3g}",
            f"{busy[name] * price.each * MILLION:.2f}",
            f"{price.dollars:g} / {price.per:,.0f}",
        )
    return table


def months_table(bill: Bill) -> Table:
    """The month's bill by orders a day, beside the always-on stack."""
    table = figures("A month ($)", "orders a day", "this stack", "always on", "of which stacks")
    for orders in (0, 1_000, 100_000, MILLION, 10 * MILLION):
        ours = cost_of_a_month(bill.order, orders, bill.memory, bill.fixed)
        theirs = always_on_month(orders)
        table.add_row(
            f"{orders:,}",
            f"{ours:,.2f}",
            f"{theirs:,.2f}",
            f"{theirs / always_on_month():.0f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.money", description=__doc__)
    settings = Settings(version="")
    worker_mb, others_mb = settings.worker_memory_mb, settings.memory_mb
    parser.add_argument("--worker-memory", type=int, default=worker_mb, help=f"MB ({worker_mb})")
    memory = Memory(worker=parser.parse_args().worker_memory, others=others_mb)
    fixed = idle_month(memory.others, alarms=ALARM_METRICS, metrics=METRICS)
    bill = Bill(measured(), memory, fixed)
    console = Console()
    console.print(million_table(bill), usage_table(bill), months_table(bill))
    order = bill.order
    console.print(
        f"Write units of an order: {order.write_units}, {order.index_units} of them the indexes'. "
        f"An ended order is stored in {order.stored_bytes:,} bytes, and logs "
        f"{order.log_bytes + order.shared_log_bytes:,}.",
        f"The smallest always-on stack carries about {ALWAYS_ON_ORDERS_PER_SECOND} orders/s for "
        f"${always_on_month():.0f} a month; below {break_even(order, memory, fixed):,} orders a "
        f"day this one is cheaper.",
        f"Prices of {READ_ON}, {REGION}, without free tiers and data transfer; worker "
        f"{memory.worker} MB, others {memory.others} MB.",
        sep="\n",
    )
    console.print(sources(price.source for price in PRICES.values()), highlight=False)


if __name__ == "__main__":
    main()
