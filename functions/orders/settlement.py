"""What an order's next update says of the outcome of its transaction."""

from __future__ import annotations

from functions.dex import tokens
from functions.orders.order import Order, OrderError, Status, Update
from functions.simulation.chain import Expired, Landed, Outcome, Reverted, Transaction


def ending(order: Order, transaction: Transaction, outcome: Outcome, now_ms: int) -> Update:
    """The update that ends a submitted order with what became of its transaction."""
    if not isinstance(outcome, Landed):
        return order.next_update(Status.FAILED, now_ms, error=reason(outcome))
    token_in, token_out = tokens.find(order.token_in), tokens.find(order.token_out)
    return order.next_update(
        Status.CONFIRMED,
        now_ms,
        tx_hash=transaction.signature,
        out_amount=tokens.to_text(outcome.out_amount, token_out.decimals),
        executed_price=tokens.price_text(
            transaction.amount_in, token_in, outcome.out_amount, token_out
        ),
    )


def reason(outcome: Reverted | Expired) -> OrderError:
    """Why the transaction did not execute."""
    match outcome:
        case Reverted():
            return OrderError(code=outcome.code, message=outcome.message)
        case Expired():
            message = f"The transaction was dropped: slot {outcome.slot} passed."
            return OrderError(code="FAILED_TO_LAND", message=message)
