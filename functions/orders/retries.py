"""When an order's next attempt begins."""

from __future__ import annotations

from functions.contract import iso
from functions.orders.draws import draw
from functions.orders.order import Order, OrderError, Status, Update


def after_failure(order: Order, error: OrderError, now_ms: int, base_ms: int) -> Update:
    """The update after a failed attempt: a new attempt, or the end if it was the last one.

    The new attempt waits for exponential backoff with full jitter: up to `base_ms`, doubled with
    each attempt, drawn from the order so that every worker waits for the same moment.
    """
    if order.attempt >= order.max_attempts:
        return order.next_update(Status.FAILED, now_ms, error=error)
    delay_ms = draw(0, base_ms * 2**order.attempt, order.order_id, order.attempt, "backoff")
    return order.next_update(
        Status.ROUTING,
        now_ms,
        attempt=order.attempt + 1,
        next_retry_at=iso(now_ms + delay_ms),
        error=error,
    )
