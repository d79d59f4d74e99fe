"""The order queue."""

from __future__ import annotations

from functions.contract import order_message
from functions.runtime import settings
from functions.store import clients

DELAY_SECONDS_MAX = 900  # SQS takes no longer delay


def enqueue(order_id: str, *, delay_seconds: int = 0) -> None:
    """Ask the worker to execute the order after `delay_seconds`, or after 900 if it is more."""
    clients.sqs().send_message(
        QueueUrl=settings.queue_url,
        MessageBody=order_message(order_id),
        DelaySeconds=min(delay_seconds, DELAY_SECONDS_MAX),
    )
