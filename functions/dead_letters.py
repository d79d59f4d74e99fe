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

from functions import telemetry
from functions.contract import MalformedMessage, order_id_of
from functions.orders import settlement
from functions.orders.failures import FailureCode
from functions.orders.order import Order, OrderError, Status, Update
from functions.orders.settlement import Pending
from functions.runtime import logger, now_ms, settings, sleep
from functions.simulation.network import Network
from functions.store import orders

network = Network(now_ms, sleep, settings.market_seed)
_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


class StillUnderWay(Exception):
    """The order's transaction may yet land, so nobody can say how the order ends."""


@telemetry.observed
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """End each message's order; what cannot be ended yet returns to the queue, alone."""
    return process_partial_response(event, _take, _processor, context)


def _take(record: SQSRecord) -> None:
    logger.thread_safe_clear_keys()
    logger.thread_safe_append_keys(message_id=record.message_id)
    try:
        order_id = order_id_of(record.body)
        logger.thread_safe_append_keys(order_id=order_id)
        _end(order_id)
    except (MalformedMessage, orders.OrderNotFound) as reason:
        logger.error("dead letter set aside", reason=repr(reason))
    except Exception:
        # The batch processor would report it to SQS and keep the reason to itself.
        logger.exception("dead letter not treated")
        raise


def _end(order_id: str) -> None:
    order, owner, transaction = orders.load_order(order_id)
    logger.thread_safe_append_keys(owner=owner, attempt=order.attempt)
    if order.status.terminal:
        return
    changed = orders.append_update(order, _last_update(order, transaction))
    telemetry.count_ending(changed)
    logger.error("order ended by its dead letter", status=changed.status)


def _last_update(order: Order, signed: str | None) -> Update:
    if order.status is not Status.SUBMITTED or signed is None:
        # Nothing of the present attempt was sent: the transaction is stored before that.
        error = OrderError(code=FailureCode.INTERNAL, message="The order could not be processed.")
        return order.next_update(Status.FAILED, now_ms(), error=error)
    outcome = network.outcome(signed)
    if isinstance(outcome, Pending):
        raise StillUnderWay(order.order_id)
    return settlement.ending(order, outcome, now_ms())
