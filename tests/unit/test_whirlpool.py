"""Whirlpools: checked figures, comparison with exact fractions, and edge cases."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import isqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import given as for_all
from hypothesis import strategies as st

from functions.dex import whirlpool
from functions.dex.errors import (
    ExceededSlippage,
    InsufficientLiquidity,
    PoolError,
    ZeroAmount,
    ZeroOutput,
)
from functions.dex.tokens import UNITS_MAX
from functions.dex.whirlpool import (
    ERRORS,
    SQRT_PRICE_MAX,
    SQRT_PRICE_MIN,
    TICK_MAX,
    TICK_MIN,
    Pool,
    Swap,
    sqrt_price_of_tick,
    swap_exact_in,
    swap_exact_out,
    tick_of_sqrt_price,
)

FIGURES = json.loads((Path(__file__).parent / "vectors-whirlpool.json").read_text())["figures"]
SOL, USDC = 10**9, 10**6


def pool_of(positions: list[tuple[int, int, int]], sqrt_price: int, **rates: int) -> Pool:
    """A pool at a price that holds these positions: lower tick, upper tick, liquidity."""
    tick = tick_of_sqrt_price(sqrt_price)
    ticks: dict[int, int] = {}
    for lower, upper, liquidity in positions:
        ticks[lower] = ticks.get(lower, 0) + liquidity
        ticks[upper] = ticks.get(upper, 0) - liquidity
    active = sum(held for lower, upper, held in positions if lower <= tick < upper)
    settings = {"tick_spacing": 4, "fee_rate": 400, "protocol_fee_rate": 1_300, **rates}
    return Pool(**settings, liquidity=active, sqrt_price=sqrt_price, tick=tick, ticks=ticks)


def at(price: int) -> Pool:
    """A SOL/USDC pool in four layers around this price, in USDC base units per SOL."""
    sqrt_price = isqrt((price << 128) // 10**9)
    middle = tick_of_sqrt_price(sqrt_price) // 4 * 4
    layers = ((32, 500 * 10**12), (128, 200 * 10**12), (512, 75 * 10**12))
    positions = [(middle - reach, middle + reach, held) for reach, held in layers]
    return pool_of([*positions, (TICK_MIN, TICK_MAX, 10**12)], sqrt_price)


def swapped(figure: dict[str, Any]) -> Swap:
    """Execute the figure's swap."""
    spacing, fee, protocol, liquidity, sqrt_price, tick, ticks = figure["pool"]
    nets = {tick: int(net) for tick, net in ticks}
    pool = Pool(spacing, fee, protocol, int(liquidity), int(sqrt_price), tick, nets)
    amount, exact_in, a_to_b, limit, threshold = figure["swap"]
    if exact_in:
        return swap_exact_in(pool, int(amount), a_to_b, int(limit), int(threshold or 0))
    most = None if threshold is None else int(threshold)
    return swap_exact_out(pool, int(amount), a_to_b, int(limit), most)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure["id"])
def test_a_swap_has_the_result_that_orcas_own_tests_assert(figure: dict[str, Any]) -> None:
    expected = figure["expected"]
    if "error" in expected:
        with pytest.raises(PoolError) as refused:
            swapped(figure)
        code, name = expected["error"]
        assert refused.value.custom == code
        assert ERRORS[code] == name
        return
    swap = swapped(figure)
    amounts = (swap.amount_in, swap.amount_out)
    amount_a, amount_b = amounts if figure["swap"][2] else amounts[::-1]
    found = {
        "amount_a": str(amount_a),
        "amount_b": str(amount_b),
        "liquidity": str(swap.pool.liquidity),
        "tick": swap.pool.tick,
        "sqrt_price": str(swap.pool.sqrt_price),
        "fee_growth": str(swap.fee_growth),
        "protocol_fee": str(swap.protocol_fee),
        "fee": str(swap.fee),
        "crossed": swap.crossed,
    }
    assert {key: found[key] for key in expected} == expected


def test_the_figures_cover_every_error_and_crossed_ticks() -> None:
    codes = {figure["expected"].get("error", [None])[0] for figure in FIGURES}
    assert len(FIGURES) == 190
    assert codes == {None, 6011, 6017, 6030, 6033, 6034, 6035, 6036, 6038, 6039, 6057}
    assert sum(bool(figure["expected"].get("crossed")) for figure in FIGURES) > 10


@pytest.mark.parametrize("bit", range(19))
def test_the_price_of_each_power_of_two_ticks_is_exact(bit: int) -> None:
    """m_i = ⌊2^64·1.0001^(−2^i/2)⌋ and p_i = ⌊2^96·1.0001^(2^i/2)⌋, exactly."""
    if bit == 0:
        down, up = isqrt(2**128 * 10_000 // 10_001), isqrt(2**192 * 10_001 // 10_000)
    else:
        exponent = 2 ** (bit - 1)
        down = 2**64 * 10_000**exponent // 10_001**exponent
        up = 2**96 * 10_001**exponent // 10_000**exponent
    assert sqrt_price_of_tick(-(2**bit)) == down
    assert sqrt_price_of_tick(2**bit) == up >> 32


def test_the_prices_of_some_ticks_are_the_checked_ones() -> None:
    assert sqrt_price_of_tick(0) == 2**64
    assert sqrt_price_of_tick(-18_973) == 7_144_089_069_857_984_829
    assert sqrt_price_of_tick(TICK_MIN) == SQRT_PRICE_MIN
    assert sqrt_price_of_tick(TICK_MAX) == SQRT_PRICE_MAX
    for tick in (TICK_MIN - 1, TICK_MAX + 1):
        with pytest.raises(ValueError, match="no price"):
            sqrt_price_of_tick(tick)
    for price in (SQRT_PRICE_MIN - 1, SQRT_PRICE_MAX + 1):
        with pytest.raises(ValueError, match="no tick"):
            tick_of_sqrt_price(price)


@for_all(st.integers(TICK_MIN, TICK_MAX))
def test_a_tick_starts_at_its_price_and_ends_before_the_next_ticks(tick: int) -> None:
    price = sqrt_price_of_tick(tick)
    assert tick_of_sqrt_price(price) == tick
    if tick > TICK_MIN:
        assert tick_of_sqrt_price(price - 1) == tick - 1


@for_all(st.integers(SQRT_PRICE_MIN, SQRT_PRICE_MAX), st.integers(0, 64))
def test_a_price_is_within_the_tick_that_is_found_for_it(price: int, shift: int) -> None:
    price = max(price >> shift, SQRT_PRICE_MIN)
    tick = tick_of_sqrt_price(price)
    assert sqrt_price_of_tick(tick) <= price
    assert tick == TICK_MAX or price < sqrt_price_of_tick(tick + 1)


def test_the_sol_usdc_pool_has_the_outputs_computed_by_hand() -> None:
    pool = at(150 * USDC)
    assert (pool.sqrt_price, pool.tick) == (7_144_393_258_922_745_604, -18_973)
    assert pool.liquidity == 776 * 10**12
    assert sorted(pool.ticks) == [
        *(TICK_MIN, -19_488, -19_104, -19_008),
        *(-18_944, -18_848, -18_464, TICK_MAX),
    ]
    sold = {1: 149_939_925, 100: 14_993_251_992, 1_000: 149_865_232_811, 10_000: 1_481_806_695_923}
    for amount, out in sold.items():
        assert swap_exact_in(pool, amount * SOL, a_to_b=True).amount_out == out
    bought = {
        150: 999_599_501,
        15_000: 99_955_013_282,
        150_000: 999_101_552_078,
        1_500_000: 9_851_143_871_695,
    }
    for amount, out in bought.items():
        assert swap_exact_in(pool, amount * USDC, a_to_b=False).amount_out == out
    big = swap_exact_in(pool, 10_000 * SOL, a_to_b=True)
    assert (big.crossed, big.pool.tick, big.pool.liquidity) == (2, -19_403, 76 * 10**12)
    assert big.fee == 4_000_000_001


def test_an_amount_beyond_the_three_tick_arrays_is_refused_and_not_partially_filled() -> None:
    with pytest.raises(InsufficientLiquidity) as refused:
        swap_exact_in(at(200 * USDC), 10_000 * SOL, a_to_b=True)
    assert refused.value.custom == 6038
    assert swap_exact_in(at(130 * USDC), 10_000 * SOL, a_to_b=True).amount_in == 10_000 * SOL


@st.composite
def pools(draw: Callable[..., Any]) -> Pool:
    """Up to six positions of any depth around a price, with gaps."""
    spacing = draw(st.sampled_from([1, 4, 64, 128]))
    tick = draw(st.integers(-30_000, 30_000))
    low, high = sqrt_price_of_tick(tick), sqrt_price_of_tick(tick + 1)
    price = draw(st.integers(low, high - 1))
    reach = st.integers(-200, 200)
    positions = []
    for _ in range(draw(st.integers(1, 6))):
        one, other = sorted(draw(st.lists(reach, min_size=2, max_size=2, unique=True)))
        lower, upper = ((tick // spacing + step) * spacing for step in (one, other))
        liquidity = draw(st.integers(1, 10 ** draw(st.integers(3, 16))))
        positions.append((lower, upper, liquidity))
    return pool_of(
        positions,
        price,
        tick_spacing=spacing,
        fee_rate=draw(st.sampled_from([0, 1, 100, 400, 3_000, 60_000])),
        protocol_fee_rate=draw(st.sampled_from([0, 1_300, 2_500])),
    )


def filled(pool: Pool, amount: int, a_to_b: bool) -> Swap:
    """The swap of the whole amount; the example is dropped where the pool is too shallow."""
    try:
        return swap_exact_in(pool, amount, a_to_b)
    except InsufficientLiquidity:
        assume(False)
        raise


def most_of(pool: Pool, a_to_b: bool) -> int:
    """The largest input that the three tick arrays take."""
    return sum(piece.gross_in for piece in whirlpool.ranges(pool, a_to_b))


@st.composite
def trades(draw: Callable[..., Any]) -> tuple[Pool, bool, int]:
    """A pool, a direction, and an amount of input that it can take."""
    pool, a_to_b = draw(pools()), draw(st.booleans())
    most = most_of(pool, a_to_b)
    assume(most)
    return pool, a_to_b, draw(st.integers(1, most) | st.integers(1, min(most, 1_000)))


@for_all(trades())
def test_a_sides_output_is_exactly_that_of_the_swap(trade: tuple[Pool, bool, int]) -> None:
    pool, a_to_b, amount = trade
    side, most = pool.side(a_to_b), most_of(pool, a_to_b)
    amount_out = side.amount_out
    assert amount_out(amount) == swap_exact_in(pool, amount, a_to_b).amount_out
    borders = [0]
    for piece in whirlpool.ranges(pool, a_to_b):
        borders.append(borders[-1] + piece.gross_in)
    for border in borders:
        for near in (border - 1, border, border + 1):
            if 0 < near <= most:
                assert amount_out(near) == swap_exact_in(pool, near, a_to_b).amount_out
    assert amount_out(0) == amount_out(most + 1) == 0
    with pytest.raises(InsufficientLiquidity) as refused:
        swap_exact_in(pool, most + 1, a_to_b)
    assert refused.value.custom == 6038


@for_all(trades())
def test_a_sides_fill_has_the_amounts_of_the_swap(trade: tuple[Pool, bool, int]) -> None:
    pool, a_to_b, amount = trade
    swap = swap_exact_in(pool, amount, a_to_b)
    if swap.amount_out == 0:
        with pytest.raises(ZeroOutput):
            pool.side(a_to_b).fill(amount)
        return
    fill = pool.side(a_to_b).fill(amount)
    assert (fill.amount_in, fill.amount_out, fill.fee) == (amount, swap.amount_out, swap.fee)


@for_all(pools(), st.booleans())
def test_a_sides_pieces_are_its_ranges_up_to_their_usable_share(pool: Pool, a_to_b: bool) -> None:
    side, ranges = pool.side(a_to_b), whirlpool.ranges(pool, a_to_b)
    held = sum(piece.out for piece in ranges)
    pieces = side.pieces(UNITS_MAX)
    assert sum(piece.amount_out for piece in pieces) == held * 94 // 100
    corners = [depth for piece in pieces for depth in (piece.start, piece.end)]
    assert corners == sorted(corners)


def exactly(pool: Pool, amount: int, a_to_b: bool) -> Fraction:
    """The output, range by range, without any rounding except in the ticks' prices."""
    left, out = Fraction(amount * (10**6 - pool.fee_rate), 10**6), Fraction(0)
    price, tick, held = Fraction(pool.sqrt_price, 2**64), pool.tick, pool.liquidity
    ahead = sorted(t for t in pool.ticks if (t <= tick if a_to_b else t > tick))
    for stop in reversed(ahead) if a_to_b else ahead:
        target = Fraction(sqrt_price_of_tick(stop), 2**64)
        if a_to_b:
            whole = held * (1 / target - 1 / price)
            reached = target if whole <= left else 1 / (1 / price + left / held)
            out += held * (price - reached)
        else:
            whole = held * (target - price)
            reached = target if whole <= left else price + left / held
            out += held * (1 / price - 1 / reached)
        if whole > left:
            return out
        left, price = left - whole, target
        held += -pool.ticks[stop] if a_to_b else pool.ticks[stop]
    return out


@for_all(trades())
def test_rounding_favours_the_pool_by_at_most_two_units_per_range(
    trade: tuple[Pool, bool, int],
) -> None:
    pool, a_to_b, amount = trade
    exact = exactly(pool, amount, a_to_b)
    got = swap_exact_in(pool, amount, a_to_b).amount_out
    # Each range rounds input, price and output once; a unit of input is worth most at the start.
    start = Fraction(pool.sqrt_price, 2**64) ** 2
    worth = start if a_to_b else 1 / start
    assert got <= exact
    assert exact - got <= 2 * len(whirlpool.ranges(pool, a_to_b)) * (worth + 1) + 2


@for_all(trades())
def test_a_swap_accounts_for_every_unit(trade: tuple[Pool, bool, int]) -> None:
    pool, a_to_b, amount = trade
    swap = swap_exact_in(pool, amount, a_to_b)
    assert swap.amount_in == amount
    assert -(-amount * pool.fee_rate // 10**6) <= swap.fee <= amount
    assert 0 <= swap.protocol_fee <= swap.fee * pool.protocol_fee_rate // 10**4
    assert (swap.pool.sqrt_price <= pool.sqrt_price) == a_to_b or swap.amount_out == 0
    active = sum(net for tick, net in pool.ticks.items() if tick <= swap.pool.tick)
    assert swap.pool.liquidity == active
    assert swap.pool == replace(
        pool,
        liquidity=swap.pool.liquidity,
        sqrt_price=swap.pool.sqrt_price,
        tick=swap.pool.tick,
    )
    assert swap.pool.tick - tick_of_sqrt_price(swap.pool.sqrt_price) in {0, -1}


@for_all(trades())
def test_a_round_trip_never_gains(trade: tuple[Pool, bool, int]) -> None:
    pool, a_to_b, amount = trade
    there = swap_exact_in(pool, amount, a_to_b)
    assume(there.amount_out)
    assert filled(there.pool, there.amount_out, not a_to_b).amount_out <= amount
    assert filled(pool, there.amount_out, not a_to_b).amount_out <= amount


@for_all(trades(), st.integers(1, 99))
def test_two_swaps_give_no_more_than_one(trade: tuple[Pool, bool, int], percent: int) -> None:
    pool, a_to_b, amount = trade
    first = max(amount * percent // 100, 1)
    assume(first < amount)
    one = swap_exact_in(pool, first, a_to_b)
    other = filled(one.pool, amount - first, a_to_b)
    whole = swap_exact_in(pool, amount, a_to_b).amount_out
    assert one.amount_out <= whole
    assert one.amount_out + other.amount_out <= whole


@for_all(trades())
def test_the_cost_of_an_exact_output_buys_at_least_that_output(
    trade: tuple[Pool, bool, int],
) -> None:
    pool, a_to_b, amount = trade
    wanted = swap_exact_in(pool, amount, a_to_b).amount_out
    assume(wanted)
    paid = swap_exact_out(pool, wanted, a_to_b)
    assert paid.amount_out == wanted
    # A range whose whole output is wanted is taken whole, for up to a unit's worth more.
    price = Fraction(paid.pool.sqrt_price, 2**64) ** 2
    unit = (1 / price if a_to_b else price) * Fraction(10**6, 10**6 - pool.fee_rate)
    assert paid.amount_in <= amount + unit + 1
    assert swap_exact_in(pool, paid.amount_in, a_to_b).amount_out >= wanted


@for_all(trades(), st.integers(1, 99))
def test_a_price_limit_ends_a_swap_at_that_price(
    trade: tuple[Pool, bool, int], percent: int
) -> None:
    pool, a_to_b, amount = trade
    whole = swap_exact_in(pool, amount, a_to_b)
    moved = whole.pool.sqrt_price - pool.sqrt_price
    limit = pool.sqrt_price + moved * percent // 100
    assume(limit not in {pool.sqrt_price, whole.pool.sqrt_price})
    part = swap_exact_in(pool, amount, a_to_b, limit)
    assert part.pool.sqrt_price == limit
    assert part.amount_in <= amount
    assert part.amount_out <= whole.amount_out


@pytest.mark.parametrize("a_to_b", [True, False])
def test_at_the_end_of_all_ticks_an_exact_input_is_partially_filled(a_to_b: bool) -> None:
    """A full-range pool whose three tick arrays reach the end of all ticks."""
    near = TICK_MIN + 10 if a_to_b else TICK_MAX - 10
    pool = pool_of([(TICK_MIN, TICK_MAX, 10**6)], sqrt_price_of_tick(near))
    whole = swap_exact_in(pool, 2**64 - 1, a_to_b)
    assert whole.pool.sqrt_price == (SQRT_PRICE_MIN if a_to_b else SQRT_PRICE_MAX)
    assert 0 < whole.amount_in < 2**64 - 1
    with pytest.raises(InsufficientLiquidity) as partial:
        swap_exact_out(pool, whole.amount_out + 2, a_to_b)
    assert partial.value.custom == 6057


def test_an_amount_that_is_spent_on_fees_alone_has_no_output_and_does_not_move_the_price() -> None:
    pool = at(150 * USDC)
    swap = swap_exact_in(pool, 1, a_to_b=True)
    assert (swap.amount_in, swap.amount_out, swap.fee, swap.pool) == (1, 0, 1, pool)


def test_a_price_limit_at_or_behind_the_price_or_out_of_range_is_refused() -> None:
    pool = at(150 * USDC)
    for limit, a_to_b, code in (
        (pool.sqrt_price, True, 6034),
        (pool.sqrt_price, False, 6034),
        (pool.sqrt_price + 1, True, 6034),
        (pool.sqrt_price - 1, False, 6034),
        (SQRT_PRICE_MIN - 1, True, 6011),
        (SQRT_PRICE_MAX + 1, False, 6011),
    ):
        with pytest.raises(PoolError) as refused:
            swap_exact_in(pool, SOL, a_to_b, limit)
        assert refused.value.custom == code
    with pytest.raises(ZeroAmount) as zero:
        swap_exact_in(pool, 0, a_to_b=True)
    assert zero.value.custom == 6035


def test_slippage_passes_on_equality_and_fails_by_one_unit() -> None:
    pool = at(150 * USDC)
    out = swap_exact_in(pool, SOL, a_to_b=True).amount_out
    assert swap_exact_in(pool, SOL, a_to_b=True, minimum_out=out).amount_out == out
    with pytest.raises(ExceededSlippage) as short:
        swap_exact_in(pool, SOL, a_to_b=True, minimum_out=out + 1)
    paid = swap_exact_out(pool, SOL, a_to_b=False).amount_in
    assert swap_exact_out(pool, SOL, a_to_b=False, maximum_in=paid).amount_in == paid
    with pytest.raises(ExceededSlippage) as dear:
        swap_exact_out(pool, SOL, a_to_b=False, maximum_in=paid - 1)
    assert (short.value.custom, dear.value.custom) == (6036, 6037)


def test_a_tick_that_makes_the_liquidity_negative_or_too_large_is_refused() -> None:
    pool = at(150 * USDC)
    low = min(tick for tick in pool.ticks if tick > TICK_MIN)
    for net, code in ((2**100, 6015), (-(2**128), 6014)):
        broken = replace(pool, ticks={**pool.ticks, low: net})
        with pytest.raises(PoolError) as refused:
            swap_exact_in(broken, 12_450 * SOL, a_to_b=True)
        assert refused.value.custom == code
        # A quote never takes an amount that the program would refuse.
        assert 0 < most_of(broken, True) < 12_450 * SOL
