"""The slices of a twap order: when each is due, how much it swaps, and their sums.

One slice is under way at a time. The amount of slice k of n completes k/n of the whole. So the next
slice adds the amount that a slice did not swap, and the sum is exact to the last base unit.
"""

from __future__ import annotations

from typing import Any

from functions.contract import iso, unix_ms
from functions.dex import tokens
from functions.orders.ids import slice_id
from functions.orders.order import (
    Order,
    OrderType,
    Status,
    TimeInForce,
    Update,
    first_update,
    order_of,
)

# The least time for a slice with a limit price, because a transaction lands after a few seconds.
SLICE_MS_MIN = 10_000


def is_under_way(order: Order) -> bool:
    """Whether the latest slice is not yet in the order's sums."""
    return order.slice is not None and order.slice != order.slices_done


def current_id(order: Order) -> str:
    """The id of the order that is the present slice."""
    return slice_id(order.identity, order.slice or 0)


def ids(order: Order) -> list[str]:
    """The ids of all slices that have begun, the latest first."""
    return [slice_id(order.identity, number) for number in range(order.slice or 0, 0, -1)]


def slice_ends_ms(order: Order) -> int:
    """When the time for the present slice ends (Unix time in milliseconds)."""
    starts = _starts_ms(order)
    due_ms = starts[0] + len(starts) * _interval_ms(order)
    return max(due_ms, starts[-1] + SLICE_MS_MIN)


def slice_order(order: Order) -> Order:
    """The present slice as an order of its own; every worker computes the same one."""
    began = order.updates[-1]
    fields: dict[str, Any] = {
        "parent_id": order.order_id,
        "type": OrderType.MARKET,
        "token_in": order.token_in,
        "token_out": order.token_out,
        "amount": order.slice_amount,
        "slippage_bps": order.slippage_bps,
        "simulate": order.simulate,
    }
    if order.limit_price is not None:
        fields |= {
            "type": OrderType.LIMIT,
            "limit_price": order.limit_price,
            "expires_at": iso(slice_ends_ms(order)),
            "time_in_force": TimeInForce.GTC,
        }
    return order_of(fields, [first_update(current_id(order), unix_ms(began.timestamp))])


def begin_slice(order: Order, now_ms: int, ended: Order | None = None) -> Update:
    """The update with which the next slice begins; its sums contain the slice that `ended`."""
    number = (order.slice or 0) + 1
    done = _sums(order, ended)
    source = tokens.find(order.token_in)
    filled = tokens.units_or_zero(done.get("filled_amount", order.filled_amount), source)
    upto = tokens.to_units(order.amount, source) * number // (order.slices or 1)
    start_ms = now_ms if order.slice is None else _starts_ms(order)[0]
    last = number == order.slices
    return order.next_update(
        Status.WORKING,
        now_ms,
        slice=number,
        slice_amount=tokens.to_text(upto - filled, source.decimals),
        next_slice_at=None if last else iso(start_ms + number * _interval_ms(order)),
        **({"slices_done": order.slices_done or 0} | done),
    )


def update_after_slice(order: Order, ended: Order, now_ms: int) -> Update:
    """The update after a slice has ended: the next begins now or later, or the order ends."""
    if order.slice != order.slices:
        if order.next_slice_at is None or unix_ms(order.next_slice_at) <= now_ms:
            return begin_slice(order, now_ms, ended)
        return order.next_update(
            Status.WORKING,
            now_ms,
            slice=order.slice,
            next_slice_at=order.next_slice_at,
            **_sums(order, ended),
        )
    sums = _sums(order, ended)
    filled = sums.get("filled_amount", order.filled_amount)
    if filled is not None:
        sums |= {"out_amount": sums.get("out_amount", order.out_amount)}
        sums |= {"executed_price": sums.get("executed_price", order.executed_price)}
        return order.next_update(Status.CONFIRMED, now_ms, **sums)
    return order.next_update(ended.status, now_ms, error=ended.error, **sums)


def cancelled(order: Order, ended: Order | None, now_ms: int) -> Update:
    """The update that cancels the rest of the order; `ended` is its present slice, if any."""
    return order.next_update(Status.CANCELLED, now_ms, **_sums(order, ended))


def _sums(order: Order, ended: Order | None) -> dict[str, Any]:
    """The sums of the slices up to `ended`, as fields of an update."""
    if ended is None:
        return {}
    done: dict[str, Any] = {"slices_done": order.slice}
    if ended.network_fee_lamports is not None:
        fees = (order.network_fee_lamports or 0) + ended.network_fee_lamports
        done["network_fee_lamports"] = fees
    if ended.status is Status.CONFIRMED:
        source, target = tokens.find(order.token_in), tokens.find(order.token_out)
        units = tokens.units_or_zero
        filled = units(order.filled_amount, source) + units(ended.amount, source)
        out = units(order.out_amount, target) + units(ended.out_amount, target)
        done |= {
            "filled_amount": tokens.to_text(filled, source.decimals),
            "out_amount": tokens.to_text(out, target.decimals),
            "executed_price": tokens.price_text(filled, source, out, target),
        }
    return done


def _interval_ms(order: Order) -> int:
    return (order.interval_seconds or 0) * 1000


def _starts_ms(order: Order) -> list[int]:
    """When each slice so far began."""
    return [
        unix_ms(update.timestamp)
        for update in order.updates
        if update.slice is not None and update.slice != update.slices_done
    ]
