"""The outcome of an order's transaction, and the update with which it ends the order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from functions.contract import unix_ms
from functions.dex import tokens
from functions.dex.tokens import Token
from functions.orders.order import Execution, Filled, Leg, Order, OrderError, Status, Update


@dataclass(frozen=True, slots=True)
class Pending:
    """The transaction may still execute; the network may know its outcome after `wait_ms`."""

    wait_ms: int


@dataclass(frozen=True, slots=True)
class Landed:
    """The transaction executed and gave `out_amount` base units of the order's token out.

    `fills` are the base units in and out of each leg, in the route's order.
    """

    out_amount: int
    network_fee_lamports: int
    fills: tuple[tuple[int, int], ...]


# An error says why the transaction did not execute; it cannot execute later.
Outcome = Landed | OrderError


# The reference price of a pair at a Unix time in milliseconds: whole tokens out per token in.
Reference = Callable[[Token, Token, int], Fraction]


def ending_update(order: Order, outcome: Outcome, now_ms: int, reference: Reference) -> Update:
    """The update that ends a submitted order: confirmed if its transaction landed, else failed."""
    if isinstance(outcome, OrderError):
        return order.next_update(Status.FAILED, now_ms, error=outcome)
    token_in, token_out = tokens.find(order.token_in), tokens.find(order.token_out)
    amount_in = tokens.to_units(order.amount, token_in)
    return order.next_update(
        Status.CONFIRMED,
        now_ms,
        tx_hash=order.tx_hash,
        out_amount=tokens.to_text(outcome.out_amount, token_out.decimals),
        executed_price=tokens.price_text(amount_in, token_in, outcome.out_amount, token_out),
        execution=_execution(order, outcome, reference(token_in, token_out, _ready_ms(order))),
    )


def _ready_ms(order: Order) -> int:
    """The time from which the order could execute: its submission, or the end of its last rest."""
    rests = [i for i, update in enumerate(order.updates) if update.status is Status.RESTING]
    return unix_ms(order.updates[rests[-1] + 1 if rests else 0].timestamp)


def _execution(order: Order, landed: Landed, price: Fraction) -> Execution | None:
    if order.route is None:
        return None
    amount, quoted, given = (
        Fraction(text)
        for text in (
            order.amount,
            order.route.out_amount,
            tokens.to_text(landed.out_amount, tokens.find(order.token_out).decimals),
        )
    )
    return Execution(
        network_fee_lamports=landed.network_fee_lamports,
        quote_slippage_bps=tokens.bps_text(quoted - given, quoted),
        shortfall_bps=tokens.bps_text(amount * price - given, amount * price),
        fills=tuple(
            _filled(leg, *fill)
            for leg, fill in zip(order.route.route_plan, landed.fills, strict=True)
        ),
    )


def _filled(leg: Leg, amount_in: int, amount_out: int) -> Filled:
    in_text, out_text = (
        tokens.to_text(units, tokens.find(symbol).decimals)
        for units, symbol in ((amount_in, leg.token_in), (amount_out, leg.token_out))
    )
    return Filled(in_amount=None if in_text == leg.in_amount else in_text, out_amount=out_text)
