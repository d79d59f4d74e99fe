"""What becomes of an order's transaction, and the update with which that ends the order."""

from __future__ import annotations

from dataclasses import dataclass

from functions.dex import tokens
from functions.orders.order import Order, OrderError, Status, Update


@dataclass(frozen=True, slots=True)
class Pending:
    """The transaction may still execute; the network knows more after `wait_ms`."""

    wait_ms: int


@dataclass(frozen=True, slots=True)
class Landed:
    """The transaction executed and gave `out_amount` base units of the order's token out."""

    out_amount: int


# An error says why the transaction did not execute; it never will.
Outcome = Landed | OrderError


def ending(order: Order, outcome: Outcome, now_ms: int) -> Update:
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
    )
