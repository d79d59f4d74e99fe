"""Redelivery by Lambda and SQS: no order keeps another one from its execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from functions import runtime, worker
from functions.contract import BATCH_SIZE, RECEIVES_MAX, order_message
from tests.errors import Killed
from tests.events import sqs_event, sqs_message
from tests.stepping import one_by_one
from tests.world import Context, World, failing_network

HIDDEN_SECONDS = 360  # the order queue's visibility timeout


@dataclass
class Message:
    """A message of the order queue."""

    number: int
    body: str
    receives: int = 0
    visible_at: float = 0


class EventSource:
    """The order queue with its dead letters, and Lambda, which passes its messages to the worker.

    If the worker's process dies, the whole batch returns to the queue after the visibility timeout.
    A message that the worker reports as failed returns alone. A message that was received too often
    becomes a dead letter when it is due again. AWS documents this:
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    """

    def __init__(self, order_ids: Sequence[str]) -> None:
        self.messages = [Message(n, order_message(id_)) for n, id_ in enumerate(order_ids)]
        self.dead: list[Message] = []

    def poll(self, *, throttled: bool = False) -> None:
        """Receive one batch and invoke the worker; a throttled invocation does not reach it."""
        batch: list[Message] = []
        for message in [m for m in self.messages if m.visible_at <= runtime.monotonic()]:
            if message.receives == RECEIVES_MAX:
                self.messages.remove(message)
                self.dead.append(message)
            elif len(batch) < BATCH_SIZE:
                message.receives += 1
                message.visible_at = runtime.monotonic() + HIDDEN_SECONDS
                batch.append(message)
        if batch and not throttled:
            failed = self._invoke(batch)
            self.messages = [m for m in self.messages if m not in batch or m.number in failed]

    def _invoke(self, batch: list[Message]) -> set[int]:
        messages = [sqs_message(m.body, str(m.number), m.receives) for m in batch]
        try:
            answer = worker.handler(sqs_event("order", messages), Context())
        except Killed:
            return {message.number for message in batch}
        return {int(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]}


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run without threads, because a process that dies ends all of its threads at once."""
    monkeypatch.setattr(runtime, "at_once", one_by_one)


def submitted(world: World, count: int) -> list[str]:
    order_ids = [world.submit()["orderId"] for _ in range(count)]
    world.sqs.purge_queue(QueueUrl=world.queue_url)  # EventSource holds their messages
    return order_ids


def ending(world: World, order_id: str) -> str:
    order = world.read(order_id)
    return str(order["error"]["code"] if "error" in order else order["status"])


@pytest.mark.parametrize("place", [0, 4, BATCH_SIZE - 1])
def test_an_order_that_kills_its_workers_fails_no_other_of_its_batch(
    world: World, place: int
) -> None:
    order_ids = submitted(world, BATCH_SIZE)
    source, poison = EventSource(order_ids), order_ids[place]
    with failing_network("ask", Killed(), poison):
        for _ in range(RECEIVES_MAX + 1):  # at most half an hour
            source.poll()
            runtime.sleep(HIDDEN_SECONDS)
    assert source.messages == []
    for letter in source.dead:  # the other messages find that their orders have ended
        world.deliver_dead_letter(letter.body)
    endings = {order_id: ending(world, order_id) for order_id in order_ids}
    assert endings == {id_: "INTERNAL" if id_ == poison else "confirmed" for id_ in order_ids}


def test_an_order_whose_message_is_throttled_four_times_is_executed(
    world: World,
) -> None:
    """AWS advises at least five receives, so that throttling alone makes no dead letters.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    """
    (order_id,) = submitted(world, 1)
    source = EventSource([order_id])
    for _ in range(4):
        source.poll(throttled=True)
        runtime.sleep(HIDDEN_SECONDS)
    source.poll()
    assert (source.messages, source.dead) == ([], [])
    assert ending(world, order_id) == "confirmed"
