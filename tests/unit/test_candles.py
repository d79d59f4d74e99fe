"""Candles: against brute force, and cheap where they are closed."""

from dataclasses import dataclass

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from functions.dex.tokens import TOKENS
from functions.simulation import candles, market, prices
from functions.simulation.candles import HOUR, MINUTE, SECOND, Candle

START = 1_760_000_000


@dataclass(frozen=True)
class Sol:
    """SOL/USDC in a world."""

    seed: str = ""

    def prices(self, first: int, count: int) -> list[int]:
        offsets = prices.offsets(f"{self.seed}SOL/USDC", first, count)
        return [prices.moved(150_000_000, offset) for offset in offsets]


class Counted:
    """A made-up price that counts the seconds that it was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def prices(self, first: int, count: int) -> list[int]:
        self.asked += count
        return [second * 7_919 % 10_007 for second in range(first, first + count)]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("pair", [("SOL", "USDC"), ("RAY", "SOL"), ("mSOL", "USDC")])
def test_a_pairs_series_has_the_prices_of_the_market(version: int, pair: tuple[str, str]) -> None:
    series = market.PriceSeries(*pair, "a seed", version)
    base, quote = (TOKENS[symbol] for symbol in pair)
    slots = range(4_400_000_000, 4_400_000_000 + 200, 5)
    assert series.prices(1_760_000_000, 80)[::2] == [
        market.reference_price(base, quote, slot, "a seed", version) for slot in slots
    ]


def test_an_hour_of_a_pair_is_the_hour_of_its_prices() -> None:
    (hour,) = candles.candles(market.PriceSeries("RAY", "SOL"), HOUR, START, START)
    prices_of = market.PriceSeries("RAY", "SOL").prices(hour.start, START + 1 - hour.start)
    assert hour == Candle(hour.start, prices_of[0], max(prices_of), min(prices_of), prices_of[-1])


def by_brute_force(length: int, first: int, last: int) -> list[Candle]:
    found: dict[int, list[int]] = {}
    for second in range(first // length * length, last + 1):
        price = prices.moved(150_000_000, prices.offset("SOL/USDC", second))
        found.setdefault(second // length * length, []).append(price)
    return [
        Candle(start, seen[0], sorted(seen)[-1], sorted(seen)[0], seen[-1])
        for start, seen in found.items()
    ]


@settings(max_examples=30)
@for_all(
    st.sampled_from([SECOND, MINUTE, HOUR]),
    st.integers(START, START + 3 * HOUR),
    st.integers(0, 2 * HOUR),
)
def test_candles_are_those_of_brute_force(length: int, first: int, more: int) -> None:
    found = candles.candles(Sol(), length, first, first + more)
    assert found == by_brute_force(length, first, first + more)


@for_all(st.sampled_from([MINUTE, HOUR]), st.integers(0, 10**10), st.integers(0, 5 * HOUR))
def test_candles_follow_each_other_without_gap(length: int, first: int, more: int) -> None:
    found = candles.candles(Counted(), length, first, first + more)
    assert [candle.start for candle in found] == list(
        range(first // length * length, first + more + 1, length)
    )
    for candle in found:
        assert candle.low <= min(candle.open, candle.close)
        assert candle.high >= max(candle.open, candle.close)


def test_a_closed_candle_is_worked_out_once() -> None:
    series = Counted()
    once = candles.candles(series, HOUR, 0, 24 * HOUR - 1)
    assert series.asked == 24 * HOUR
    assert candles.candles(series, HOUR, 0, 24 * HOUR - 1) == once
    assert candles.candles(series, MINUTE, 0, 24 * HOUR - 1)[0].start == 0
    assert series.asked == 24 * HOUR


def test_a_running_candle_asks_for_its_running_minute_only() -> None:
    series = Counted()
    candles.candles(series, HOUR, 0, 59 * MINUTE + 30)
    before = series.asked
    (candle,) = candles.candles(series, HOUR, 0, 59 * MINUTE + 31)
    assert series.asked == before + 32
    assert candle.close == series.prices(59 * MINUTE + 31, 1)[0]


def test_each_world_has_candles_of_its_own() -> None:
    one, other = (candles.candles(Sol(seed), MINUTE, START, START) for seed in ("", "other:"))
    assert one != other


def test_what_no_candle_is_made_of_is_refused() -> None:
    with pytest.raises(ValueError, match="7 seconds long"):
        candles.candles(Sol(), 7, START, START)
    with pytest.raises(ValueError, match="is after"):
        candles.candles(Sol(), MINUTE, START, START - 1)
