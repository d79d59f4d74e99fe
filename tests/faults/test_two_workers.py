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
from tests.clock import START_MS
from tests.events import sqs_event, sqs_message
from tests.faults.injection import Harness
from tests.faults.schedule import CASES, SWEEP_AFTER_MS, Ledger
from tests.stepping import Stepped
from tests.world import Context

WORKERS_MAX = 3
WORKED_ON = (Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
STEPS_MAX = 1000
_harness: list[Harness] = []
_orders = count()


@pytest.fixture(autouse=True)
def _set_harness(harness: Harness) -> Iterator[None]:
    _harness.append(harness)
    yield
    _harness.clear()


class TwoWorkers(RuleBasedStateMachine):
    """One order, its messages, and the workers, each of which holds one message."""

    @initialize(
        case=st.sampled_from([*CASES, *[CASES[0]] * len(CASES)]),
        # The status in which each event happens; both end the order, so each happens at most once.
        cancelled_at=st.sampled_from([None, None, None, Status.PENDING]),
        dead_lettered_at=st.sampled_from([None, None, *WORKED_ON, Status.SUBMITTED]),
    )
    def submit(
        self,
        case: tuple[dict[str, Any] | None, str],
        cancelled_at: Status | None,
        dead_lettered_at: Status | None,
    ) -> None:
        self.cancelled_at, self.dead_lettered_at = cancelled_at, dead_lettered_at
        self.harness = _harness[0]
        self.harness.reset({}, START_MS)
        self.ledger = Ledger()
        self.messages: list[int] = []  # the time (Unix ms) at which each becomes visible
        self.running: list[Stepped] = []
        self.cancelled = False
        simulate, _ = case
        fields = {"simulate": simulate} if simulate else {}
        self.order_id = self.harness.world.submit(f"order-{next(_orders)}", **fields)["orderId"]
        # SQS delivered the first message twice, so two workers begin.
        self.running = [self.worker() for _ in range(2)]

    def worker(self) -> Stepped:
        """An invocation of the worker for the order, before its first step."""
        event = sqs_event("order", [sqs_message(order_message(self.order_id))])
        return Stepped(lambda: worker.handler(event, Context()))

    @property
    def due(self) -> list[int]:
        return [at for at in self.messages if at <= self.harness.clock.at_ms]

    @precondition(lambda self: self.due and len(self.running) < WORKERS_MAX)
    @rule()
    def receive(self) -> None:
        self.messages.remove(self.due[0])
        self.running.append(self.worker())

    @precondition(lambda self: self.running)
    @rule(chosen=st.integers(0, WORKERS_MAX - 1), steps=st.integers(1, 12))
    def step_worker(self, chosen: int, steps: int) -> None:
        worker = self.running[chosen % len(self.running)]
        for _ in range(steps):
            worker.step()
            self.apply_events()
            if worker.ended:  # its message is acknowledged
                self.running.remove(worker)
                return

    @precondition(lambda self: self.running)
    @rule(chosen=st.integers(0, WORKERS_MAX - 1))
    def kill(self, chosen: int) -> None:
        self.running.pop(chosen % len(self.running)).kill()
        self.messages.append(self.harness.clock.at_ms)  # SQS redelivers the message at once

    @rule()
    def deliver_twice(self) -> None:
        self.messages.append(self.harness.clock.at_ms)

    def apply_events(self) -> None:
        status = self.stored().status
        if status is self.cancelled_at:
            self.cancel()
        if status is self.dead_lettered_at:
            self.deliver_dead_letter()

    def cancel(self) -> None:
        answer = self.harness.world.cancel(self.order_id)
        assert answer.status in (200, 409)
        self.cancelled |= answer.status == 200

    @rule()
    def sweep(self) -> None:
        self.harness.world.sweep()

    @rule(ms=st.sampled_from([1, 400, 3000, 60_000, SWEEP_AFTER_MS]))
    def pass_time(self, ms: int) -> None:
        self.harness.clock.at_ms += ms

    def deliver_dead_letter(self) -> None:
        self.harness.world.deliver_dead_letter(order_message(self.order_id))

    @invariant()
    def collect(self) -> None:
        for sent in self.harness.sent():
            self.messages.append(self.harness.clock.at_ms + sent.delay_ms)
        for record in self.harness.records():
            self.ledger.observe(record["dynamodb"])

    def teardown(self) -> None:
        """Run to the end: the order has one terminal status, with one swap or none."""
        if not _harness or not hasattr(self, "order_id"):
            return
        for _ in range(STEPS_MAX):
            self.collect()
            if self.running:
                self.step_worker(0, 1)
            elif self.due:
                self.receive()
            elif self.messages:
                self.harness.clock.at_ms = min(self.messages)
            elif not self.stored().status.terminal:
                self.pass_time(SWEEP_AFTER_MS)
                self.sweep()
            else:
                break
        order = self.stored()
        self.ledger.judge(order)
        assert self.cancelled == (order.status is Status.CANCELLED)

    def stored(self) -> Order:
        (item,) = self.harness.orders()
        return stored_order(item).order


def test_workers_on_one_order_execute_it_at_most_once_in_any_interleaving() -> None:
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
