"""An order, its updates, and the table of its transitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property, reduce
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from functions.contract import MAX_ATTEMPTS, iso, unix_ms
from functions.orders.failures import FailureCode, QuoteErrorCode

DEFAULT_SLIPPAGE_BPS, SLIPPAGE_BPS_MAX = 50, 10_000
# How often an order rests again after its transaction was refused at landing; the next refusal
# fails the order.
REFUSALS_MAX = 50
# A resting order with this many updates can no longer be changed, so that its item has room for
# every refusal.
CHANGES_MAX = 200
# No order gets more updates: the changes, three updates for each refusal, and those of a market
# order's attempts with a rest after each. A twap order gets at most two for each of 100 slices.
UPDATES_MAX = 400
# An item in DynamoDB has at most 400 KB, for the updates, transactions, request and followers.
UPDATES_BYTES_MAX = 300_000

Timestamp = Annotated[str, Field(examples=["2026-01-31T12:00:00.000Z"])]
DecimalText = Annotated[str, Field(pattern=r"^\d+(\.\d+)?$", examples=["1.5"])]


class OrderType(StrEnum):
    """The type of an order: the condition on which it executes."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    OCO = "oco"
    TWAP = "twap"

    @property
    def rests(self) -> bool:
        """Whether orders of this type wait for a price."""
        return self in (OrderType.LIMIT, OrderType.STOP, OrderType.OCO)


class Trigger(StrEnum):
    """The price that ended an order's wait."""

    LIMIT = "limit"
    STOP = "stop"


class TimeInForce(StrEnum):
    """How long an order waits: until it is cancelled, or not at all."""

    GTC = "GTC"
    IOC = "IOC"


class Status(StrEnum):
    """The states of an order; the last four are terminal."""

    PENDING = "pending"
    ROUTING = "routing"
    RESTING = "resting"
    WORKING = "working"
    BUILDING = "building"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        return not TRANSITIONS[self]

    @property
    def cancellable(self) -> bool:
        return Status.CANCELLED in TRANSITIONS[self]

    @property
    def changeable(self) -> bool:
        """Whether the prices and the expiry of an order, unless it is a slice, can be changed."""
        return self is Status.RESTING


TRANSITIONS: dict[Status, frozenset[Status]] = {
    # No venue has been asked yet.
    Status.PENDING: frozenset({Status.ROUTING, Status.CANCELLED, Status.FAILED}),
    # Routing follows itself when no venue could quote and a new attempt begins.
    Status.ROUTING: frozenset(
        {
            Status.BUILDING,
            Status.ROUTING,
            Status.FAILED,
            Status.RESTING,
            Status.WORKING,
            Status.EXPIRED,
        }
    ),
    # A limit, stop or oco order waits for its price. Resting follows itself when it is changed.
    Status.RESTING: frozenset({Status.BUILDING, Status.RESTING, Status.CANCELLED, Status.EXPIRED}),
    # A twap order executes its slices, which are orders of their own.
    Status.WORKING: frozenset(
        {Status.WORKING, Status.CONFIRMED, Status.CANCELLED, Status.EXPIRED, Status.FAILED}
    ),
    # Never back to routing: a signed transaction may already be under way.
    Status.BUILDING: frozenset({Status.SUBMITTED, Status.FAILED, Status.EXPIRED}),
    # Routing and resting follow submitted once it is certain that the transaction cannot execute.
    Status.SUBMITTED: frozenset(
        {Status.CONFIRMED, Status.ROUTING, Status.FAILED, Status.RESTING, Status.EXPIRED}
    ),
    Status.CONFIRMED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}
OPEN = "open"  # in the place of a status: every order that has not ended
# The statuses of a market order that is executed at its first attempt.
STEPS = (Status.PENDING, Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED)


class ImpossibleTransition(Exception):
    """A status that cannot follow the order's present one; the message names both."""


class Model(BaseModel):
    """Immutable, camelCase in JSON, snake_case in Python.

    Unknown fields are ignored, so that an older release can read what a newer one stored.
    """

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        defer_build=True,  # built by the first function that reads an order
    )

    def to_json(self) -> str:
        """Compact JSON text; absent fields are left out, not null."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


Fault = Literal["venue_down", "quote_timeout", "dropped_transaction", "slippage"]
# The faults of a single venue, and why it then gives no quote. The other faults affect a whole
# transaction, which may have legs on several venues.
FAULTS_OF_A_VENUE: Mapping[Fault, QuoteErrorCode] = {
    "venue_down": QuoteErrorCode.VENUE_DOWN,
    "quote_timeout": QuoteErrorCode.QUOTE_TIMEOUT,
}


class Simulate(Model):
    """A fault to be simulated, if the stack permits it."""

    fault: Fault
    venue: str | None = None
    attempts: int = Field(
        default=MAX_ATTEMPTS,
        ge=1,
        le=MAX_ATTEMPTS,
        strict=True,
        description="how many attempts have the fault, counted from the first",
    )


class Leg(Model):
    """One swap of a route. Amounts are decimal text in whole tokens; the fee is in tokenIn."""

    venue: str
    pool: str
    token_in: str
    token_out: str
    in_amount: DecimalText
    out_amount: DecimalText
    fee_amount: DecimalText
    percent: int = Field(ge=0, le=100, description="share of its hop's input")


class Quote(Model):
    """The output of one venue alone for the whole amount, net of fees, or why it gave no quote."""

    venue: str
    out_amount: DecimalText | None = None
    price_impact_pct: str | None = None
    fee_amount: DecimalText | None = None
    error: Annotated[str | None, WithJsonSchema({"type": "string", "enum": [*QuoteErrorCode]})] = (
        None
    )


class Route(Model):
    """The chosen route, with the quote of each venue alone."""

    in_amount: DecimalText
    out_amount: DecimalText
    other_amount_threshold: DecimalText = Field(description="the least output that is accepted")
    price_impact_pct: str = Field(description="a fraction: 0.01 is one percent")
    reference_difference_bps: str | None = Field(
        default=None,
        description="how much less comes out than at the reference price, fees and impact included",
    )
    slippage_bps: int | None = Field(
        default=None, description="absent if a limit price sets the threshold"
    )
    route_plan: tuple[Leg, ...]
    quotes: tuple[Quote, ...]
    reason: str
    advantage_bps: str | None = Field(
        default=None, description="over the best single venue; absent if no venue alone has a route"
    )
    slot: int


class Filled(Model):
    """The amounts that one leg actually swapped: the leg at the same place in routePlan."""

    in_amount: DecimalText | None = Field(default=None, description="absent if it is as planned")
    out_amount: DecimalText


class Execution(Model):
    """How an executed order compares with its quote and with the market's price; bps > 0 is worse.

    `shortfall_bps` is the implementation shortfall: the price is that of the moment from which the
    order could execute.
    """

    network_fee_lamports: int = Field(description="base and priority fee of the transaction")
    quote_slippage_bps: str = Field(description="how much less came out than the route quoted")
    shortfall_bps: str = Field(description="how much less came out than at the reference price")
    fills: tuple[Filled, ...]


class OrderError(Model):
    """Why an order, or one attempt of it, failed."""

    # Text, because another release may have stored a code that this one lacks; `next_update` checks
    # new codes.
    code: Annotated[str, WithJsonSchema({"type": "string", "enum": [*FailureCode]})]
    message: str
    network_fee_lamports: int | None = Field(
        default=None, description="the fee of the transaction, if the network refused it"
    )


class Update(Model):
    """One step of an order's life, as it is stored, pushed and answered."""

    order_id: str
    sequence: int = Field(ge=1)
    status: Status
    timestamp: Timestamp
    attempt: int | None = None
    next_retry_at: Timestamp | None = None
    route: Route | None = None
    tx_hash: str | None = None
    out_amount: DecimalText | None = None
    executed_price: str | None = None
    execution: Execution | None = None
    error: OrderError | None = None
    trigger: Trigger | None = None
    limit_price: DecimalText | None = None
    stop_price: DecimalText | None = None
    expires_at: Timestamp | None = None
    slice: int | None = None
    slice_amount: DecimalText | None = None
    slices_done: int | None = None
    filled_amount: DecimalText | None = None
    network_fee_lamports: int | None = Field(
        default=None, description="for a twap order: the sum over all slices that have ended"
    )
    next_slice_at: Timestamp | None = None

    @cached_property
    def text(self) -> str:
        """The update as it is stored and pushed (JSON), fields of a newer release included."""
        return self.to_json()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The update that was stored as `text`."""
        update = cls.model_validate_json(text)
        vars(update)["text"] = text
        return update


class Order(Model):
    """An order: its request, and its state after all of its updates."""

    order_id: str
    client_order_id: str | None = None
    parent_id: str | None = Field(default=None, description="the twap order of this slice")
    type: OrderType = OrderType.MARKET
    token_in: str
    token_out: str
    amount: DecimalText = Field(description="of tokenIn, in whole tokens")
    slippage_bps: int | None = Field(
        default=None,
        ge=0,
        le=SLIPPAGE_BPS_MAX,
        description="absent if a limit price sets the threshold",
    )
    limit_price: DecimalText | None = Field(
        default=None, description="tokenOut per tokenIn: the least that the order accepts"
    )
    stop_price: DecimalText | None = Field(
        default=None, description="tokenOut per tokenIn: at this or less it becomes a market order"
    )
    expires_at: Timestamp | None = Field(
        default=None, description="nothing of the order executes later"
    )
    time_in_force: TimeInForce | None = Field(
        default=None, description="of limit, stop and oco orders: IOC executes now or not at all"
    )
    slices: int | None = Field(default=None, description="the number of slices of a twap order")
    interval_seconds: int | None = Field(default=None, description="from one slice to the next")
    simulate: Simulate | None = None
    status: Status
    sequence: int
    attempt: int
    max_attempts: int = MAX_ATTEMPTS
    created_at: Timestamp
    updated_at: Timestamp
    submitted_at: Timestamp | None = None
    confirmed_at: Timestamp | None = None
    failed_at: Timestamp | None = None
    next_retry_at: Timestamp | None = None
    route: Route | None = None
    tx_hash: str | None = None
    out_amount: DecimalText | None = None
    executed_price: str | None = Field(default=None, description="tokenOut per tokenIn")
    execution: Execution | None = None
    network_fee_lamports: int | None = Field(
        default=None,
        description="of all transactions of the order or of its slices, refused ones included",
    )
    trigger: Trigger | None = Field(default=None, description="the price that ended the wait")
    slice: int | None = Field(default=None, description="the slice that began last, from 1")
    slice_amount: DecimalText | None = Field(default=None, description="of tokenIn, for that slice")
    slices_done: int | None = Field(default=None, description="how many slices have ended")
    filled_amount: DecimalText | None = Field(
        default=None, description="of tokenIn, swapped by all slices that have ended"
    )
    next_slice_at: Timestamp | None = Field(default=None, description="when the next slice is due")
    error: OrderError | None = None
    updates: tuple[Update, ...]

    @property
    def open(self) -> bool:
        """Whether the order has not ended."""
        return not self.status.terminal

    @property
    def ended_at(self) -> str | None:
        return None if self.open else self.updated_at

    @property
    def identity(self) -> str:
        """Text that no other order ever has; an id can be reused once its item was deleted."""
        return f"{self.order_id}@{self.created_at}"

    @property
    def idle_from_ms(self) -> int:
        """When the order's next step was due (Unix time in milliseconds)."""
        return unix_ms(self.next_retry_at or self.updated_at)

    @property
    def waits_for_price(self) -> bool:
        """Whether the order executes only at its price: false once its stop has triggered it."""
        return self.type.rests and self.trigger is not Trigger.STOP

    @property
    def refusals(self) -> int:
        """How often the order's transaction was refused and the order rested again."""
        return sum(
            update.status is Status.RESTING and update.error is not None for update in self.updates
        )

    @property
    def is_full(self) -> bool:
        """Whether the order's item has no room for further changes or refusals."""
        return sum(len(update.to_json()) for update in self.updates) > UPDATES_BYTES_MAX

    def has_expired(self, now_ms: int) -> bool:
        """Whether the order's expiry has passed."""
        return self.expires_at is not None and unix_ms(self.expires_at) <= now_ms

    def has_same_request(self, other: Order) -> bool:
        """Whether both orders were submitted by the same request, later changes aside."""
        one, another = self._as_submitted(), other._as_submitted()
        return all(getattr(one, field) == getattr(another, field) for field in REQUEST_FIELDS)

    def _as_submitted(self) -> Order:
        # Only a resting order can be changed, and its first resting update has the original terms.
        first = next((each for each in self.updates if each.status is Status.RESTING), None)
        return self if first is None else self.model_copy(update=_conditions(first))

    def resting_update(
        self,
        now_ms: int,
        changes: Mapping[str, str | None] | None = None,
        *,
        attempt: int | None = None,
        error: OrderError | None = None,
    ) -> Update:
        """The update that lets the order rest, with the prices and the expiry that it waits for.

        `changes`: new values of `limit_price`, `stop_price`, `expires_at`.
        """
        conditions = {**_conditions(self), **(changes or {})}
        return self.next_update(Status.RESTING, now_ms, attempt=attempt, error=error, **conditions)

    def next_update(
        self, status: Status, now_ms: int, *, error: OrderError | None = None, **details: Any
    ) -> Update:
        """The update that takes this order to `status`.

        Raises ImpossibleTransition, and ValueError for an error whose code is not a FailureCode.
        """
        if status not in TRANSITIONS[self.status]:
            raise ImpossibleTransition(f"{self.order_id}: {self.status} cannot become {status}")
        if error:
            FailureCode(error.code)
        return Update(
            order_id=self.order_id,
            sequence=self.sequence + 1,
            status=status,
            timestamp=iso(now_ms),
            error=error,
            **details,
        )

    def apply(self, update: Update) -> Order:
        """This order after `update`; raises ImpossibleTransition if that is not its next update."""
        if update.status not in TRANSITIONS[self.status] or update.sequence != self.sequence + 1:
            raise ImpossibleTransition(
                f"{self.order_id}: update {update.sequence} ({update.status}) "
                f"cannot follow {self.sequence} ({self.status})"
            )
        return self.model_copy(update=_changes(self, update))


REQUEST_FIELDS = (
    "type",
    "parent_id",
    "token_in",
    "token_out",
    "amount",
    "slippage_bps",
    "limit_price",
    "stop_price",
    "expires_at",
    "time_in_force",
    "slices",
    "interval_seconds",
    "simulate",
)
_LASTING = (
    "attempt",
    "route",
    "tx_hash",
    "out_amount",
    "executed_price",
    "execution",
    "trigger",
    "slice",
    "slice_amount",
    "slices_done",
    "filled_amount",
    "network_fee_lamports",
)
# Fields of the latest update only: a retry that succeeded has no error.
PASSING = ("error", "next_retry_at", "next_slice_at")
# What a resting order waits for, as its latest resting update says.
CONDITIONS = ("limit_price", "stop_price", "expires_at")
STAMPS = {
    Status.SUBMITTED: "submitted_at",
    Status.CONFIRMED: "confirmed_at",
    Status.FAILED: "failed_at",
}


def _conditions(of: Order | Update) -> dict[str, str | None]:
    return {field: getattr(of, field) for field in CONDITIONS}


def _changes(order: Order, update: Update) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "status": update.status,
        "sequence": update.sequence,
        "updated_at": update.timestamp,
        "updates": (*order.updates, update),
        **{field: getattr(update, field) for field in PASSING},
    }
    for field in _LASTING:
        value = getattr(update, field)
        if value is not None:
            changes[field] = value
    if update.status is Status.RESTING:
        changes |= {**_conditions(update), "trigger": None}
        if update.error:  # a refused transaction costs the order no attempt
            changes["max_attempts"] = order.max_attempts + 1
    cost = update.execution or update.error
    if order.slices is not None:
        cost = None  # an error is that of the last slice, and the update's sum contains its fee
    if cost is not None and cost.network_fee_lamports is not None:
        changes["network_fee_lamports"] = cost.network_fee_lamports + (
            order.network_fee_lamports or 0
        )
    if update.status in STAMPS:
        changes[STAMPS[update.status]] = update.timestamp
    return changes


def first_update(order_id: str, now_ms: int) -> Update:
    """The update with which every order begins: pending, sequence 1."""
    return Update(order_id=order_id, sequence=1, status=Status.PENDING, timestamp=iso(now_ms))


def routing_update(order_id: str, now_ms: int) -> Update:
    """The second update of a pending order, with which its execution begins: routing."""
    return Update(order_id=order_id, sequence=2, status=Status.ROUTING, timestamp=iso(now_ms))


def order_of(request: dict[str, Any], updates: Iterable[Update]) -> Order:
    """The order with this `request` (the fields that never change), after all of its updates."""
    first, *rest = updates
    order = Order(
        **request,
        order_id=first.order_id,
        status=first.status,
        sequence=first.sequence,
        attempt=1,
        created_at=first.timestamp,
        updated_at=first.timestamp,
        updates=(first,),
    )
    return reduce(Order.apply, rest, order)
