"""What the HTTP API takes and answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from functions.orders.order import (
    DEFAULT_SLIPPAGE_BPS,
    Model,
    Order,
    Route,
    Simulate,
    Timestamp,
)

KEY_PATTERN = r"^[\x21-\x7e]{1,128}$"
TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"

# --- parts of requests ------------------------------------------------------------------------


def _number_or_text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("must be a decimal number, as a number or as text")  # noqa: TRY004
    return str(value)


Amount = Annotated[
    str,
    BeforeValidator(_number_or_text),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^\d+(\.\d+)?$"},
            ],
            "examples": ["1.5"],
        }
    ),
]
TokenName = Annotated[str, Field(description="symbol or mint", examples=["SOL"], max_length=64)]
SlippageBps = Annotated[int, Field(ge=0, le=10_000, description="0.01 % each")]
ClientKey = Annotated[str, Field(pattern=KEY_PATTERN, examples=["my-order-1"])]

OrderId = Annotated[UUID, Path(alias="orderId")]
TokenInQuery = Annotated[TokenName, Query(alias="tokenIn")]
TokenOutQuery = Annotated[TokenName, Query(alias="tokenOut")]
AmountQuery = Annotated[str, Query(description="of tokenIn, in whole tokens", max_length=100)]
SlippageQuery = Annotated[SlippageBps, Query(alias="slippageBps")]
SinceQuery = Annotated[
    str | None,
    Query(pattern=TIME_PATTERN, description="only points later than this, a point's timestamp"),
]
IdempotencyKey = Annotated[
    ClientKey | None, Header(alias="Idempotency-Key", description="same as clientOrderId")
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match")]


class OrderRequest(Model):
    """A market order: swap `amount` of tokenIn for as much tokenOut as the best route gives."""

    model_config = ConfigDict(extra="forbid")

    token_in: TokenName
    token_out: TokenName
    amount: Amount = Field(description="of tokenIn, in whole tokens")
    slippage_bps: Annotated[SlippageBps, Field(strict=True)] = DEFAULT_SLIPPAGE_BPS
    client_order_id: ClientKey | None = Field(
        default=None, description="the idempotency key, under the order's own name for it"
    )
    simulate: Simulate | None = None


# --- answers ----------------------------------------------------------------------------------


class OrderList(Model):
    """A page of orders, newest first."""

    orders: tuple[Order, ...]
    next_cursor: str | None = None


class QuoteAnswer(Route):
    """The route that an order would take now, and the market's price beside it."""

    token_in: str
    token_out: str
    reference_price: str = Field(description="tokenOut for one tokenIn, as GET /api/prices has it")


class Me(Model):
    """The owner of the key."""

    owner: str


class TokenView(Model):
    """A token that can be traded."""

    symbol: str
    name: str
    mint: str
    decimals: int


class TokenList(Model):
    """All tokens that can be traded."""

    tokens: tuple[TokenView, ...]


class Ticket(Model):
    """Opens one WebSocket for its owner: `?ticket=` in the URL."""

    ticket: str
    expires_at: Timestamp
    web_socket_url: str = Field(description="the WebSocket that the ticket opens")


class PricePoint(Model):
    """Prices at one moment: tokenOut for one tokenIn, as decimal text."""

    timestamp: Timestamp
    reference: str
    raydium: str | None = Field(default=None, description="absent without a pool of this pair")
    meteora: str | None = Field(default=None, description="absent without a pool of this pair")


class PriceList(Model):
    """The last minutes of a pair, oldest first."""

    token_in: str
    token_out: str
    points: tuple[PricePoint, ...]


class Health(Model):
    """The API answers."""

    status: str = "ok"
    version: str
    simulate_allowed: bool = Field(description="whether orders may ask for simulated faults")
