"""When an order's next attempt begins."""

from __future__ import annotations

from functions.contract import MAX_ATTEMPTS, iso
from functions.orders.draws import draw
from functions.orders.order import Order, OrderError, Status, Update


def after_failure(order: Order, error: OrderError, now_ms: int, base_ms: int) -> Update:
    """The update after a failed attempt: a new attempt, or the end if it was the last one.

    The new attempt begins after exponential backoff with full jitter: after failure n, it waits at
    most `base_ms` · 2**n. The wait is drawn from the order, so every worker computes the same one.
    A refusal after which the order rests again does not count as a failure.
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
