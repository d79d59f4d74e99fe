"""Orders that many tests share: as requests, as the functions hold them, and as the API answers."""

from __future__ import annotations

from typing import Any

from functions.orders.order import Order, Status, first_update, order_of
from functions.orders.stored import entries

Json = dict[str, Any]
ORDER_ID = "0a4b1c2d-3e4f-5a6b-8c7d-9e0f1a2b3c4d"
PAIR = {"tokenIn": "SOL", "tokenOut": "USDC"}
ORDER: Json = {**PAIR, "amount": 1}  # the body of a submission
REQUEST: Json = {**PAIR, "amount": "1", "slippageBps": 50}  # as an order is stored
TERMINAL = {status.value for status in Status if status.terminal}
# The statuses of a market order that is confirmed at its first attempt.
LIFE = ["pending", "routing", "building", "submitted", "confirmed"]


def pending_order(order_id: str = ORDER_ID, at_ms: int = 0, **fields: Any) -> Order:
    """An order that was created at this time (Unix ms), with these fields of its request."""
    return order_of(REQUEST | fields, [first_update(order_id, at_ms)])


def advanced(order: Order, *statuses: Status, at_ms: int = 0) -> Order:
    """The order after an update to each of the statuses, all at this time (Unix ms)."""
    for status in statuses:
        order = order.apply(order.next_update(status, at_ms))
    return order


def transactions(item: Json) -> list[str]:
    """The signed transactions (JSON) in the item of an order, in sequence.

    An earlier release stored the last one as an attribute of its own.
    """
    earlier = [item["transaction"]["S"]] if "transaction" in item else []
    return earlier + [each.transaction for each in entries(item) if each.transaction is not None]


def is_complete(updates: list[Json]) -> bool:
    """Whether every status of LIFE is there once and in order, with the sequences 1 to 5."""
    return [(u["sequence"], u["status"]) for u in updates] == list(enumerate(LIFE, start=1))


def statuses_of(order: Json) -> list[str]:
    """The status of each update of an order that the API answered."""
    return [update["status"] for update in order["updates"]]
