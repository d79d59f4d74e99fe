"""The indexes of resting orders, and the item that says where they have changed."""

from __future__ import annotations

from functions.runtime import settings
from functions.store import clients

WATCHED_PAIRS = "watched-pairs"  # the key of that item in the orders table


def announce(pair: str) -> None:
    """Tell the watcher that what wakes the orders resting in this pair has changed."""
    clients.dynamodb().update_item(
        TableName=settings.orders_table,
        Key={"orderId": {"S": WATCHED_PAIRS}},
        UpdateExpression="ADD #pair :one",
        ExpressionAttributeNames={"#pair": pair},
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
