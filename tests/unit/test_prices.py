"""The price process: checked figures, the rule term by term, and how prices behave."""

from collections.abc import Iterable
from hashlib import sha256
from itertools import pairwise
from math import isqrt
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from functions.simulation import prices
from tests.unit.figures import price_figures

START = 1_760_000_000
# 16 · (1000 · (128 + 256 + 512) + 2400 · 127) + JUMP_MAX: no offset is further from 0.
OFFSET_MAX = 20_012_800
seconds = st.integers(0, 10**10)
texts = st.sampled_from(["SOL/USDC", "BONK/USDC", "a seed:RAY/USDC"])


@price_figures("off")
def test_an_offset_is_the_checked_one(figure: dict[str, Any]) -> None:
    assert prices.offset(figure["text"], figure["second"]) == figure["expect"]


@price_figures("price")
def test_a_price_is_the_checked_one(figure: dict[str, Any]) -> None:
    parts = prices.offset(figure["text"], figure["second"]) // figure["calm"]
    assert prices.moved(figure["base_price"], parts) == figure["expect"]


def test_one_second_has_the_prices_computed_by_hand() -> None:
    assert prices.offset("SOL/USDC", START) == 2_444_656
    price = prices.moved(150_000_000, 2_444_656)
    assert price == 153_666_984
    raydium = prices.venue_offset("SOL/USDC|raydium", START, prices.band(2_500))
    meteora = prices.venue_offset("SOL/USDC|meteora", START, prices.band(400, 4))
    assert (raydium, meteora) == (-137_465, 17_695)
    assert (prices.moved(price, raydium), prices.moved(price, meteora)) == (
        153_455_745,
        153_694_175,
    )


def rule(text: str, second: int) -> int:
    """The offset as the rule defines it, term by term."""

    def word(index: int, period: int, step: int) -> int:
        digest = sha256(f"{text}|{period}|{step}".encode()).digest()
        return digest[2 * index] * 256 + digest[2 * index + 1]

    def level(period: int) -> int:
        k, r = divmod(second, period)
        one, other = (word(0, period, step) - 32_768 for step in (k, k + 1))
        return (one * (period - r) + other * r) // period

    fast: int = sum(2**i * level(4**i) for i in range(7))
    slow: int = sum(2**i * level(4**i) for i in range(7, 10))
    mood: int = 400 + 2_000 * (level(7_200) + 32_768) ** 3 // 2**48
    k, r = divmod(second, 7_200)
    start, size = word(2, 7_200, k) % 3_600, 800_000 * (word(1, 7_200, k) - 32_768) // 32_768
    jump: int = 0 if r < start else size * (7_200 - r) // (7_200 - start)
    return (1_000 * slow + mood * fast) // 2_048 + jump


@for_all(texts, seconds)
def test_offsets_follow_the_rule_term_by_term(text: str, second: int) -> None:
    assert prices.offset(text, second) == rule(text, second)


@for_all(texts, st.integers(0, 10**9), st.integers(1, 40), st.booleans())
def test_every_offset_is_within_the_bounds_of_its_block(
    text: str, block: int, count: int, across_windows: bool
) -> None:
    first = block * prices.BLOCK
    if across_windows:
        first = first // prices.WINDOW * prices.WINDOW - prices.BLOCK
    offsets = prices.offsets(text, first, count * prices.BLOCK)
    for i, (low, high) in enumerate(prices.ranges(text, first, count)):
        block_offsets = offsets[i * prices.BLOCK : (i + 1) * prices.BLOCK]
        assert low <= min(block_offsets)
        assert max(block_offsets) <= high


@for_all(texts, seconds, st.integers(1, 300))
def test_offsets_of_many_seconds_are_those_of_each_second(
    text: str, second: int, count: int
) -> None:
    together = prices.offsets(text, second, count)
    assert together == [prices.offset(text, second + i) for i in range(count)]


def test_a_range_of_no_seconds_has_no_offsets() -> None:
    assert prices.offsets("SOL/USDC", START, 0) == []


@for_all(texts, seconds)
def test_an_offset_stays_within_its_bounds(text: str, second: int) -> None:
    assert abs(prices.offset(text, second)) <= OFFSET_MAX


@for_all(st.sampled_from(["raydium", "meteora", "whirlpool"]), seconds, st.integers(0, 10**6))
def test_a_venue_stays_in_its_band(venue: str, second: int, reach: int) -> None:
    assert abs(prices.venue_offset(f"SOL/USDC|{venue}", second, reach)) <= reach


def test_a_band_is_the_fee_less_half_a_bin_and_never_negative() -> None:
    assert prices.band(2_500) == 249_900
    assert prices.band(400, 4) == 19_900
    assert prices.band(400) == 39_900
    assert prices.band(0) == 0
    assert prices.band(200, 4) == 0


@for_all(st.integers(1, 60_000), st.integers(0, 100), st.integers(10**6, 10**12))
def test_at_the_edge_of_its_band_a_pool_pays_no_more_than_the_reference(
    fee_ppm: int, bin_step: int, price: int
) -> None:
    """(1 + band)·(1 + half a bin)·(1 − fee) ≤ 1: selling at the top of the band."""
    reach = prices.band(fee_ppm, bin_step)
    if reach == 0:
        return
    top = prices.moved(price, reach)
    got = top * (20_000 + bin_step) * (10**6 - fee_ppm)
    assert got <= price * 20_000 * 10**6


def deviation(changes: Iterable[int]) -> int:
    values = list(changes)
    return isqrt(sum(change * change for change in values) // len(values))


def test_prices_deviate_more_over_longer_periods() -> None:
    """Standard deviations in parts per 10**8: 1.5 bps a second, 10 a minute, 80 an hour."""
    day = prices.offsets("SOL/USDC", START, 86_400)
    by_second = deviation(after - before for before, after in pairwise(day))
    by_minute = deviation(after - before for before, after in pairwise(day[::60]))
    month = [prices.offset("SOL/USDC", START + 3_600 * i) for i in range(720)]
    by_hour = deviation(after - before for before, after in pairwise(month))
    assert 8_000 < by_second < 30_000
    assert 60_000 < by_minute < 200_000
    assert 500_000 < by_hour < 1_200_000


@pytest.mark.slow
def test_some_hours_are_three_times_as_volatile_as_others() -> None:
    hours = [
        deviation(
            after - before
            for before, after in pairwise(
                prices.offsets("SOL/USDC", START + 3_600 * i, 3_600)[::60]
            )
        )
        for i in range(48)
    ]
    assert max(hours) > 3 * min(hours)


def test_each_window_of_two_hours_has_at_most_one_jump() -> None:
    week = prices.offsets("SOL/USDC", START // 7_200 * 7_200, 7_200 * 12)
    sudden = [
        i for i, (before, after) in enumerate(pairwise(week)) if abs(after - before) > 250_000
    ]
    assert sudden
    windows = [i // 7_200 for i in sudden]
    assert len(set(windows)) == len(windows)


def test_each_seed_has_its_own_prices() -> None:
    assert prices.offset("a:SOL/USDC", START) != prices.offset("b:SOL/USDC", START)
