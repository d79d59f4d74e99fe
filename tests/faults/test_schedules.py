"""No fault at any call loses or repeats an order or an update."""

from __future__ import annotations

import sys

import pytest

from tests.faults.__main__ import main
from tests.faults.injection import Harness, Kind
from tests.faults.runs import Tally, Task, random_faults, run_all, single_faults
from tests.faults.schedule import Schedule

SCHEDULES = 1000


def run(tasks: list[Task]) -> Tally:
    tally = Tally()
    for part in run_all(tasks):
        tally.add(part)
    return tally


def test_no_fault_at_any_single_call_breaks_a_promise() -> None:
    tasks = list(single_faults())
    tally = run(tasks)
    assert tally.failures == []
    assert sum(tally.faults.values()) == len(tasks)
    faulty = {name for name, _ in tally.faults}
    assert faulty >= {
        "PutItem",
        "GetItem",
        "UpdateItem",
        "Query",
        "SendMessage",
        "PostToConnection",
    }
    assert faulty >= {"SendMessageBatch", "ChangeMessageVisibility"}
    assert all(tally.faults[name, kind] for name in faulty for kind in Kind)


def test_no_random_faults_break_a_promise() -> None:
    tally = run(list(random_faults(SCHEDULES, 0)))
    assert tally.failures == []
    assert (tally.schedules, sum(tally.faults.values()) > SCHEDULES) == (SCHEDULES, True)


def test_a_seed_repeats_its_schedule_exactly(harness: Harness) -> None:
    schedule = Schedule(harness, 7)
    schedule.run()
    calls = harness.calls.names
    repeated = Schedule(harness, 7)
    repeated.run()
    assert (harness.calls.names, repeated.log) == (calls, schedule.log)


def test_an_update_pushed_before_the_answer_to_a_subscription_may_follow_a_gap(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The subscription takes effect, but is answered with INTERNAL. The order is made after it.
    faults = "7:kill-before,16:lose"
    monkeypatch.setattr(sys, "argv", ["faults", "--replay", "15130", "--faults", faults])
    main()
    printed = capsys.readouterr()
    assert printed.out == "no promise was broken\n"
    assert "follow all: AssertionError" in printed.err
    assert "call 16, UpdateItem: lose" in printed.err
