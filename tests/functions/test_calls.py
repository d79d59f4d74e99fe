"""What one market order with one follower costs in AWS calls: a new call is a decision."""

from __future__ import annotations

from tests.load.calls import busy_and_first, total


def test_an_order_of_a_busy_owner_makes_these_calls_and_his_first_one_these_besides() -> None:
    busy, first = busy_and_first()
    assert busy == {
        "submit": {"PutItem": 1, "SendMessage": 1},
        "subscribe": {"UpdateItem": 1},
        "work": {"UpdateItem": 4},
        "publish": {"PostToConnection": 5},
    }
    assert first == {
        "authorize": {"GetItem": 1},
        "submit": {"Query": 1},
        "publish": {"Query": 1},
    }
    assert total(busy) == 12
