"""When an order's next attempt begins."""

from __future__ import annotations

from functions.contract import MAX_ATTEMPTS, iso
from functions.orders.draws import draw
from functions.orders.order import Order, OrderError, Status, Update


def after_failure(order: Order, error: OrderError, now_ms: int, base_ms: int) -> Update:
    """The update after a failed attempt: a new attempt, or the end if it was the last one.

    The new attempt waits for exponential backoff with full jitter: up to `base_ms`, doubled with
    each attempt, drawn from the order so that every worker waits for the same moment. Refused
    transactions, which cost a resting order no attempt, do not lengthen it.
    """
    if order.attempt >= order.max_attempts:
        return order.next_update(Status.FAILED, now_ms, error=error)
    failures = MAX_ATTEMPTS - (order.max_attempts - order.attempt)
    delay_ms = draw(0, base_ms * 2**failures, order.order_id, order.attempt, "backoff")
    return order.next_update(
        Status.ROUTING,
        now_ms,
        attempt=order.attempt + 1,
        next_retry_at=iso(now_ms + delay_ms),
        error=error,
    )
