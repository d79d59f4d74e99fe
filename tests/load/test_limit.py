"""The recorded calls of an order, with another id, and the ratios of the report."""

from __future__ import annotations

from tests.load.limit import OnEmulator, recorded, report, with_names_replaced


def test_the_calls_of_an_order_are_repeated_with_another_id_everywhere() -> None:
    order_id, calls = recorded()
    assert len(calls) == 12
    again = [
        with_names_replaced(call.given, {order_id: "another"})
        for call in calls
        if "Data" not in call.given
    ]
    assert order_id not in repr(again)
    assert repr(again).count("another") >= 7
    assert {type(call) for call in again} == {dict}


def test_the_ratio_is_that_of_the_engine_and_the_calls_alone() -> None:
    table = report(OnEmulator(20, 100, 10), OnEmulator(80, 50, 30))
    (ratios,) = [list(column.cells) for column in table.columns if column.header == "ratio"]
    assert ratios == ["4.00", "2.00", "3.00"]
