"""The recorded calls of an order, with another id, and the ratios of the report."""

from __future__ import annotations

from tests.load.cpu import CpuSeconds
from tests.load.limit import OnEmulator, recorded, renamed, report


def test_the_calls_of_an_order_are_repeated_with_another_id_everywhere() -> None:
    order_id, calls = recorded()
    assert len(calls) == 12
    again = [
        renamed(call.given, {order_id: "another"}) for call in calls if "Data" not in call.given
    ]
    assert order_id not in repr(again)
    assert repr(again).count("another") >= 7
    assert {type(call) for call in again} == {dict}


def test_the_ratio_is_that_of_the_engine_and_the_calls_alone() -> None:
    in_process = {
        "submit": [CpuSeconds(9, 9)],
        "in all, batch of 1": [CpuSeconds(0.009, 0.006), CpuSeconds(0.009, 0.006)],
    }
    table = report(in_process, OnEmulator(20, 100, 10), OnEmulator(80, 50, 30))
    (ratios,) = [list(column.cells) for column in table.columns if column.header == "ratio"]
    assert ratios == ["1.50", "4.00", "2.00", "3.00"]
