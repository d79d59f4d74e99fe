"""An order as an item of the orders table: what is written, and how it is read back.

Items are in DynamoDB's JSON, {"S": …}. Only single attributes are ever updated, so an item that
an earlier release wrote must stay readable.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from functions.contract import iso, open_shard, unix_ms
from functions.orders.order import REQUEST_FIELDS, Order, Update, order_of

IDLE_GRID_MS = 10_000


class StoredOrder(NamedTuple):
    """An order, its owner, and its signed transaction (JSON) if it has one."""

    order: Order
    owner: str
    transaction: str | None


def new_item(order: Order, owner: str, *, writer: str) -> dict[str, Any]:
    """The item of a new order; `writer` names the put, so that a repeat of it is recognised."""
    return {
        "orderId": {"S": order.order_id},
        "owner": {"S": owner},
        "createdAt": {"S": order.created_at},
        "request": {"S": request_json(order)},
        "sequence": {"N": str(order.sequence)},
        "updates": {"L": [{"S": update.to_json()} for update in order.updates]},
        "followers": {"M": {}},
        "openShard": {"S": open_shard(order.order_id)},
        "openOwner": {"S": owner},
        "idleSince": {"S": idle_since(order.updates[-1])},
        "writer": {"S": writer},
    }


def stored_order(item: dict[str, Any]) -> StoredOrder:
    """The order that an item holds."""
    updates = [Update.model_validate_json(update["S"]) for update in item["updates"]["L"]]
    return StoredOrder(
        order_of(json.loads(item["request"]["S"]), updates),
        item["owner"]["S"],
        item.get("transaction", {}).get("S"),
    )


def request_json(order: Order) -> str:
    """The fields of an order that never change, as JSON."""
    fields = {"client_order_id", *REQUEST_FIELDS}
    return order.model_dump_json(by_alias=True, exclude_none=True, include=fields)


def idle_since(update: Update) -> str:
    """When the order begins to be idle if this is its last update, rounded up to ten seconds.

    An index is written, and paid for, whenever one of its keys changes. Most orders end within
    ten seconds, so the rounded time changes in few of them. An order that waits for its next
    attempt is idle only from then on.
    """
    idle_ms = unix_ms(update.next_retry_at or update.timestamp)
    return iso(-(-idle_ms // IDLE_GRID_MS) * IDLE_GRID_MS)
