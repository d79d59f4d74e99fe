"""Lambda's execution environments: copies of the product, each with its own caches and settings.

A copy is the whole `functions` package imported once more, so that two environments share no
module global. Copies are expensive to import and are reused: a new environment on a used copy gets
the caches of a fresh import.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from tests.environment import SETTINGS

FUNCTIONS = ("api", "websocket", "worker", "publisher", "sweeper", "dead_letters", "watcher")
SIMULATED = SETTINGS | {
    "AWS_LAMBDA_FUNCTION_NAME": "simulated",  # botocore checks no parameters, as in Lambda
    "LATENCY_SCALE": "1",
    "QUOTE_ERROR_PPM": "20000",
    "DROP_PPM": "20000",
    "POWERTOOLS_SERVICE_NAME": "simulated",  # so that each copy has its own logger
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
}


@dataclass(frozen=True)
class Release:
    """What a deployment changes: settings, and the pools (venue, base, quote) that are closed."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    closed: tuple[tuple[str, str, str], ...] = ()


class Copy:
    """One import of a release of the product.

    `observe` receives every transaction that the copy sends to the network or asks it about.
    """

    def __init__(self, name: str, release: Release) -> None:
        self.name, self.release = name, release
        self.observe: Callable[[str], None] = lambda _signed: None
        settings = release.settings
        own = _pop_modules()
        previous = {key: os.environ.get(key) for key in {**SIMULATED, **settings}}
        os.environ.update({**SIMULATED, **settings})
        try:
            _close_pools(release)
            for function in FUNCTIONS:
                importlib.import_module(f"functions.{function}")
            self.modules = {n: m for n, m in sys.modules.items() if _is_ours(n)}
            _build_models(self.modules)
        finally:
            for key, value in previous.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value
            _pop_modules()
            sys.modules.update(own)
        self._fresh = {
            (name, attribute): value.copy()
            for name, module in self.modules.items()
            for attribute, value in vars(module).items()
            if isinstance(value, dict | list | set) and not attribute.startswith("__")
        }
        self._observe_transactions()

    def handler(self, function: str) -> Callable[[dict[str, Any], Any], Any]:
        """The handler that Lambda would call."""
        handler: Callable[[dict[str, Any], Any], Any] = self[function].handler
        return handler

    def __getitem__(self, module: str) -> Any:
        return self.modules[f"functions.{module}"]

    def reset_globals(self) -> None:
        """Give every module global that is a collection the contents of a fresh import."""
        for (name, attribute), fresh in self._fresh.items():
            value = getattr(self.modules[name], attribute)
            value.clear()
            if isinstance(value, list):
                value.extend(fresh)
            else:
                value.update(fresh)

    def use(
        self,
        clock: Any,
        at_once: Callable[[Sequence[Callable[[], Any]], float], Any],
        observe: Callable[[Copy, str], None],
    ) -> None:
        """Let this copy read the time from `clock`, and run parallel calls by `at_once`."""
        self["runtime"].clock, self["runtime"].at_once = clock, at_once
        self.observe = partial(observe, self)

    def answer_calls(self, before_send: Callable[..., Any]) -> None:
        """Let `before_send` answer for every AWS client that this copy makes."""
        events = self["aws"].session().get_component("event_emitter")
        events.register_first("before-send", before_send)

    def _observe_transactions(self) -> None:
        """Pass each signed transaction that is sent or asked about to `observe`."""
        network = self["simulation.network"].Network
        send, outcome = network.send, network.outcome

        def observed_send(this: Any, signed: str) -> None:
            self.observe(signed)
            send(this, signed)

        def observed_outcome(this: Any, signed: str) -> Any:
            self.observe(signed)
            return outcome(this, signed)

        network.send, network.outcome = observed_send, observed_outcome


class Environment:
    """An environment of one function: its copy, its clocks, and whether it is busy.

    `skew_ms` is by how much its wall clock is ahead. `stands_still` says whether its monotonic
    clock stops while it is frozen.
    """

    def __init__(
        self, function: str, copy: Copy, number: int, *, skew_ms: int, stands_still: bool
    ) -> None:
        self.function, self.copy, self.skew_ms = function, copy, skew_ms
        self.stands_still = stands_still
        self.stood_still_ms = 0
        self.frozen_at_ms: int | None = None
        self.name = f"{function}#{number}@{copy.name}"
        self.busy = False
        self.ended = False


def _close_pools(release: Release) -> None:
    """Close the release's pools before the market reads the listings."""
    listings: Any = importlib.import_module("functions.simulation.listings")
    listings.LISTINGS = tuple(
        replace(each, closed=True)
        if (each.venue, each.base, each.quote) in release.closed
        else each
        for each in listings.LISTINGS
    )


def _is_ours(name: str) -> bool:
    return name == "functions" or name.startswith("functions.")


def _pop_modules() -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if _is_ours(name)}


def _build_models(modules: dict[str, ModuleType]) -> None:
    """Build pydantic's models now, because later it would look up names in another copy."""
    for module in modules.values():
        for value in list(vars(module).values()):
            if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel:
                value.model_rebuild()
