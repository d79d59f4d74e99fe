"""The arithmetic of the bill, without a measurement."""

from __future__ import annotations

import pytest

from infra.costs import GB, billed_ms, dollars, gb_seconds, idle_month
from tests.load import money
from tests.load.items import ENDED, OPEN
from tests.load.money import Load, Measured, Memory
from tests.load.prices import PRICES

MEMORY = Memory(worker=512, others=512)
ORDER = Measured(
    api_calls=2,
    websocket_calls=1,
    worker_calls=4,
    queue_sends=1,
    records=6,
    pushes=5,
    writes=[(None, OPEN), (OPEN, ENDED)],
    other_writes=1,
    reads=2,
    log_bytes=1000,
    shared_log_bytes=600,
)


def test_an_invocation_is_billed_for_its_share_of_a_core_and_its_waiting() -> None:
    assert billed_ms(cpu_ms=10, memory_mb=1769, waited_ms=5) == 15
    assert billed_ms(cpu_ms=10, memory_mb=3538, waited_ms=5) == 15
    assert billed_ms(cpu_ms=1, memory_mb=512, waited_ms=100) == 104  # 3.46, rounded up


def test_a_second_of_a_gigabyte_is_a_gigabyte_second() -> None:
    assert gb_seconds(1000, 1024) == 1
    assert gb_seconds(500, 256) == 0.125


def test_a_batch_is_held_as_long_as_its_slowest_order() -> None:
    one, ten = money.held_ms(1), money.held_ms(10)
    assert 200 + 300 + 5 * 400 - 400 < one < ten < 400 + 300 + 7 * 400
    assert 500 < money.quoted_ms(1) < money.quoted_ms(10) < 700


def test_the_write_units_of_an_order_include_its_indexes() -> None:
    # One unit a write, three entries made, two of them deleted, one write elsewhere.
    assert (ORDER.write_units, ORDER.index_units) == (8, 5)


def test_an_ended_order_is_stored_once_and_in_one_index() -> None:
    size = sum(len(name) + len(value["S"]) for name, value in ENDED.items())
    assert ORDER.stored_bytes == 2 * (size + 100)


def test_an_order_held_for_a_tenth_of_the_idle_grid_renews_idle_since_one_time_in_ten() -> None:
    assert 0.17 < money.idle_units(1) < money.idle_units(10) < 0.23


def test_a_batch_of_ten_shares_its_invocation_and_its_requests() -> None:
    one = money.of_one_order(ORDER, Load(), MEMORY)
    ten = money.of_one_order(ORDER, Load(worker_batch=10, publisher_batch=6), MEMORY)
    assert (one["sqs_request"], ten["sqs_request"]) == (3, 1.2)
    assert one["invocation"] == 1 + 1 + 6 + 1
    assert ten["invocation"] == pytest.approx(1 + 1 + 1 + 0.1)
    assert ten["gb_second"] < one["gb_second"]
    assert (one["log_gb"] - ten["log_gb"]) * GB == pytest.approx(500)
    assert one["message"] == ten["message"] == 6


def test_a_queued_wait_costs_messages_and_saves_time() -> None:
    held = money.of_one_order(ORDER, Load(), MEMORY)
    queued = money.of_one_order(ORDER, Load(waits_queued=True), MEMORY)
    assert queued["sqs_request"] == held["sqs_request"] + 3
    assert queued["invocation"] == held["invocation"] + 1
    assert queued["write_unit"] == held["write_unit"] + 1  # refused, and charged
    assert queued["gb_second"] < held["gb_second"]


def test_the_services_add_up_to_the_bill() -> None:
    usage = {"http_request": 2_000_000.0, "message": 1_000_000.0, "sqs_request": 1_000_000.0}
    assert dollars(usage) == pytest.approx(3.4)
    assert money.by_service(usage) == pytest.approx({"API Gateway": 3, "SQS": 0.4})


def test_every_price_is_used_and_every_used_unit_has_a_price() -> None:
    used = money.of_one_order(ORDER, Load(), MEMORY)
    used |= idle_month(MEMORY.others, alarms=1, metrics=1) | money.always_on()
    assert used.keys() == PRICES.keys()


def test_alarms_and_metrics_are_in_the_cost_of_a_month_without_orders() -> None:
    fixed = idle_month(MEMORY.others, alarms=10, metrics=2)
    bare = idle_month(MEMORY.others, alarms=0, metrics=0)
    assert dollars(fixed) - dollars(bare) == pytest.approx(1.6)
    assert fixed["sqs_request"] == 3 * 5 * 3 * 60 * 24 * 30


def test_at_the_break_even_both_stacks_cost_the_same() -> None:
    fixed = idle_month(MEMORY.others, alarms=0, metrics=0)
    break_even_orders = money.break_even(ORDER, MEMORY, fixed)
    always = money.always_on_month()
    assert money.cost_of_a_month(ORDER, break_even_orders, MEMORY, fixed) == pytest.approx(
        always, rel=0.001
    )
    assert money.cost_of_a_month(ORDER, break_even_orders / 2, MEMORY, fixed) < always


def test_an_always_on_stack_grows_by_whole_stacks() -> None:
    once = sum(money.by_service(money.always_on()).values())
    carried = money.ALWAYS_ON_ORDERS_PER_SECOND * money.DAY_SECONDS
    assert money.always_on_month(0) == money.always_on_month(carried) == once
    assert money.always_on_month(carried + 1) == 2 * once
