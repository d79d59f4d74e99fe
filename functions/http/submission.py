"""Submits orders: once for each idempotency key, and within the owner's limit of open orders."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from pydantic.alias_generators import to_camel

from functions import telemetry
from functions.contract import Metric
from functions.dex import tokens
from functions.http import conditions
from functions.http.market import amount_units, pair, swap
from functions.http.models import OrderRequest
from functions.http.problems import Problem, bad_field
from functions.messages import ProblemCode
from functions.orders import terms
from functions.orders.ids import id_of_key, new_id
from functions.orders.order import (
    FAULTS_OF_A_VENUE,
    Order,
    OrderType,
    Simulate,
    first_update,
    order_of,
)
from functions.runtime import logger, now_ms, settings
from functions.store import orders, queue

RETRY_AFTER_SECONDS = 5
COUNT_SECONDS = 1


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
    """Store and queue an order; if its key was used before, return the stored order.

    Raises a Problem: a field at fault, a key that was used for another order, too many open orders.
    """
    order = _new_order(request, owner, _key(request, key_header))
    # A repeat of an accepted order gets the stored order, even after its expiry or over the limit.
    if problem := conditions.expiry_problem(order.expires_at, now_ms()):
        return _replay_or_raise(problem, order, owner)
    if not has_room(owner):
        return _replay_or_raise(_too_many_open_orders(), order, owner)
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
        raise bad_field("clientOrderId", "must equal the Idempotency-Key header")
    return header or request.client_order_id


def _new_order(request: OrderRequest, owner: str, key: str | None) -> Order:
    simulate = _simulate(request)
    given = {to_camel(name) for name in request.model_fields_set}
    conditions.check_fields(request.type, given & set(terms.FIELDS))
    token_in, token_out, units = _swap(request)
    now = now_ms()
    fields: dict[str, Any] = {
        "clientOrderId": key,
        "type": request.type,
        "tokenIn": token_in.symbol,
        "tokenOut": token_out.symbol,
        "amount": tokens.to_text(units, token_in.decimals),
        "slippageBps": None if _has_limit_only(request) else request.slippage_bps,
        "slices": request.slices or None,
        "intervalSeconds": request.interval_seconds or None,
        "simulate": simulate,
    }
    for field in ("limit_price", "stop_price"):
        if to_camel(field) in given:
            text = getattr(request, field)
            asked = conditions.price(to_camel(field), text, units, token_in, token_out)
            fields[to_camel(field)] = asked
    conditions.check_prices(fields.get("limitPrice"), fields.get("stopPrice"))
    if request.expires_at:
        fields["expiresAt"] = conditions.expiry(request.expires_at)
    if request.type.rests:
        fields["timeInForce"] = request.time_in_force
    order_id = id_of_key(owner, key) if key else new_id(now)
    return order_of(fields, [first_update(order_id, now)])


def _has_limit_only(request: OrderRequest) -> bool:
    """Whether the limit price sets the threshold of every transaction of the order."""
    return request.limit_price != "" and request.type is not OrderType.OCO


def _swap(request: OrderRequest) -> tuple[tokens.Token, tokens.Token, int]:
    """The tokens, and the amount in base units; checks the swap, of a twap order each slice."""
    if request.type is not OrderType.TWAP:
        return swap(request.token_in, request.token_out, request.amount)
    source, target = pair(request.token_in, request.token_out)
    units = amount_units(request.amount, source)
    if units < request.slices:
        rule = f"must be at most {units}, for each slice swaps at least one base unit"
        raise bad_field("slices", rule)
    largest = tokens.to_text(-(-units // request.slices), source.decimals)
    try:
        swap(source.symbol, target.symbol, largest)
    except Problem as problem:
        (error,) = problem.details.errors
        raise bad_field("amount", f"of each slice {error.rule}", problem.details.code) from None
    return source, target, units


def _simulate(request: OrderRequest) -> Simulate | None:
    if request.simulate is None:
        return None
    if not settings.simulate_allowed:
        raise bad_field("simulate", "is not allowed on this stack")
    asked = Simulate(**dict(request.simulate))
    if asked.venue and asked.fault not in FAULTS_OF_A_VENUE:
        rule = f"applies only to the faults {' and '.join(FAULTS_OF_A_VENUE)}"
        raise bad_field("simulate.venue", rule)
    return asked


def has_room(owner: str) -> bool:
    """Whether the owner has fewer open orders than the limit, by a cheap and approximate count.

    After a count, this environment accepts a twentieth of the remaining number, for at most a
    second, and counts again. So a busy owner costs few calls, and near the limit each order is
    counted. The other environments do the same, so together they can exceed the limit: by a
    twentieth each, and by the orders that the index does not show yet. That is harmless, because
    the limit only keeps one owner from filling the queue.
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


def _replay_or_raise(problem: Problem, order: Order, owner: str) -> Submitted:
    """The order that is stored under the same key; raises the problem if there is none."""
    try:
        return _replayed(orders.get_order(order.order_id, owner), order)
    except orders.OrderNotFound:
        raise problem from None


def _too_many_open_orders() -> Problem:
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        ProblemCode.TOO_MANY_OPEN_ORDERS,
        f"At most {settings.max_open_orders} of your orders may be open at once.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def _replayed(stored: Order, asked: Order) -> Submitted:
    if not stored.has_same_request(asked):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            ProblemCode.IDEMPOTENCY_KEY_REUSED,
            f"The key {asked.client_order_id} was used for another order.",
        )
    return Submitted(stored, replayed=True)
