"""Concurrent calls with a timeout, which all handlers share, and the import of a handler."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules
from threading import Event

import pytest

import functions
from functions.runtime import at_once

HANDLERS = [
    module.name
    for module in iter_modules(functions.__path__)
    if hasattr(import_module(f"functions.{module.name}"), "handler")
]


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


def imported(module: str, handler: str) -> str:
    """After the import: whether the garbage collector is on, and whether it leaves objects out."""
    program = f"import gc, {module}; print(gc.isenabled(), gc.get_freeze_count() > 1000)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=dict(os.environ) | {"_HANDLER": handler},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(name, marks=() if name == "authorizer" else pytest.mark.slow)
        for name in HANDLERS
    ],
)
def test_the_objects_of_a_handlers_import_are_left_out_of_garbage_collection(function: str) -> None:
    assert imported(f"functions.{function}", f"functions.{function}.handler") == "True True"


def test_the_client_in_a_users_lambda_function_does_not_change_garbage_collection() -> None:
    assert imported("functions.client", "bot.handler") == "True False"
