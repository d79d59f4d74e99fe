"""Runs invocations in turns: each pauses before and after every call, and at every sleep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from threading import Semaphore, Thread
from typing import Any

from tests.errors import Killed


class Stepped:
    """A call in its own thread, which runs only while another thread is in `step`."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.ended = False
        self.result: Any = None
        self._call = call
        self._error: BaseException | None = None
        self._killed = False
        self._resume, self._stopped = Semaphore(0), Semaphore(0)
        Thread(target=self._run, daemon=True).start()

    def step(self) -> None:
        """Let the call run to its next pause, or to its end; raises what the call raised."""
        self._resume.release()
        self._stopped.acquire()
        if self._error and not self._killed:
            raise self._error

    def kill(self) -> None:
        """End the call at its pause."""
        self._killed = True
        self.step()

    def _run(self) -> None:
        _current.set(self)
        self._resume.acquire()
        try:
            if not self._killed:
                self.result = self._call()
        except BaseException as error:  # noqa: BLE001 - `step` raises it
            self._error = error
        self.ended = True
        self._stopped.release()

    def _pause(self) -> None:
        self._stopped.release()
        self._resume.acquire()
        if self._killed:
            raise Killed


# Each thread has a context of its own.
_current: ContextVar[Stepped | None] = ContextVar("_current", default=None)


def pause(**_: Any) -> None:
    """Wait for the next `step`, if the current thread is that of a stepped call."""
    if stepped := _current.get():
        stepped._pause()


def pause_at_calls(client: Any) -> None:
    """Pause before and after each call of a boto3 client."""
    client.meta.events.register_first("provide-client-params", pause)
    client.meta.events.register_last("after-call", pause)


def one_by_one(calls: Sequence[Callable[[], Any]], _seconds: float = 0) -> list[Any]:
    """A replacement for `runtime.at_once`: make the calls in this thread, in order."""
    return [call() for call in calls]


def in_turns(calls: Sequence[Callable[[], Any]], _seconds: float = 0) -> list[Any]:
    """Make the calls in turns, one step each; returns their results in order."""
    running = [Stepped(call) for call in calls]
    try:
        while left := [each for each in running if not each.ended]:
            for each in left:
                each.step()
                pause()
    finally:
        for each in running:
            if not each.ended:
                each.kill()
    return [each.result for each in running]
