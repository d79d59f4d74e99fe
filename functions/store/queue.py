"""The order queue."""

from __future__ import annotations

from collections.abc import Sequence

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


def enqueue_all(order_ids: Sequence[str]) -> set[str]:
    """Ask the worker to execute up to ten orders, in one request; the orders that SQS refused."""
    if not order_ids:
        return set()
    answer = clients.sqs().send_message_batch(
        QueueUrl=settings.queue_url,
        Entries=[
            {"Id": str(number), "MessageBody": order_message(order_id)}
            for number, order_id in enumerate(order_ids)
        ],
    )
    return {order_ids[int(failed["Id"])] for failed in answer.get("Failed", [])}


def waiting_messages() -> int:
    """About how many messages wait to be received; delayed and received ones do not count."""
    answer = clients.sqs().get_queue_attributes(
        QueueUrl=settings.queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])
