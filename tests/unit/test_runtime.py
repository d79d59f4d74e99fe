"""The parts that all handlers share."""

from __future__ import annotations

from threading import Event

import pytest

from functions.runtime import at_once


def test_calls_are_made_at_once_and_answered_in_order() -> None:
    met = [Event(), Event()]

    def meet(own: int) -> int:
        met[own].set()
        assert met[1 - own].wait(60)
        return own

    assert at_once([lambda: meet(0), lambda: meet(1)], 60) == [0, 1]


def test_a_call_that_hangs_gives_nothing_and_delays_no_later_call() -> None:
    free = Event()
    try:
        assert at_once([free.wait] * 10, 0) == [None] * 10
        assert at_once([lambda: 1] * 10, 60) == [1] * 10
    finally:
        free.set()


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise LookupError("failed")

    with pytest.raises(LookupError, match="failed"):
        at_once([fail], 60)
