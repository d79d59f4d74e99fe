"""Order queue: takes each order, step by step, to a terminal status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    EventType,
    async_process_partial_response,
)
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import telemetry
from functions.contract import BATCH_SIZE, Metric, iso, order_id_of, unix_ms
from functions.dex import router, tokens
from functions.dex.errors import DexError
from functions.orders import settlement
from functions.orders.order import Order, OrderError, Route, Status, Update, routing_update
from functions.runtime import logger, now_ms, settings
from functions.simulation import chain, faults, market
from functions.simulation.draws import draw
from functions.store import orders, queue

# The latencies of the engine that this one is measured against.
QUOTE_MS = (200, 400)
BUILDING_MS = 300
QUOTE_TIMEOUT_MS = 1000

T = TypeVar("T")
_alone = ContextVar("_alone", default=False)
_threads = ThreadPoolExecutor(BATCH_SIZE)
_processor = AsyncBatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@telemetry.observed
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Take on up to ten orders at once; those that fail are redelivered, alone."""
    _alone.set(len(event["Records"]) == 1)
    return async_process_partial_response(event, _take, _processor, context)


async def _take(record: SQSRecord) -> None:
    # Each record is a task with a context of its own: so are these keys.
    logger.thread_safe_append_keys(message_id=record.message_id)
    try:
        order_id = order_id_of(record.body)
        logger.thread_safe_append_keys(order_id=order_id)
        await _execute(order_id)
    except Exception:
        # The batch processor would report it to SQS and keep the reason to itself.
        logger.exception("message failed", body=record.body[:200])
        raise


async def _execute(order_id: str) -> None:
    begin = routing_update(order_id, now_ms())
    order, owner, transaction = await _call(orders.begin_order, begin)
    logger.thread_safe_append_keys(owner=owner, attempt=order.attempt)
    logger.info("order taken on", status=order.status, sequence=order.sequence)
    try:
        while not order.status.terminal:
            moved = await _STEPS[order.status](order, transaction)
            if moved is None:  # a delayed message takes it from here
                return
            order, transaction = moved
    except orders.StaleOrder:
        # Whoever moved it on has a message of his own, so this one may go.
        logger.info("order taken on elsewhere", sequence=order.sequence)


Moved = tuple[Order, str | None] | None
Step = Callable[[Order, str | None], Awaitable[Moved]]


async def _route(order: Order, _transaction: str | None) -> Moved:
    """Ask all venues at once, and choose the best route over those that answered."""
    if order.next_retry_at and (wait_ms := unix_ms(order.next_retry_at) - now_ms()) > 0:
        await _come_back(order, wait_ms)
        return None
    slot = market.slot_at(now_ms())
    answers = await asyncio.gather(*(_ask(order, venue, slot) for venue in market.VENUES))
    snapshots = dict(zip(market.VENUES, answers, strict=True))
    silent = {venue: a for venue, a in snapshots.items() if isinstance(a, str)}
    token_in, token_out = tokens.find(order.token_in), tokens.find(order.token_out)
    try:
        route = router.find_route(
            token_in,
            token_out,
            tokens.to_units(order.amount, token_in),
            order.slippage_bps,
            snapshots,
        )
    except DexError as error:
        if silent:
            reasons = ", ".join(f"{venue}: {reason}" for venue, reason in silent.items())
            why = OrderError(code="QUOTES_UNAVAILABLE", message=f"No route without {reasons}.")
            return await _retry(order, why)
        return await _fail(order, OrderError(code=error.code, message=str(error)))
    update = order.next_update(
        Status.BUILDING, now_ms(), route=Route.model_validate(route.to_json())
    )
    return await _append(order, update)


async def _ask(order: Order, venue: str, slot: int) -> market.Snapshot | str:
    error = faults.quote_error(
        order.order_id, order.attempt, venue, _simulate(order), settings.quote_error_ppm
    )
    asked_ms = now_ms()
    if error == "QUOTE_TIMEOUT":
        await _latency(QUOTE_TIMEOUT_MS)
    else:
        await _latency(draw(*QUOTE_MS, order.order_id, order.attempt, "quote", venue))
    telemetry.time(Metric.QUOTE_LATENCY, now_ms() - asked_ms)
    return error or market.snapshot(venue, slot, settings.market_seed)


async def _build(order: Order, _transaction: str | None) -> Moved:
    """Sign the transaction, and store it before anybody could send it."""
    assert order.route is not None  # noqa: S101 - every building update carries one
    await _latency(BUILDING_MS)
    now = now_ms()
    transaction = chain.build(
        order.order_id,
        order.attempt,
        router.Route.from_json(order.route.model_dump(by_alias=True, exclude_none=True)),
        market.slot_at(now),
        drop_ppm=settings.drop_ppm,
        simulate=_simulate(order),
    )
    update = order.next_update(Status.SUBMITTED, now, tx_hash=transaction.signature)
    return await _append(order, update, transaction=transaction.to_json())


async def _settle(order: Order, signed: str | None) -> Moved:
    """Wait for the transaction's landing and tell what became of it.

    Sending a signed transaction again is harmless, and its landing is a pure function of it,
    so a worker that takes over here repeats nothing.
    """
    assert signed is not None  # noqa: S101 - it was stored with the status
    transaction = chain.Transaction.from_json(signed)
    outcome = chain.outcome(transaction, settings.market_seed)
    wait_ms = round((outcome.slot * market.SLOT_MS - now_ms()) * settings.latency_scale)
    if wait_ms > settings.hold_ms:  # not sat out by a worker that is billed for it
        await _come_back(order, wait_ms)
        return None
    await asyncio.sleep(max(0, wait_ms) / 1000)
    if not isinstance(outcome, chain.Landed):
        return await _retry(order, settlement.reason(outcome))
    return await _append(order, settlement.ending(order, transaction, outcome, now_ms()))


_STEPS: dict[Status, Step] = {
    Status.ROUTING: _route,
    Status.BUILDING: _build,
    Status.SUBMITTED: _settle,
}


async def _retry(order: Order, error: OrderError) -> Moved:
    """Begin a new attempt after exponential backoff with full jitter; the last one fails."""
    if order.attempt >= order.max_attempts:
        return await _fail(order, error)
    ceiling_ms = settings.retry_base_ms * 2**order.attempt
    delay_ms = draw(0, ceiling_ms, order.order_id, order.attempt, "backoff")
    now = now_ms()
    update = order.next_update(
        Status.ROUTING,
        now,
        attempt=order.attempt + 1,
        next_retry_at=iso(now + delay_ms),
        error=error,
    )
    logger.warning("attempt failed", code=error.code, reason=error.message)
    await _append(order, update)
    await _come_back(order, delay_ms)
    return None


async def _fail(order: Order, error: OrderError) -> Moved:
    logger.warning("order fails", code=error.code, reason=error.message)
    return await _append(order, order.next_update(Status.FAILED, now_ms(), error=error))


async def _come_back(order: Order, wait_ms: int) -> None:
    """Queue the order's next message for then; SQS counts in whole seconds."""
    seconds = -(-wait_ms // 1000)
    await _call(queue.enqueue, order.order_id, delay_seconds=seconds)


async def _append(order: Order, update: Update, *, transaction: str | None = None) -> Moved:
    changed = await _call(orders.append_update, order, update, transaction=transaction)
    logger.thread_safe_append_keys(attempt=changed.attempt)
    logger.info(f"order {changed.status}", sequence=changed.sequence)
    if changed.status.terminal:
        telemetry.count_ending(changed)
    return changed, transaction


async def _call(call: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """A call of the store; in a thread, unless there is no other order that it would hold up."""
    if _alone.get():  # a thread would cost as much as the call
        return call(*arguments, **named)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, partial(call, *arguments, **named))


async def _latency(simulated_ms: int) -> None:
    await asyncio.sleep(simulated_ms * settings.latency_scale / 1000)


def _simulate(order: Order) -> faults.Simulate | None:
    asked = order.simulate
    if asked is None or not settings.simulate_allowed:
        return None
    return faults.Simulate(asked.fault, asked.venue, asked.attempts)
