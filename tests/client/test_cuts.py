"""Followers miss no update over random faults; `python -m tests.client.cuts` injects a thousand."""

from __future__ import annotations

import pytest

from functions.client import Update
from tests.client.cuts import Outcome, run
from tests.engine import Json


@pytest.mark.parametrize("seed", range(3))
def test_over_random_faults_every_update_is_received_once_and_in_order(seed: int) -> None:
    outcome = run(seed, cuts=80)
    assert outcome.faults == 0, outcome
    assert outcome.orders > 20
    assert outcome.cuts.keys() == {
        *("server closed", "network cut", "frame lost", "answer lost", "key", "pushed again")
    }


def test_lost_repeated_and_disordered_updates_are_counted() -> None:
    def updates(*sequences: int) -> list[Update]:
        return [Update(order_id="o", sequence=n, status="routing", timestamp="") for n in sequences]

    stored: list[Json] = [{"sequence": number} for number in (1, 2, 3)]
    outcome = Outcome()
    outcome.count(updates(1, 2, 3), stored)
    assert outcome.faults == 0
    outcome.count(updates(1, 3), stored)
    outcome.count(updates(1, 2, 2, 3), stored)
    outcome.count(updates(2, 1, 3), stored)
    assert (outcome.lost, outcome.repeated, outcome.out_of_order) == (1, 1, 1)
