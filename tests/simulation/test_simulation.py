"""No interleaving, fault or deployment breaks a promise, and the simulation covers all cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.jobs import jobs
from tests.simulation.runs import EXPECTED_COVERAGE, Runner, Tally, new_runner, run_all

SEEDS = 150
PROGRAM_SEEDS = 40


@pytest.fixture
def runner() -> Iterator[Runner]:
    with new_runner() as runner:
        yield runner


def test_no_seed_breaks_a_promise_and_every_case_is_covered() -> None:
    tally = Tally()
    for part in run_all(range(SEEDS), jobs()):
        tally.add(part)
    assert tally.failures == []
    assert [name for name in EXPECTED_COVERAGE if not tally.coverage[name]] == []


def test_a_seed_repeats_its_run_exactly(runner: Runner) -> None:
    first = runner.run(11).scheduler.log
    assert len(first) > 50
    runner.run(12)
    assert runner.run(11).scheduler.log == first


def test_a_run_leaves_no_task_suspended_which_would_keep_it_in_memory(runner: Runner) -> None:
    assert runner.run(11).scheduler.tasks == []


def test_the_client_for_programs_yields_every_update_once_and_in_order(runner: Runner) -> None:
    coverage: Counter[str] = Counter()
    for seed in range(PROGRAM_SEEDS):
        coverage += runner.run(seed, with_programs=True).coverage
    assert coverage["updates that the client for programs yielded"] > 10 * PROGRAM_SEEDS
    assert coverage["connections cut"] > 0
