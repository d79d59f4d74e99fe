"""Order queue: executes each order, step by step, until it reaches a terminal status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import telemetry
from functions.contract import Metric, order_id_of, unix_ms
from functions.dex import router, tokens
from functions.dex.errors import DexError
from functions.orders import retries, routes, settlement
from functions.orders.failures import FailureCode
from functions.orders.order import Order, OrderError, Status, Update, routing_update
from functions.orders.settlement import Landed, Pending
from functions.runtime import at_once, logger, monotonic, now_ms, settings, sleep
from functions.simulation.network import Network
from functions.store import orders, queue

# Before the function's timeout, so that it can still report which messages it has not finished.
SECONDS_TO_REPORT = 5

network = Network(
    now_ms,
    sleep,
    settings.market_seed,
    settings.quote_error_ppm,
    settings.drop_ppm,
    settings.latency_scale,
    settings.simulate_allowed,
)

Record = dict[str, Any]


class OutOfTime(Exception):
    """The invocation ends before the order's next step could be finished."""


class BrokenOrder(Exception):
    """The stored order lacks what its status promises."""


@telemetry.observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, list[dict[str, str]]]:
    """Execute up to ten orders; messages that are reported as failed come again.

    Messages that come for the first time are taken at once. One that comes again may have killed
    its worker, or stopped it until the function's timeout, so it is taken alone, after them.
    """
    end = monotonic() + context.get_remaining_time_in_millis() / 1000 - SECONDS_TO_REPORT
    records = event["Records"]
    failed: list[Record] = []
    if len(records) == 1:  # a thread would only add to its CPU time
        failed = [] if _take(records[0], end) else records
    else:
        groups = _groups(records)
        for number, group in enumerate(groups):
            now = monotonic()
            until = now + (end - now) / (len(groups) - number)
            results = at_once([partial(_take, each, until) for each in group], until - now)
            failed += [each for each, done in zip(group, results, strict=True) if not done]
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}


def _groups(records: Sequence[Record]) -> list[list[Record]]:
    """The messages that may be taken at once, in the order in which to take the groups.

    Messages that come again are taken in one order and in the reverse order by turns. So an order
    that kills its worker each time has let all others of its batch be finished after two turns.
    """
    first = [record for record in records if _receives(record) == 1]
    again = sorted(
        (record for record in records if _receives(record) > 1),
        key=lambda record: str(record["messageId"]),
        reverse=max(map(_receives, records)) % 2 == 0,
    )
    return ([first] if first else []) + [[record] for record in again]


def _receives(record: Record) -> int:
    return int(record["attributes"]["ApproximateReceiveCount"])


def _take(record: Record, end: float) -> bool:
    """Execute the order of one message; False, and a log line, if that failed."""
    logger.thread_safe_clear_keys()
    logger.thread_safe_append_keys(message_id=record["messageId"])
    try:
        order_id = order_id_of(record["body"])
        logger.thread_safe_append_keys(order_id=order_id)
        _execute(order_id, end)
    except Exception:  # noqa: BLE001 - it is logged, and SQS delivers the message again
        logger.exception("message failed", body=record["body"][:200])
        return False
    return True


@dataclass(frozen=True, slots=True)
class Append:
    """Store the order's next update, and with it the signed transaction that it submits."""

    update: Update
    signed: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the order in this invocation, if it lasts, and take the same step again after `ms`."""

    ms: int


@dataclass(frozen=True, slots=True)
class Requeue:
    """Let a delayed message start the same step after `ms`."""

    ms: int


Next = Append | Hold | Requeue


def _execute(order_id: str, end: float) -> None:
    """Take the order's steps until it has ended or is re-queued."""
    order, owner, signed = orders.begin_order(routing_update(order_id, now_ms()))
    logger.thread_safe_append_keys(owner=owner, attempt=order.attempt)
    logger.info("order taken on", status=order.status, sequence=order.sequence)
    try:
        while not order.status.terminal:
            if monotonic() > end:
                raise OutOfTime(order_id)
            match _next(order, signed):
                case Append(update, signed):
                    order = orders.append_update(order, update, transaction=signed)
                    _report(order)
                case Hold(ms) if monotonic() + ms / 1000 < end:
                    sleep(ms / 1000)
                case Hold(ms) | Requeue(ms):  # SQS counts in whole seconds
                    queue.enqueue(order_id, delay_seconds=-(-ms // 1000))
                    return
    except orders.StaleOrder:
        # The writer that was first has a message of its own, so this one may be acknowledged.
        logger.info("order taken on elsewhere", sequence=order.sequence)


def _report(order: Order) -> None:
    logger.thread_safe_append_keys(attempt=order.attempt)
    logger.info(f"order {order.status}", sequence=order.sequence)
    if order.error:
        logger.warning("attempt failed", code=order.error.code, reason=order.error.message)
    if order.status.terminal:
        telemetry.count_ending(order)


def _next(order: Order, signed: str | None) -> Next:
    """The order's next step; `signed` is the transaction of its last attempt, if there is one."""
    match order.status:
        case Status.ROUTING:
            return _route(order)
        case Status.BUILDING:
            return _build(order)
        case _:
            return _settle(order, signed)


def _route(order: Order) -> Next:
    """Ask all venues at once, and choose the best route over those that answered."""
    if order.next_retry_at and (wait_ms := unix_ms(order.next_retry_at) - now_ms()) > 0:
        return Requeue(wait_ms)
    answers = network.ask(order)
    for answer in answers:
        telemetry.time(Metric.QUOTE_LATENCY, answer.took_ms)
    token_in, token_out = tokens.find(order.token_in), tokens.find(order.token_out)
    try:
        route = router.find_route(
            token_in,
            token_out,
            tokens.to_units(order.amount, token_in),
            order.slippage_bps,
            {answer.venue: answer.pools for answer in answers},
        )
    except DexError as error:
        silent = [f"{each.venue} ({each.pools})" for each in answers if isinstance(each.pools, str)]
        if silent:
            message = f"There is no route without {' and '.join(silent)}."
            return _retry(order, OrderError(code=FailureCode.QUOTES_UNAVAILABLE, message=message))
        why = OrderError(code=error.code, message=str(error))
        return Append(order.next_update(Status.FAILED, now_ms(), error=why))
    return Append(order.next_update(Status.BUILDING, now_ms(), route=routes.shown(route)))


def _build(order: Order) -> Next:
    """Sign the transaction; it is stored before it is sent."""
    if order.route is None:
        raise BrokenOrder(f"{order.order_id} is building without a route")
    signed = network.sign(order, routes.taken(order.route))
    update = order.next_update(Status.SUBMITTED, now_ms(), tx_hash=signed.signature)
    return Append(update, signed.text)


def _settle(order: Order, signed: str | None) -> Next:
    """Send the transaction, and wait until the network knows what became of it.

    To send a signed transaction again is harmless, so a worker that resumes here repeats nothing.
    """
    if signed is None:
        raise BrokenOrder(f"{order.order_id} is submitted without a transaction")
    network.send(signed)
    match network.outcome(signed):
        case Pending(wait_ms):
            # A long wait in the invocation would be billed.
            return Hold(wait_ms) if wait_ms <= settings.hold_ms else Requeue(wait_ms)
        case Landed() as landed:
            return Append(settlement.ending(order, landed, now_ms()))
        case error:
            return _retry(order, error)


def _retry(order: Order, error: OrderError) -> Next:
    return Append(retries.after_failure(order, error, now_ms(), settings.retry_base_ms))
