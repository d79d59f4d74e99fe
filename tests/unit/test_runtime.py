"""Concurrent calls with a timeout, which all handlers share."""

from __future__ import annotations

from threading import Event

import pytest

from functions.runtime import at_once


def test_calls_run_concurrently_and_their_results_are_in_order() -> None:
    started = [Event(), Event()]

    def call(number: int) -> int:
        started[number].set()
        assert started[1 - number].wait(60)
        return number

    assert at_once([lambda: call(0), lambda: call(1)], 60) == [0, 1]


def test_a_call_that_times_out_gives_none_and_delays_no_later_call() -> None:
    release = Event()
    try:
        assert at_once([release.wait] * 10, 0) == [None] * 10
        assert at_once([lambda: 1] * 10, 60) == [1] * 10
    finally:
        release.set()


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise LookupError("failed")

    with pytest.raises(LookupError, match="failed"):
        at_once([fail], 60)
