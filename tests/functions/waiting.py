"""Prices and a watcher, for the tests of orders that wait."""

from __future__ import annotations

from decimal import Decimal

from functions import runtime
from functions.store import resting
from tests.events import Json
from tests.orders import PAIR
from tests.world import World


def watch() -> None:
    """Store that a watcher ticks for two minutes from now on."""
    assert resting.take_over(runtime.now_ms())


def quote(world: World, amount: str = "1") -> Json:
    answer = world.http("get_quote", query=PAIR | {"amount": amount})
    assert answer.status == 200, answer.text
    return dict(answer.json)


def price_times(world: World, factor: str) -> str:
    """The price at which an order would execute now, times a factor."""
    return f"{Decimal(quote(world)['limitPrice']) * Decimal(factor):.12f}"
