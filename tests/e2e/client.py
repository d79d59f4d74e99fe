"""A client of a deployed stack: HTTP to submit, a WebSocket to follow."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from functions.orders.order import Status

Json = dict[str, Any]
# Each request under way at the same moment is a Lambda worker of its own: a process, locally.
AT_ONCE = 20
TERMINAL = {status.value for status in Status if status.terminal}
ORDER: Json = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1}


class Client:
    """One user of the stack at `http_url` and `web_socket_url`, by an API key (or none)."""

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
            timeout=60,
            limits=httpx.Limits(max_connections=AT_ONCE),
        )
        self._opening = asyncio.Semaphore(AT_ONCE)

    async def submit(self, order: Json | None = None, **headers: str) -> httpx.Response:
        """POST an order; headers are given with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(
            "/api/orders/execute", json=ORDER if order is None else order, headers=named
        )

    async def accepted(self, **fields: Any) -> Json:
        """A new order that the stack accepted."""
        answer = await self.submit(ORDER | fields)
        assert answer.status_code == 202, answer.text
        order: Json = answer.json()
        return order

    async def read(self, order_id: str) -> Json:
        answer = await self.http.get(f"/api/orders/{order_id}")
        assert answer.status_code == 200, answer.text
        order: Json = answer.json()
        return order

    @asynccontextmanager
    async def socket(self, ticket: str = "") -> AsyncIterator[ClientConnection]:
        """A connection opened by the API key, or by a ticket instead."""
        async with AsyncExitStack() as opened:
            async with self._opening:
                opening = connect(
                    self.web_socket_url + (f"?ticket={ticket}" if ticket else ""),
                    additional_headers={} if ticket else self.headers,
                    ssl=self.tls,
                    open_timeout=60,
                    ping_timeout=None,  # a machine busy with cold starts is no dead connection
                )
                socket = await opened.enter_async_context(opening)
            yield socket

    async def ticket(self) -> str:
        """A new ticket."""
        answer = await self.http.post("/api/tickets")
        assert answer.status_code == 201, answer.text
        ticket: str = answer.json()["ticket"]
        return ticket

    async def follow(self, order_id: str, since: int = 0) -> list[Json]:
        """Subscribe on a connection of its own and collect updates to the terminal one."""
        async with self.socket() as socket:
            message = {"action": "subscribe", "orderId": order_id, "sinceSequence": since}
            await socket.send(json.dumps(message))
            return await updates_of(socket, order_id)

    async def close(self) -> None:
        await self.http.aclose()


async def follow_all(socket: ClientConnection) -> None:
    """Follow every order of the owner; returns once the stack has said so."""
    await socket.send('{"orderId":"*"}')
    while (await receive(socket)).get("type") != "subscribed":  # updates may come before it
        pass


async def receive(socket: ClientConnection, timeout: float = 60) -> Json:
    """The next message, with the time of its arrival as `_received` (Unix seconds)."""
    message: Json = json.loads(await asyncio.wait_for(socket.recv(), timeout))
    return message | {"_received": time.time()}


async def updates_of(socket: ClientConnection, order_id: str) -> list[Json]:
    """The updates of one order up to its terminal one, then what else comes within a moment."""
    updates: list[Json] = []
    while not updates or updates[-1]["status"] not in TERMINAL:
        message = await receive(socket)
        assert "error" not in message or "status" in message, message
        if message.get("orderId") == order_id and "status" in message:
            updates.append(message)
    return updates + await rest_of(socket, order_id)


async def rest_of(socket: ClientConnection, order_id: str, seconds: float = 0.3) -> list[Json]:
    """Updates of the order that still come within `seconds`: none, if nothing is sent twice."""
    updates: list[Json] = []
    try:
        while True:
            message = await receive(socket, seconds)
            if message.get("orderId") == order_id and "status" in message:
                updates.append(message)
    except TimeoutError:
        return updates
