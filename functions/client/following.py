"""Tracks which updates were delivered, so that none is lost or repeated.

It implements the procedure for the WebSocket in functions/README.md, over any transport.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError

from functions.client.errors import NotUnderstood, OrderUnknown
from functions.contract import EVERY_ORDER, iso, unix_ms
from functions.orders.order import OPEN, Order, Update

# Without `since`, the client first reads the orders that were created within this time, and all
# open orders, to know which of their updates are old.
RECENT_MS = 3_600_000
# The list's index lags by a moment, so each list begins this much earlier than needed.
OVERLAP_MS = 60_000
SEEN_MAX = 100_000  # orders

Message = Mapping[str, Any]


class Step(NamedTuple):
    """The result of a message."""

    updates: tuple[Update, ...] = ()
    answers: bool = False  # it answers the subscription
    gap: bool = False  # an update is missing: subscribe again


class Orders(Protocol):
    """The orders of the owner, as the HTTP API has them."""

    def orders(
        self, *, status: str | None = None, since: str | None = None
    ) -> AsyncIterator[Order]:
        """The orders, newest first, back to the createdAt `since`; "open" ones in any order."""

    async def order(self, order_id: str) -> Order:
        """One order; raises OrderUnknown."""


class OneOrder:
    """The updates of one order, each once and in order, after the update `sequence`."""

    def __init__(self, order_id: str, sequence: int) -> None:
        self._order_id, self._sequence = order_id, sequence
        self.ended = False

    async def begin(self) -> None:
        """Read nothing, because the order's updates are replayed."""

    def subscription(self) -> Message:
        """The subscription, which replays the last update again to get an answer in any case."""
        return {"orderId": self._order_id, "sinceSequence": max(self._sequence - 1, 0)}

    async def take(self, message: Message) -> Step:
        """The new updates in a message; after a gap, the subscription must be repeated."""
        if message.get("orderId") != self._order_id or "status" not in message:
            return Step()
        update = parsed(message)
        if update.sequence > self._sequence + 1:
            return Step(gap=True)
        self.ended = update.status.terminal
        if update.sequence <= self._sequence:
            return Step(answers=True)
        self._sequence = update.sequence
        return Step((update,), answers=True)


class AllOrders:
    """The updates of all orders of the owner: of each order, each once and in order.

    All updates of orders that were created at `since` or later; of older orders, those from now on.
    """

    ended = False

    def __init__(self, api: Orders, since: str | None, now_ms: int) -> None:
        self._api = api
        self._replays = since is not None
        # Orders created before this moment count as older.
        self._start = since or iso(now_ms - RECENT_MS)
        self._list_from = self._start
        # By order: the sequence of the last update that was delivered or is too old.
        self._seen: dict[str, int] = {}
        self._open: set[str] = set()

    async def begin(self) -> None:
        """Mark the present updates of the older orders as old."""
        noted = {order.order_id: order async for order in self._api.orders(status=OPEN)}
        if not self._replays:
            noted |= await self._recent()
        for order in noted.values():
            if not self._replays or order.created_at < self._start:
                self._mark(order.updates[-1])

    def subscription(self) -> Message:
        """The subscription to every update from now on."""
        return {"orderId": EVERY_ORDER}

    async def take(self, message: Message) -> Step:
        """The new updates in a message; missing ones are read."""
        if message.get("type") == "subscribed" and message.get("orderId") == EVERY_ORDER:
            return Step(await self._missed(), answers=True)
        if "status" not in message or "orderId" not in message:
            return Step()
        update = parsed(message)
        seen = self._seen.get(update.order_id, 0)
        if update.sequence <= seen:
            return Step()
        if update.sequence == seen + 1:
            self._mark(update)
            return Step((update,))
        try:
            order = await self._api.order(update.order_id)
        except OrderUnknown:  # it has expired
            return Step()
        if not seen and order.created_at < self._start:
            self._seen[update.order_id] = update.sequence - 1
        return Step(self._unseen([order]))

    async def _recent(self) -> dict[str, Order]:
        """The orders that may not have been listed yet."""
        found = {order.order_id: order async for order in self._api.orders(since=self._list_from)}
        newest = max((order.created_at for order in found.values()), default="")
        if newest:
            self._list_from = max(self._list_from, iso(unix_ms(newest) - OVERLAP_MS))
        return found

    async def _missed(self) -> tuple[Update, ...]:
        """The updates that were stored while there was no subscription."""
        orders = {order.order_id: order async for order in self._api.orders(status=OPEN)}
        orders |= await self._recent()
        for order_id in self._open - orders.keys():
            try:
                orders[order_id] = await self._api.order(order_id)
            except OrderUnknown:  # it has expired
                self._open.discard(order_id)
        updates = self._unseen(list(orders.values()))
        if len(self._seen) > SEEN_MAX:
            kept = orders.keys() | self._open
            self._seen = {i: sequence for i, sequence in self._seen.items() if i in kept}
        return updates

    def _unseen(self, orders: list[Order]) -> tuple[Update, ...]:
        """The updates that were not delivered, earliest first; marks them as delivered."""
        unseen: list[tuple[str, Update]] = []
        for order in orders:
            if order.order_id not in self._seen and order.created_at < self._start:
                self._mark(order.updates[-1])
            latest = ""  # the clocks of two workers may differ
            for update in order.updates[self._seen.get(order.order_id, 0) :]:
                latest = max(latest, update.timestamp)
                unseen.append((latest, update))
                self._mark(update)
        return tuple(update for _, update in sorted(unseen, key=lambda each: each[0]))

    def _mark(self, update: Update) -> None:
        self._seen[update.order_id] = update.sequence
        if update.status.terminal:
            self._open.discard(update.order_id)
        else:
            self._open.add(update.order_id)


def parsed(message: Message) -> Update:
    """The update in a message; raises NotUnderstood."""
    try:
        return Update.model_validate(message, extra="allow")
    except ValidationError as error:
        raise NotUnderstood(f"An update cannot be read: {error}") from error
