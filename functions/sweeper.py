"""Schedule: re-queues open orders that have been idle too long, and queues those that are due."""

from __future__ import annotations

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import telemetry
from functions.contract import (
    DELAY_SECONDS_MAX,
    DUE_SHARDS,
    OPEN_SHARDS,
    SEND_BATCH_MAX,
    Metric,
    iso,
    unix_ms,
)
from functions.runtime import logger, now_ms, settings
from functions.store import orders, queue
from functions.store.orders import IdleOrder

IDLE_ORDERS_MAX = 1000  # read by one sweep from each shard
# A batch that begins this long before the function's timeout ends in time, botocore's retries too.
STOP_MS_BEFORE_TIMEOUT = 10_000
# While the queue is long, an order is re-queued only after this many times the usual idle time.
LONG_IDLE_FACTOR = 5


@telemetry.with_telemetry
def handler(_event: dict[str, object], context: LambdaContext) -> dict[str, int]:
    """Re-queue idle orders, the longest idle first; then send the messages of orders due soon.

    Returns how many idle orders were re-queued, and how many of those that it read are left.

    Each order's idle time restarts with the sweep, so the next sweeps do not re-queue it before its
    message could have been received. Re-queueing an order that was not idle is harmless.
    """
    now = now_ms()
    idle = _idle_orders(now, context)
    due = idle[: _requeue_count(idle, now)] if idle else []
    swept = 0
    for start in range(0, len(due), SEND_BATCH_MAX):
        if context.get_remaining_time_in_millis() < STOP_MS_BEFORE_TIMEOUT:
            break
        swept += _requeue(due[start : start + SEND_BATCH_MAX])
    left = len(idle) - swept
    if left:
        logger.warning("idle orders left", left=left)
    telemetry.count(Metric.ORDERS_SWEPT, swept)
    _queue_due(now, context)
    return {"swept": swept, "left": left}


def _idle_orders(now: int, context: LambdaContext) -> list[IdleOrder]:
    """The idle orders, longest idle first; each minute's sweep begins with another shard.

    So no shard is always the one for which no time is left.
    """
    before = iso(now - settings.sweep_idle_seconds * 1000)
    first = now // 60_000 % len(OPEN_SHARDS)
    found: list[IdleOrder] = []
    for shard in OPEN_SHARDS[first:] + OPEN_SHARDS[:first]:
        if context.get_remaining_time_in_millis() < 2 * STOP_MS_BEFORE_TIMEOUT:
            break
        found += orders.idle_orders(shard, before, limit=IDLE_ORDERS_MAX)
    return sorted(found, key=lambda order: order.idle_since)


def _queue_due(now: int, context: LambdaContext) -> None:
    """For each order that is due soon, send a message that arrives when it is due."""
    before = iso(now + DELAY_SECONDS_MAX * 1000)
    for shard in DUE_SHARDS:
        if context.get_remaining_time_in_millis() < 2 * STOP_MS_BEFORE_TIMEOUT:
            return
        due = orders.idle_orders(shard, before, limit=IDLE_ORDERS_MAX)
        for start in range(0, len(due), SEND_BATCH_MAX):
            if context.get_remaining_time_in_millis() < STOP_MS_BEFORE_TIMEOUT:
                return
            batch = due[start : start + SEND_BATCH_MAX]
            delays = [max(0, -(-(unix_ms(each.idle_since) - now) // 1000)) for each in batch]
            refused = queue.enqueue_all(
                [each.order_id for each in batch], woken=True, delays=delays
            )
            for each in batch:
                if each.order_id not in refused:
                    orders.leave_due_shard(each)


def _requeue_count(idle: list[IdleOrder], now: int) -> int:
    """The number of idle orders to re-queue.

    Each message that waits in the queue may belong to an idle order, and a second message would
    only wait behind it. So only the idle orders in excess of the waiting messages are re-queued.
    While the queue is long, each sweep re-queues at least one batch of the orders that have been
    idle much longer, so that none of them waits until the queue is short.
    """
    long_ago = iso(now - LONG_IDLE_FACTOR * settings.sweep_idle_seconds * 1000)
    long_idle = sum(order.idle_since < long_ago for order in idle)
    return max(len(idle) - queue.waiting_messages(), min(long_idle, SEND_BATCH_MAX))


def _requeue(batch: list[IdleOrder]) -> int:
    """Re-queue those of a batch that are still idle; returns how many."""
    still_idle = [order.order_id for order in batch if orders.restart_idle_time(order, now_ms())]
    refused = queue.enqueue_all(still_idle)
    for order_id in still_idle:
        if order_id in refused:
            logger.error("idle order not queued", order_id=order_id)
        else:
            logger.warning("idle order queued again", order_id=order_id)
    return len(still_idle) - len(refused)
