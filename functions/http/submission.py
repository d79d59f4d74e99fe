"""How an order is submitted: once under a key, and within the owner's limit of open orders."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from functions import telemetry
from functions.contract import Metric
from functions.dex import tokens
from functions.http.market import swap
from functions.http.models import OrderRequest
from functions.http.problems import Problem, bad_field
from functions.orders.ids import id_of_key, new_id
from functions.orders.order import Order, Simulate, first_update, order_of
from functions.runtime import logger, now_ms, settings
from functions.store import orders, queue

RETRY_AFTER_SECONDS = 5
COUNT_SECONDS = 1
# The other faults befall a whole transaction, which may have legs on several venues.
FAULTS_OF_A_VENUE = ("venue_down", "quote_timeout")


class Submitted(NamedTuple):
    """The stored order, and whether it had been stored before under the same key."""

    order: Order
    replayed: bool


class Room(NamedTuple):
    """How many orders this environment may accept before it counts the open ones again."""

    left: int
    counted_ms: int


rooms: dict[str, Room] = {}


def submit(request: OrderRequest, owner: str, key_header: str | None) -> Submitted:
    """Store and queue an order; under a key that was used before, the stored order is the answer.

    Raises a Problem: a field at fault, a key that was used for another order, too many open orders.
    """
    order = _new_order(request, owner, _key(request, key_header))
    if not has_room(owner):
        return _stored_or_refused(order, owner)
    logger.append_keys(order_id=order.order_id, attempt=order.attempt)
    try:
        orders.create_order(order, owner)
    except orders.OrderExists as taken:
        return _replayed(taken.stored, order)
    try:
        queue.enqueue(order.order_id)
    except (BotoCoreError, ClientError):
        # The order is stored and the sweeper will queue it, so it is not refused.
        logger.exception("order not queued")
    logger.info("order accepted")
    telemetry.count(Metric.ORDERS_ACCEPTED)
    return Submitted(order, replayed=False)


def _key(request: OrderRequest, header: str | None) -> str | None:
    if header and request.client_order_id and header != request.client_order_id:
        raise bad_field("INVALID_REQUEST", "clientOrderId", "must equal the Idempotency-Key header")
    return header or request.client_order_id


def _new_order(request: OrderRequest, owner: str, key: str | None) -> Order:
    simulate = _simulate(request)
    token_in, token_out, units, _ = swap(
        request.token_in, request.token_out, request.amount, request.slippage_bps
    )
    now = now_ms()
    fields = {
        "clientOrderId": key,
        "tokenIn": token_in.symbol,
        "tokenOut": token_out.symbol,
        "amount": tokens.to_text(units, token_in.decimals),
        "slippageBps": request.slippage_bps,
        "simulate": simulate,
    }
    order_id = id_of_key(owner, key) if key else new_id(now)
    return order_of(fields, [first_update(order_id, now)])


def _simulate(request: OrderRequest) -> Simulate | None:
    if request.simulate is None:
        return None
    if not settings.simulate_allowed:
        raise bad_field("INVALID_REQUEST", "simulate", "is not allowed on this stack")
    asked = Simulate(**dict(request.simulate))
    if asked.venue and asked.fault not in FAULTS_OF_A_VENUE:
        rule = f"applies only to the faults {' and '.join(FAULTS_OF_A_VENUE)}"
        raise bad_field("INVALID_REQUEST", "simulate.venue", rule)
    return asked


def has_room(owner: str) -> bool:
    """Whether the owner has fewer open orders than the limit, as far as a cheap look can tell.

    A count lets this environment accept a twentieth of what was free, for a second, before it
    counts again. So a busy owner costs few calls, and near the limit each order is counted. The
    other environments do the same at the same time, so together they may exceed the limit: by a
    twentieth each, and by what the index does not show yet. The limit keeps one owner from
    filling the queue, which some orders more do not do.
    """
    now = now_ms()
    room = rooms.get(owner)
    if room is None or room.left == 0 or not 0 <= now - room.counted_ms < COUNT_SECONDS * 1000:
        free = settings.max_open_orders - orders.open_order_count(owner)
        if free <= 0:
            return False
        room = Room(max(1, free // 20), now)
    rooms[owner] = room._replace(left=room.left - 1)
    return True


def _stored_or_refused(order: Order, owner: str) -> Submitted:
    """A repeat of an accepted order is answered whatever the limit says."""
    try:
        return _replayed(orders.get_order(order.order_id, owner), order)
    except orders.OrderNotFound:
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "TOO_MANY_OPEN_ORDERS",
            f"At most {settings.max_open_orders} of your orders may be open at once.",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        ) from None


def _replayed(stored: Order, asked: Order) -> Submitted:
    if not stored.asks_the_same(asked):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "IDEMPOTENCY_KEY_REUSED",
            f"The key {asked.client_order_id} was used for another order.",
        )
    return Submitted(stored, replayed=True)
