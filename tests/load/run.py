"""Posts orders and follows them all, over cuts; notes what happened when, and what went wrong.

The client for programs repeats requests and resumes after a cut. What it thereby hides is noted
below it: each push as it arrives, each cut, each request that had to be repeated.
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

from functions.client import AsyncClient, EngineError, Patience, Update
from functions.client.internet import Internet, InternetSocket
from functions.client.transport import Answer, Lost
from tests.e2e.client import ORDER, TERMINAL, Json

# Without any update for so long, what has not ended is given up.
QUIET_SECONDS_MAX = 300
# A stack that takes no more orders for now answers 429, and a request is then repeated.
PATIENCE = Patience(request=120, call=QUIET_SECONDS_MAX)
KEPT = ("orderId", "sequence", "status", "timestamp", "attempt", "_received", "_read")


@dataclass
class Run:
    """The observations of one run; times in Unix seconds."""

    posted: dict[str, tuple[float, float]] = field(default_factory=dict)  # first sent, answered
    # As they were received, with the time as `_received`. `_read` marks those that were not pushed:
    # the client read them from the list, as it does after a cut.
    updates: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    cuts: list[str] = field(default_factory=list)  # why the follower's connection was lost
    failures: Counter[str] = field(default_factory=Counter)  # of requests, by method and status
    refused: Counter[str] = field(default_factory=Counter)  # orders that were not accepted
    ended: set[str] = field(default_factory=set)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    heard: float = field(default_factory=time.monotonic)  # when the last update came

    def received(self, update: Json) -> None:
        """Keep what the figures need of an update, and the time."""
        kept = {name: update[name] for name in KEPT if name in update}
        self.updates[update["orderId"]].append({"_received": time.time()} | kept)
        self.heard = time.monotonic()
        if update["status"] in TERMINAL:
            self.ended.add(update["orderId"])

    def handed_over(self, update: Update) -> None:
        """Keep an update that the client hands over, unless it was pushed."""
        known = self.updates.get(update.order_id, ())
        if all(each["sequence"] != update.sequence for each in known):
            text = update.model_dump_json(by_alias=True, exclude_none=True)
            self.received(json.loads(text) | {"_read": True})

    @property
    def complete(self) -> bool:
        """Whether every order that was posted has ended."""
        return self.posted.keys() <= self.ended


class _Noted(Internet):
    """The internet, as far as the run notes it."""

    def __init__(self, url: str, run: Run) -> None:
        super().__init__(url, trust_env=False, seconds=PATIENCE.request)
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

    async def connect(self, url: str, headers: Mapping[str, str]) -> InternetSocket:
        return _NotedSocket(await super().connect(url, headers), self._run)


class _NotedSocket(InternetSocket):
    def __init__(self, socket: InternetSocket, run: Run) -> None:
        super().__init__(socket._connection)
        self._run = run

    async def receive(self, seconds: float) -> str | None:
        try:
            text = await super().receive(seconds)
        except Lost as error:
            self._run.cuts.append(str(error))
            raise
        with suppress(ValueError):  # the gateway's own frame
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

    Orders that are not accepted, and orders of which nothing is heard for `quiet` seconds, are left
    out. The clocks here and of the stack must agree.
    """
    run, numbers = Run(), iter(range(orders))
    client = AsyncClient(
        http_url,
        key,
        web_socket_url=web_socket_url,
        patience=PATIENCE,
        transport=_Noted(http_url, run),
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
                run.handed_over(update)
        finally:
            run.subscribed.set()

    following = asyncio.create_task(follow())
    try:
        await run.subscribed.wait()
        await asyncio.gather(*(post() for _ in range(at_once)))
        run.heard = time.monotonic()
        while not (run.complete or following.done() or time.monotonic() - run.heard > quiet):
            await asyncio.sleep(0.05)
        if following.done():
            run.cuts.append(f"for good: {following.exception()!r}")
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError, EngineError):
            await following
        await client.close()
    for order_id in run.updates.keys() - run.posted.keys():  # of other runs
        del run.updates[order_id]
    return run
