"""Runs many schedules on all cores, and sums up their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.faults.injection import Harness, Kind, new_harness
from tests.faults.schedule import BASE_SEEDS, Schedule, count_calls
from tests.jobs import jobs

CHUNK = 20

Task = tuple[int, dict[int, Kind] | None]  # a seed, and the faults that replace those it draws


@dataclass
class Tally:
    """The results of some schedules."""

    schedules: int = 0
    calls: int = 0
    faults: Counter[tuple[str, Kind]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.schedules += other.schedules
        self.calls += other.calls
        self.faults += other.faults
        self.failures += other.failures


def single_faults() -> Iterator[Task]:
    """Each call of each basic schedule, with each kind of fault."""
    with new_harness() as harness:
        lengths = {seed: count_calls(harness, seed) for seed in BASE_SEEDS}
    for seed, length in lengths.items():
        for number in range(length):
            yield from ((seed, {number: kind}) for kind in Kind)


def random_faults(count: int, first_seed: int) -> Iterator[Task]:
    """Schedules with random faults, drawn from consecutive seeds."""
    return ((seed, None) for seed in range(first_seed, first_seed + count))


def run_all(tasks: list[Task]) -> Iterator[Tally]:
    """Run the tasks in several processes; yields a tally each time some are done."""
    chunks = [tasks[start : start + CHUNK] for start in range(0, len(tasks), CHUNK)]
    with get_context("spawn").Pool(jobs(), _start_process) as pool:
        yield from pool.imap_unordered(_run, chunks)


def replay_line(schedule: Schedule) -> str:
    """The command that runs the schedule again, alone."""
    faults = ",".join(f"{number}:{kind}" for number, kind in schedule.plan.items())
    return f"uv run python -m tests.faults --replay {schedule.seed} --faults {faults}"


_harnesses: list[Harness] = []
_cleanup = ExitStack()


def _start_process() -> None:
    _harnesses.append(_cleanup.enter_context(new_harness()))


def _run(tasks: list[Task]) -> Tally:
    (harness,) = _harnesses
    tally = Tally()
    for seed, plan in tasks:
        schedule = Schedule(harness, seed, plan)
        try:
            schedule.run()
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            tally.failures.append(f"{error!r:.500}\n  {replay_line(schedule)}")
        names = harness.calls.names
        tally.schedules += 1
        tally.calls += len(names)
        tally.faults.update(
            (names[number], kind) for number, kind in schedule.plan.items() if number < len(names)
        )
    return tally
