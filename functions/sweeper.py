"""Schedule: puts open orders that nothing has moved for a while back on the queue."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import telemetry
from functions.contract import OPEN_SHARDS, Metric, iso
from functions.runtime import logger, now_ms, settings
from functions.store import orders, queue


@telemetry.observed
def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, int]:
    """Re-queue idle open orders; an order that was healthy after all is not harmed by it."""
    before = iso(now_ms() - settings.sweep_idle_seconds * 1000)
    swept = 0
    for shard in OPEN_SHARDS:
        for order_id in orders.idle_orders(shard, before):
            queue.enqueue(order_id)
            logger.warning("idle order queued again", order_id=order_id)
            swept += 1
    telemetry.count(Metric.ORDERS_SWEPT, swept)
    return {"swept": swept}
