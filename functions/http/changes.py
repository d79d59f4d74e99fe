"""Cancels and changes waiting orders by conditional writes."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from botocore.exceptions import BotoCoreError, ClientError
from pydantic.alias_generators import to_camel

from functions.dex import tokens
from functions.http import conditions
from functions.http.models import ChangeRequest
from functions.http.problems import Problem, bad_field
from functions.messages import ProblemCode
from functions.orders import slices, waiting
from functions.orders.order import CHANGES_MAX, Order, Status, Update
from functions.runtime import logger, now_ms
from functions.store import orders, queue

# How often to try a cancellation if another writer is first and the order can still be cancelled.
TRIES = 5


def cancel(order_id: str, owner: str) -> Order:
    """Cancel an order while it is pending, rests, or is between its slices.

    If a slice of a twap order is pending or rests, it is cancelled too. A repeated cancellation
    returns the same order. Raises a Problem (409) if the order can no longer be cancelled.
    """
    for _ in range(TRIES):
        order = orders.get_order(order_id, owner)
        if order.status is Status.CANCELLED:
            return order
        try:
            return _store_cancellation(order, owner, _cancellation(order, owner))
        except orders.StaleOrder:
            logger.info("order moved on before it was cancelled")
    raise _not_cancellable(f"The order is {order.status} and keeps changing; try again.")


def _cancellation(order: Order, owner: str) -> Update:
    """The update that cancels the order; raises a Problem, or StaleOrder if its slice changed."""
    if order.status in (Status.PENDING, Status.RESTING):
        return order.next_update(Status.CANCELLED, now_ms())
    if order.status is not Status.WORKING:
        cancellable = [status for status in Status if status.cancellable]
        raise _not_cancellable(
            f"The order is {order.status}; only one that is {conditions.listed(cancellable, 'or')}"
            " can be cancelled."
        )
    if not slices.is_under_way(order):
        return slices.cancelled(order, None, now_ms())
    try:
        child = orders.get_order(slices.current_id(order), owner)
    except orders.OrderNotFound:
        raise _not_cancellable("A slice of the order is just beginning; try again.") from None
    if child.status in (Status.PENDING, Status.RESTING):
        child = _store_cancellation(child, owner, child.next_update(Status.CANCELLED, now_ms()))
    if not child.status.terminal:
        raise _not_cancellable(
            f"Its slice {child.order_id} is {child.status}; try again when that has ended."
        )
    return slices.cancelled(order, child, now_ms())


def _send_or_log(send: Callable[[], None]) -> None:
    """Send a message; if that fails, the watcher or the sweeper sends one a little later."""
    try:
        send()
    except (BotoCoreError, ClientError):
        logger.exception("order not queued")


def _store_cancellation(order: Order, owner: str, update: Update) -> Order:
    cancelled = orders.append_update(order, owner, update)
    logger.info("order cancelled", attempt=order.attempt)
    _send_or_log(lambda: queue.requeue_parent(cancelled))
    return cancelled


def _not_cancellable(detail: str) -> Problem:
    return Problem(HTTPStatus.CONFLICT, ProblemCode.ORDER_NOT_CANCELLABLE, detail)


def change(request: ChangeRequest, order_id: str, owner: str) -> Order:
    """Change the prices or the expiry of a resting order; if they are the same, return the order.

    Raises a Problem: 400 for a field at fault, 409 if the order cannot be changed now.
    """
    order = orders.get_order(order_id, owner)
    changes = _changes(request, order)
    now = now_ms()
    if not order.status.changeable:
        raise _not_changeable(f"The order is {order.status}; only a resting order can be changed.")
    if order.has_expired(now):
        raise _not_changeable("The order has expired.")
    if order.parent_id is not None:
        raise _not_changeable("The order is a slice of a twap order and cannot be changed alone.")
    if all(getattr(order, name) == value for name, value in changes.items()):
        return order
    if order.sequence >= CHANGES_MAX or order.is_full:
        raise _not_changeable("The order has been changed too often; cancel it and submit another.")
    try:
        changed = orders.append_update(order, owner, order.resting_update(now, changes))
    except orders.StaleOrder:
        order = orders.get_order(order_id, owner)
        raise _not_changeable(
            f"The order moved on before it was changed: it is {order.status} now."
        ) from None
    logger.info("order changed", sequence=changed.sequence)
    _send_or_log(lambda: _queue_changed(changed))
    return changed


def _changes(request: ChangeRequest, order: Order) -> dict[str, str | None]:
    """The new values, by the field's name in an order; raises a Problem."""
    given = request.model_fields_set
    if not given:
        raise bad_field("body", "must have limitPrice, stopPrice or expiresAt")
    conditions.check_fields(order.type, {to_camel(name) for name in given}, needed=frozenset())
    source, target = tokens.find(order.token_in), tokens.find(order.token_out)
    units = tokens.to_units(order.amount, source)
    changes: dict[str, str | None] = {}
    for name in ("limit_price", "stop_price"):
        if name in given:
            asked = getattr(request, name)
            changes[name] = conditions.price(to_camel(name), asked, units, source, target)
    if "expires_at" in given:
        expires_at = request.expires_at and conditions.expiry(request.expires_at)
        if problem := conditions.expiry_problem(expires_at, now_ms()):
            raise problem
        changes["expires_at"] = expires_at
    conditions.check_prices(
        changes.get("limit_price", order.limit_price), changes.get("stop_price", order.stop_price)
    )
    return changes


def _queue_changed(order: Order) -> None:
    """Queue a changed order now, and once more for its expiry if that is soon."""
    queue.enqueue(order.order_id, woken=True)
    delay = waiting.message_delay(order, now_ms())
    if delay is not None:
        queue.enqueue(order.order_id, delay_seconds=delay, woken=True)


def _not_changeable(detail: str) -> Problem:
    return Problem(HTTPStatus.CONFLICT, ProblemCode.ORDER_NOT_CHANGEABLE, detail)
