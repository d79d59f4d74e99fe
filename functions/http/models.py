"""The requests of the HTTP API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema

from functions.contract import unix_ms
from functions.delivery import URL_CHARACTERS_MAX
from functions.messages import Interval
from functions.orders.order import (
    DEFAULT_SLIPPAGE_BPS,
    OPEN,
    SLIPPAGE_BPS_MAX,
    Model,
    OrderType,
    Simulate,
    Status,
    TimeInForce,
)
from functions.orders.terms import EXPIRY_DAYS_MAX, INTERVAL_SECONDS_MAX, SLICES_MAX, SLICES_MIN
from functions.simulation.network import VENUES

KEY_PATTERN = r"^[\x21-\x7e]{1,128}$"
UUID_PATTERN = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# Like the API's times, but the milliseconds are optional.
EXPIRY_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z$"
TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
TIME_RULE = "must be a time such as 2026-01-31T12:00:00.000Z"
# The rule that is reported for a broken pattern; it completes the sentence "<field> …".
PATTERN_RULES = {
    KEY_PATTERN: "must be 1 to 128 visible ASCII characters without spaces",
    TIME_PATTERN: TIME_RULE,
    EXPIRY_PATTERN: TIME_RULE,
}

# --- parts of requests ------------------------------------------------------------------------


def _number_or_text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("must be a decimal number, as a number or as text")  # noqa: TRY004
    return str(value)


def _whole_number(value: object) -> int:
    """A whole number in a query, which is text; int() would also accept " 5", "1_0" and "٥"."""
    if not isinstance(value, str) or not re.fullmatch(r"0|-?[1-9][0-9]{0,17}", value):
        raise ValueError("must be a whole number")
    return int(value)


def _uuid(value: object) -> object:
    """A UUID in its usual form; UUID() would also accept braces, a URN, and no hyphens at all."""
    if not isinstance(value, str) or not re.fullmatch(UUID_PATTERN, value):
        raise ValueError("must be a UUID")
    return value


def _time(value: object) -> int:
    """Unix time in milliseconds, from text in the form of this API's times."""
    try:
        if not isinstance(value, str) or not re.fullmatch(TIME_PATTERN, value):
            raise ValueError
        time_ms = unix_ms(value)
    except ValueError:
        raise ValueError(PATTERN_RULES[TIME_PATTERN]) from None
    if time_ms < 0:
        raise ValueError("must not be before 1970")
    return time_ms


def _one_of(options: Sequence[str], value: str) -> str:
    if value not in options:
        raise ValueError(f"must be {', '.join(map(repr, options[:-1]))} or {options[-1]!r}")
    return value


LISTED = (*(status.value for status in Status), OPEN)
StatusQuery = Annotated[
    str,
    AfterValidator(partial(_one_of, LISTED)),
    WithJsonSchema({"type": "string", "enum": LISTED}),
    Query(description="open: every order that has not ended, in no particular order"),
]

AMOUNT_TEXT = {
    "type": "string",
    "pattern": r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,18})?$",
    "examples": ["1.5"],
}
Amount = Annotated[
    str,
    BeforeValidator(_number_or_text),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, AMOUNT_TEXT]}),
]
Price = Annotated[
    str,
    BeforeValidator(_number_or_text),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, AMOUNT_TEXT]}),
    Field(description="tokenOut per tokenIn, at most 18 decimal places"),
]
Expiry = Annotated[
    str,
    Field(pattern=EXPIRY_PATTERN, description=f"at most {EXPIRY_DAYS_MAX} days from now, in UTC"),
]
TokenName = Annotated[str, Field(description="symbol or mint", examples=["SOL"], max_length=64)]
SlippageBps = Annotated[int, Field(ge=0, le=SLIPPAGE_BPS_MAX, description="in units of 0.01 %")]
ClientKey = Annotated[str, Field(pattern=KEY_PATTERN, examples=["my-order-1"])]
Venue = Annotated[
    str,
    AfterValidator(partial(_one_of, VENUES)),
    WithJsonSchema({"type": "string", "enum": [*VENUES]}),
]

OrderId = Annotated[UUID, BeforeValidator(_uuid), Path(alias="orderId")]
Time = Annotated[
    int,
    BeforeValidator(_time),
    WithJsonSchema({"type": "string", "pattern": TIME_PATTERN}),
]
WebhookId = Annotated[UUID, BeforeValidator(_uuid), Path(alias="webhookId")]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
TypeQuery = Annotated[OrderType | None, Query(alias="type")]
ClientOrderIdQuery = Annotated[ClientKey | None, Query(alias="clientOrderId")]
CursorQuery = Annotated[str | None, Query(max_length=200)]
LimitQuery = Annotated[WholeNumber, Query(ge=1, le=100)]
MinutesQuery = Annotated[WholeNumber, Query(ge=1, le=60)]
ParentQuery = Annotated[
    UUID | None,
    BeforeValidator(_uuid),
    Query(alias="parentId", description="only the slices of this twap order"),
]
TokenInQuery = Annotated[TokenName, Query(alias="tokenIn")]
TokenOutQuery = Annotated[TokenName, Query(alias="tokenOut")]
OptionalTokenInQuery = Annotated[TokenName | None, Query(alias="tokenIn")]
OptionalTokenOutQuery = Annotated[TokenName | None, Query(alias="tokenOut")]
AmountQuery = Annotated[
    str,
    WithJsonSchema(AMOUNT_TEXT | {"maxLength": 100}),
    Query(description="of tokenIn, in whole tokens", max_length=100),
]
SlippageQuery = Annotated[SlippageBps, BeforeValidator(_whole_number), Query(alias="slippageBps")]
SinceQuery = Annotated[
    str | None,
    Query(pattern=TIME_PATTERN, description="the timestamp of a point: only points after it"),
]
IntervalQuery = Annotated[Interval, Query(description="how long a candle lasts")]
FromQuery = Annotated[
    Time | None,
    Query(alias="from", description="the first candle contains this time; if absent, 120 candles"),
]
ToQuery = Annotated[
    Time | None,
    Query(alias="to", description="candles begin before this time; if absent, until now"),
]
CreatedFromQuery = Annotated[
    Time | None, Query(alias="from", description="orders created at this time or later")
]
CreatedToQuery = Annotated[
    Time | None, Query(alias="to", description="orders created before this time")
]
RowsQuery = Annotated[WholeNumber, Query(ge=1, le=1000, description="rows in one answer")]
IdempotencyKey = Annotated[
    ClientKey | None, Header(alias="Idempotency-Key", description="same as clientOrderId")
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match")]


# A request may have only the documented fields, and not under their Python names.
_EXACT = ConfigDict(extra="forbid", populate_by_name=False)


class SimulateRequest(Simulate):
    """A fault to be simulated, if the stack permits it."""

    model_config = _EXACT

    venue: Venue | None = Field(
        default=None,
        description="the venue at fault, or all if absent; only for venue_down and quote_timeout",
    )


_SWAP: dict[str, JsonValue] = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1.5"}


class OrderRequest(Model):
    """Swap `amount` of tokenIn for as much tokenOut as the best route gives: now or later.

    - market: now
    - limit: when the whole amount gives at least `limitPrice`, all fees and the impact included
    - stop: as a market order, once the whole amount gives only `stopPrice` or less
    - oco: as limit or as stop, whichever price is reached first; the other price is then void
    - twap: in `slices` of equal size, one every `intervalSeconds`
    """

    model_config = _EXACT | ConfigDict(
        json_schema_extra={
            "examples": [
                _SWAP | {"type": "market"},
                _SWAP | {"type": "limit", "limitPrice": "160"},
                _SWAP | {"type": "stop", "stopPrice": "120"},
                _SWAP | {"type": "oco", "limitPrice": "160", "stopPrice": "120"},
                _SWAP | {"type": "twap", "slices": 3, "intervalSeconds": 60},
            ]
        }
    )

    type: OrderType = OrderType.MARKET
    token_in: TokenName
    token_out: TokenName
    amount: Amount = Field(description="of tokenIn, in whole tokens")
    slippage_bps: Annotated[SlippageBps, Field(strict=True)] = Field(
        default=DEFAULT_SLIPPAGE_BPS,
        description="in units of 0.01 %; not for limit, nor for twap with a limitPrice",
    )
    # The schema does not show a factory's value, so these fields have no documented default.
    limit_price: Price = Field(default_factory=str, description="for limit, oco and twap")
    stop_price: Price = Field(default_factory=str, description="for stop and oco")
    expires_at: Expiry = Field(default_factory=str, description="for limit, stop and oco")
    time_in_force: TimeInForce = Field(
        default=TimeInForce.GTC, description="for limit, stop and oco; IOC is now or not at all"
    )
    slices: Annotated[int, Field(ge=SLICES_MIN, le=SLICES_MAX, strict=True)] = Field(
        default_factory=int, description="for twap"
    )
    interval_seconds: Annotated[int, Field(ge=1, le=INTERVAL_SECONDS_MAX, strict=True)] = Field(
        default_factory=int, description="for twap"
    )
    client_order_id: ClientKey | None = Field(
        default=None, description="the idempotency key; the same as the header Idempotency-Key"
    )
    simulate: SimulateRequest | None = None


class ChangeRequest(Model):
    """The new prices and expiry of a resting order; an absent field is not changed."""

    model_config = _EXACT

    limit_price: Price = Field(default_factory=str)
    stop_price: Price = Field(default_factory=str)
    expires_at: Expiry | None = Field(default=None, description="null: until it is cancelled")


class WebhookRequest(Model):
    """A URL that will receive the owner's updates."""

    model_config = _EXACT | ConfigDict(
        json_schema_extra={
            "examples": [
                {"url": "https://desk.example/orders", "statuses": ["confirmed", "failed"]},
            ]
        }
    )

    url: str = Field(description="https, with a public address", max_length=URL_CHARACTERS_MAX)
    statuses: frozenset[Status] = Field(
        default=frozenset(), description="the statuses to send; all if absent or empty"
    )
