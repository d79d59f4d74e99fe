"""No fault at any call loses or repeats an order or an update."""

from __future__ import annotations

from tests.faults.injection import Bench, Kind
from tests.faults.runs import Tally, Task, random_faults, run_all, single_faults
from tests.faults.schedule import Schedule
from tests.jobs import jobs

SCHEDULES = 1000


def run(tasks: list[Task]) -> Tally:
    tally = Tally()
    for part in run_all(tasks, jobs()):
        tally.add(part)
    return tally


def test_no_fault_of_any_one_call_breaks_a_promise() -> None:
    tasks = list(single_faults())
    tally = run(tasks)
    assert tally.failures == []
    assert sum(tally.faults.values()) == len(tasks)
    hit = {name for name, _ in tally.faults}
    assert hit >= {"PutItem", "GetItem", "UpdateItem", "Query", "SendMessage", "PostToConnection"}
    assert hit >= {"SendMessageBatch", "ChangeMessageVisibility"}
    assert all(tally.faults[name, kind] for name in hit for kind in Kind)


def test_no_random_faults_break_a_promise() -> None:
    tally = run(list(random_faults(SCHEDULES, 0)))
    assert tally.failures == []
    assert (tally.schedules, sum(tally.faults.values()) > SCHEDULES) == (SCHEDULES, True)


def test_a_schedule_is_the_same_each_time_it_is_run(bench: Bench) -> None:
    schedule = Schedule(bench, 7)
    schedule.run()
    calls = bench.calls.names
    again = Schedule(bench, 7)
    again.run()
    assert (bench.calls.names, again.log) == (calls, schedule.log)
