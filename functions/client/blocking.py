"""The client for code without asyncio: each call waits for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from threading import Thread
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from functions.client.client import AsyncClient

P = ParamSpec("P")
T = TypeVar("T")


def _waits(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    @wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.wait(method(self.client, *args, **kwargs))

    return call


def _iterates(
    method: Callable[Concatenate[AsyncClient, P], AsyncIterator[T]],
) -> Callable[Concatenate[Client, P], Iterator[T]]:
    @wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self.iterate(method(self.client, *args, **kwargs))

    return call


class Client:
    """AsyncClient without asyncio, with the same arguments; its event loop runs in a thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.client = AsyncClient(*args, **kwargs)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections and the thread."""
        self.wait(self.client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    submit = _waits(AsyncClient.submit)
    order = _waits(AsyncClient.order)
    change = _waits(AsyncClient.change)
    cancel = _waits(AsyncClient.cancel)
    orders = _iterates(AsyncClient.orders)
    quote = _waits(AsyncClient.quote)
    prices = _waits(AsyncClient.prices)
    tokens = _waits(AsyncClient.tokens)
    me = _waits(AsyncClient.me)
    health = _waits(AsyncClient.health)
    follow = _iterates(AsyncClient.follow)
    follow_all = _iterates(AsyncClient.follow_all)

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        """Wait for a call of `self.client`, and return its result."""
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C, too
            future.cancel()
            raise

    def iterate(self, updates: AsyncIterator[T]) -> Iterator[T]:
        """The items of an iterator of `self.client`."""
        try:
            while True:
                try:
                    yield self.wait(_next(updates))
                except StopAsyncIteration:
                    return
        finally:
            self.wait(_close(updates))


async def _next(updates: AsyncIterator[T]) -> T:
    return await anext(updates)


async def _close(updates: AsyncIterator[Any]) -> None:
    while True:
        try:
            return await updates.aclose()  # type: ignore[attr-defined,no-any-return]
        except RuntimeError:  # a cancelled call has not ended yet
            await asyncio.sleep(0.01)
