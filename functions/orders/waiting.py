"""The prices that an order waits for, in base units, and the best prices that wake it."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from functions.contract import DELAY_SECONDS_MAX, unix_ms, wake_key
from functions.dex import tokens
from functions.orders import slices
from functions.orders.order import Order, Status, Trigger

# A route gives less per unit than the pair's best price, because larger amounts go deeper into the
# pools. This loss changes until the order is woken, because the pools move against each other.
# Over all pairs and amounts, the greatest measured change is 0.33 % of the output plus a quarter of
# the loss; `python -m tests.load.margins` measures it.
MARGIN = Fraction(1, 200)
MARGIN_OF_LOSS = Fraction(1, 4)
# Pools compute in whole base units, so the best price itself is rounded.
ROUNDING = Fraction(1, 10**6)


class Wake(NamedTuple):
    """The keys under which a resting order is in the indexes of resting orders."""

    above: str | None = None
    below: str | None = None


# With these keys, the watcher's next tick wakes the order.
AT_ONCE = Wake(above=wake_key(Fraction(0)))


def limit_out(order: Order) -> int:
    """The least base units of tokenOut that the order's limit price allows, rounded up."""
    return ceil(_out_at(order, order.limit_price))


def stop_out(order: Order) -> int:
    """The base units of tokenOut at or below which the order's stop is reached, rounded down."""
    return floor(_out_at(order, order.stop_price))


def reached_trigger(order: Order, out_amount: int | None) -> Trigger | None:
    """Which price of the order the best route's output reaches; None if it reaches none.

    `out_amount` is in base units, and None if there is no route.
    """
    if out_amount is None:
        return None
    if order.limit_price is not None and out_amount >= limit_out(order):
        return Trigger.LIMIT
    if order.stop_price is not None and out_amount <= stop_out(order):
        return Trigger.STOP
    return None


def wake(order: Order, out_amount: int | None, best_price: Fraction) -> Wake:
    """The keys of the pair's best prices (`router.best_price`) from which the order may execute.

    `out_amount` is the output of the best route at the present `best_price`; None means no route. A
    route gives at most the best price, so the limit is not reached below the limit price, and the
    stop is reached at the stop price at the latest.
    """
    margin = Fraction(0)
    if out_amount:
        loss = 1 - out_amount / _worth(order, best_price)
        margin = MARGIN + MARGIN_OF_LOSS * loss
    above = below = None
    if order.limit_price is not None:
        lowest = tokens.to_price(order.limit_price) * (1 - ROUNDING)
        if out_amount:
            lowest = max(lowest, best_price * limit_out(order) / out_amount * (1 - margin))
        above = wake_key(lowest)
    if order.stop_price is not None:
        highest = tokens.to_price(order.stop_price)
        if out_amount:
            highest = max(highest, best_price * stop_out(order) / out_amount * (1 + margin))
        below = wake_key(highest)
    return Wake(above, below)


def is_worth_storing(new: Wake, stored: Wake, best_price: Fraction) -> bool:
    """Whether replacing the stored keys of an order that was woken too early is worth a write.

    It is if the stored keys could miss the order's price, or if they would wake the order every
    second at the present price and the new keys would not.
    """
    now = wake_key(best_price)
    return (
        (new.above is not None and (stored.above is None or new.above < stored.above))
        or (new.below is not None and (stored.below is None or new.below > stored.below))
        or (_wakes(stored, now) and not _wakes(new, now))
    )


def due_ms(order: Order) -> int | None:
    """When the order is due even if no price wakes it (Unix time in milliseconds).

    None if it rests until it is cancelled.
    """
    if order.status is Status.RESTING:
        return None if order.expires_at is None else unix_ms(order.expires_at)
    if order.status is Status.WORKING and not slices.is_under_way(order) and order.next_slice_at:
        return unix_ms(order.next_slice_at)
    if order.status is Status.WORKING and order.limit_price is not None:
        return slices.slice_ends_ms(order)
    return order.idle_from_ms


def message_delay(order: Order, now_ms: int) -> int | None:
    """The delay in seconds of the message for an order that is due later, rounded up.

    None if no message is needed, or if the order is due later than SQS can delay a message; then
    the sweeper sends it.
    """
    due = due_ms(order)
    if due is None or due - now_ms > DELAY_SECONDS_MAX * 1000:
        return None
    if due <= now_ms and slices.is_under_way(order):
        return None  # the end of the slice queues the order, or else the sweeper does
    return max(0, -(-(due - now_ms) // 1000))


def _wakes(keys: Wake, now: str) -> bool:
    return (keys.above is not None and now >= keys.above) or (
        keys.below is not None and now <= keys.below
    )


def _out_at(order: Order, price: str | None) -> Fraction:
    if price is None:
        raise ValueError(f"{order.order_id} has no such price")
    return _worth(order, tokens.to_price(price))


def _worth(order: Order, price: Fraction) -> Fraction:
    """The order's amount in base units of tokenOut at this price, not rounded."""
    source, target = tokens.find(order.token_in), tokens.find(order.token_out)
    units = tokens.to_units(order.amount, source)
    return price * Fraction(units * 10**target.decimals, 10**source.decimals)
