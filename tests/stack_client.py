"""A client of a deployed stack: HTTP to submit, a WebSocket to follow."""

from __future__ import annotations

import asyncio
import json
import random
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from functions.client import AsyncClient, Timeouts
from infra.cli.watch import as_json
from tests.orders import TERMINAL

Json = dict[str, Any]
# Each concurrent request needs two Lambda environments, its own and the authorizer's; the emulator
# starts a process for each. Two cores cannot start more within the functions' timeouts.
AT_ONCE = 6
# On a busy machine every wait may take this long.
OPEN_SECONDS_MAX = 300
MESSAGE_SECONDS_MAX = 300
TRY_AGAIN_SECONDS = 0.5
# At the default slippage the market makes one order in some thousands fail.
ORDER: Json = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1, "slippageBps": 1000}


class Unanswered(Exception):
    """The gateway could not deliver a message of this connection to the function."""


class Client:
    """One user of the stack at `http_url` and `web_socket_url`, with an API key or none.

    `api` is the client for programs. `http` and `socket` show what that client hides: the status
    of an answer, and an update that is pushed twice.
    """

    def __init__(
        self, http_url: str, web_socket_url: str, api_key: str, ca_bundle: Path | None = None
    ) -> None:
        self.http_url, self.web_socket_url = http_url, web_socket_url
        self.headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self.tls = ssl.create_default_context(cafile=ca_bundle) if ca_bundle else None
        self.http = httpx.AsyncClient(
            base_url=http_url,
            headers=self.headers,
            verify=self.tls or True,
            timeout=MESSAGE_SECONDS_MAX,
            limits=httpx.Limits(max_connections=AT_ONCE),
        )
        self.api = AsyncClient(
            http_url,
            api_key,
            web_socket_url=web_socket_url,
            timeouts=Timeouts(request=MESSAGE_SECONDS_MAX, call=MESSAGE_SECONDS_MAX),
            tls=self.tls,
            trust_env=False,
        )
        self._opening = asyncio.Semaphore(AT_ONCE)
        self._submitting = asyncio.Semaphore(AT_ONCE)

    async def submit(self, order: Json | None = None, **headers: str) -> httpx.Response:
        """POST an order; the names of headers have underscores instead of hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(
            "/api/orders/execute", json=ORDER if order is None else order, headers=named
        )

    async def accepted(self, **fields: Any) -> Json:
        """Submit a new order, which must be accepted; the arguments replace fields of ORDER."""
        given = {
            re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name): value
            for name, value in (ORDER | fields).items()
        }
        async with self._submitting:
            return as_json(await self.api.submit(**given))

    async def read(self, order_id: str) -> Json:
        answer = await self.http.get(f"/api/orders/{order_id}")
        assert answer.status_code == 200, answer.text
        order: Json = answer.json()
        return order

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[ClientConnection]:
        """Open a connection with the API key, and retry while the gateway refuses.

        AWS answers 401 (no identity source) or 403 (denied) for good. It answers 500 if the
        authorizer fails, 429 if it throttles, and a 5xx if the function behind $connect fails. The
        emulator answers 403 for the last one too, so a client with a valid key always retries.
        https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
        https://repost.aws/knowledge-center/api-gateway-403-error-lambda-authorizer
        """
        give_up_at = time.monotonic() + OPEN_SECONDS_MAX
        async with AsyncExitStack() as opened:
            for tries in count():
                try:
                    socket = await opened.enter_async_context(self.opened())
                    break
                except (InvalidHandshake, OSError):  # refused, timed out or cut off
                    if time.monotonic() > give_up_at:
                        raise
                await _back_off(tries)
            yield socket

    @asynccontextmanager
    async def opened(self, ticket: str = "") -> AsyncIterator[ClientConnection]:
        """Open a connection with the API key or a ticket, without a retry."""
        async with AsyncExitStack() as opened:
            async with self._opening:
                opening = connect(
                    self.web_socket_url + (f"?ticket={ticket}" if ticket else ""),
                    additional_headers={} if ticket else self.headers,
                    ssl=self.tls,
                    open_timeout=MESSAGE_SECONDS_MAX,
                    ping_timeout=None,  # a busy machine can answer a ping late
                )
                socket = await opened.enter_async_context(opening)
            yield socket

    async def ticket(self) -> str:
        answer = await self.http.post("/api/tickets")
        assert answer.status_code == 201, answer.text
        ticket: str = answer.json()["ticket"]
        return ticket

    async def follow(self, order_id: str, since: int = 0) -> list[Json]:
        """Subscribe on a new connection, and collect the updates up to the terminal one."""
        async with self.socket() as socket:
            while True:
                message = {"action": "subscribe", "orderId": order_id, "sinceSequence": since}
                await socket.send(json.dumps(message))
                with suppress(Unanswered):
                    return await updates_of(socket, order_id)

    async def close(self) -> None:
        await self.http.aclose()
        await self.api.close()


async def _back_off(tries: int) -> None:
    """Wait before another try, so that cold starts are spread over time."""
    await asyncio.sleep(random.uniform(0, TRY_AGAIN_SECONDS * 2 ** min(tries, 5)))


async def follow_all(socket: ClientConnection) -> None:
    """Follow every order of the owner; returns once the stack has acknowledged the subscription."""
    while True:
        await socket.send('{"orderId":"*"}')
        with suppress(Unanswered):
            while (await receive(socket)).get("type") != "subscribed":
                pass  # updates may come before the answer
            return


async def receive(socket: ClientConnection, timeout: float = MESSAGE_SECONDS_MAX) -> Json:
    """The next message, with the time of its arrival as `_received` (Unix seconds).

    Raises Unanswered for a frame of the gateway itself: {"message":"Internal server error", …} on
    AWS, the plain text of the failure on the emulator.
    """
    text = await asyncio.wait_for(socket.recv(), timeout)
    try:
        message: Json = json.loads(text)
    except ValueError:
        raise Unanswered(text) from None
    if "message" in message:
        raise Unanswered(text)
    return message | {"_received": time.time()}


async def updates_of(socket: ClientConnection, order_id: str) -> list[Json]:
    """The updates of one order up to the terminal one, and any that arrive a moment later."""
    updates: list[Json] = []
    while not updates or updates[-1]["status"] not in TERMINAL:
        message = await receive(socket)
        assert "error" not in message or "status" in message, message
        if message.get("orderId") == order_id and "status" in message:
            updates.append(message)
    return updates + await rest_of(socket, order_id)


async def rest_of(socket: ClientConnection, order_id: str, seconds: float = 0.3) -> list[Json]:
    """The order's updates that arrive within `seconds` after its end: repeats, if any."""
    updates: list[Json] = []
    try:
        while True:
            message = await receive(socket, seconds)
            if message.get("orderId") == order_id and "status" in message:
                updates.append(message)
    except TimeoutError:
        return updates


async def follow_with_cuts(
    client: Client, order_ids: list[str], moments: random.Random
) -> dict[str, list[Json]]:
    """Collect every update of the orders over connections that are cut after some messages."""
    seen: dict[str, list[Json]] = {order_id: [] for order_id in order_ids}

    def unfinished() -> list[str]:
        return [i for i, u in seen.items() if not u or u[-1]["status"] not in TERMINAL]

    while unfinished():
        with suppress(ConnectionClosed, TimeoutError, Unanswered):
            async with client.socket() as socket:
                for order_id in unfinished():
                    since = {"sinceSequence": len(seen[order_id])} if seen[order_id] else {}
                    await socket.send(json.dumps({"orderId": order_id, **since}))
                for _ in range(moments.randint(10, 40)):
                    if not unfinished():
                        break
                    _add(seen, await receive(socket))
    return seen


def _add(seen: dict[str, list[Json]], message: Json) -> None:
    del message["_received"]
    updates = seen[message["orderId"]]
    if message["sequence"] <= len(updates):
        assert message == updates[message["sequence"] - 1]
    else:
        assert message["sequence"] == len(updates) + 1, "an update was skipped"
        updates.append(message)
