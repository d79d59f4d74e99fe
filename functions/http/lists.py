"""Lists and exports an owner's orders."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from functions.contract import iso
from functions.http import market
from functions.http.problems import bad_field
from functions.messages import OrderList
from functions.orders import sheet, slices
from functions.orders.ids import id_of_key
from functions.orders.order import OPEN, OrderType
from functions.runtime import now_ms
from functions.store import orders


def filters(
    status: str | None, order_type: OrderType | None, token_in: str | None, token_out: str | None
) -> dict[str, object]:
    """The values that an order must have, by field; None allows any. Raises a Problem."""
    wanted = {
        "open": True if status == OPEN else None,
        "status": None if status == OPEN else status,
        "type": order_type,
        "token_in": token_in and market.token("tokenIn", token_in).symbol,
        "token_out": token_out and market.token("tokenOut", token_out).symbol,
    }
    return {field: value for field, value in wanted.items() if value is not None}


def ids(owner: str, parent_id: UUID | None, client_order_id: str | None) -> list[str] | None:
    """The ids of the only orders that can be listed; None for all. Raises a Problem."""
    if client_order_id is not None:
        return [id_of_key(owner, client_order_id)]
    if parent_id is None:
        return None
    try:
        parent = orders.get_order(str(parent_id), owner)
    except orders.OrderNotFound:
        parent = None
    if parent is None or parent.type is not OrderType.TWAP:
        raise bad_field("parentId", "must be the id of a twap order of yours")
    return slices.ids(parent)


def page(
    owner: str, wanted: dict[str, object], only: list[str] | None, limit: int, cursor: str | None
) -> OrderList:
    """A page of the owner's orders that are `wanted`; raises InvalidCursor."""
    place: dict[str, Any] = {"limit": limit, "cursor": cursor, "wanted": wanted}
    found, following = (
        orders.list_orders(owner, **place) if only is None else orders.list_by_ids(only, **place)
    )
    return OrderList(orders=tuple(found), next_cursor=following)


def export(
    owner: str, first_ms: int | None, end_ms: int | None, limit: int, cursor: str | None
) -> tuple[str, dict[str, str]]:
    """The orders created from one time to before another as CSV, and the headers of the answer.

    Raises a Problem, or InvalidCursor.
    """
    end_ms = now_ms() + 1 if end_ms is None else end_ms
    first_ms = first_ms or 0
    if end_ms <= first_ms:
        raise bad_field("to", "must be later than from")
    found, following = orders.list_orders(
        owner, limit=limit, cursor=cursor, created=(iso(first_ms), iso(end_ms - 1))
    )
    headers = {"Content-Disposition": 'attachment; filename="orders.csv"'}
    if following:
        query = {"from": iso(first_ms), "to": iso(end_ms), "limit": limit, "cursor": following}
        headers["Link"] = f'<orders.csv?{urlencode(query)}>; rel="next"'
    return sheet.text(found, header=cursor is None), headers
