"""Every interleaving of the order core: safe, and an end is always reachable."""

from __future__ import annotations

from dataclasses import fields

import pytest

from functions.orders.order import TRANSITIONS, Status
from tests.faults.model import Rules, Unsafe, explore, without_an_end

STATES = 24_505  # as the README says


def test_every_interleaving_is_safe_and_can_end() -> None:
    graph = explore()
    assert without_an_end(graph) == set()
    assert len(graph) == STATES


def test_the_model_makes_every_transition_of_a_market_order() -> None:
    made = {
        (state.item.status, after.item.status)
        for state, following in explore().items()
        for _, after in following
        if after.item.sequence != state.item.sequence
    }
    modelled = TRANSITIONS.keys() - {Status.RESTING, Status.WORKING, Status.EXPIRED}
    assert made == {(one, other) for one in modelled for other in TRANSITIONS[one] & modelled}


@pytest.mark.parametrize("rule", [field.name for field in fields(Rules)])
def test_a_broken_rule_is_found(rule: str) -> None:
    try:
        stuck = without_an_end(explore(Rules(**{rule: False})))
    except Unsafe:
        return
    assert stuck
