"""Orders as the rows of a spreadsheet (CSV, RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from functions.orders.order import Order

COLUMNS = (
    "orderId",
    "clientOrderId",
    "parentId",
    "type",
    "status",
    "createdAt",
    "endedAt",
    "tokenIn",
    "tokenOut",
    "amount",
    "filledAmount",
    "outAmount",
    "executedPrice",
    "limitPrice",
    "stopPrice",
    "slippageBps",
    "shortfallBps",
    "networkFeeLamports",
    "attempts",
    "txHash",
    "errorCode",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def text(orders: Iterable[Order], *, header: bool = True) -> str:
    """The orders in their order, after a line with the names of the columns."""
    written = io.StringIO()
    lines = csv.writer(written)
    if header:
        lines.writerow(COLUMNS)
    lines.writerows(_row(order) for order in orders)
    return written.getvalue()


def _row(order: Order) -> tuple[object, ...]:
    return (
        order.order_id,
        _no_formula(order.client_order_id),
        order.parent_id,
        order.type,
        order.status,
        order.created_at,
        None if order.open else order.updated_at,
        order.token_in,
        order.token_out,
        order.amount,
        order.filled_amount,
        order.out_amount,
        order.executed_price,
        order.limit_price,
        order.stop_price,
        order.slippage_bps,
        order.execution.shortfall_bps if order.execution else None,
        order.network_fee_lamports,
        order.attempt,
        order.tx_hash,
        order.error.code if order.error else None,
    )


def _no_formula(key: str | None) -> str | None:
    """A client's own text, which a spreadsheet must not run."""
    return f"'{key}" if key and key.startswith(_FORMULA) else key
