"""What follows a failed attempt, and when the next one begins."""

from __future__ import annotations

from functions.contract import MAX_ATTEMPTS, iso
from functions.orders.draws import draw
from functions.orders.failures import FailureCode
from functions.orders.order import (
    REFUSALS_MAX,
    Order,
    OrderError,
    Status,
    TimeInForce,
    Trigger,
    Update,
)


def after_failure(order: Order, error: OrderError, now_ms: int, base_ms: int) -> Update:
    """The update after a failed attempt: a new attempt, a rest, or the end if it was the last one.

    An order rests again if its limit price was reached and its transaction was then refused. This
    does not count as a failure.

    A new attempt begins after exponential backoff with full jitter: after failure n, it waits at
    most `base_ms` · 2**n. The wait is drawn from the order, so every worker computes the same one.
    """
    if order.has_expired(now_ms) or order.time_in_force is TimeInForce.IOC:
        return order.next_update(Status.EXPIRED, now_ms, error=error)
    refused = order.status is Status.SUBMITTED and error.code != FailureCode.FAILED_TO_LAND
    rests = order.trigger is Trigger.LIMIT and refused
    if rests and order.refusals < REFUSALS_MAX and not order.is_full:
        return order.resting_update(now_ms, attempt=order.attempt + 1, error=error)
    if rests or order.attempt >= order.max_attempts:
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
