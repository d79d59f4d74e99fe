"""The order queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from functions.contract import DELAY_SECONDS_MAX, order_message
from functions.orders.order import Order
from functions.runtime import settings
from functions.store import clients

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef


def enqueue(order_id: str, *, delay_seconds: int = 0, woken: bool = False) -> None:
    """Ask the worker to execute the order after `delay_seconds`, or after 900 if it is more.

    `woken`: the order has begun.
    """
    clients.sqs().send_message(
        QueueUrl=settings.queue_url,
        MessageBody=order_message(order_id, woken=woken),
        DelaySeconds=min(delay_seconds, DELAY_SECONDS_MAX),
    )


def enqueue_all(
    order_ids: Sequence[str], *, woken: bool = False, delays: Sequence[int] = ()
) -> set[str]:
    """Ask the worker to execute up to ten orders, in one request; returns those that SQS refused.

    `woken`: the orders have begun. `delays`: one for each order, in seconds, at most 900.
    """
    if not order_ids:
        return set()
    entries: list[SendMessageBatchRequestEntryTypeDef] = [
        {"Id": str(number), "MessageBody": order_message(order_id, woken=woken)}
        for number, order_id in enumerate(order_ids)
    ]
    for entry, delay in zip(entries, delays, strict=False):
        entry["DelaySeconds"] = delay
    answer = clients.sqs().send_message_batch(QueueUrl=settings.queue_url, Entries=entries)
    return {order_ids[int(failed["Id"])] for failed in answer.get("Failed", [])}


def requeue_parent(ended: Order) -> None:
    """If the order that has ended is a slice, ask the worker to continue its twap order.

    If this fails, the sweeper asks later.
    """
    if ended.parent_id is not None:
        enqueue(ended.parent_id, woken=True)


def waiting_messages() -> int:
    """The approximate number of messages that wait; delayed and received ones do not count."""
    answer = clients.sqs().get_queue_attributes(
        QueueUrl=settings.queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])
