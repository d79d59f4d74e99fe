"""Resting orders execute in the first second in which they can, and what they cost while they rest.

`python -m tests.load.resting` does the same with many more.
"""

from __future__ import annotations

from statistics import median

import pytest

from infra.costs import dollars
from tests.load.resting import PAIRS, idle_watching_month, quiet_ticks, run, watching_month


@pytest.mark.parametrize("seed", [1, 2])
def test_every_order_executes_in_the_first_second_in_which_it_can(seed: int) -> None:
    """The oracle looks at the routes of every second; a message takes 0.3 s to its worker."""
    outcome = run(len(PAIRS), seconds=30, reach=0.002, seed=seed)
    assert outcome.early == outcome.missed == []
    assert outcome.executed == len(outcome.lags) >= 10
    assert max(outcome.lags) == 0


def test_a_tick_costs_the_same_beside_a_hundred_times_as_many_orders() -> None:
    few, many = quiet_ticks(100), quiet_ticks(10_000)
    assert set(few.tick_calls) == set(many.tick_calls) == {1}
    assert few.judged == many.judged == 0
    # Ten times as slow is no measurement of a busy machine.
    assert median(many.tick_cpu_ms) < 10 * median(few.tick_cpu_ms)


def test_the_watcher_costs_a_dollar_a_month_where_nothing_rests_and_five_where_orders_rest() -> (
    None
):
    assert dollars(idle_watching_month(cpu_ms=5)) <= 1
    assert dollars(watching_month(len(PAIRS))) <= 5
