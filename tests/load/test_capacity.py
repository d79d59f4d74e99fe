"""The simulation of the queue and the limits, by cases that are computed by hand."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from functions.contract import BATCH_SIZE
from infra.costs import dollars
from infra.settings import Settings
from tests.load import capacity, region
from tests.load.capacity import (
    GOAL,
    GOAL_QUOTAS,
    GOAL_SETTINGS,
    Limit,
    burst,
    goal,
    limits,
    simulate,
)
from tests.load.money import Load, Measured, Memory, measured, of_one_order
from tests.load.region import DEFAULTS, Needs, Quotas, run


def test_one_order_takes_as_long_as_its_worker_is_busy() -> None:
    drain = simulate([5.0], 10, 3.5)
    assert (drain.seconds, drain.waits, drain.batches) == (3.5, [3.5], 1)


def test_waiting_orders_are_received_in_batches_of_ten() -> None:
    drain = simulate([0.0] * 25, 2, 1.0, at_first=2)
    assert drain.batches == 3
    assert drain.seconds == 2
    assert drain.waits == [1.0] * 20 + [2.0] * 5


def test_a_later_order_waits_only_for_a_free_worker() -> None:
    drain = simulate([0.0, 0.5, 0.6], 1, 1.0, at_first=1)
    assert drain.waits == [1.0, 1.5, pytest.approx(1.4)]
    assert drain.batches == 2


def test_workers_are_added_five_a_second_after_the_first_five() -> None:
    everything = [0.0] * 60
    assert simulate(everything, 6, 10.0).seconds == pytest.approx(10.2)
    assert simulate(everything, 6, 10.0, at_first=6).seconds == 10


def test_a_long_burst_drains_at_the_workers_rate() -> None:
    drain = simulate(burst(10_000, 10), 20, 3.5)
    assert len(drain.waits) / drain.seconds == pytest.approx(20 * BATCH_SIZE / 3.5, rel=0.03)
    assert all(wait >= 3.5 for wait in drain.waits)


def test_more_workers_never_take_longer() -> None:
    arrivals = burst(2_000, 10)
    seconds = [simulate(arrivals, concurrency, 3.5).seconds for concurrency in (5, 10, 50, 500)]
    assert seconds == sorted(seconds, reverse=True)


def test_a_limit_is_its_quota_over_an_orders_need() -> None:
    assert Limit("", 1_000, 4, "", "").orders_per_second == 250


def test_the_number_of_workers_is_the_lowest_limit_and_can_be_raised() -> None:
    opened = {"orderId": {"S": "1"}, "openOwner": {"S": "o"}}
    order = Measured(
        2, 1, 4, 1, 6, 5, [(None, opened), (opened, {"orderId": {"S": "1"}})], 0, 0, 0, 0
    )
    default = limits(order, Settings(version=""))
    raised = limits(order, Settings(version="", max_concurrency=1000))
    assert default[0].name == "workers at once (setting)"
    assert 25 < default[0].orders_per_second < 33
    assert raised[0].name != default[0].name
    rates = [limit.orders_per_second for limit in raised]
    assert rates == sorted(rates)


# --- a region, second by second ---------------------------------------------------------------

NEEDS = Needs(
    requests=2,
    pushes=5,
    submit_units={"orders": 2, "openOrders": 1},
    work_units={"orders": 8, "openOrders": 1},
    keys={"openOrders": 8},
    api_seconds=0.02,
    worker_seconds=0.1,
    publisher_seconds=0.05,
    judge_seconds=0.05,
)
WIDE = Settings(version="", max_concurrency=1_000, throttle_rate=100_000)


def test_workers_of_a_region_are_added_five_a_second_after_the_first_five() -> None:
    seconds = run(NEEDS, WIDE, DEFAULTS, rate=1_000, seconds=10)
    assert [round(each.confirmed) for each in seconds[:3]] == [50, 100, 150]
    limited = run(NEEDS, replace(WIDE, max_concurrency=12), DEFAULTS, rate=1_000, seconds=10)
    assert [round(each.confirmed) for each in limited[:4]] == [50, 100, 120, 120]


def test_a_new_table_takes_four_thousand_units_and_twice_its_peak_after_half_an_hour() -> None:
    seconds = run(NEEDS, WIDE, replace(DEFAULTS, executions=9_000), rate=1_000, seconds=3_700)
    assert seconds[1_700].confirmed == pytest.approx(400, rel=0.02)
    assert seconds[2_000].confirmed == pytest.approx(800, rel=0.02)
    assert seconds[3_699].confirmed == pytest.approx(1_000, rel=0.02)
    assert seconds[1_700].throttled > 0.5
    assert seconds[3_699].throttled == 0


def test_eight_keys_of_an_index_take_a_thousand_units_each() -> None:
    warm = Quotas(warm_write_units=40_000, gateway_requests=99_000, executions=9_000)
    hot = replace(NEEDS, work_units={"orders": 2, "openOrders": 7})
    seconds = run(hot, WIDE, warm, rate=2_000, seconds=600)
    assert seconds[-1].confirmed == pytest.approx(8_000 / 8, rel=0.02)


def test_all_functions_share_the_accounts_executions() -> None:
    few = replace(DEFAULTS, executions=30)
    seconds = run(NEEDS, WIDE, few, rate=300, seconds=300)
    assert max(each.executions for each in seconds) <= 30.001
    assert seconds[-1].confirmed < 300


def test_the_sweeper_queues_few_orders_of_a_long_queue_again() -> None:
    slow = replace(WIDE, max_concurrency=2)
    seconds = run(NEEDS, slow, DEFAULTS, rate=100, seconds=1_300)
    assert seconds[-1].oldest_seconds > 900
    assert max(each.swept for each in seconds[:600]) == 0  # their messages are still there
    assert max(each.swept for each in seconds) == BATCH_SIZE


def test_the_watcher_wakes_orders_only_while_the_queue_is_short() -> None:
    idle = run(NEEDS, WIDE, DEFAULTS, rate=100, seconds=60, woken=400)
    assert idle[-1].confirmed == pytest.approx(100)
    assert idle[-1].executions == pytest.approx(100 * 0.17 + 400 * 0.05, rel=0.05)
    busy = run(NEEDS, replace(WIDE, max_concurrency=10), DEFAULTS, rate=200, seconds=60, woken=400)
    assert busy[-1].confirmed == pytest.approx(100)  # all ten workers


# --- the goal ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def order() -> Measured:
    return measured()


def test_the_goals_settings_and_quotas_are_enough_for_it(order: Measured) -> None:
    found = goal(order, GOAL_SETTINGS, GOAL_QUOTAS)
    assert found.carried
    assert found.confirmed == pytest.approx(GOAL)


def test_an_hour_costs_its_orders_and_less_than_a_tenth_more_for_resting_ones(
    order: Measured,
) -> None:
    memory = Memory(worker=GOAL_SETTINGS.worker_memory_mb, others=GOAL_SETTINGS.memory_mb)
    load = Load(worker_batch=BATCH_SIZE, publisher_batch=BATCH_SIZE, waits_queued=True)
    orders = GOAL * 3600 * dollars(of_one_order(order, load, memory))
    assert orders < capacity.cost_of_an_hour(order, GOAL_SETTINGS) < 1.1 * orders


def test_every_raised_setting_and_quota_is_needed(order: Measured) -> None:
    default = Settings(version="")
    for raised, of in ((GOAL_SETTINGS, default), (GOAL_QUOTAS, DEFAULTS)):
        for each in fields(raised):
            before: Any = getattr(of, each.name)
            if getattr(raised, each.name) == before or each.name == "throttle_burst":
                continue
            lowered: Any = replace(raised, **{each.name: before})
            both = (lowered, GOAL_QUOTAS) if raised is GOAL_SETTINGS else (GOAL_SETTINGS, lowered)
            assert not goal(order, *both).carried, each.name


@pytest.mark.parametrize(
    ("name", "value"), [("BATCH_SIZE", 5), ("OPEN_SHARDS", ("0", "1")), ("PUBLISHERS_PER_SHARD", 1)]
)
def test_the_goal_needs_the_batch_size_the_index_shards_and_the_publishers(
    order: Measured, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    for module in (capacity, region):
        monkeypatch.setattr(module, name, value)
    assert not goal(order, GOAL_SETTINGS, GOAL_QUOTAS).carried
