"""Several workers on one order, interleaved call by call with faults and other events."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from functions import worker
from functions.contract import order_message
from functions.orders.order import Order, Status
from functions.orders.stored import stored_order
from tests.events import sqs_event, sqs_message
from tests.faults.injection import Bench
from tests.faults.schedule import EPOCH_MS, LIVES, SWEEP_AFTER_MS, Ledger
from tests.functions.world import Context
from tests.stepping import Stepped

WORKERS_MAX = 3
WORKED_ON = (Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
STEPS_MAX = 1000
_bench: list[Bench] = []
_orders = count()


@pytest.fixture(autouse=True)
def _current(bench: Bench) -> Iterator[None]:
    _bench.append(bench)
    yield
    _bench.clear()


class TwoWorkers(RuleBasedStateMachine):
    """One order, its messages, and the workers, each of which holds one message."""

    @initialize(
        life=st.sampled_from([*LIVES, *[LIVES[0]] * len(LIVES)]),
        # Either one ends the order, so it happens at most once.
        cancelled_at=st.sampled_from([None, None, None, Status.PENDING]),
        buried_at=st.sampled_from([None, None, *WORKED_ON, Status.SUBMITTED]),
    )
    def submit(
        self,
        life: tuple[dict[str, Any] | None, str],
        cancelled_at: Status | None,
        buried_at: Status | None,
    ) -> None:
        self.cancelled_at, self.buried_at = cancelled_at, buried_at
        self.bench = _bench[0]
        self.bench.reset({}, EPOCH_MS)
        self.ledger = Ledger()
        self.messages: list[int] = []  # when each is due
        self.running: list[Stepped] = []
        self.cancelled = False
        simulate, _ = life
        fields = {"simulate": simulate} if simulate else {}
        self.order_id = self.bench.world.submit(f"order-{next(_orders)}", **fields)["orderId"]
        # SQS delivered the first message twice, so there are two from the beginning.
        self.running = [self.worker() for _ in range(2)]

    def worker(self) -> Stepped:
        """An invocation of the worker for the order, before its first step."""
        event = sqs_event("order", [sqs_message(order_message(self.order_id))])
        return Stepped(lambda: worker.handler(event, Context()))

    @property
    def due(self) -> list[int]:
        return [at for at in self.messages if at <= self.bench.clock.at_ms]

    @precondition(lambda self: self.due and len(self.running) < WORKERS_MAX)
    @rule()
    def receive(self) -> None:
        self.messages.remove(self.due[0])
        self.running.append(self.worker())

    @precondition(lambda self: self.running)
    @rule(chosen=st.integers(0, WORKERS_MAX - 1), steps=st.integers(1, 12))
    def go_on(self, chosen: int, steps: int) -> None:
        worker = self.running[chosen % len(self.running)]
        for _ in range(steps):
            worker.step()
            self.interfere()
            if worker.ended:  # and its message is acknowledged
                self.running.remove(worker)
                return

    @precondition(lambda self: self.running)
    @rule(chosen=st.integers(0, WORKERS_MAX - 1))
    def kill(self, chosen: int) -> None:
        self.running.pop(chosen % len(self.running)).kill()
        self.messages.append(self.bench.clock.at_ms)  # the message is delivered again, and early

    @rule()
    def deliver_twice(self) -> None:
        self.messages.append(self.bench.clock.at_ms)

    def interfere(self) -> None:
        status = self.stored().status
        if status is self.cancelled_at:
            self.cancel()
        if status is self.buried_at:
            self.bury()

    def cancel(self) -> None:
        answer = self.bench.world.http("cancel_order", path=f"/api/orders/{self.order_id}")
        assert answer.status in (200, 409)
        self.cancelled |= answer.status == 200

    @rule()
    def sweep(self) -> None:
        self.bench.world.sweep()

    @rule(ms=st.sampled_from([1, 400, 3000, 60_000, SWEEP_AFTER_MS]))
    def let_time_pass(self, ms: int) -> None:
        self.bench.clock.at_ms += ms

    def bury(self) -> None:
        self.bench.world.deliver_dead_letter(order_message(self.order_id))

    @invariant()
    def take_in(self) -> None:
        sent = self.bench.world.messages()
        for message in sent:
            delay_ms = round(max(0, message.delayed_until - message.sent_timestamp))
            self.messages.append(self.bench.clock.at_ms + delay_ms)
        sent.clear()
        records = self.bench.world.tables("orders").stream_shard.items
        for record in records:
            self.ledger.observe(record.to_json()["dynamodb"])
        records.clear()

    def teardown(self) -> None:
        """In every case the order ends once, with one swap or none."""
        if not _bench or not hasattr(self, "order_id"):
            return
        for _ in range(STEPS_MAX):
            self.take_in()
            if self.running:
                self.go_on(0, 1)
            elif self.due:
                self.receive()
            elif self.messages:
                self.bench.clock.at_ms = min(self.messages)
            elif not self.stored().status.terminal:
                self.let_time_pass(SWEEP_AFTER_MS)
                self.sweep()
            else:
                break
        order = self.stored()
        self.ledger.judge(order)
        assert self.cancelled == (order.status is Status.CANCELLED)

    def stored(self) -> Order:
        (item,) = self.bench.world.tables("orders").items.values()
        return stored_order(item.to_json()["Attributes"]).order


def test_workers_on_one_order_execute_it_once_whatever_comes_between() -> None:
    run_state_machine_as_test(
        TwoWorkers,
        settings=settings(
            max_examples=50,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
