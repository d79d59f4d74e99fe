"""Resting orders: `uv run python -m tests.load.resting` measures when they execute, and their cost.

Watcher and worker run unchanged, on a virtual clock, over DynamoDB and SQS in memory. The market
is a pure function of time, so the oracle computes the first second in which each order can execute:
from the routes of every second, without the keys that wake the order.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from base64 import b64encode
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heappop, heappush
from io import StringIO
from itertools import permutations
from statistics import median
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

import tests.conftest  # noqa: F401 - the settings, before the handlers read them
from functions import runtime, watcher, worker
from functions.contract import unix_ms, wake_key
from functions.dex import router, tokens
from functions.dex.errors import NoRoutesFound
from functions.orders import waiting
from functions.orders.order import Order, OrderType, Status, first_update, order_of, routing_update
from functions.orders.stored import entry_of, index_keys, new_item, stored_order
from functions.simulation import market
from functions.simulation.network import Network
from functions.store import orders, queue, resting
from infra.costs import (
    GB,
    MONTH_SECONDS,
    Usage,
    billed_ms,
    dollars,
    gb_seconds,
)
from infra.settings import Settings
from tests.billing import STORED_OVERHEAD_BYTES, all_write_units, item_bytes
from tests.clock import VirtualClock
from tests.cloud import Cloud, Table
from tests.load.machine import figures
from tests.recording import logged_to
from tests.world import Context, in_memory

BEGIN_MS = 1_760_000_000_200
QUEUE_MS = 300  # from a message's sending to its worker's first step
PAGE = 1000
PAIRS = list(permutations(tokens.TOKENS, 2))
ORACLE_ORDERS = 300  # at most this many orders of a run are compared with the oracle
WAKE_INDEXES = ("wakeAbove", "wakeBelow")
Json = dict[str, Any]


@dataclass
class SortedTable(Table):
    """A table that keeps only the current items, with sorted wake indexes."""

    def __post_init__(self) -> None:
        self.sorted: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        self.write_units = 0

    def put(self, key: tuple[str, ...], item: Json | None, now_ms: int) -> None:
        before = self.get(key)
        for index in WAKE_INDEXES:
            old, new = (_entry(index, each) for each in (before, item))
            if old == new:
                continue
            if old:
                entries = self.sorted[old[0]]
                del entries[bisect_left(entries, old[1])]
            if new:
                insort(self.sorted[new[0]], new[1])
        self.history[key] = [(now_ms, item)]
        self.write_units += all_write_units(before, item or {})


def _entry(index: str, item: Json | None) -> tuple[tuple[str, str], tuple[str, str]] | None:
    if item is None or index not in item:
        return None
    return (index, item["wakePair"]["S"]), (item[index]["S"], item["orderId"]["S"])


@dataclass
class SortedCloud(Cloud):
    """A cloud that counts its calls; a query of a wake index reads only the returned entries."""

    def __post_init__(self) -> None:
        known = self.tables["orders"]
        self.tables["orders"] = SortedTable(known.keys, known.indexes)
        self.calls: Counter[str] = Counter()

    def answer(self, operation: str, body: Json) -> Json:
        self.calls[operation] += 1
        if operation == "GetItem":
            return self._get(body)  # the most frequent call, without the dictionary of operations
        return super().answer(operation, body)

    def _query(self, body: Json) -> Json:
        index = body.get("IndexName")
        table = self.tables["orders"]
        if index not in WAKE_INDEXES or not isinstance(table, SortedTable):
            return super()._query(body)
        values = body["ExpressionAttributeValues"]
        pair = values[":pair"]["S"]
        entries = table.sorted[index, pair]
        until = values.get(":until", {}).get("S")
        rising = body["ScanIndexForward"]
        start, stop = 0, len(entries)
        if until is not None and rising:
            stop = bisect_right(entries, (until, "\uffff"))
        elif until is not None:
            start = bisect_left(entries, (until, ""))
        if after := body.get("ExclusiveStartKey"):
            place = (after[index]["S"], after["orderId"]["S"])
            if rising:
                start = bisect_right(entries, place)
            else:
                stop = bisect_left(entries, place)
        size = body.get("Limit", PAGE)
        found = (
            entries[start:stop][:size] if rising else entries[max(start, stop - size) : stop][::-1]
        )
        items = [
            {"wakePair": {"S": pair}, index: {"S": key}, "orderId": {"S": order_id}}
            for key, order_id in found
        ]
        more = {"LastEvaluatedKey": items[-1]} if len(found) < stop - start else {}
        return {"Items": items, "Count": len(items), **more}


class Clock(VirtualClock):
    """A clock whose sleeps call `pass_to` with the time (Unix ms) at which they end."""

    def __init__(self) -> None:
        super().__init__(BEGIN_MS)
        self.pass_to: Callable[[int], None] = self.set

    def sleep(self, seconds: float) -> None:
        self.pass_to(self.at_ms + round(seconds * 1000))

    def set(self, at_ms: int) -> None:
        self.at_ms = at_ms


class Invocation(Context):
    """An invocation of the watcher, which ends after a minute on the clock."""

    def __init__(self, clock: Clock, until_ms: int) -> None:
        super().__init__()
        self._clock, self._until = clock, until_ms + watcher.STOP_MS_BEFORE_TIMEOUT

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]
        return self._until - self._clock.at_ms


@dataclass
class VirtualStack:
    """Watcher and worker over a cloud in memory, on a virtual clock."""

    clock: Clock
    cloud: SortedCloud
    due: list[tuple[int, int, str]] = field(default_factory=list)
    sent: int = 0
    judged: int = 0  # messages that the worker has received
    tick_cpu_ms: list[float] = field(default_factory=list)
    tick_calls: list[int] = field(default_factory=list)
    _mark: float = 0

    def put(self, order: Order, wake: waiting.Wake) -> None:
        """Store an order as the worker stores a resting one."""
        first, *later = order.updates
        item = new_item(order.model_copy(update={"updates": (first,)}), "desk", writer="test")
        for number, update in enumerate(later, 1):
            item["updates"]["L"].append(entry_of(update, order.updates[:number], None))
        for name, value in index_keys(order, "desk", wake).items():
            item.pop(name, None)
            if value is not None:
                item[name] = {"S": value}
        sent = json.loads(json.dumps(item, default=lambda data: b64encode(data).decode()))
        self.cloud.tables["orders"].put((order.order_id,), sent, self.clock.at_ms)

    def order(self, order_id: str) -> Order:
        item = self.cloud.tables["orders"].get((order_id,))
        assert item is not None
        return stored_order(item).order

    def watch(self, seconds: int) -> None:
        """Let `seconds` pass, with a new watcher each minute."""
        end = self.clock.at_ms + seconds * 1000
        self.clock.pass_to = self._pass_to
        while self.clock.at_ms < end:
            self._begin_tick()
            watcher.handler({}, Invocation(self.clock, min(end, self.clock.at_ms + 60_000)))
            self._pass_to(self.clock.at_ms + 1000)

    def _begin_tick(self) -> None:
        self.cloud.calls.clear()
        self._mark = time.process_time()

    def _pass_to(self, ms: int) -> None:
        """End the tick: the worker receives the messages that are due before the next one."""
        self.tick_cpu_ms.append((time.process_time() - self._mark) * 1000)
        self.tick_calls.append(self.cloud.calls.total())
        self.clock.pass_to = self.clock.set
        self.deliver_until(ms)
        self.clock.at_ms = max(self.clock.at_ms, ms)
        self.clock.pass_to = self._pass_to
        self._begin_tick()

    def deliver_until(self, ms: int) -> None:
        """Deliver the messages that are due by `ms` to the worker, one after the other."""
        while True:
            for sent in self.cloud.sent:
                heappush(
                    self.due,
                    (self.clock.at_ms + max(QUEUE_MS, sent.delay_ms), self.sent, sent.body),
                )
                self.sent += 1
            self.cloud.sent.clear()
            if not self.due or self.due[0][0] > ms:
                return
            at, number, body = heappop(self.due)
            self.clock.at_ms = max(self.clock.at_ms, at)
            self.judged += 1
            record = {
                "messageId": str(number),
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
            }
            assert worker.handler({"Records": [record]}, Context()) == {"batchItemFailures": []}


@contextmanager
def virtual_stack() -> Iterator[VirtualStack]:
    """The functions over a cloud in memory."""
    clock = Clock()
    cloud = SortedCloud(clock.now_ms)
    with pytest.MonkeyPatch.context() as patch, logged_to(StringIO()), in_memory(cloud):
        patch.setattr(runtime, "clock", clock)
        yield VirtualStack(clock, cloud)


# --- orders, and when they can execute --------------------------------------------------------


def pools_in(second: int) -> dict[str, market.Snapshot]:
    """The pools of all venues in a second of the market."""
    return market.snapshots(-(-second * 1000 // market.SLOT_MS))


def out_in(order: Order, second: int) -> int | None:
    """The output of the best route for the order in a second."""
    one, other = tokens.find(order.token_in), tokens.find(order.token_out)
    with suppress(NoRoutesFound):
        units = tokens.to_units(order.amount, one)
        return router.find_route(one, other, units, 0, pools_in(second)).out_amount
    return None


def second_at(ms: int) -> int:
    """The second of the market at a time."""
    return market.seconds_at(market.slot_at(ms))


def executable_in(order: Order, second: int) -> bool:
    """Whether the order can execute in a second.

    No route gives more than the reference price, so a limit above it needs no route.
    """
    if order.stop_price is None:
        one, other = tokens.find(order.token_in), tokens.find(order.token_out)
        pools = next(iter(pools_in(second).values()))
        units = tokens.to_units(order.amount, one)
        if pools.worth(units, one, other) < waiting.limit_out(order):
            return False
    return bool(waiting.reached_trigger(order, out_in(order, second)))


def first_second(order: Order, since: int, until: int) -> int | None:
    """The first second from `since` and before `until` in which the order can execute, or None."""
    return next((each for each in range(since, until) if executable_in(order, each)), None)


def random_order(drawn: random.Random, number: int, now_ms: int, *, reach: float) -> Order | None:
    """A random limit, stop or oco order, with prices up to `reach` (a share) from the current one.

    `number` chooses the pair. None if the pair has no route for the amount.
    """
    token_in, token_out = (tokens.find(name) for name in PAIRS[number % len(PAIRS)])
    usdc = tokens.TOKENS["USDC"]
    pools = next(iter(pools_in(second_at(now_ms)).values()))
    dollars_in = round(10 ** drawn.uniform(0.5, 5) * 10**6)
    units = dollars_in if token_in is usdc else pools.worth(dollars_in, usdc, token_in)
    request: Json = {
        "tokenIn": token_in.symbol,
        "tokenOut": token_out.symbol,
        "amount": tokens.to_text(units, token_in.decimals),
    }
    updates = [first_update(str(UUID(int=drawn.getrandbits(128), version=4)), now_ms)]
    out = out_in(order_of({**request, "slippageBps": 50}, updates), second_at(now_ms))
    if not out:
        return None
    kind = drawn.choice((OrderType.LIMIT, OrderType.STOP, OrderType.OCO))
    request["type"] = kind
    for name, sign, of in (
        ("limitPrice", 1, (OrderType.LIMIT, OrderType.OCO)),
        ("stopPrice", -1, (OrderType.STOP, OrderType.OCO)),
    ):
        if kind in of:
            wanted = round(out * (1 + sign * drawn.uniform(0, reach)))
            request[name] = price_of(units, token_in, wanted, token_out)
    if kind is not OrderType.LIMIT:
        request["slippageBps"] = 500
    return order_of(request, updates)


def price_of(units: int, token_in: tokens.Token, out: int, token_out: tokens.Token) -> str:
    """The price rounded down to the decimal places that a request may have."""
    whole, point, places = tokens.price_text(units, token_in, out, token_out).partition(".")
    return whole + point + places[: tokens.PRICE_PLACES_MAX]


def with_prices(order: Order, out: int) -> Order:
    """The order, with its prices set to those at which it gets exactly `out` base units."""
    token_in, token_out = tokens.find(order.token_in), tokens.find(order.token_out)
    units = tokens.to_units(order.amount, token_in)
    # Rounded down, a limit is reached by that output; a stop must not be rounded below it.
    prices = {
        "limit_price": price_of(units, token_in, out, token_out) if order.limit_price else None,
        "stop_price": price_of(units, token_in, out + 1 + out // 10**9, token_out)
        if order.stop_price
        else None,
    }
    return order.model_copy(update=prices)


def best_price_at(order: Order, ms: int) -> Fraction:
    """The best price of the order's pair at a time."""
    network = Network(lambda: ms, lambda _seconds: None)
    return network.best_price(tokens.find(order.token_in), tokens.find(order.token_out))


def rested(order: Order, now_ms: int) -> tuple[Order, waiting.Wake]:
    """The order after its resting update, and the wake keys that the worker stores."""
    for step in (routing_update(order.order_id, now_ms), None):
        order = order.apply(step or order.resting_update(now_ms))
    out = out_in(order, second_at(now_ms))
    return order, waiting.wake(order, out, best_price_at(order, now_ms))


@dataclass
class Outcome:
    """The results of a run; `lags` has the seconds of each executed order behind the oracle."""

    orders: int
    executed: int
    judged: int
    early: list[str]
    missed: list[str]
    lags: list[int]
    tick_cpu_ms: list[float]
    tick_calls: list[int]


def run(count: int, *, seconds: int, reach: float, seed: int = 1) -> Outcome:
    """Let `count` orders rest on all pairs for some seconds, and compare them with the oracle."""
    drawn = random.Random(seed)
    with virtual_stack() as stack:
        since = second_at(stack.clock.at_ms)
        found = (random_order(drawn, n, stack.clock.at_ms, reach=reach) for n in range(count))
        placed = [order for order in found if order]
        for order in placed:
            stack.put(*rested(order, stack.clock.at_ms))
        for pair in {f"{order.token_in}/{order.token_out}" for order in placed}:
            resting.announce(pair)
        stack.watch(seconds)
        until = second_at(stack.clock.at_ms)
        judged = placed if count <= ORACLE_ORDERS else drawn.sample(placed, ORACLE_ORDERS)
        outcome = Outcome(
            len(placed), 0, stack.judged, [], [], [], stack.tick_cpu_ms, stack.tick_calls
        )
        for order in placed:
            executed = _executed_in(stack.order(order.order_id))
            outcome.executed += executed is not None
            if order not in judged:
                continue
            first = first_second(order, since, until)
            if executed is not None and (first is None or executed < first):
                outcome.early.append(order.order_id)
            elif executed is not None and first is not None:
                outcome.lags.append(executed - first)
            elif first is not None and first < until - 2:
                outcome.missed.append(order.order_id)
        return outcome


def _executed_in(order: Order) -> int | None:
    """The second of the order's first route; None if it has none."""
    for update in order.updates:
        if update.status is Status.BUILDING:
            return second_at(unix_ms(update.timestamp))
    return None


# --- cost ---------------------------------------------------------------------------------------


def watching_month(pairs: int) -> Usage:
    """The watcher's usage in thirty days with resting orders of some pairs, none of them woken.

    The watcher reads once a second. A new one each minute queries both indexes of each pair.
    """
    minutes = MONTH_SECONDS / 60
    return {
        "invocation": minutes,
        "gb_second": gb_seconds(MONTH_SECONDS * 1000, Settings.watcher_memory_mb),
        "read_unit": MONTH_SECONDS / 2 + minutes * pairs * 2 * 0.5,
        "write_unit": minutes * (1 if pairs < 40 else 2),
        "log_gb": minutes * 1_000 / 2**30,
    }


def idle_watching_month(cpu_ms: float) -> Usage:
    """The watcher's usage in a month without resting orders; `cpu_ms` is that of an invocation."""
    minutes = MONTH_SECONDS / 60
    run_ms = billed_ms(cpu_ms=cpu_ms, memory_mb=Settings.watcher_memory_mb, waited_ms=10)
    return {
        "invocation": minutes,
        "gb_second": minutes * gb_seconds(run_ms, Settings.watcher_memory_mb),
        "read_unit": minutes / 2,
        "log_gb": minutes * 250 / 2**30,
        "metric_month": 1,
        "alarm_month": 1,
    }


@dataclass
class OrderUsage:
    """The usage of one order until it was confirmed, without the watcher's part."""

    calls: Counter[str]
    write_units: int
    judged: int  # worker's invocations
    worker_cpu_ms: float
    item_bytes: int

    def usage(self, days: int) -> Usage:
        """The usage, with the storage of the order for `days`."""
        billed = billed_ms(cpu_ms=self.worker_cpu_ms, memory_mb=256, waited_ms=3_000)
        stored = (self.item_bytes + 4 * STORED_OVERHEAD_BYTES) / GB * days / 30
        messages = self.calls["SendMessage"] + self.calls["SendMessageBatch"]
        return {
            "invocation": self.judged + 1,
            "gb_second": gb_seconds(billed, 256),
            "sqs_request": 3 * messages,
            "write_unit": self.write_units,
            "read_unit": 2 * self.calls["GetItem"],
            "stored_gb_month": stored,
            "recoverable_gb_month": stored,
        }


def usage_of_an_order() -> OrderUsage:
    """The usage of a limit order that rests, is woken at its price, and executes."""
    with virtual_stack() as stack:
        source, target = tokens.find("SOL"), tokens.find("USDC")
        units, now = 10**source.decimals, second_at(stack.clock.at_ms)
        made = first_update(str(UUID(int=1, version=4)), stack.clock.at_ms)
        request = {"type": "limit", "tokenIn": "SOL", "tokenOut": "USDC", "amount": "1"}
        probe = order_of({**request, "limitPrice": "1"}, [made])
        outs = [out_in(probe, now + second) or 0 for second in range(600)]
        # A price that is still available when the transaction lands.
        steady = [min(outs[n : n + 5]) for n in range(len(outs) - 5)]
        wanted = next(out for out in steady if out > max(outs[:10]))
        price = price_of(units, source, wanted, target)
        order = order_of({**request, "limitPrice": price}, [made])
        table = stack.cloud.tables["orders"]
        assert isinstance(table, SortedTable)
        resting.take_over(stack.clock.at_ms)
        table.write_units = 0
        orders.create_order(order, "desk")
        queue.enqueue(order.order_id)
        started = time.process_time()
        stack.deliver_until(stack.clock.at_ms + 1_000)
        calls = Counter(stack.cloud.calls)
        cpu_ms = (time.process_time() - started) * 1000
        while not stack.order(order.order_id).status.terminal:
            stack.cloud.calls.clear()
            started = time.process_time()
            key = wake_key(worker.network.best_price(source, target))
            item = table.get((order.order_id,)) or {}
            if item["wakeAbove"]["S"] <= key:
                queue.enqueue_all([order.order_id], woken=True)
                stack.deliver_until(stack.clock.at_ms + 900)
                calls += stack.cloud.calls
                cpu_ms += (time.process_time() - started) * 1000
            stack.clock.at_ms += 1000
            assert resting.take_over(stack.clock.at_ms)  # as each new watcher does
            table.write_units -= 1
        item = table.get((order.order_id,)) or {}
        return OrderUsage(calls, table.write_units, stack.judged, cpu_ms, item_bytes(item))


def quiet_ticks(count: int, seconds: int = 20) -> Outcome:
    """Measure ticks while this many orders rest whose prices are not reached."""
    with virtual_stack() as stack:
        drawn = random.Random(count)
        for number in range(count):
            pair = "/".join(PAIRS[number % len(PAIRS)])
            item = {
                "orderId": str(number),
                "wakePair": pair,
                "wakeAbove": f"{9 * 10**39 + drawn.randrange(10**38):040}",
                "wakeBelow": f"{drawn.randrange(1_000):040}",
            }
            table = stack.cloud.tables["orders"]
            table.put((item["orderId"],), {n: {"S": v} for n, v in item.items()}, stack.clock.at_ms)
        for pair in dict.fromkeys("/".join(PAIRS[n % len(PAIRS)]) for n in range(count)):
            resting.announce(pair)
        stack.clock.at_ms += watcher.INDEX_LAG_MS + 1_000
        stack.watch(seconds)
        return Outcome(
            count, 0, stack.judged, [], [], [], stack.tick_cpu_ms[1:], stack.tick_calls[1:]
        )


def main() -> None:
    """Print when orders executed, the time of ticks, and the cost of the watcher."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, nargs="*", default=[1_000])
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--reach", type=float, default=0.002, help="of the prices, 0.01 is 1 %%")
    arguments = parser.parse_args()
    console = Console()
    table = figures(
        "Resting orders against the oracle",
        *("orders", "executed", "early", "missed", "lag p50", "lag p99", "lag max (s)"),
        *("woken", "tick p50 (CPU ms)", "tick max"),
    )
    for count in arguments.orders:
        out = run(count, seconds=arguments.seconds, reach=arguments.reach)
        lags = sorted(out.lags) or [0]
        ranks = [lags[len(lags) // 2], lags[len(lags) * 99 // 100], lags[-1]]
        table.add_row(
            *map(str, (out.orders, out.executed, len(out.early), len(out.missed), *ranks)),
            str(out.judged),
            f"{median(out.tick_cpu_ms):.1f}",
            f"{max(out.tick_cpu_ms):.1f}",
        )
    console.print(table)
    table = figures("A tick that wakes nothing", "orders", "calls", "p50 (CPU ms)", "max (CPU ms)")
    for count in (100, 10_000, 100_000):
        out = quiet_ticks(count)
        table.add_row(
            str(count),
            str(median(out.tick_calls)),
            f"{median(out.tick_cpu_ms):.2f}",
            f"{max(out.tick_cpu_ms):.2f}",
        )
    console.print(table)
    table = figures("The watcher, a month", "resting", "dollars")
    table.add_row("no orders", f"{dollars(idle_watching_month(5)):.2f}")
    table.add_row("orders of one pair", f"{dollars(watching_month(1)):.2f}")
    table.add_row(f"orders of all {len(PAIRS)} pairs", f"{dollars(watching_month(len(PAIRS))):.2f}")
    console.print(table)
    one = usage_of_an_order()
    table = figures("A limit order that rests, and executes", "", "")
    for name, count in one.calls.items():
        table.add_row(name, str(count))
    table.add_row("received by the worker", str(one.judged))
    table.add_row("write units", str(one.write_units))
    for days in (0, 1, 30):
        table.add_row(f"dollars a million, {days} days", f"{1e6 * dollars(one.usage(days)):.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
