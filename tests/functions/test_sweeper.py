"""The sweeper replaces a lost message, and not one that still waits in the queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from functions import runtime, sweeper
from functions.contract import DUE_SHARDS, OPEN_SHARDS, open_shard, order_id_of
from functions.orders.stored import new_item
from tests.clock import VirtualClock
from tests.events import Json, event
from tests.functions.world import Context, in_memory
from tests.orders import pending_order
from tests.simulation.cloud import Cloud

MINUTE = 60


class Queue(Cloud):
    """The deterministic cloud; its order queue keeps its messages until `take` deletes them."""

    def __init__(self) -> None:
        super().__init__(runtime.now_ms, waiting=lambda: len(self.sent))

    def add_orders(self, count: int) -> list[str]:
        """Add orders that were accepted just now, each with its message."""
        table, now = self.tables["orders"], runtime.now_ms()
        ids = [str(UUID(int=number)) for number in range(len(table.items(None)), count)]
        for order_id in ids:
            item = new_item(pending_order(order_id, now), "desk-7", writer="test")
            table.put(table.key_of(item), item, now)
            self.answer("SendMessage", {"MessageBody": f'{{"orderId":"{order_id}"}}'})
        return ids

    def take(self, count: int) -> list[str]:
        """Receive and delete the oldest messages; returns their orders."""
        taken, self.sent = self.sent[:count], self.sent[count:]
        return [order_id_of(message.body) for message in taken]

    def end(self, order_id: str) -> None:
        """Take the order out of the indexes of open orders, as its last update does."""
        table = self.tables["orders"]
        item = table.get((order_id,))
        assert item is not None
        kept = {n: v for n, v in item.items() if n not in ("openShard", "openOwner", "idleSince")}
        table.put((order_id,), kept, runtime.now_ms())


class Hurried(Context):
    """An invocation whose remaining milliseconds are given for each look at the clock; then 0."""

    def __init__(self, *left_ms: int) -> None:
        super().__init__()
        self._left_ms = iter(left_ms)

    # LambdaContext's own is static.
    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]
        return next(self._left_ms, 0)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setattr(runtime, "clock", VirtualClock())
    queue = Queue()
    with in_memory(queue):
        yield queue


def sweep(context: Context | None = None) -> Json:
    return dict(sweeper.handler(event("schedule_sweep"), context or Context()))


def test_sixty_idle_orders_get_sixty_messages_in_five_sweeps(queue: Queue) -> None:
    ids = queue.add_orders(60)
    queue.take(60)  # all their messages are lost
    runtime.sleep(3 * MINUTE)
    swept = []
    for _ in range(5):
        swept.append(sweep()["swept"])
        runtime.sleep(MINUTE)
    assert swept == [60, 0, 0, 0, 0]
    assert sorted(queue.take(100)) == ids


def test_orders_whose_messages_are_received_in_vain_are_swept_once_an_idle_time(
    queue: Queue,
) -> None:
    queue.add_orders(60)
    swept = []
    for _ in range(8):
        queue.take(100)  # by workers that die, so the messages stay hidden
        runtime.sleep(MINUTE)
        swept.append(sweep()["swept"])
    assert swept == [0, 0, 60, 0, 0, 60, 0, 0]


def test_an_order_whose_message_is_lost_again_is_swept_again(queue: Queue) -> None:
    queue.add_orders(1)
    for _ in range(3):
        queue.take(1)
        runtime.sleep(3 * MINUTE)
        assert sweep() == {"swept": 1, "left": 0}


def test_a_queue_of_ten_thousand_that_drains_for_twice_the_idle_time_gets_no_message_more(
    queue: Queue,
) -> None:
    queue.add_orders(10_000)
    minutes = 0
    while queue.sent:
        for order_id in queue.take(2500):
            queue.end(order_id)
        runtime.sleep(MINUTE)
        minutes += 1
        assert sweep()["swept"] == 0
    assert minutes * MINUTE == 2 * runtime.settings.sweep_idle_seconds
    assert queue.messages == 10_000


def test_behind_a_long_queue_an_order_without_a_message_is_swept_after_ten_minutes(
    queue: Queue,
) -> None:
    (lost,) = queue.add_orders(1)
    queue.take(1)
    runtime.sleep(MINUTE)
    queue.add_orders(500)
    queue.sent += queue.sent[:50]  # more messages than orders
    minutes = 1
    while lost not in (order_id_of(message.body) for message in queue.sent):
        runtime.sleep(MINUTE)
        minutes += 1
        assert sweep()["swept"] <= 10
    assert minutes == 11


def test_orders_beyond_the_waiting_messages_are_swept_and_the_longest_idle_first(
    queue: Queue,
) -> None:
    lost = queue.add_orders(5)
    queue.take(5)
    runtime.sleep(MINUTE)
    waiting = queue.add_orders(25)
    runtime.sleep(3 * MINUTE)
    assert sweep() == {"swept": 5, "left": 20}
    assert queue.take(20) == waiting
    assert sorted(queue.take(100)) == lost


def test_without_time_a_sweep_stops_says_how_many_are_left_and_the_next_goes_on(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    ids = queue.add_orders(100)
    queue.take(100)
    runtime.sleep(3 * MINUTE)
    for_three_batches = [30_000] * (len(OPEN_SHARDS) + 3)
    assert sweep(Hurried(*for_three_batches)) == {"swept": 30, "left": 70}
    assert vars(caplog.records[-1])["left"] == 70
    taken = queue.take(30)
    assert sweep(Hurried(*for_three_batches)) == {"swept": 30, "left": 40}
    taken += queue.take(30)
    assert sweep() == {"swept": 40, "left": 0}
    assert sorted(taken + queue.take(200)) == ids


def test_no_shard_starves_though_there_is_only_time_to_read_one(queue: Queue) -> None:
    queue.add_orders(80)
    queue.take(80)
    runtime.sleep(3 * MINUTE)
    swept = set()
    for _ in OPEN_SHARDS:
        sweep(Hurried(30_000, 0, *[30_000] * 9))
        swept |= {open_shard(order_id) for order_id in queue.take(100)}
        runtime.sleep(MINUTE)
    assert swept == set(OPEN_SHARDS)


def test_a_message_that_sqs_refuses_is_logged_and_comes_with_a_later_sweep(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = queue.add_orders(10)
    queue.take(10)
    runtime.sleep(3 * MINUTE)
    answer = queue.answer

    def refuse_two(operation: str, body: Json) -> Json:
        if operation != "SendMessageBatch":
            return answer(operation, body)
        kept = answer(operation, body | {"Entries": body["Entries"][2:]})
        failed = [{"Id": e["Id"], "SenderFault": False, "Code": "X"} for e in body["Entries"][:2]]
        return kept | {"Failed": failed}

    with monkeypatch.context() as patch:
        patch.setattr(queue, "answer", refuse_two)
        assert sweep() == {"swept": 8, "left": 2}
    refused = [vars(r)["order_id"] for r in caplog.records if r.levelname == "ERROR"]
    assert sorted(refused + queue.take(100)) == ids
    runtime.sleep(3 * MINUTE)
    for order_id in set(ids) - set(refused):
        queue.end(order_id)
    assert sweep() == {"swept": 2, "left": 0}
    assert sorted(queue.take(100)) == sorted(refused)


def test_an_order_that_has_ended_since_the_index_was_written_is_not_queued(queue: Queue) -> None:
    ended, idle = queue.add_orders(2)
    queue.take(2)
    runtime.sleep(3 * MINUTE)
    queue.end(ended)
    queue.lag_ms = lambda: 1000
    assert sweep()["swept"] == 1
    assert queue.take(100) == [idle]


def test_a_sweep_that_finds_nothing_asks_the_queue_nothing(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = queue.answer

    def noted(operation: str, body: Any) -> Json:
        asked.append(operation)
        return answer(operation, body)

    monkeypatch.setattr(queue, "answer", noted)
    assert sweep() == {"swept": 0, "left": 0}
    assert asked == ["Query"] * len(OPEN_SHARDS + DUE_SHARDS)
