"""Converts an order to an item of the orders table, and back.

Items are in DynamoDB's JSON, {"S": …}. Only single attributes are ever updated, so items that an
earlier release wrote must stay readable. These have the request and the updates as text, not
packed, and the last transaction as an attribute of its own.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from typing import Any, NamedTuple

from functions.contract import (
    DELAY_SECONDS_MAX,
    due_shard,
    ended_partition,
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
from functions.orders.packed import pack, unpack
from functions.orders.waiting import AT_ONCE, Wake, due_ms

IDLE_GRID_MS = 30_000


class StoredOrder(NamedTuple):
    """An order, its owner, its last signed transaction (JSON) if any, and its wake keys."""

    order: Order
    owner: str
    transaction: str | None
    wake: Wake = Wake()


class Entry(NamedTuple):
    """An update as it was stored (JSON), and the signed transaction (JSON) stored with it."""

    text: str
    transaction: str | None = None


def new_item(order: Order, owner: str, *, writer: str) -> dict[str, Any]:
    """The item of a new order; `writer` identifies the put, so that a repeat is recognised."""
    return {
        "orderId": {"S": order.order_id},
        "owner": {"S": owner},
        "createdAt": {"S": listing_key(order)},
        "request": {"B": pack(request_json(order), [order.order_id])},
        "sequence": {"N": str(order.sequence)},
        "updates": {"L": [_first(order)]},
        "followers": {"M": {}},
        "openShard": {"S": open_shard(order.order_id)},
        "openOwner": {"S": owner},
        "idleSince": {"S": idle_since(order.updates[-1])},
        "writer": {"S": writer},
    }


def _first(order: Order) -> dict[str, Any]:
    (first,) = order.updates
    return {"B": pack(first.text, [order.order_id, order.created_at])}


def entry_of(update: Update, earlier: Sequence[Update], transaction: str | None) -> dict[str, Any]:
    """The element of `updates` for an order's next update, from the second on.

    `earlier` are the updates before it. It is empty for the second update, which a worker stores
    without having read the order.
    """
    text = update.text if transaction is None else f"{update.text}\n{transaction}"
    return {"B": pack(text, _known(update.order_id, [each.text for each in earlier]))}


def entries(item: dict[str, Any]) -> list[Entry]:
    """The updates of an item, with their transactions.

    The item can also come from a stream record that Lambda delivers, where bytes are Base64.
    """
    order_id = item["orderId"]["S"]
    found: list[Entry] = []
    for element in item["updates"]["L"]:
        if "S" in element:
            found.append(Entry(element["S"]))
            continue
        known = _known(order_id, [each.text for each in found])
        if not found:
            known.append(item["createdAt"]["S"].split(" ")[0])
        text, _, transaction = unpack(_bytes(element), known).partition("\n")
        found.append(Entry(text, transaction or None))
    return found


def _known(order_id: str, earlier: Sequence[str]) -> list[str]:
    return [order_id, *(earlier if len(earlier) > 1 else ())]


def _bytes(value: dict[str, Any]) -> bytes:
    data: bytes | str = value["B"]
    return b64decode(data) if isinstance(data, str) else data


def request_of(item: dict[str, Any]) -> dict[str, Any]:
    """The fields of an order that never change, as `request_json` wrote them."""
    stored = item["request"]
    packed_or_not = stored["S"] if "S" in stored else unpack(_bytes(stored), [item["orderId"]["S"]])
    fields: dict[str, Any] = json.loads(packed_or_not)
    return fields


def stored_order(item: dict[str, Any]) -> StoredOrder:
    """The order of an item."""
    found = entries(item)
    signed = [each.transaction for each in found if each.transaction is not None]
    return StoredOrder(
        order_of(request_of(item), [Update.from_text(each.text) for each in found]),
        item["owner"]["S"],
        signed[-1] if signed else item.get("transaction", {}).get("S"),
        Wake(item.get("wakeAbove", {}).get("S"), item.get("wakeBelow", {}).get("S")),
    )


def listing_key(order: Order) -> str:
    """The sort key by which an order is listed: its creation time, its type and its tokens.

    So a list is filtered by them without reading whole orders. Earlier releases stored only the
    time.
    """
    return f"{order.created_at} {order.type} {order.token_in} {order.token_out}"


def request_json(order: Order) -> str:
    """The fields of an order that never change, as JSON."""
    fields = {"client_order_id", *REQUEST_FIELDS}
    if order.type is OrderType.MARKET:  # as in the first release, which had no other type
        fields.remove("type")
    return order.model_dump_json(by_alias=True, exclude_none=True, include=fields)


def index_keys(order: Order, owner: str, wake: Wake = AT_ONCE) -> dict[str, str | None]:
    """The index attributes of the order after its last update; None removes an attribute.

    A resting order is found by the keys that `wake` it, and by its expiry if it has one. An order
    that ended without being confirmed is found by its status, because such orders are few.
    """
    keys: dict[str, str | None] = {"idleSince": idle_since(order.updates[-1])}
    if order.status.terminal:
        keys = {"openShard": None, "openOwner": None, "idleSince": None}
        if order.status is not Status.CONFIRMED:
            keys["openShard"] = ended_partition(owner, order.status)
            keys["idleSince"] = listing_key(order)
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
    """When the order begins to be idle if this is its last update, rounded up to half a minute.

    Each change of an index key is a billed write. Most orders end within seconds, so the rounded
    time changes for few of them. An order that waits for its next attempt is idle only from then
    on.
    """
    return _on_grid(unix_ms(update.next_retry_at or update.timestamp))


def _on_grid(idle_ms: int) -> str:
    return iso(-(-idle_ms // IDLE_GRID_MS) * IDLE_GRID_MS)
