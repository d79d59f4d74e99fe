"""The contract of functions, infrastructure and tools: names, limits and formats.

This module reads no environment and imports no AWS library, so every module can import it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets  # noqa: TID251 - a secret must be unpredictable
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints
from uuid import UUID

from annotated_types import Ge, Interval, MaxLen

if TYPE_CHECKING:
    from fractions import Fraction

# --- the HTTP API -----------------------------------------------------------------------------

PUBLIC_PATHS = (
    "/",
    "/docs",
    "/openapi.json",
    "/asyncapi.json",
    "/collection.json",
    "/llms.txt",
    "/api/health",
)
PUBLIC_FOLDER = "/assets/"


def is_public(path: str) -> bool:
    """Whether a request for this path needs no API key."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDER)


# --- the orders table -------------------------------------------------------------------------

OWNER_INDEX = "byOwner"
OPEN_ORDERS_INDEX = "openOrders"
OPEN_BY_OWNER_INDEX = "openByOwner"
# The partitions of the openOrders index, "0" to "7": one partition could not take all writes.
OPEN_SHARDS = tuple(str(number) for number in range(8))


def open_shard(order_id: str) -> str:
    """The partition of the openOrders index that an open order is in; the id is a UUID."""
    return OPEN_SHARDS[UUID(order_id).int % len(OPEN_SHARDS)]


# Further partitions of the openOrders index, for open orders with nothing to do until a time that
# no delayed message can reach. Their idleSince is that time.
DUE_SHARDS = tuple(f"due{number}" for number in range(8))


def due_shard(order_id: str) -> str:
    """The partition of the openOrders index for an order that is due later; the id is a UUID."""
    return DUE_SHARDS[UUID(order_id).int % len(DUE_SHARDS)]


def ended_partition(owner: str, status: str) -> str:
    """The partition of the openOrders index for the owner's orders that ended with this status.

    Their idleSince is their listing key. Confirmed orders are in no such partition.
    """
    return f"{status} {owner}"


# The indexes of resting orders. An order is woken when its pair's best price is at least its
# wakeAbove or at most its wakeBelow: these are the sort keys.
WAKE_ABOVE_INDEX = "wakeAbove"
WAKE_BELOW_INDEX = "wakeBelow"
# The indexes of the orders table, which contain only keys: partition key, and sort key if any.
ORDER_INDEXES: Mapping[str, tuple[str, ...]] = {
    OWNER_INDEX: ("owner", "createdAt"),
    # Open orders, by the time since which they are idle or at which they are due; and failed,
    # cancelled and expired orders, by owner and status.
    OPEN_ORDERS_INDEX: ("openShard", "idleSince"),
    # Open orders only. The API counts them, so that one owner cannot fill the queue.
    OPEN_BY_OWNER_INDEX: ("openOwner",),
    # Resting orders only, by the prices that wake them.
    WAKE_ABOVE_INDEX: ("wakePair", WAKE_ABOVE_INDEX),
    WAKE_BELOW_INDEX: ("wakePair", WAKE_BELOW_INDEX),
}
# The item of the orders table that names the pairs with resting orders; it is not an order.
WATCHED_PAIRS_ID = "watched-pairs"
BATCH_GET_MAX = 100  # items that one BatchGetItem reads, at most

_WAKE_DIGITS = 40
_WAKE_SCALE = 10**18


def wake_pair(token_in: str, token_out: str) -> str:
    """The partition of both indexes that an order of these two symbols rests in."""
    return f"{token_in}/{token_out}"


def wake_key(price: Fraction) -> str:
    """A best price (tokenOut per tokenIn, not negative) as text that sorts like the price.

    40 digits, 18 of them after the point, rounded down; a price beyond that is the highest key.
    """
    return f"{min(int(price * _WAKE_SCALE), 10**_WAKE_DIGITS - 1):0{_WAKE_DIGITS}}"


# --- the order queue --------------------------------------------------------------------------

BATCH_SIZE = 10  # orders that one invocation of the worker executes, at most
SEND_BATCH_MAX = 10  # messages that one SendMessageBatch sends, at most
DELAY_SECONDS_MAX = 900  # the longest delay of a message in SQS
MAX_ATTEMPTS = 3  # of an order; a refusal after which the order rests again does not count
RETRY_BASE_MS_MAX = DELAY_SECONDS_MAX * 1000 // 2 ** (MAX_ATTEMPTS - 1)
# How often a message is received before it becomes a dead letter. A receive counts even if Lambda
# throttles the message until it is visible again and no worker sees it. AWS advises at least 5:
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
RECEIVES_MAX = 5


class MalformedMessage(Exception):
    """The message does not name an order."""


def order_message(order_id: str, *, woken: bool = False) -> str:
    """The body of a message that asks the worker to execute the order.

    `woken`: the order has begun, so the worker reads it before it writes.
    """
    return json.dumps({"orderId": order_id, "woken": True} if woken else {"orderId": order_id})


def order_id_of(message_body: str) -> str:
    """The order that a message asks for; raises MalformedMessage."""
    try:
        return str(UUID(json.loads(message_body)["orderId"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MalformedMessage(message_body[:200]) from None


def is_woken(message_body: str) -> bool:
    """Whether `order_message` marked this message as `woken`; the message must name an order."""
    return json.loads(message_body).get("woken") is True


# --- pushes -----------------------------------------------------------------------------------

# The id of every order, for a subscription.
EveryOrder = Literal["*"]
EVERY_ORDER: EveryOrder = "*"
PUBLISHERS_PER_SHARD = 10  # publishers that read one shard of the stream at once, at most

# The publisher closes a connection that has not taken its part of a batch within this time, so that
# one slow connection does not delay the next batch.
CONNECTION_SECONDS_MAX = 15


# --- webhooks ---------------------------------------------------------------------------------

# How often a delivery is received before it becomes a dead letter: for about a day, with the
# notifier's backoff. Receives that Lambda throttles count as well.
WEBHOOK_RECEIVES_MAX = 33


# --- the access table -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SecretKind:
    """A kind of secret: how its text begins, and how the id of its item in the table begins."""

    text_prefix: str
    item_prefix: str

    @property
    def form(self) -> str:
        """How such a secret begins, for documents."""
        return f"{self.text_prefix}…"

    def new(self) -> str:
        """A new secret of 256 random bits."""
        return self.text_prefix + secrets.token_urlsafe(32)

    def matches(self, text: str) -> bool:
        """Whether the text has the form of such a secret."""
        return re.fullmatch(self.text_prefix + r"[A-Za-z0-9_-]{43}", text) is not None

    def item_id(self, secret: str) -> str:
        """The id of the secret's item in the access table, which stores only its SHA-256."""
        return self.item_prefix + hashlib.sha256(secret.encode()).hexdigest()


# Scanners for leaked secrets recognise the prefixes of the texts.
API_KEY = SecretKind(text_prefix="oee_", item_prefix="key#")
TICKET = SecretKind(text_prefix="oet_", item_prefix="ticket#")


# --- metrics ----------------------------------------------------------------------------------

METRICS_NAMESPACE = "OrderExecutionEngine"


class Metric(StrEnum):
    """The metrics that the functions emit; ORDERS_FAILED has the dimension `code` too."""

    ORDERS_ACCEPTED = "OrdersAccepted"
    ORDERS_CONFIRMED = "OrdersConfirmed"
    ORDERS_FAILED = "OrdersFailed"
    ORDERS_SWEPT = "OrdersSwept"
    ATTEMPTS = "Attempts"
    TIME_TO_CONFIRM = "TimeToConfirm"
    QUOTE_LATENCY = "QuoteLatency"
    PUSH_LAG = "PushLag"
    CONNECTIONS_GONE = "ConnectionsGone"
    ORDERS_WOKEN = "OrdersWoken"
    WATCHER_LAG = "WatcherLag"
    WEBHOOKS_DELIVERED = "WebhooksDelivered"
    WEBHOOKS_FAILED = "WebhooksFailed"


# --- settings ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """The settings that a deployment chooses for the functions.

    To add a setting, add a field with its range. Its key in the CDK context is the name in
    camelCase. Every function receives it as an environment variable, with the name in upper case.
    A deployment checks the range (infra/settings.py).
    """

    version: str = "dev"
    max_open_orders: Annotated[int, Ge(1)] = 1000
    order_expiry_days: Annotated[int, Interval(ge=0, le=3650)] = 0
    sweep_idle_seconds: Annotated[int, Interval(ge=1, le=86_400)] = 120
    # One delayed message must be able to carry the longest backoff, which is this time doubled for
    # each attempt but the last.
    retry_base_ms: Annotated[int, Interval(ge=0, le=RETRY_BASE_MS_MAX)] = 1000
    # At most half of the worker's timeout, because a worker does more than wait.
    hold_ms: Annotated[int, Interval(ge=0, le=30_000)] = 5000
    market_seed: Annotated[str, MaxLen(64)] = ""
    # Ten times the latency of quotes and building still leaves a worker time to wait `hold_ms`.
    latency_scale: Annotated[float, Interval(ge=0, le=10)] = 1
    quote_error_ppm: Annotated[int, Interval(ge=0, le=1_000_000)] = 20_000
    drop_ppm: Annotated[int, Interval(ge=0, le=1_000_000)] = 20_000
    simulate_allowed: bool = False
    webhook_loopback_allowed: bool = False

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, which `settings_from` reads."""
        values = {each.name: getattr(self, each.name) for each in fields(EngineSettings)}
        return {name.upper(): _variable(value) for name, value in values.items()}


S = TypeVar("S", bound=EngineSettings)


def settings_from(kind: type[S], variables: Mapping[str, str]) -> S:
    """Settings from environment variables; a field without a variable keeps its default."""
    types = get_type_hints(kind)
    given = {
        each.name: _VALUES[types[each.name]](variables[each.name.upper()])
        for each in fields(kind)
        if each.name.upper() in variables
    }
    return kind(**given)


def _variable(value: str | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


_VALUES: Mapping[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: lambda text: text == "true",
}


# --- time -------------------------------------------------------------------------------------


def iso(unix_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds, from Unix time in milliseconds."""
    seconds, millis = divmod(unix_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{millis:03d}Z"


def unix_ms(timestamp: str) -> int:
    """Unix time in milliseconds, from ISO 8601 text; raises ValueError for other text."""
    parsed = datetime.fromisoformat(timestamp)
    return int(parsed.timestamp()) * 1000 + parsed.microsecond // 1000
