"""In every interleaving an order in slices loses none, makes none twice, and can still end."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields

import pytest

from tests.faults.model import Unsafe
from tests.faults.slices import CANCELLED, CONFIRMED, FAILED, WORKING, Rules, State, explore

STATES = 22_425  # the number in the README


def test_every_interleaving_of_slices_is_safe_and_can_end_uncancelled() -> None:
    graph = explore()
    assert {state.parent.status for state in graph} == {WORKING, CONFIRMED, FAILED, CANCELLED}
    before: dict[State, list[State]] = defaultdict(list)
    for state, following in graph.items():
        for action, after in following:
            if CANCELLED not in (action, after.parent.status):
                before[after].append(state)
    ending = [state for state in graph if state.parent.status != WORKING]
    reached = set(ending)
    while ending:
        found = set(before[ending.pop()]) - reached
        reached |= found
        ending += found
    assert graph.keys() == reached
    assert len(graph) == STATES


@pytest.mark.parametrize("rule", [field.name for field in fields(Rules)])
def test_a_broken_rule_of_slices_is_found(rule: str) -> None:
    with pytest.raises(Unsafe):
        explore(Rules(**{rule: False}))
