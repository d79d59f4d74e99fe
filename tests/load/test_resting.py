"""Resting orders execute in the first second in which they can, and the watcher costs little.

`python -m tests.load.resting` does the same with many more orders.
"""

from __future__ import annotations

import random
from statistics import median

import pytest

from functions.contract import wake_key
from infra.costs import dollars
from tests.load.resting import (
    BEGIN_MS,
    PAIRS,
    best_price_at,
    idle_watching_month,
    out_in,
    quiet_ticks,
    random_order,
    rested,
    run,
    second_at,
    watching_month,
    with_prices,
)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_order_executes_in_the_first_second_in_which_it_can(seed: int) -> None:
    """The oracle computes the routes of every second; a message reaches its worker after 0.3 s."""
    outcome = run(len(PAIRS), seconds=30, reach=0.002, seed=seed)
    assert outcome.early == outcome.missed == []
    assert outcome.executed == len(outcome.lags) >= 10
    assert max(outcome.lags) == 0


def test_a_tick_costs_the_same_beside_a_hundred_times_as_many_orders() -> None:
    few, many = quiet_ticks(100), quiet_ticks(10_000)
    assert set(few.tick_calls) == set(many.tick_calls) == {1}
    assert few.judged == many.judged == 0
    # The factor of ten allows for a busy machine.
    assert median(many.tick_cpu_ms) < 10 * median(few.tick_cpu_ms)


def test_the_watcher_costs_at_most_a_dollar_a_month_and_five_with_resting_orders() -> None:
    assert dollars(idle_watching_month(cpu_ms=5)) <= 1
    assert dollars(watching_month(len(PAIRS))) <= 5


def test_the_wake_keys_cover_every_second_in_which_an_order_can_execute() -> None:
    """The orders' prices are exactly their outputs at some later time, up to a month from now."""
    drawn = random.Random(5)
    checked = 0
    for number in range(4 * len(PAIRS)):
        now, later = BEGIN_MS, BEGIN_MS + drawn.randrange(1, 30 * 86_400) * 1000
        order = random_order(drawn, number, now, reach=0)
        out = order and out_in(order, second_at(later))
        if order is None or not out:
            continue
        _, wake = rested(with_prices(order, out), now)
        price = wake_key(best_price_at(order, later))
        assert wake.above is None or price >= wake.above, order
        assert wake.below is None or price <= wake.below, order
        checked += 1
    assert checked > 200
