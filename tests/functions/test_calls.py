"""The AWS calls of one market order with one follower, so that no call is added unnoticed."""

from __future__ import annotations

from tests.recording import busy_and_first, total, with_a_webhook


def test_an_order_makes_twelve_aws_calls_and_an_owners_first_order_three_more() -> None:
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


def test_a_webhook_for_one_status_adds_a_message_and_the_read_of_the_webhook() -> None:
    assert with_a_webhook() == {
        "publish": {"SendMessageBatch": 1},
        "deliver": {"GetItem": 1},
    }
