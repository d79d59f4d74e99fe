"""Followers that use the client for programs (`functions.client`), over the simulated network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from math import ceil
from random import Random
from typing import Any, TypeVar

from functions.client import AsyncClient, Timeouts, Update
from functions.client.transport import Answer, Lost
from tests.clock import START_MS
from tests.errors import Violation
from tests.orders import TERMINAL
from tests.simulation.clients import ClientOrder, Follower, Unanswered
from tests.simulation.simulation import END_MS_MAX, Simulation

T = TypeVar("T")
TIMEOUTS = Timeouts(call=END_MS_MAX, lost=END_MS_MAX, answer=5, renew=400, backoff=2, backoff_max=2)
ROUTES = {("POST", "/api/orders/execute"): "execute_order", ("GET", "/api/orders"): "list_orders"}


class _Complete(Exception):
    """The run has ended."""


class SimulatedTransport:
    """The network of one client of a run; its coroutines never suspend, but other tasks may run."""

    def __init__(self, client: Follower) -> None:
        self._client = client
        # A generator of its own, so that the other draws of the run stay the same.
        self._random = Random(client.simulation.seed)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],  # noqa: ARG002 - one owner
        body: str | None,  # noqa: ARG002 - a follower only reads
    ) -> Answer:
        """Make one HTTP request; raises Lost."""
        name = ROUTES.get((method, path), "get_order")
        changes: dict[str, Any] = {"path": path, "query": dict(query)}
        if "limit" in query:
            changes["query"]["limit"] = "2"
        try:
            answer = self._client.http(name, **changes)
        except Unanswered as error:
            raise Lost(str(error)) from error
        return Answer(answer["status"], {}, json.dumps(answer["body"]))

    async def connect(self, _url: str, _headers: Mapping[str, str]) -> SimulatedSocket:
        """Open a connection; raises Lost."""
        if not self._client.connect():
            raise Lost("refused")
        self._client.listed = False
        return SimulatedSocket(self._client)

    async def sleep(self, seconds: float) -> None:
        self._client.wait(round(seconds * 1000))

    async def close(self) -> None:
        """Do nothing."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return self._client.simulation.scheduler.now_ms

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self._client.simulation.scheduler.elapsed_ms / 1000

    def chance(self) -> float:
        """A random number from 0 to 1."""
        return self._random.random()

    def new_key(self) -> str:
        """An idempotency key that is not in use."""
        return self._client.simulation.new_id()


class SimulatedSocket:
    """The connection of a client."""

    def __init__(self, client: Follower) -> None:
        self._client = client
        self._subscribed = False  # subscribed to every order, by the last frame

    async def send(self, text: str) -> None:
        """Send a message; raises Lost."""
        self._require_connection()
        message = json.loads(text)
        if since := message.get("sinceSequence"):
            self._client.simulation.coverage["subscriptions that resume"] += 1
            pushed = self._client.pushed
            pushed[message["orderId"]] = max(pushed.get(message["orderId"], 0), since)
        self._client.send(message)

    async def receive(self, seconds: float) -> str | None:
        """The next message; None if none arrives in time. Raises Lost, or _Complete at the end."""
        if self._subscribed:  # and the client has read the list since
            self._client.listed = True
        if self._client.done:
            raise _Complete
        if not self._client.frames:
            self._client.wait_for_frame(ceil(max(0, seconds) * 1000))
        if self._client.frames:
            frame = self._client.frames.pop(0)
            self._subscribed = frame.get("type") == "subscribed"
            return json.dumps(frame)
        self._require_connection()
        return None

    async def close(self) -> None:
        """End the connection; the engine may never learn of it."""
        self._client.simulation.cut(self._client.connection_id)

    def _require_connection(self) -> None:
        if not self._client.connected:
            raise Lost("the connection has ended")


class Program(Follower):
    """Follows one order or every order by `functions.client`, which must yield each update once."""

    def run(self) -> None:
        """Follow until everything has ended."""
        self.wait(self.simulation.random.randrange(20_000))
        client = AsyncClient(
            "",
            "",
            web_socket_url="wss://engine",
            timeouts=TIMEOUTS,
            transport=SimulatedTransport(self),
        )
        if self.all:
            begin = datetime.fromtimestamp(START_MS / 1000, UTC)
            updates = client.follow_all(since=begin)
        else:
            while not self.orders[0].order_id:
                self.wait(500)
            updates = client.follow(self.orders[0].order_id)
        with suppress(_Complete, StopAsyncIteration):
            while True:
                self._accept(_completed(_next(updates)))

    def _accept(self, update: Update) -> None:
        received = self.received[update.order_id]
        if update.sequence != received.last_without_a_gap() + 1:
            last = received.last_without_a_gap()
            raise Violation(f"{self.name} received update {update.sequence} after {last}")
        received.texts[update.sequence] = json.dumps(json.loads(update.to_json()), sort_keys=True)
        received.ended |= update.status in TERMINAL
        self.simulation.coverage["updates that the client for programs yielded"] += 1


async def _next(updates: AsyncIterator[T]) -> T:
    return await anext(updates)


def _completed(call: Coroutine[Any, Any, T]) -> T:
    """The result of a call that never suspends."""
    try:
        call.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    raise AssertionError("the simulated network does not suspend")


def programs(simulation: Simulation, orders: list[ClientOrder]) -> list[Follower]:
    """A program that follows all orders, and one that follows the first."""
    return [
        Program(simulation, "program-all", orders, all_=True),
        Program(simulation, "program-one", orders[:1], all_=False),
    ]
