"""A client for programs: AsyncClient(url, key), or Client(url, key) without asyncio.

Install it with `pip install "order-execution-engine[client] @ git+…"`.
"""

from functions.client.blocking import Client
from functions.client.client import AsyncClient, Timeouts
from functions.client.errors import (
    EngineError,
    KeyRefused,
    NoAnswer,
    NotUnderstood,
    OrderUnknown,
    Refused,
)
from functions.messages import ErrorCode, ProblemCode, QuoteAnswer
from functions.orders.order import Order, OrderType, Status, TimeInForce, Update

__all__ = [
    "AsyncClient",
    "Client",
    "EngineError",
    "ErrorCode",
    "KeyRefused",
    "NoAnswer",
    "NotUnderstood",
    "Order",
    "OrderType",
    "OrderUnknown",
    "ProblemCode",
    "QuoteAnswer",
    "Refused",
    "Status",
    "TimeInForce",
    "Timeouts",
    "Update",
]
