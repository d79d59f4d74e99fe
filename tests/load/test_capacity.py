"""The queue's simulation and the limits, by cases that can be counted by hand."""

from __future__ import annotations

import pytest

from functions.contract import BATCH_SIZE
from infra.settings import Settings
from tests.load.capacity import Limit, burst, limits, simulate
from tests.load.money import Measured


def test_one_order_takes_as_long_as_it_is_held() -> None:
    drain = simulate([5.0], 10, 3.5)
    assert (drain.seconds, drain.waits, drain.batches) == (3.5, [3.5], 1)


def test_orders_that_are_there_together_are_taken_in_tens() -> None:
    drain = simulate([0.0] * 25, 2, 1.0, at_first=2)
    assert drain.batches == 3
    assert drain.seconds == 2
    assert drain.waits == [1.0] * 20 + [2.0] * 5


def test_what_comes_later_waits_only_for_a_free_worker() -> None:
    drain = simulate([0.0, 0.5, 0.6], 1, 1.0, at_first=1)
    assert drain.waits == [1.0, 1.5, pytest.approx(1.4)]
    assert drain.batches == 2


def test_workers_come_five_a_second_after_the_first_five() -> None:
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


def test_the_workers_at_once_break_first_and_can_be_raised() -> None:
    opened = {"orderId": {"S": "1"}, "openOwner": {"S": "o"}}
    order = Measured(
        2, 1, 4, 1, 6, 5, [(None, opened), (opened, {"orderId": {"S": "1"}})], 0, 0, 0, 0
    )
    default = limits(order, Settings(version=""))
    raised = limits(order, Settings(version="", max_concurrency=1000))
    assert default[0].name == "workers at once (ours)"
    assert 25 < default[0].orders_per_second < 33
    assert raised[0].name != default[0].name
    rates = [limit.orders_per_second for limit in raised]
    assert rates == sorted(rates)
