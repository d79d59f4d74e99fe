"""No interleaving, fault or deployment breaks a promise, and the simulation covers all cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.jobs import jobs
from tests.simulation.runs import EXPECTED_COVERAGE, Bench, Tally, bench, run_all

SEEDS = 150
PROGRAM_SEEDS = 40


@pytest.fixture
def ready() -> Iterator[Bench]:
    with bench() as ready:
        yield ready


def test_no_seed_breaks_a_promise_and_everything_is_met() -> None:
    tally = Tally()
    for part in run_all(range(SEEDS), jobs()):
        tally.add(part)
    assert tally.failures == []
    assert [name for name in EXPECTED_COVERAGE if not tally.coverage[name]] == []


def test_a_seed_is_replayed_to_the_letter(ready: Bench) -> None:
    first = ready.run(11).scheduler.log
    assert len(first) > 50
    ready.run(12)
    assert ready.run(11).scheduler.log == first


def test_the_client_for_programs_hands_over_every_update_once_and_in_order(ready: Bench) -> None:
    met: Counter[str] = Counter()
    for seed in range(PROGRAM_SEEDS):
        met += ready.run(seed, with_programs=True).coverage
    assert met["updates handed over"] > 10 * PROGRAM_SEEDS
    assert met["connections cut"] > 0
