"""Posts orders, follows all of them, and records times, lost connections and failed requests.

The client retries requests and reconnects. Its transport records what the client hides: each pushed
update as it arrives, each lost connection, each failed request.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from functions.client import AsyncClient, EngineError, Timeouts, Update
from functions.client.internet import Internet
from functions.client.transport import Answer, Lost, Socket
from tests.orders import TERMINAL
from tests.stack_client import ORDER, Json

# After this time without an update the run ends, even if orders are open.
QUIET_SECONDS_MAX = 300
# A busy stack answers 429, and the client then retries the request.
TIMEOUTS = Timeouts(request=120, call=QUIET_SECONDS_MAX)
KEPT = ("orderId", "sequence", "status", "timestamp", "attempt", "_received", "_read")


@dataclass
class Run:
    """The observations of one run; times in Unix seconds."""

    posted: dict[str, tuple[float, float]] = field(default_factory=dict)  # first sent, answered
    # In the order of receipt, with the time as `_received`. `_read` marks those that were not
    # pushed: the client read them from the list, as it does after a lost connection.
    updates: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    cuts: list[str] = field(default_factory=list)  # the reasons of lost connections
    failures: Counter[str] = field(default_factory=Counter)  # of requests, by method and status
    refused: Counter[str] = field(default_factory=Counter)  # orders that were not accepted
    ended: set[str] = field(default_factory=set)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    last_update: float = field(default_factory=time.monotonic)  # when it was received

    def received(self, update: Json) -> None:
        """Record an update and the time."""
        kept = {name: update[name] for name in KEPT if name in update}
        self.updates[update["orderId"]].append({"_received": time.time()} | kept)
        self.last_update = time.monotonic()
        if update["status"] in TERMINAL:
            self.ended.add(update["orderId"])

    def returned(self, update: Update) -> None:
        """Record an update that the client returns, unless it was pushed."""
        known = self.updates.get(update.order_id, ())
        if all(each["sequence"] != update.sequence for each in known):
            text = update.model_dump_json(by_alias=True, exclude_none=True)
            self.received(json.loads(text) | {"_read": True})

    @property
    def complete(self) -> bool:
        """Whether every order that was posted has ended."""
        return self.posted.keys() <= self.ended


class _RecordingInternet(Internet):
    """The client's transport, with a record of failed requests."""

    def __init__(self, url: str, run: Run) -> None:
        super().__init__(url, trust_env=False, seconds=TIMEOUTS.request)
        self._run = run

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: str | None,
    ) -> Answer:
        try:
            answer = await super().request(method, path, query=query, headers=headers, body=body)
        except Lost:
            self._run.failures[f"{method} without an answer"] += 1
            raise
        if answer.status >= 400:
            self._run.failures[f"{method} {answer.status}"] += 1
        return answer

    async def connect(self, url: str, headers: Mapping[str, str]) -> Socket:
        return _RecordingSocket(await super().connect(url, headers), self._run)


class _RecordingSocket:
    """A WebSocket, with a record of pushed updates and of its loss."""

    def __init__(self, socket: Socket, run: Run) -> None:
        self._socket, self._run = socket, run
        self.send, self.close = socket.send, socket.close

    async def receive(self, seconds: float) -> str | None:
        try:
            text = await self._socket.receive(seconds)
        except Lost as error:
            self._run.cuts.append(str(error))
            raise
        with suppress(ValueError):  # the gateway's own frames may be no JSON
            message = json.loads(text or "{}")
            if message.get("type") == "subscribed":
                self._run.subscribed.set()
            elif "status" in message:
                self._run.received(message)
        return text


async def measure(
    http_url: str,
    web_socket_url: str,
    key: str,
    orders: int,
    at_once: int,
    *,
    quiet: float = QUIET_SECONDS_MAX,
) -> Run:
    """Post `orders` market orders, `at_once` at a time, and follow them until the last has ended.

    The run also ends after `quiet` seconds without any update. The clocks of this machine and of
    the stack must agree.
    """
    run, numbers = Run(), iter(range(orders))
    client = AsyncClient(
        http_url,
        key,
        web_socket_url=web_socket_url,
        timeouts=TIMEOUTS,
        transport=_RecordingInternet(http_url, run),
    )

    async def post() -> None:
        for _ in numbers:
            sent = time.time()
            try:
                order = await client.submit(
                    ORDER["tokenIn"],
                    ORDER["tokenOut"],
                    ORDER["amount"],
                    slippage_bps=ORDER["slippageBps"],
                )
            except EngineError as error:
                run.refused[str(error)] += 1
            else:
                run.posted[order.order_id] = (sent, time.time())

    async def follow() -> None:
        try:
            async for update in client.follow_all(since=datetime.now(UTC)):
                run.returned(update)
        finally:
            run.subscribed.set()

    following = asyncio.create_task(follow())
    try:
        await run.subscribed.wait()
        await asyncio.gather(*(post() for _ in range(at_once)))
        run.last_update = time.monotonic()
        while not (run.complete or following.done() or time.monotonic() - run.last_update > quiet):
            await asyncio.sleep(0.05)
        if following.done():
            run.cuts.append(f"not resumed: {following.exception()!r}")
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError, EngineError):
            await following
        await client.close()
    for order_id in run.updates.keys() - run.posted.keys():  # of other runs
        del run.updates[order_id]
    return run
