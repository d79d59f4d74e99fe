"""In every interleaving an order in slices loses no slice, repeats none, and can still end."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tests.faults.model import Unsafe, without_an_end
from tests.faults.slices import CANCELLED, CONFIRMED, FAILED, WORKING, Rules, explore

STATES = 22_425  # the number in the README


def test_every_interleaving_of_slices_is_safe_and_can_end_without_a_cancellation() -> None:
    graph = explore()
    assert {state.parent.status for state in graph} == {WORKING, CONFIRMED, FAILED, CANCELLED}
    assert not without_an_end(
        graph,
        ended=lambda state: state.parent.status != WORKING,
        left_out=lambda action, after: CANCELLED in (action, after.parent.status),
    )
    assert len(graph) == STATES


@pytest.mark.parametrize("rule", [field.name for field in fields(Rules)])
def test_without_any_one_rule_of_slices_a_promise_is_broken(rule: str) -> None:
    with pytest.raises(Unsafe):
        explore(Rules(**{rule: False}))
