"""The sweeper re-queues orders whose message was lost, and none whose message is in the queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from functions import runtime, sweeper
from functions.contract import DUE_SHARDS, OPEN_SHARDS, open_shard, order_id_of, order_message
from functions.orders.stored import new_item
from tests.clock import VirtualClock
from tests.cloud import Cloud
from tests.events import Json, event
from tests.orders import pending_order
from tests.world import Context, in_memory

MINUTE = 60


class Queue(Cloud):
    """The in-memory cloud; its order queue keeps a message until `receive` deletes it."""

    def __init__(self) -> None:
        super().__init__(runtime.now_ms, waiting=lambda: len(self.sent))

    def add_orders(self, count: int) -> list[str]:
        """Add orders that were accepted just now, each with its message."""
        table, now = self.tables["orders"], runtime.now_ms()
        ids = [str(UUID(int=number)) for number in range(len(table.items(None)), count)]
        for order_id in ids:
            item = new_item(pending_order(order_id, now), "desk-7", writer="test")
            table.put(table.key_of(item), item, now)
            message = {"MessageBody": order_message(order_id)}
            self.answer("SendMessage", message | {"QueueUrl": runtime.settings.queue_url})
        return ids

    def receive(self, count: int) -> list[str]:
        """Receive and delete the oldest messages; returns the ids of their orders."""
        received, self.sent = self.sent[:count], self.sent[count:]
        return [order_id_of(message.body) for message in received]

    def end(self, order_id: str) -> None:
        """Remove the order from the indexes of open orders, as its terminal update does."""
        table = self.tables["orders"]
        item = table.get((order_id,))
        assert item is not None
        kept = {n: v for n, v in item.items() if n not in ("openShard", "openOwner", "idleSince")}
        table.put((order_id,), kept, runtime.now_ms())


class LimitedTime(Context):
    """An invocation whose remaining time (ms) is each of these values in turn, and then 0."""

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
    queue.receive(60)  # all their messages are lost
    runtime.sleep(3 * MINUTE)
    swept = []
    for _ in range(5):
        swept.append(sweep()["swept"])
        runtime.sleep(MINUTE)
    assert swept == [60, 0, 0, 0, 0]
    assert sorted(queue.receive(100)) == ids


def test_orders_whose_workers_die_are_swept_once_in_each_idle_time(
    queue: Queue,
) -> None:
    queue.add_orders(60)
    swept = []
    for _ in range(8):
        queue.receive(100)  # by workers that die, so the messages stay hidden
        runtime.sleep(MINUTE)
        swept.append(sweep()["swept"])
    assert swept == [0, 0, 60, 0, 0, 60, 0, 0]


def test_an_order_whose_message_is_lost_again_is_swept_again(queue: Queue) -> None:
    queue.add_orders(1)
    for _ in range(3):
        queue.receive(1)
        runtime.sleep(3 * MINUTE)
        assert sweep() == {"swept": 1, "left": 0}


@pytest.mark.slow
def test_a_queue_of_ten_thousand_that_drains_in_twice_the_idle_time_gets_no_further_message(
    queue: Queue,
) -> None:
    queue.add_orders(10_000)
    minutes = 0
    while queue.sent:
        for order_id in queue.receive(2500):
            queue.end(order_id)
        runtime.sleep(MINUTE)
        minutes += 1
        assert sweep()["swept"] == 0
    assert minutes * MINUTE == 2 * runtime.settings.sweep_idle_seconds
    assert queue.messages == 10_000


@pytest.mark.slow
def test_beside_a_long_queue_an_order_without_a_message_is_swept_after_ten_minutes(
    queue: Queue,
) -> None:
    (lost,) = queue.add_orders(1)
    queue.receive(1)
    runtime.sleep(MINUTE)
    queue.add_orders(500)
    queue.sent += queue.sent[:50]  # more messages than orders
    minutes = 1
    while lost not in (order_id_of(message.body) for message in queue.sent):
        runtime.sleep(MINUTE)
        minutes += 1
        assert sweep()["swept"] <= 10
    assert minutes == 11


def test_as_many_orders_as_lack_a_message_are_swept_the_longest_idle_first(
    queue: Queue,
) -> None:
    lost = queue.add_orders(5)
    queue.receive(5)
    runtime.sleep(MINUTE)
    waiting = queue.add_orders(25)
    runtime.sleep(3 * MINUTE)
    assert sweep() == {"swept": 5, "left": 20}
    assert queue.receive(20) == waiting
    assert sorted(queue.receive(100)) == lost


def test_a_sweep_out_of_time_reports_how_many_are_left_and_the_next_continues(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    ids = queue.add_orders(100)
    queue.receive(100)
    runtime.sleep(3 * MINUTE)
    for_three_batches = [30_000] * (len(OPEN_SHARDS) + 3)
    assert sweep(LimitedTime(*for_three_batches)) == {"swept": 30, "left": 70}
    assert vars(caplog.records[-1])["left"] == 70
    received = queue.receive(30)
    assert sweep(LimitedTime(*for_three_batches)) == {"swept": 30, "left": 40}
    received += queue.receive(30)
    assert sweep() == {"swept": 40, "left": 0}
    assert sorted(received + queue.receive(200)) == ids


def test_every_shard_is_swept_in_turn_if_there_is_only_time_for_one(queue: Queue) -> None:
    queue.add_orders(80)
    queue.receive(80)
    runtime.sleep(3 * MINUTE)
    swept = set()
    for _ in OPEN_SHARDS:
        sweep(LimitedTime(30_000, 0, *[30_000] * 9))
        swept |= {open_shard(order_id) for order_id in queue.receive(100)}
        runtime.sleep(MINUTE)
    assert swept == set(OPEN_SHARDS)


def test_a_message_that_sqs_refuses_is_logged_and_sent_by_a_later_sweep(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = queue.add_orders(10)
    queue.receive(10)
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
    assert sorted(refused + queue.receive(100)) == ids
    runtime.sleep(3 * MINUTE)
    for order_id in set(ids) - set(refused):
        queue.end(order_id)
    assert sweep() == {"swept": 2, "left": 0}
    assert sorted(queue.receive(100)) == sorted(refused)


def test_an_order_that_has_ended_since_the_index_was_written_is_not_queued(queue: Queue) -> None:
    ended, idle = queue.add_orders(2)
    queue.receive(2)
    runtime.sleep(3 * MINUTE)
    queue.end(ended)
    queue.lag_ms = lambda: 1000
    assert sweep()["swept"] == 1
    assert queue.receive(100) == [idle]


def test_a_sweep_without_idle_orders_makes_no_call_to_the_queue(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations: list[str] = []
    answer = queue.answer

    def recorded(operation: str, body: Any) -> Json:
        operations.append(operation)
        return answer(operation, body)

    monkeypatch.setattr(queue, "answer", recorded)
    assert sweep() == {"swept": 0, "left": 0}
    assert operations == ["Query"] * len(OPEN_SHARDS + DUE_SHARDS)
