"""In every interleaving an order keeps all promises, and can still end."""

from __future__ import annotations

from dataclasses import fields

import pytest

from functions.orders.order import TRANSITIONS, Status
from tests.faults.model import Graph, Rules, State, Unsafe, explore, without_an_end

# The numbers in the README: for a market order, and for one that waits for a price.
STATES = {False: 24_505, True: 111_443}


@pytest.mark.parametrize("waits", [False, True], ids=["market", "waiting"])
def test_every_interleaving_is_safe_and_can_end(waits: bool) -> None:
    graph = explore(waits=waits)
    assert cannot_end(graph) == set()
    assert len(graph) == STATES[waits]
    assert transitions_in(graph) == product_transitions(waits)


def cannot_end(graph: Graph[State]) -> set[State]:
    """The states from which the engine cannot end the order without a cancellation."""
    return without_an_end(
        graph,
        ended=lambda state: state.item.status.terminal,
        left_out=lambda action, _after: action == "cancel",
    )


def transitions_in(graph: Graph[State]) -> set[tuple[Status, Status]]:
    """The status transitions that the model makes."""
    return {
        (state.item.status, after.item.status)
        for state, following in graph.items()
        for _, after in following
        if after.item.sequence != state.item.sequence
    }


def product_transitions(waits: bool) -> set[tuple[Status, Status]]:
    """The product's transitions of such an order; only a twap order is ever `working`."""
    left_out = {Status.WORKING} if waits else {Status.WORKING, Status.RESTING, Status.EXPIRED}
    modelled = TRANSITIONS.keys() - left_out
    return {(one, other) for one in modelled for other in TRANSITIONS[one] & modelled}


@pytest.mark.parametrize("rule", [field.name for field in fields(Rules)])
def test_without_any_one_rule_a_promise_is_broken(rule: str) -> None:
    found = False
    for waits in (False, True):
        try:
            found |= bool(cannot_end(explore(Rules(**{rule: False}), waits=waits)))
        except Unsafe:
            found = True
        if found:
            return
    assert found
