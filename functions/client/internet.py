"""The real network, over httpx and websockets, and the real clock."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Mapping
from typing import Literal
from uuid import uuid4

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from functions.client.transport import Answer, Lost, NotAdmitted, Socket

PING_SECONDS = 20  # between pings of the WebSocket protocol
PONG_SECONDS = 60


class Internet:
    """The HTTP API at `url`, and any WebSocket; `seconds` is the limit of one request."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        trust_env: bool = True,
        seconds: float = 30,
    ) -> None:
        self._tls, self._seconds = tls or ssl.create_default_context(), seconds
        self._proxy: Literal[True] | None = True if trust_env else None
        self._http = httpx.AsyncClient(
            base_url=url, verify=tls or True, trust_env=trust_env, timeout=seconds
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: str | None,
    ) -> Answer:
        """Make one HTTP request; raises Lost."""
        try:
            answer = await self._http.request(
                method, path, params=dict(query), headers=dict(headers), content=body
            )
            return Answer(answer.status_code, answer.headers, answer.text)
        except httpx.RequestError as error:
            raise Lost(f"the HTTP API: {error!r}") from error

    async def connect(self, url: str, headers: Mapping[str, str]) -> Socket:
        """Open a WebSocket connection; raises Lost, NotAdmitted."""
        try:
            return InternetSocket(
                await connect(
                    url,
                    additional_headers=dict(headers),
                    ssl=self._tls if url.startswith("wss:") else None,
                    proxy=self._proxy,
                    open_timeout=self._seconds,
                    ping_interval=PING_SECONDS,
                    ping_timeout=PONG_SECONDS,
                )
            )
        except InvalidStatus as error:
            raise NotAdmitted(error.response.status_code) from error
        except (OSError, WebSocketException) as error:
            raise Lost(str(error) or type(error).__name__) from error

    async def sleep(self, seconds: float) -> None:
        """Wait for this many seconds."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """End the HTTP connections."""
        await self._http.aclose()

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""
        return time.monotonic()

    def chance(self) -> float:
        """A random number from 0 to 1."""
        return random.random()  # noqa: S311 - it only spreads clients over time

    def new_key(self) -> str:
        """An idempotency key that has not been used."""
        return str(uuid4())


class InternetSocket:
    """An open WebSocket connection; every method raises Lost when it has ended."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        """Send a message."""
        try:
            await self._connection.send(text)
        except (OSError, WebSocketException) as error:
            raise Lost(str(error)) from error

    async def receive(self, seconds: float) -> str | None:
        """The next message; None if none comes within this time."""
        try:
            async with asyncio.timeout(max(0, seconds)):
                return await self._connection.recv(decode=True)
        except TimeoutError:
            return None
        except (OSError, WebSocketException) as error:
            raise Lost(str(error)) from error

    async def close(self) -> None:
        """End the connection, without waiting for the other side."""
        self._connection.transport.abort()
        await self._connection.wait_closed()
