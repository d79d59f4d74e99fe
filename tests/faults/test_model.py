"""Every interleaving of the order core is safe, and can still reach an end."""

from __future__ import annotations

from dataclasses import fields

import pytest

from functions.orders.order import TRANSITIONS, Status
from tests.faults.model import Rules, State, Unsafe, explore, without_an_end

# The numbers in the README: for a market order, and for one that waits for a price.
STATES = {False: 24_505, True: 111_443}


@pytest.mark.parametrize("waits", [False, True], ids=["market", "waiting"])
def test_every_interleaving_is_safe_and_can_end(waits: bool) -> None:
    graph = explore(waits=waits)
    assert without_an_end(graph) == set()
    assert len(graph) == STATES[waits]
    assert made_in(graph) == known(waits)


def made_in(graph: dict[State, list[tuple[str, State]]]) -> set[tuple[Status, Status]]:
    """The status transitions that the model makes."""
    return {
        (state.item.status, after.item.status)
        for state, following in graph.items()
        for _, after in following
        if after.item.sequence != state.item.sequence
    }


def known(waits: bool) -> set[tuple[Status, Status]]:
    """The product's transitions of such an order; only a twap order is ever `working`."""
    left_out = {Status.WORKING} if waits else {Status.WORKING, Status.RESTING, Status.EXPIRED}
    modelled = TRANSITIONS.keys() - left_out
    return {(one, other) for one in modelled for other in TRANSITIONS[one] & modelled}


@pytest.mark.parametrize("rule", [field.name for field in fields(Rules)])
def test_a_broken_rule_is_found(rule: str) -> None:
    found = False
    for waits in (False, True):
        try:
            found |= bool(without_an_end(explore(Rules(**{rule: False}), waits=waits)))
        except Unsafe:
            found = True
        if found:
            return
    assert found
