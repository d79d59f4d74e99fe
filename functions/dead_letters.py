"""Dead-letter queue: ends the orders whose messages no worker could finish."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import store
from functions.dex.orders import OrderError, Status
from functions.runtime import logger, now_ms, traced

_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@traced
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """End each message's order as failed; what cannot be treated returns to the queue."""
    return process_partial_response(event, _end, _processor, context)


def _end(record: SQSRecord) -> None:
    try:
        order_id = store.order_id_of(record.body)
        order, transaction = store.load_order(order_id)
    except (store.MalformedMessage, store.OrderNotFound) as reason:
        logger.error("dead letter set aside", message_id=record.message_id, reason=repr(reason))
        return
    if order.status.terminal:
        return
    if transaction and order.status is Status.SUBMITTED:
        # Its swap may have landed: only settling it tells, and the sweeper will ask for that.
        logger.error("dead letter of a submitted order", order_id=order_id)
        return
    error = OrderError(code="INTERNAL", message="The order could not be processed.")
    store.append_update(order, order.next_update(Status.FAILED, now_ms(), error=error))
    logger.error("order ended by its dead letter", order_id=order_id)
