"""The indexes of resting orders, and the item that names their pairs."""

from __future__ import annotations

from fractions import Fraction

import pytest

from functions import runtime
from functions.contract import wake_key
from functions.store import resting
from functions.store.resting import Nearest
from tests.world import World

PAIR, OTHER = "SOL/USDC", "USDC/SOL"
ABOVE, BELOW = ["wakeAbove"], ["wakeBelow"]


def key(price: int | str) -> str:
    return wake_key(Fraction(price))


def rest(world: World, order_id: str, pair: str = PAIR, **keys: str) -> None:
    """Store an item with the attributes of the indexes."""
    item = {"orderId": order_id, "wakePair": pair, **keys}
    world.dynamodb.put_item(
        TableName="orders", Item={name: {"S": value} for name, value in item.items()}
    )


def test_a_price_wakes_every_order_whose_price_it_has_reached(world: World) -> None:
    for price in (9, 10, "10.5", 100):
        rest(world, f"above {price}", wakeAbove=key(price))
        rest(world, f"below {price}", wakeBelow=key(price))
    rest(world, "another pair", OTHER, wakeAbove=key(1), wakeBelow=key(1000))
    above, below = ["above 9", "above 10"], ["below 100", "below 10.5", "below 10"]
    assert list(resting.woken(PAIR, key(10), ABOVE)) == above
    assert list(resting.woken(PAIR, key(10), BELOW)) == below
    assert list(resting.woken(PAIR, key(10), ABOVE + BELOW)) == above + below


def test_the_nearest_keys_are_those_that_the_price_reaches_first(world: World) -> None:
    assert resting.nearest(PAIR) == Nearest(None, None)
    for price in (8, 9, 11, 12):
        name = "wakeBelow" if price < 10 else "wakeAbove"
        rest(world, str(price), **{name: key(price)})
    found = resting.nearest(PAIR)
    assert found == Nearest(above=key(11), below=key(9))
    reached = {price: found.reached(key(price)) for price in (8, 9, 10, 11, 12)}
    assert reached == {8: BELOW, 9: BELOW, 10: [], 11: ABOVE, 12: ABOVE}
    assert Nearest(above=key(9), below=key(11)).reached(key(10)) == ABOVE + BELOW
    assert not Nearest(None, None).reached(key(10))


def test_all_pages_of_an_index_are_read(world: World) -> None:
    """DynamoDB ends a page at one megabyte."""
    for number in range(8):
        rest(world, f"{number}", wakeAbove=key(number), other="x" * 300_000)
    assert len(list(resting.woken(PAIR, key(10_000), ABOVE))) == 8


def test_an_announced_pair_is_watched_until_it_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resting.watched().versions == {}
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_000)
    resting.announce(PAIR)
    resting.announce(OTHER)
    assert resting.watched().versions == {PAIR: 1_000, OTHER: 1_000}
    resting.forget(PAIR, 1_000)
    assert resting.watched().versions == {OTHER: 1_000}


def test_a_pair_that_was_announced_again_is_not_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_000)
    resting.announce(PAIR)
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 2_000)
    resting.announce(PAIR)
    resting.forget(PAIR, 1_000)
    resting.forget(OTHER, 1_000)
    assert resting.watched().versions == {PAIR: 2_000}


def test_of_several_watchers_only_the_one_that_began_last_ticks(world: World) -> None:
    assert resting.watched().watcher == 0
    assert [resting.take_over(since) for since in (2_000, 1_000, 2_000, 3_000)] == [
        True,
        False,
        False,
        True,
    ]
    assert resting.watched() == ({}, 3_000)


def test_the_publisher_ignores_the_item_of_the_watched_pairs(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    resting.announce(PAIR)
    records = world.stream()
    assert records
    world.publish(records)
    assert caplog.records == []
