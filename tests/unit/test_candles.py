"""Candles are equal to those by brute force, and closed ones are cached."""

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
class SolPrices:
    """The prices of SOL/USDC for one seed."""

    seed: str = ""
    block = 16

    def prices(self, first: int, count: int) -> list[int]:
        offsets = prices.offsets(f"{self.seed}SOL/USDC", first, count)
        return [prices.moved(150_000_000, offset) for offset in offsets]

    def ranges(self, first: int, count: int) -> list[tuple[int, int]]:
        found = prices.ranges(f"{self.seed}SOL/USDC", first, count)
        return [(prices.moved(150_000_000, a), prices.moved(150_000_000, b)) for a, b in found]


class CountingPrices:
    """Invented prices; `read` counts the seconds for which one was computed."""

    block = 60

    def __init__(self) -> None:
        self.read = 0

    def prices(self, first: int, count: int) -> list[int]:
        self.read += count
        return [second * 7_919 % 10_007 for second in range(first, first + count)]

    def ranges(self, first: int, count: int) -> list[tuple[int, int]]:
        return [(0, 10_007) for _ in range(first, first + count)]


@pytest.mark.parametrize("pair", [("SOL", "USDC"), ("RAY", "SOL"), ("mSOL", "USDC")])
def test_the_price_series_of_a_pair_has_the_markets_reference_prices(pair: tuple[str, str]) -> None:
    series = market.PriceSeries(*pair, "a seed")
    base, quote = (TOKENS[symbol] for symbol in pair)
    slots = range(4_400_000_000, 4_400_000_000 + 200, 5)
    assert series.prices(1_760_000_000, 80)[::2] == [
        market.reference_price(base, quote, slot, "a seed") for slot in slots
    ]


@settings(max_examples=40)
@for_all(
    st.permutations(sorted(TOKENS)),
    st.integers(0, 10**6),
    st.integers(2, 2_000),
    st.sampled_from(["", "a seed"]),
)
def test_an_hour_candle_of_any_pair_is_made_of_its_prices(
    tokens: list[str], hour: int, count: int, seed: str
) -> None:
    series = market.PriceSeries(tokens[0], tokens[1], seed)
    start = hour * HOUR
    (found,) = candles.candles(series, HOUR, start, start + count - 1)
    known = series.prices(start, count)
    assert found == Candle(start, known[0], max(known), min(known), known[-1])


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
def test_candles_are_equal_to_those_by_brute_force(length: int, first: int, more: int) -> None:
    found = candles.candles(SolPrices(), length, first, first + more)
    assert found == by_brute_force(length, first, first + more)


@for_all(st.sampled_from([MINUTE, HOUR]), st.integers(0, 10**10), st.integers(0, 5 * HOUR))
def test_candles_follow_each_other_without_a_gap(length: int, first: int, more: int) -> None:
    found = candles.candles(CountingPrices(), length, first, first + more)
    assert [candle.start for candle in found] == list(
        range(first // length * length, first + more + 1, length)
    )
    for candle in found:
        assert candle.low <= min(candle.open, candle.close)
        assert candle.high >= max(candle.open, candle.close)


def test_a_closed_candle_is_computed_once() -> None:
    series = CountingPrices()
    once = candles.candles(series, HOUR, 0, 24 * HOUR - 1)
    read = series.read
    assert candles.candles(series, HOUR, 0, 24 * HOUR - 1) == once
    assert series.read == read
    minutes = candles.candles(series, MINUTE, 0, HOUR - 1)
    assert candles.candles(series, MINUTE, 0, HOUR + 10)[:60] == minutes
    assert series.read == read + HOUR + 11


def test_an_hours_candle_computes_the_prices_of_less_than_a_quarter_of_its_seconds() -> None:
    read = 0

    class CountingSolPrices(SolPrices):
        def prices(self, first: int, count: int) -> list[int]:
            nonlocal read
            read += count
            return super().prices(first, count)

    candles.candles(CountingSolPrices("few:"), HOUR, START, START + 24 * HOUR)
    assert read < 24 * HOUR // 4


def test_each_seed_has_candles_of_its_own() -> None:
    one, other = (candles.candles(SolPrices(seed), MINUTE, START, START) for seed in ("", "other:"))
    assert one != other


def test_a_length_of_7_seconds_and_a_range_that_ends_before_it_starts_are_refused() -> None:
    with pytest.raises(ValueError, match="7 seconds long"):
        candles.candles(SolPrices(), 7, START, START)
    with pytest.raises(ValueError, match="is after"):
        candles.candles(SolPrices(), MINUTE, START, START - 1)
