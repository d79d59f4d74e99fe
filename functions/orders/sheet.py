"""Orders as the rows of a spreadsheet (CSV, RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping

from functions.orders.order import Order

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _no_formula(key: str | None) -> str | None:
    """A client's own text, which a spreadsheet must not run."""
    return f"'{key}" if key and key.startswith(_FORMULA) else key


COLUMNS: Mapping[str, Callable[[Order], object]] = {
    "orderId": lambda order: order.order_id,
    "clientOrderId": lambda order: _no_formula(order.client_order_id),
    "parentId": lambda order: order.parent_id,
    "type": lambda order: order.type,
    "status": lambda order: order.status,
    "createdAt": lambda order: order.created_at,
    "endedAt": lambda order: None if order.open else order.updated_at,
    "tokenIn": lambda order: order.token_in,
    "tokenOut": lambda order: order.token_out,
    "amount": lambda order: order.amount,
    "filledAmount": lambda order: order.filled_amount,
    "outAmount": lambda order: order.out_amount,
    "executedPrice": lambda order: order.executed_price,
    "limitPrice": lambda order: order.limit_price,
    "stopPrice": lambda order: order.stop_price,
    "slippageBps": lambda order: order.slippage_bps,
    "shortfallBps": lambda order: order.execution.shortfall_bps if order.execution else None,
    "networkFeeLamports": lambda order: order.network_fee_lamports,
    "attempts": lambda order: order.attempt,
    "txHash": lambda order: order.tx_hash,
    "errorCode": lambda order: order.error.code if order.error else None,
}


def text(orders: Iterable[Order], *, header: bool = True) -> str:
    """The orders in their order, after a line with the names of the columns."""
    written = io.StringIO()
    lines = csv.writer(written)
    if header:
        lines.writerow(COLUMNS)
    lines.writerows([value(order) for value in COLUMNS.values()] for order in orders)
    return written.getvalue()
