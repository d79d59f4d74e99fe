"""Dead-letter queue: ends the orders whose messages no worker could finish."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import telemetry
from functions.contract import MalformedMessage, order_id_of, wake_pair
from functions.orders import settlement, waiting
from functions.orders.failures import FailureCode
from functions.orders.order import Order, OrderError, Status, Update
from functions.orders.settlement import Pending
from functions.runtime import logger, now_ms, settings, sleep
from functions.simulation.network import Network
from functions.store import orders, queue, resting

network = Network.of(settings, now_ms, sleep)


class StillUnderWay(Exception):
    """The order may still proceed, or its transaction may still land."""


@telemetry.with_telemetry
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, list[dict[str, str]]]:
    """End each message's order; SQS redelivers a message whose order cannot be ended yet."""
    failed = [record for record in event["Records"] if not _process(record)]
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}


def _process(record: dict[str, Any]) -> bool:
    """End the order of one message; False, and a log line, if that is not possible yet."""
    logger.thread_safe_clear_keys()
    logger.thread_safe_append_keys(message_id=record["messageId"])
    try:
        order_id = order_id_of(record["body"])
        logger.thread_safe_append_keys(order_id=order_id)
        _end(order_id)
    except (MalformedMessage, orders.OrderNotFound) as reason:
        logger.error("dead letter set aside", reason=repr(reason))
    except (StillUnderWay, orders.StaleOrder):
        logger.warning("dead letter waits for its order")
        return False
    except Exception:  # noqa: BLE001 - it is logged, and SQS delivers the message again
        logger.exception("dead letter not treated")
        return False
    return True


def _end(order_id: str) -> None:
    """End the order; raises StillUnderWay.

    An order with a recent update, or one that waits for its next attempt or slice, has another
    message. It is ended only once it has been idle so long that the sweeper would re-queue it.
    A resting order is ended only after its expiry: until then, the watcher can wake it.
    """
    order, owner, transaction, _ = orders.load_order(order_id)
    logger.thread_safe_append_keys(owner=owner, attempt=order.attempt)
    if order.status.terminal:
        return
    due_ms = waiting.due_ms(order)
    if order.status is Status.RESTING and (due_ms is None or due_ms > now_ms()):
        # Its last worker may have crashed before it announced the order to the watcher.
        resting.announce(wake_pair(order.token_in, order.token_out))
        logger.warning("order still rests after its dead letter")
        return
    if due_ms is None or now_ms() - due_ms < settings.sweep_idle_seconds * 1000:
        raise StillUnderWay
    changed = orders.append_update(order, owner, _last_update(order, transaction))
    telemetry.count_ended_order(changed)
    queue.requeue_parent(changed)
    logger.error("order ended by its dead letter", status=changed.status)


def _last_update(order: Order, signed: str | None) -> Update:
    """The update that ends the order; raises StillUnderWay."""
    if order.status is Status.RESTING:
        return order.next_update(Status.EXPIRED, now_ms())
    if order.status is not Status.SUBMITTED or signed is None:
        # No transaction of this attempt was sent, because it would have been stored before.
        error = OrderError(code=FailureCode.INTERNAL, message="The order could not be processed.")
        return order.next_update(Status.FAILED, now_ms(), error=error)
    outcome = network.outcome(signed)
    if isinstance(outcome, Pending):
        raise StillUnderWay
    return settlement.ending_update(order, outcome, now_ms(), network.reference)
