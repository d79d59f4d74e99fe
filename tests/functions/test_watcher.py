"""The watcher, second by second on a virtual clock, over DynamoDB and SQS in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from functions import runtime, watcher
from functions.contract import wake_key
from functions.dex.tokens import TOKENS
from functions.simulation.network import Network
from functions.store import resting
from tests.clock import VirtualClock
from tests.cloud import Cloud, ErrorResponse
from tests.world import Context, in_memory

BEGIN_MS = 1_760_000_000_200  # the beginning of a second of the market
PAIR = "SOL/USDC"
SOL, USDC = TOKENS["SOL"], TOKENS["USDC"]
LOW, HIGH = "0" * 40, "9" * 40


class Clock(VirtualClock):
    """A clock that calls `after_sleep` after each sleep; the watcher sleeps once a second."""

    def __init__(self) -> None:
        super().__init__(BEGIN_MS)
        self.after_sleep: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.after_sleep()


class Invocation(Context):
    """An invocation of the watcher on the clock that lasts `seconds` at most."""

    def __init__(self, clock: Clock, seconds: float = 20) -> None:
        super().__init__(seconds)
        self._clock, self._end_ms = clock, clock.at_ms + seconds * 1000

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]
        return round(self._end_ms - self._clock.at_ms)


class WatchedCloud:
    """The in-memory cloud with resting orders, and the calls that the watcher has made."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lag_ms = 0
        self.cloud = Cloud(clock.now_ms, lag_ms=lambda: self.lag_ms)
        self.calls: list[tuple[int, str]] = []
        self.fail: Callable[[str, Any], None] = lambda _operation, _body: None
        answer = self.cloud.answer

        def recorded(operation: str, body: Any) -> Any:
            self.calls.append((clock.at_ms, operation))
            self.fail(operation, body)
            return answer(operation, body)

        self.cloud.answer = recorded  # type: ignore[method-assign]

    def rest(self, order_id: str, pair: str = PAIR, **keys: str) -> None:
        """Store an order that rests, as the worker does."""
        item = {"orderId": order_id, "wakePair": pair, **keys}
        table = self.cloud.tables["orders"]
        table.put((order_id,), {name: {"S": v} for name, v in item.items()}, self.clock.at_ms)
        resting.announce(pair)

    def run(self, seconds: float = 20) -> int:
        """Invoke the watcher; returns how many orders it woke."""
        self.calls.clear()
        return int(watcher.handler({}, Invocation(self.clock, seconds))["woken"])

    def queued(self) -> list[str]:
        """The orders queued since the last call; every message must be marked as woken."""
        bodies = [json.loads(sent.body) for sent in self.cloud.sent]
        self.cloud.sent.clear()
        assert all(body["woken"] for body in bodies)
        return [body["orderId"] for body in bodies]

    def count(self, operation: str) -> int:
        return [name for _, name in self.calls].count(operation)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(runtime, "clock", clock)
    return clock


@pytest.fixture
def watched(clock: Clock) -> Iterator[WatchedCloud]:
    watched = WatchedCloud(clock)
    with in_memory(watched.cloud):
        yield watched


def price_key(at_ms: int) -> str:
    """The key of the pair's price at a time."""
    return wake_key(Network(lambda: at_ms, lambda _: None).best_price(SOL, USDC))


def highest(seconds: int) -> tuple[int, str]:
    """Of the next seconds, the one with the highest price, and the key of that price."""
    return max(((n, price_key(BEGIN_MS + n * 1000)) for n in range(seconds)), key=lambda it: it[1])


def test_a_watcher_ends_after_one_read_if_no_order_rests(watched: WatchedCloud) -> None:
    assert watched.run() == 0
    assert watched.calls == [(BEGIN_MS, "GetItem")]


def test_an_order_is_woken_in_the_second_in_which_its_price_is_reached(
    watched: WatchedCloud,
) -> None:
    second, key = highest(10)
    assert second > 1, "BEGIN_MS must be a time before a later high"
    watched.rest("order", wakeAbove=key)
    woken_at: list[int] = []

    def record() -> None:
        if watched.queued():
            woken_at.append((watched.clock.at_ms - BEGIN_MS) // 1000 - 1)

    watched.clock.after_sleep = record
    watched.run()
    assert woken_at[0] == second


def test_a_falling_price_wakes_the_orders_below_it(watched: WatchedCloud) -> None:
    watched.rest("falls", wakeBelow=HIGH)
    watched.rest("not yet", wakeBelow=LOW, wakeAbove=HIGH)
    watched.run(12)
    assert set(watched.queued()) == {"falls"}


def test_a_tick_is_one_read_while_no_price_is_reached(watched: WatchedCloud) -> None:
    for number in range(50):
        watched.rest(str(number), wakeAbove=HIGH, wakeBelow=LOW)
    watched.clock.at_ms += 60_000
    assert watched.run(60) == 0
    assert watched.count("GetItem") == 50
    assert watched.count("Query") == 2
    assert watched.queued() == []


def test_an_order_that_begins_to_rest_nearer_than_all_others_is_woken(
    watched: WatchedCloud,
) -> None:
    watched.rest("far", wakeAbove=HIGH)
    watched.clock.at_ms += 60_000

    def later() -> None:
        if watched.clock.at_ms == BEGIN_MS + 65_000:
            watched.rest("near", wakeAbove=LOW)

    watched.clock.after_sleep = later
    watched.run(20)
    assert "near" in watched.queued()
    assert "far" not in watched.queued()


def test_an_order_is_woken_though_the_index_lags(watched: WatchedCloud) -> None:
    watched.rest("far", wakeAbove=HIGH)
    watched.clock.at_ms += 60_000
    watched.lag_ms = 3_000
    watched.rest("near", wakeAbove=LOW)
    watched.run(20)
    assert "near" in watched.queued()


def test_an_order_is_woken_though_the_index_had_neither_its_old_nor_its_new_key(
    watched: WatchedCloud,
) -> None:
    """The worker replaces the keys of an order woken too early, without an announcement."""
    watched.rest("far", wakeAbove=HIGH)
    watched.rest("order", wakeAbove=LOW)
    watched.clock.at_ms += 60_000
    key = max(price_key(watched.clock.at_ms + second * 1000) for second in range(7, 12))
    table = watched.cloud.tables["orders"]

    def later() -> None:
        second = (watched.clock.at_ms - BEGIN_MS) // 1000 - 60
        if second == 1:  # the index has lost the old key, and does not have the new one yet
            table.put(("order",), {"orderId": {"S": "order"}}, watched.clock.at_ms)
        if second == 3:
            item = {"orderId": "order", "wakePair": PAIR, "wakeAbove": key}
            table.put(("order",), {name: {"S": v} for name, v in item.items()}, watched.clock.at_ms)
            watched.queued()

    watched.clock.after_sleep = later
    watched.run(30)
    assert "order" in watched.queued()


def test_many_orders_are_queued_in_batches_of_ten(watched: WatchedCloud) -> None:
    ids = [f"{number:03}" for number in range(45)]
    for order_id in ids:
        watched.rest(order_id, wakeAbove=LOW)
    assert watched.run(11) == 45
    assert sorted(watched.queued()) == ids
    assert watched.count("SendMessageBatch") == 5


def test_a_message_that_sqs_refuses_is_sent_by_the_next_tick(
    watched: WatchedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for order_id in ("one", "two"):
        watched.rest(order_id, wakeAbove=LOW)
    send = watched.cloud._send_batch
    refusing = [True]

    def partly(body: Any) -> Any:
        if refusing.pop() if refusing else False:
            (first, *rest) = body["Entries"]
            answer = send({**body, "Entries": rest})
            return {**answer, "Failed": [{"Id": first["Id"], "SenderFault": False, "Code": "X"}]}
        return send(body)

    monkeypatch.setattr(watched.cloud, "_send_batch", partly)
    watched.cloud.waiting = lambda: 10**6  # with a long queue no order is queued twice
    assert watched.run(12) == 2
    assert sorted(watched.queued()) == ["one", "two"]


def test_an_order_that_still_rests_is_woken_again_unless_the_queue_is_long(
    watched: WatchedCloud,
) -> None:
    watched.rest("order", wakeAbove=LOW)
    assert watched.run(15) == 5
    watched.clock.at_ms += 60_000
    watched.cloud.waiting = lambda: watcher.LONG_QUEUE
    watched.queued()
    assert watched.run(15) == 1
    watched.clock.at_ms += 60_000
    watched.rest("new", wakeAbove=LOW)
    watched.queued()
    watched.run(15)
    assert sorted(watched.queued()) == ["new", "order"]


def test_a_watcher_ends_before_its_timeout(watched: WatchedCloud) -> None:
    watched.rest("order", wakeAbove=HIGH)
    watched.run(150)
    assert BEGIN_MS + 138_000 < watched.clock.at_ms < BEGIN_MS + 142_000


def test_a_watcher_ends_when_a_later_one_ticks_and_a_duplicate_of_it_ends_at_once(
    watched: WatchedCloud,
) -> None:
    watched.rest("order", wakeAbove=HIGH)

    def next_one() -> None:
        if watched.clock.at_ms == BEGIN_MS + 7_000:
            assert resting.take_over(watched.clock.at_ms + 1_000)

    watched.clock.after_sleep = next_one
    watched.run(150)
    assert watched.clock.at_ms == BEGIN_MS + 7_000
    watched.run(150)  # this one began before the watcher that ticks
    assert watched.calls == [(BEGIN_MS + 7_000, "GetItem")]


def test_a_pair_that_fails_does_not_stop_the_others(
    watched: WatchedCloud, caplog: pytest.LogCaptureFixture
) -> None:
    watched.rest("unknown", "WIF/SOL", wakeAbove=LOW)
    watched.rest("failing", "USDC/SOL", wakeAbove=LOW)
    watched.rest("order", wakeAbove=LOW)

    def fail(operation: str, body: Any) -> None:
        if operation == "Query" and body["ExpressionAttributeValues"][":pair"]["S"] == "USDC/SOL":
            raise ErrorResponse("ValidationException")

    watched.fail = fail
    watched.run(11)
    assert watched.queued() == ["order"]


def test_a_pair_without_resting_orders_is_removed_after_a_while(watched: WatchedCloud) -> None:
    watched.rest("order", wakeAbove=HIGH)
    table = watched.cloud.tables["orders"]
    table.put(("order",), None, watched.clock.at_ms)
    watched.run(12)
    assert watched.count("GetItem") > 1
    watched.clock.at_ms += watcher.FORGET_MS + 1
    watched.run(12)
    assert resting.watched().versions == {}
    assert watched.run() == 0
    assert watched.count("GetItem") == 1


def test_a_watcher_that_ticks_continues_though_no_order_rests_any_more(
    watched: WatchedCloud,
) -> None:
    """The worker sees that this watcher ticks, and relies on it to wake the order."""
    resting.announce(PAIR)
    watched.clock.at_ms += watcher.FORGET_MS + 1
    began = watched.clock.at_ms

    def later() -> None:
        if watched.clock.at_ms // 1000 == began // 1000 + 30:
            assert resting.watched().versions == {}
            assert resting.watched().ticks
            watched.rest("order", wakeAbove=LOW)

    watched.clock.after_sleep = later
    watched.run(60)
    assert "order" in watched.queued()


def test_the_lag_of_a_late_tick_counts_from_its_second(
    watched: WatchedCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    watched.rest("order", wakeAbove=HIGH)
    slow = [0, 4_700, 0]

    def delay(operation: str, _body: Any) -> None:
        if operation == "GetItem" and slow:
            watched.clock.at_ms += slow.pop(0)

    watched.fail = delay
    watched.run(20)
    (line,) = [
        json.loads(text) for text in capsys.readouterr().out.splitlines() if "WatcherLag" in text
    ]
    assert line["WatcherLag"][:4] == [0, 4_700, 700, 0]
