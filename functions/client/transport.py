"""The interface of the network and the clock that the client uses, real or simulated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Lost(Exception):
    """A request got no answer, or a connection was not opened or has ended; retrying may help."""


class NotAdmitted(Exception):
    """The gateway refused to open a WebSocket connection."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the WebSocket answers {status}")
        self.status = status


class Answer(NamedTuple):
    """An HTTP answer; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str


class Socket(Protocol):
    """An open WebSocket connection; every method raises Lost when it has ended."""

    async def send(self, text: str) -> None:
        """Send a message."""

    async def receive(self, seconds: float) -> str | None:
        """The next message; None if none comes within this time."""

    async def close(self) -> None:
        """End the connection; never fails."""


class Transport(Protocol):
    """A network, its clocks and its random numbers."""

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

    async def connect(self, url: str, headers: Mapping[str, str]) -> Socket:
        """Open a WebSocket connection; raises Lost, NotAdmitted."""

    async def sleep(self, seconds: float) -> None:
        """Wait for this many seconds."""

    async def close(self) -> None:
        """Close the network's connections."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""

    def chance(self) -> float:
        """A random number from 0 to 1."""

    def new_key(self) -> str:
        """An idempotency key that has not been used."""
