"""Orders as the rows of a spreadsheet (CSV, RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from functions.orders.order import Order

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# By column: the path of its value in an order.
COLUMNS: Mapping[str, str] = {
    "orderId": "order_id",
    "clientOrderId": "client_order_id",
    "parentId": "parent_id",
    "type": "type",
    "status": "status",
    "createdAt": "created_at",
    "endedAt": "ended_at",
    "tokenIn": "token_in",
    "tokenOut": "token_out",
    "amount": "amount",
    "filledAmount": "filled_amount",
    "outAmount": "out_amount",
    "executedPrice": "executed_price",
    "limitPrice": "limit_price",
    "stopPrice": "stop_price",
    "slippageBps": "slippage_bps",
    "shortfallBps": "execution.shortfall_bps",
    "networkFeeLamports": "network_fee_lamports",
    "attempts": "attempt",
    "txHash": "tx_hash",
    "errorCode": "error.code",
}


def text(orders: Iterable[Order], *, header: bool = True) -> str:
    """The orders as CSV, in the given order, after a line with the names of the columns."""
    written = io.StringIO()
    lines = csv.writer(written)
    if header:
        lines.writerow(COLUMNS)
    lines.writerows([_cell(order, path) for path in COLUMNS.values()] for order in orders)
    return written.getvalue()


def _cell(order: Order, path: str) -> object:
    value: Any = order
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    # The client chose this text, and a spreadsheet must not run it as a formula.
    is_formula = path == "client_order_id" and str(value).startswith(_FORMULA)
    return f"'{value}" if is_formula else value
