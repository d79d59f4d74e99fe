"""The calls of an order, as they are made again for another order."""

from __future__ import annotations

from tests.load.cpu import Weight
from tests.load.limit import OnEmulator, recorded, renamed, report


def test_an_order_is_made_again_under_another_id_without_a_trace_of_the_recorded_one() -> None:
    order_id, calls = recorded()
    assert len(calls) == 12
    again = [
        renamed(call.given, {order_id: "another"}) for call in calls if "Data" not in call.given
    ]
    assert order_id not in repr(again)
    assert repr(again).count("another") >= 7
    assert {type(call) for call in again} == {dict}


def test_the_ratio_says_how_much_better_the_calls_alone_are() -> None:
    in_process = {
        "submit": [Weight(9, 9)],
        "in all, batch of 1": [Weight(0.009, 0.006), Weight(0.009, 0.006)],
    }
    table = report(in_process, OnEmulator(20, 100, 10), OnEmulator(80, 50, 30))
    (ratios,) = [list(column.cells) for column in table.columns if column.header == "ratio"]
    assert ratios == ["1.50", "4.00", "2.00", "3.00"]
