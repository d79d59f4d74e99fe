"""An order as an item of the orders table, written and read back.

Items are in DynamoDB's JSON, {"S": …}. Only single attributes are ever updated, so an item that
an earlier release wrote must stay readable.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from functions.contract import (
    DELAY_SECONDS_MAX,
    due_shard,
    iso,
    open_shard,
    unix_ms,
    wake_pair,
)
from functions.orders.order import (
    REQUEST_FIELDS,
    Order,
    OrderType,
    Status,
    Update,
    order_of,
)
from functions.orders.waiting import AT_ONCE, Wake, due_ms

IDLE_GRID_MS = 10_000


class StoredOrder(NamedTuple):
    """An order, its owner, its signed transaction (JSON) if it has one, and what wakes it."""

    order: Order
    owner: str
    transaction: str | None
    wake: Wake = Wake()


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
        Wake(item.get("wakeAbove", {}).get("S"), item.get("wakeBelow", {}).get("S")),
    )


def request_json(order: Order) -> str:
    """The fields of an order that never change, as JSON."""
    fields = {"client_order_id", *REQUEST_FIELDS}
    if order.type is OrderType.MARKET:  # as the first release stored it, which knew no other type
        fields.remove("type")
    return order.model_dump_json(by_alias=True, exclude_none=True, include=fields)


def index_keys(order: Order, wake: Wake = AT_ONCE) -> dict[str, str | None]:
    """The attributes by which the indexes find the order from its last update on; None is absent.

    A resting order is found by the prices that `wake` it, and by its expiry if it has one.
    """
    keys: dict[str, str | None] = {"idleSince": idle_since(order.updates[-1])}
    if order.status.terminal:
        keys = {"openShard": None, "openOwner": None, "idleSince": None}
    if order.type is OrderType.MARKET:
        return keys
    rests = order.status is Status.RESTING
    if not order.status.terminal:
        keys |= _due_keys(order)
    return keys | {
        "wakePair": wake_pair(order.token_in, order.token_out) if rests else None,
        "wakeAbove": wake.above if rests else None,
        "wakeBelow": wake.below if rests else None,
    }


def _due_keys(order: Order) -> dict[str, str | None]:
    due = due_ms(order)
    if due is None:
        return {"openShard": None, "idleSince": None}
    if due - unix_ms(order.updated_at) > DELAY_SECONDS_MAX * 1000:
        return {"openShard": due_shard(order.order_id), "idleSince": iso(due)}
    return {"openShard": open_shard(order.order_id), "idleSince": _on_grid(due)}


def idle_since(update: Update) -> str:
    """When the order begins to be idle if this is its last update, rounded up to ten seconds.

    An index is written, and paid for, whenever one of its keys changes. Most orders end within
    ten seconds, so the rounded time changes in few of them. An order that waits for its next
    attempt is idle only from then on.
    """
    return _on_grid(unix_ms(update.next_retry_at or update.timestamp))


def _on_grid(idle_ms: int) -> str:
    return iso(-(-idle_ms // IDLE_GRID_MS) * IDLE_GRID_MS)
