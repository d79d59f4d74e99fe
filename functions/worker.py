"""Order queue: executes the steps of each order until it ends, waits or is re-queued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import runtime, telemetry
from functions.contract import Metric, is_woken, order_id_of, unix_ms, wake_pair
from functions.dex import router, tokens
from functions.dex.errors import DexError, NoRoutesFound
from functions.dex.pools import Snapshot
from functions.orders import retries, routes, settlement, slices, waiting
from functions.orders.failures import FailureCode
from functions.orders.order import (
    Order,
    OrderError,
    OrderType,
    Status,
    TimeInForce,
    Trigger,
    Update,
    routing_update,
)
from functions.orders.settlement import Landed, Pending
from functions.orders.stored import StoredOrder
from functions.orders.waiting import AT_ONCE, Wake
from functions.runtime import logger, monotonic, now_ms, settings, sleep
from functions.simulation.network import Network, TooLate
from functions.store import orders, queue, resting

# The worker stops this long before its timeout, to report which messages it has not finished.
SECONDS_TO_REPORT = 5
# The message that ends an order at its expiry may arrive a little early by this machine's clock.
# So a worker that finds the order resting this shortly before its expiry sends another one.
EXPIRY_NEAR_MS = 5000
# While no order rests, no watcher ticks, and the next one starts within a minute. Until then, the
# worker re-queues a new resting order each second.
WITHOUT_WATCHER_MS = 90_000

network = Network.of(settings, now_ms, sleep)

Record = dict[str, Any]


class OutOfTime(Exception):
    """The invocation has no time left for the order's next step."""


class BrokenOrder(Exception):
    """The stored order lacks a value that its status requires."""


@telemetry.with_telemetry
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, list[dict[str, str]]]:
    """Execute the orders of up to ten messages; SQS redelivers those that are reported as failed.

    Messages that are received for the first time are processed concurrently. A redelivered message
    may have crashed its worker, or kept it busy until the timeout. So it is processed alone, after
    the others.
    """
    end = monotonic() + context.get_remaining_time_in_millis() / 1000 - SECONDS_TO_REPORT
    records = event["Records"]
    failed: list[Record] = []
    if len(records) == 1:  # a thread would only cost CPU time
        failed = [] if _process(records[0], end) else records
    else:
        groups = _groups(records)
        for number, group in enumerate(groups):
            now = monotonic()
            until = now + (end - now) / (len(groups) - number)
            results = runtime.at_once(
                [partial(_process, each, until) for each in group], until - now
            )
            failed += [each for each, done in zip(group, results, strict=True) if not done]
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}


def _groups(records: Sequence[Record]) -> list[list[Record]]:
    """Groups of messages: the groups are processed in turn, the messages of a group concurrently.

    Redelivered messages are processed in an order that is reversed for each receive. So even if one
    of them crashes its worker each time, all others of the batch are finished after two receives.
    """
    first = [record for record in records if _receives(record) == 1]
    redelivered = sorted(
        (record for record in records if _receives(record) > 1),
        key=lambda record: str(record["messageId"]),
        reverse=max(map(_receives, records)) % 2 == 0,
    )
    return ([first] if first else []) + [[record] for record in redelivered]


def _receives(record: Record) -> int:
    return int(record["attributes"]["ApproximateReceiveCount"])


def _process(record: Record, end: float) -> bool:
    """Execute the order of one message; False, and a log line, if that failed."""
    logger.thread_safe_clear_keys()
    logger.thread_safe_append_keys(message_id=record["messageId"])
    try:
        order_id = order_id_of(record["body"])
        logger.thread_safe_append_keys(order_id=order_id)
        redelivered = _receives(record) > 1
        _execute(order_id, end, woken=is_woken(record["body"]), redelivered=redelivered)
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
    """Wait `ms` in this invocation, if it has the time, and then take the same step again."""

    ms: int


@dataclass(frozen=True, slots=True)
class Requeue:
    """Re-queue the order with a delay of `ms`, after which the same step is taken again."""

    ms: int


@dataclass(frozen=True, slots=True)
class Rest:
    """Let the order rest with the keys `wake`; `update` is None if it rests already."""

    wake: Wake
    update: Update | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    """Store and queue this slice of the order; the end of the slice re-queues the order."""

    child: Order


@dataclass(frozen=True, slots=True)
class Wait:
    """Leave the order until it is due, or until its slice has ended."""


Next = Append | Hold | Requeue | Rest | Begin | Wait


def _execute(order_id: str, end: float, *, woken: bool, redelivered: bool) -> None:
    """Take the order's steps until it has ended, waits, or is re-queued.

    `redelivered`: the message is a redelivery, so an earlier worker may have crashed with it.
    """
    order, owner, signed, stored_wake = _load(order_id, woken=woken)
    logger.thread_safe_append_keys(owner=owner, attempt=order.attempt)
    logger.info("order taken on", status=order.status, sequence=order.sequence)
    try:
        while not order.status.terminal:
            if monotonic() > end:
                raise OutOfTime(order_id)
            match _next_step(order, signed):
                case Append(update, signed):
                    order = orders.append_update(order, owner, update, transaction=signed)
                    _report(order)
                case Rest() as rest:
                    return _rest(order, owner, rest, stored_wake, redelivered=redelivered)
                case Begin(child):
                    return _begin_slice(child, owner)
                case Wait():
                    return _queue_when_due(order)
                case Hold(ms) if monotonic() + ms / 1000 < end:
                    sleep(ms / 1000)
                case Hold(ms) | Requeue(ms):  # SQS counts in whole seconds
                    queue.enqueue(order_id, delay_seconds=-(-ms // 1000))
                    return None
        queue.requeue_parent(order)
    except orders.StaleOrder:
        # The writer that was first has a message of its own, so this message can be acknowledged.
        logger.info("order taken on elsewhere", sequence=order.sequence)


def _load(order_id: str, *, woken: bool) -> StoredOrder:
    """The stored order; a pending one is moved to routing.

    A refused write is billed by the item's size, so a `woken` order is read and not written.
    """
    if woken:
        stored = orders.load_order(order_id)
        if stored.order.status is not Status.PENDING:
            return stored
    return orders.begin_order(routing_update(order_id, now_ms()))


def _rest(order: Order, owner: str, rest: Rest, stored: Wake, *, redelivered: bool) -> None:
    """Let the order rest, so that its price or its expiry wakes it."""
    if rest.update:
        # Send the message first, so that a worker that crashes here leaves no order without one.
        _queue_when_due(order.apply(rest.update))
        order = orders.append_update(order, owner, rest.update, wake=rest.wake)
        _report(order)
    else:
        due = waiting.due_ms(order)
        if due is not None and due - now_ms() < EXPIRY_NEAR_MS:
            _queue_when_due(order)
        if waiting.is_worth_storing(rest.wake, stored, _best_price(order)):
            orders.set_wake_keys(order, rest.wake)
        elif not redelivered:
            if _is_new_at_rest(order) and not resting.watched().ticks:
                queue.enqueue(order.order_id, delay_seconds=1, woken=True)
            return
    ticks = resting.announce(wake_pair(order.token_in, order.token_out))
    if _is_new_at_rest(order) and not ticks:
        queue.enqueue(order.order_id, delay_seconds=1, woken=True)


def _is_new_at_rest(order: Order) -> bool:
    return now_ms() - unix_ms(order.updated_at) < WITHOUT_WATCHER_MS


def _begin_slice(child: Order, owner: str) -> None:
    try:
        orders.create_order(child, owner)
    except orders.OrderExists:
        logger.info("slice exists", slice_id=child.order_id)
    else:
        telemetry.count(Metric.ORDERS_ACCEPTED)
    queue.enqueue(child.order_id)


def _queue_when_due(order: Order) -> None:
    """Send the delayed message of an order that is due soon; the sweeper sends those due later."""
    delay = waiting.message_delay(order, now_ms())
    if delay is not None:
        queue.enqueue(order.order_id, delay_seconds=delay, woken=True)


def _report(order: Order) -> None:
    logger.thread_safe_append_keys(attempt=order.attempt)
    # Logs are billed by the byte, and the update that follows within a second is logged.
    log = logger.debug if order.status is Status.BUILDING else logger.info
    log(f"order {order.status}", sequence=order.sequence)
    if order.error:
        logger.warning("attempt failed", code=order.error.code, reason=order.error.message)
    if order.status.terminal:
        telemetry.count_ended_order(order)


def _next_step(order: Order, signed: str | None) -> Next:
    """The order's next step; `signed` is the last signed transaction, if there is one."""
    if order.type is OrderType.TWAP:
        return _next_twap_step(order)
    match order.status:
        case Status.ROUTING:
            return _route(order)
        case Status.RESTING:
            return _check_resting(order)
        case Status.BUILDING:
            return _build(order)
        case Status.SUBMITTED:
            return _send_and_wait(order, signed)
        case status:
            raise BrokenOrder(f"{order.order_id} has no step while it is {status}")


def _route(order: Order) -> Next:
    """Ask all venues at once, and choose the best route over those that answered."""
    if order.next_retry_at and (wait_ms := unix_ms(order.next_retry_at) - now_ms()) > 0:
        return Requeue(wait_ms)
    if order.has_expired(now_ms()):
        return _expire(order)
    answers = network.ask(order)
    for answer in answers:
        telemetry.time(Metric.QUOTE_LATENCY, answer.took_ms)
    try:
        route = _best_route(order, {answer.venue: answer.pools for answer in answers})
    except DexError as error:
        silent = [f"{each.venue} ({each.pools})" for each in answers if isinstance(each.pools, str)]
        if silent:
            message = f"There is no route without {' and '.join(silent)}."
            why = OrderError(code=FailureCode.QUOTES_UNAVAILABLE, message=message)
            return _after_failure(order, why)
        if order.waits_for_price:
            return _check_price(order, None)
        why = OrderError(code=error.code, message=str(error))
        return Append(order.next_update(Status.FAILED, now_ms(), error=why))
    if order.waits_for_price:
        return _check_price(order, route)
    return Append(order.next_update(Status.BUILDING, now_ms(), route=routes.to_client(route)))


def _check_resting(order: Order) -> Next:
    """Check a resting order against the present pools."""
    if order.has_expired(now_ms()):
        return _expire(order)
    try:
        return _check_price(order, _best_route(order, network.snapshots()))
    except NoRoutesFound:
        return _check_price(order, None)


def _check_price(order: Order, route: router.Route | None) -> Next:
    """Build the order if its price is reached; otherwise let it rest, or expire an IOC order."""
    out_amount = None if route is None else route.out_amount
    trigger = waiting.reached_trigger(order, out_amount)
    if route and trigger:
        least_out = waiting.limit_out(order) if trigger is Trigger.LIMIT else None
        shown = routes.to_client(route, least_out=least_out)
        return Append(order.next_update(Status.BUILDING, now_ms(), trigger=trigger, route=shown))
    if order.time_in_force is TimeInForce.IOC:
        return _expire(order)
    wake = waiting.wake(order, out_amount, _best_price(order))
    if order.status is Status.RESTING:
        return Rest(wake)
    return Rest(wake, order.resting_update(now_ms()))


def _best_route(order: Order, pools: Mapping[str, Snapshot | str]) -> router.Route:
    token_in, token_out = _pair(order)
    units = tokens.to_units(order.amount, token_in)
    return router.find_route(token_in, token_out, units, order.slippage_bps or 0, pools)


def _best_price(order: Order) -> Fraction:
    return network.best_price(*_pair(order))


def _pair(order: Order) -> tuple[tokens.Token, tokens.Token]:
    return tokens.find(order.token_in), tokens.find(order.token_out)


def _expire(order: Order) -> Append:
    return Append(order.next_update(Status.EXPIRED, now_ms()))


def _next_twap_step(order: Order) -> Next:
    """Begin a twap order's next slice when it is due and the slice before it has ended."""
    now = now_ms()
    if slices.is_under_way(order):
        try:
            child = orders.load_order(slices.current_id(order)).order
        except orders.OrderNotFound:
            return Begin(slices.slice_order(order))
        if not child.status.terminal:
            return Wait()
        return Append(slices.update_after_slice(order, child, now))
    if order.next_slice_at and unix_ms(order.next_slice_at) > now:
        return Wait()
    return Append(slices.begin_slice(order, now))


def _build(order: Order) -> Next:
    """Sign the transaction; it is stored before it is sent."""
    if order.route is None:
        raise BrokenOrder(f"{order.order_id} is building without a route")
    try:
        signed = network.sign(order, routes.from_client(order.route))
    except TooLate:
        return _expire(order)
    update = order.next_update(Status.SUBMITTED, now_ms(), tx_hash=signed.signature)
    return Append(update, signed.text)


def _send_and_wait(order: Order, signed: str | None) -> Next:
    """Send the transaction, and wait until the network knows its outcome.

    Sending a signed transaction again is harmless, so a worker can resume here after a crash.
    """
    if signed is None:
        raise BrokenOrder(f"{order.order_id} is submitted without a transaction")
    network.send(signed)
    match network.outcome(signed):
        case Pending(wait_ms):
            # A long wait in the invocation would be billed.
            return Hold(wait_ms) if wait_ms <= settings.hold_ms else Requeue(wait_ms)
        case Landed() as landed:
            return Append(settlement.ending_update(order, landed, now_ms(), network.reference))
        case error:
            return _after_failure(order, error)


def _after_failure(order: Order, error: OrderError) -> Next:
    update = retries.after_failure(order, error, now_ms(), settings.retry_base_ms)
    # The watcher's next tick wakes a resting order, because its price may be available again.
    return Rest(AT_ONCE, update) if update.status is Status.RESTING else Append(update)
