"""The models of both APIs' answers and of the WebSocket's messages."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from functions.contract import EVERY_ORDER, EveryOrder
from functions.orders.order import UPDATES_MAX, DecimalText, Model, Order, Route, Timestamp

# --- problems of the HTTP API -----------------------------------------------------------------


class ProblemCode(StrEnum):
    """The codes of the HTTP API's problems."""

    INVALID_REQUEST = "INVALID_REQUEST"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    INVALID_AMOUNT = "INVALID_AMOUNT"
    INVALID_PRICE = "INVALID_PRICE"
    TOKEN_NOT_TRADABLE = "TOKEN_NOT_TRADABLE"  # noqa: S105
    CIRCULAR_ARBITRAGE_IS_DISABLED = "CIRCULAR_ARBITRAGE_IS_DISABLED"
    NO_ROUTES_FOUND = "NO_ROUTES_FOUND"
    INVALID_CURSOR = "INVALID_CURSOR"
    UNAUTHORIZED = "UNAUTHORIZED"
    NOT_FOUND = "NOT_FOUND"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    ORDER_NOT_CANCELLABLE = "ORDER_NOT_CANCELLABLE"
    ORDER_NOT_CHANGEABLE = "ORDER_NOT_CHANGEABLE"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    TOO_MANY_OPEN_ORDERS = "TOO_MANY_OPEN_ORDERS"
    WEBHOOK_NOT_FOUND = "WEBHOOK_NOT_FOUND"
    TOO_MANY_WEBHOOKS = "TOO_MANY_WEBHOOKS"
    INTERNAL = "INTERNAL"


class FieldError(Model):
    """A field of the request and the rule that it breaks."""

    field: str
    rule: str


class ProblemDetails(Model):
    """The body of every error (RFC 9457), with a code for programs and the fields at fault."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Bad Request"])
    status: int = Field(examples=[400])
    detail: str
    code: ProblemCode
    errors: tuple[FieldError, ...] = ()


# --- answers of the HTTP API ------------------------------------------------------------------

Interval = Literal["second", "minute", "hour"]  # of candles


class OrderList(Model):
    """A page of orders, newest first."""

    orders: tuple[Order, ...]
    next_cursor: str | None = None


class QuoteAnswer(Route):
    """The route that an order would take now, and the reference price."""

    token_in: str
    token_out: str
    reference_price: str = Field(description="tokenOut for one tokenIn, as in GET /api/prices")
    limit_price: DecimalText = Field(
        description="a limit order for this amount at this price, or less, would execute now"
    )


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
    """A ticket, which opens one WebSocket for its owner: `?ticket=` in the URL."""

    ticket: str
    expires_at: Timestamp
    web_socket_url: str = Field(description="the WebSocket that the ticket opens")


class Webhook(Model):
    """A URL that receives the owner's updates by POST, signed as Standard Webhooks specifies."""

    webhook_id: str
    url: str
    statuses: tuple[str, ...] = Field(description="the statuses that it receives; all if empty")
    created_at: Timestamp
    enabled: bool = Field(description="false once deliveries have failed for a day")
    failing_since: Timestamp | None = Field(
        default=None, description="the first failure since the last delivery that succeeded"
    )
    last_error: str | None = Field(default=None, description="why the last delivery failed")


class NewWebhook(Webhook):
    """A webhook with its secret, which only this answer shows."""

    secret: str = Field(description="the key of the signatures, for a Standard Webhooks library")


class WebhookList(Model):
    """The owner's webhooks, oldest first."""

    webhooks: tuple[Webhook, ...]


class PricePoint(Model):
    """Prices at one moment: tokenOut for one tokenIn, as decimal text.

    Each venue with a pool of this pair has its price under the venue's own name.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, DecimalText]

    timestamp: Timestamp
    reference: str


class PriceList(Model):
    """The prices of a pair over the last minutes, oldest first."""

    token_in: str
    token_out: str
    points: tuple[PricePoint, ...]


class CandleView(Model):
    """The reference price over one interval: tokenOut for one tokenIn, as decimal text."""

    timestamp: Timestamp = Field(description="when the candle begins")
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    venues: dict[str, DecimalText] = Field(
        description="the last price of each venue with a pool of this pair, by the venue's name"
    )


class CandleList(Model):
    """A pair's candles, oldest first and without gaps; the last one may still be running."""

    token_in: str
    token_out: str
    interval: Interval
    candles: tuple[CandleView, ...]


class Health(Model):
    """The API is up; its version, and whether orders can request simulated faults."""

    status: str = "ok"
    version: str
    simulate_allowed: bool = Field(description="whether orders may ask for simulated faults")


# --- messages to the WebSocket ----------------------------------------------------------------


class _Message(Model):
    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class Subscribe(_Message):
    """Follow one order after `sinceSequence`, or every order ("*") from now on."""

    action: Literal["subscribe"] = "subscribe"
    order_id: UUID | EveryOrder
    since_sequence: int = Field(
        default=0, ge=0, le=UPDATES_MAX, strict=True, description="the last sequence received"
    )


class Unsubscribe(_Message):
    """End the subscription to one order, or to every order ("*")."""

    action: Literal["unsubscribe"]
    order_id: UUID | EveryOrder


class Ping(_Message):
    """Ask for a pong."""

    action: Literal["ping"]


ToServer = Subscribe | Unsubscribe | Ping

# --- messages from the WebSocket, other than updates ------------------------------------------


class ErrorCode(StrEnum):
    """The codes of the errors that answer a message."""

    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    INVALID_JSON = "INVALID_JSON"
    UNKNOWN_ACTION = "UNKNOWN_ACTION"
    INVALID_MESSAGE = "INVALID_MESSAGE"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    TOO_MANY_FOLLOWERS = "TOO_MANY_FOLLOWERS"
    INTERNAL = "INTERNAL"


class Pong(Model):
    """The answer to a ping."""

    type: Literal["pong"] = "pong"


class Subscribed(Model):
    """The answer to a subscription to every order; the answer for one order is its replay."""

    type: Literal["subscribed"] = "subscribed"
    order_id: EveryOrder = EVERY_ORDER


class Unsubscribed(Model):
    """The answer to the end of a subscription."""

    type: Literal["unsubscribed"] = "unsubscribed"
    order_id: str


class ErrorDetails(Model):
    """Why a message was refused; the log has the request's id."""

    code: ErrorCode
    message: str
    request_id: str


class ErrorFrame(Model):
    """The answer to a message that was refused; the connection stays open."""

    error: ErrorDetails


class GatewayFrame(Model):
    """The gateway's own answer to a message that it could not deliver to the function."""

    message: str = Field(examples=["Internal server error"])
    connection_id: str
    request_id: str
