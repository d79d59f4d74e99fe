"""Constant-product pools: checked figures, and properties of any pool."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from functions.dex import raydium
from functions.dex.errors import (
    ExceededSlippage,
    InsufficientLiquidity,
    ZeroAmount,
    ZeroOutput,
)
from tests.unit.figures import figures

reserves = st.integers(1, 10**18)
amounts = st.integers(1, 10**18)
pools = st.builds(
    raydium.Pool,
    reserves,
    reserves,
    trade_fee_rate=st.sampled_from([0, 1, 100, 2_500, 20_000, 400_000]),
    creator_fee_rate=st.sampled_from([0, 1, 500, 10_000]),
    creator_on_input=st.booleans(),
    protocol_fee_rate=st.sampled_from([0, 120_000, 500_000]),
    fund_fee_rate=st.sampled_from([0, 40_000, 500_000]),
) | st.builds(raydium.amm_v4, reserves, reserves)


def pool_of(given: dict[str, Any]) -> raydium.Pool:
    names = (
        "trade_fee_rate",
        "creator_fee_rate",
        "creator_on_input",
        "protocol_fee_rate",
        "fund_fee_rate",
    )
    rates = {name: given[name] for name in names if name in given}
    return raydium.Pool(given.get("reserve_in", 10**12), given.get("reserve_out", 10**12), **rates)


def report(swap: raydium.Swap) -> dict[str, int]:
    return {
        "amount_in": swap.amount_in,
        "amount_out": swap.amount_out,
        "trade_fee": swap.trade_fee,
        "protocol_fee": swap.protocol_fee,
        "fund_fee": swap.fund_fee,
        "creator_fee": swap.creator_fee,
        "new_reserve_in": swap.pool.reserve_x,
        "new_reserve_out": swap.pool.reserve_y,
    }


@figures("cpmm")
def test_cpmm_gives_what_the_program_gives(given: dict[str, Any], expected: dict[str, int]) -> None:
    if "amount_in" in given:
        swap = raydium.swap_exact_in(pool_of(given), given["amount_in"], True)
    else:
        swap = raydium.swap_exact_out(pool_of(given), given["amount_out"], True)
    assert {name: report(swap)[name] for name in expected} == expected


@figures("cpmm-v4")
def test_amm_v4_gives_what_mainnet_gave(given: dict[str, Any], expected: dict[str, Any]) -> None:
    pool = raydium.amm_v4(given["reserve_in"], given["reserve_out"])
    try:
        swap = raydium.swap_exact_in(pool, given["amount_in"], True, given["minimum_out"])
        amount_out, result = swap.amount_out, "ok"
    except ExceededSlippage as error:
        amount_out, result = error.amount, f"ExceededSlippage({error.custom}={error.custom:#x})"
    assert (amount_out, result) == (expected["amount_out"], expected["result"])


@figures("univ2")
def test_the_curve_without_fees_rounds_as_uniswap_v2_does(
    given: dict[str, int], expected: dict[str, int]
) -> None:
    """With 0.3 % off the input, in thousandths, the curve is Uniswap's."""
    x, y = 1000 * given["reserve_in"], given["reserve_out"]
    if "amount_in" in given:
        out = raydium.constant_product_out(997 * given["amount_in"], x, y)
        assert out == expected["amount_out"]
    else:
        wanted, paid = given["amount_out"], expected["amount_in"]
        assert raydium.constant_product_in(wanted, x, y) // 997 + 1 == paid
        assert raydium.constant_product_out(997 * paid, x, y) >= wanted
        assert raydium.constant_product_out(997 * (paid - 1), x, y) < wanted


def test_an_exact_output_is_exact_with_a_creator_fee_on_the_output() -> None:
    pool = raydium.Pool(
        33_333_333_333_333, 5_000_000_000_000, creator_fee_rate=500, creator_on_input=False
    )
    swap = raydium.swap_exact_out(pool, 149_545_711, True)
    assert swap.amount_out == 149_545_711
    assert swap.amount_in <= 1_000_000_000
    assert swap.creator_fee == 74_811
    assert swap.pool.reserve_y == pool.reserve_y - 149_545_711 - 74_811


def test_an_exact_output_reduces_the_reserve_by_the_requested_amount_alone() -> None:
    """A cheap token's smallest payment buys several units; the user gets only those requested."""
    pool = raydium.Pool(10, 10**9, trade_fee_rate=0)
    swap = raydium.swap_exact_out(pool, 7, True)
    assert (swap.amount_in, swap.amount_out, swap.pool.reserve_y) == (1, 7, 10**9 - 7)


@pytest.mark.parametrize(("program_pool", "code"), [(raydium.Pool, 6005), (raydium.amm_v4, 30)])
def test_slippage_fails_below_the_threshold_with_the_code_of_the_program(
    program_pool: Any, code: int
) -> None:
    pool = program_pool(10**12, 10**12)
    out = raydium.swap_exact_in(pool, 10**6, True).amount_out
    assert raydium.swap_exact_in(pool, 10**6, True, minimum_out=out).amount_out == out
    with pytest.raises(ExceededSlippage) as short:
        raydium.swap_exact_in(pool, 10**6, True, minimum_out=out + 1)
    assert (short.value.custom, short.value.amount) == (code, out)

    paid = raydium.swap_exact_out(pool, 10**6, True).amount_in
    assert raydium.swap_exact_out(pool, 10**6, True, maximum_in=paid).amount_in == paid
    with pytest.raises(ExceededSlippage) as dear:
        raydium.swap_exact_out(pool, 10**6, True, maximum_in=paid - 1)
    assert (dear.value.custom, dear.value.amount) == (code, paid)


@pytest.mark.parametrize("wanted", [1_000, 1_001])
def test_the_last_unit_of_a_reserve_cannot_be_bought(wanted: int) -> None:
    with pytest.raises(InsufficientLiquidity):
        raydium.swap_exact_out(raydium.Pool(1_000, 1_000), wanted, True)


@pytest.mark.parametrize("amount", [0, -1])
def test_an_amount_of_zero_or_less_is_refused(amount: int) -> None:
    with pytest.raises(ZeroAmount):
        raydium.swap_exact_in(raydium.Pool(1_000, 1_000), amount, True)
    with pytest.raises(ZeroAmount):
        raydium.swap_exact_out(raydium.Pool(1_000, 1_000), amount, True)


@for_all(pools, amounts, st.booleans())
def test_a_pool_never_gives_more_than_it_holds_and_its_product_never_falls(
    pool: raydium.Pool, amount: int, x_to_y: bool
) -> None:
    swap = raydium.swap_exact_in(pool, amount, x_to_y)
    after = swap.pool
    assert 0 <= swap.amount_out < (pool.reserve_y if x_to_y else pool.reserve_x)
    assert after.reserve_x * after.reserve_y >= pool.reserve_x * pool.reserve_y


@for_all(pools, amounts, st.booleans())
def test_every_unit_of_a_swap_is_accounted_for(
    pool: raydium.Pool, amount: int, x_to_y: bool
) -> None:
    swap = raydium.swap_exact_in(pool, amount, x_to_y)
    mirrored = replace(pool, reserve_x=pool.reserve_y, reserve_y=pool.reserve_x)
    same = raydium.swap_exact_in(mirrored, amount, not x_to_y)
    assert (same.amount_out, same.trade_fee) == (swap.amount_out, swap.trade_fee)
    creator_in = swap.creator_fee if pool.creator_on_input else 0
    assert swap.net_in + swap.trade_fee + creator_in == amount
    before = pool.reserve_x + pool.reserve_y
    owed = swap.protocol_fee + swap.fund_fee + swap.creator_fee
    held = swap.pool.reserve_x + swap.pool.reserve_y
    assert held + owed == before + amount - swap.amount_out


@for_all(pools, amounts, st.booleans())
def test_an_exact_output_costs_the_smallest_input_that_gives_as_much(
    pool: raydium.Pool, amount: int, x_to_y: bool
) -> None:
    try:
        bought = raydium.swap_exact_out(pool, amount, x_to_y)
    except InsufficientLiquidity:
        held = pool.reserve_y if x_to_y else pool.reserve_x
        assert amount * 1_000_000 >= (held - 1) * (1_000_000 - pool.creator_fee_rate)
        return
    amount_out = raydium.Curve(pool, x_to_y).amount_out
    assert bought.amount_out == amount
    assert amount_out(bought.amount_in) >= amount
    assert bought.amount_in == 1 or amount_out(bought.amount_in - 1) < amount
    held_in = bought.pool.reserve_x * bought.pool.reserve_y
    assert held_in >= pool.reserve_x * pool.reserve_y


@for_all(pools, amounts, st.integers(0, 10**12), st.booleans())
def test_a_larger_input_never_gives_a_smaller_output(
    pool: raydium.Pool, amount: int, more: int, x_to_y: bool
) -> None:
    amount_out = raydium.Curve(pool, x_to_y).amount_out
    assert amount_out(amount + more) >= amount_out(amount)


@for_all(pools, amounts, st.booleans())
def test_a_round_trip_never_gains(pool: raydium.Pool, amount: int, x_to_y: bool) -> None:
    there = raydium.swap_exact_in(pool, amount, x_to_y)
    if there.amount_out:
        back = raydium.swap_exact_in(there.pool, there.amount_out, not x_to_y)
        assert back.amount_out <= amount


@for_all(pools, amounts, st.booleans())
def test_a_curves_fill_has_the_amounts_of_the_swap(
    pool: raydium.Pool, amount: int, x_to_y: bool
) -> None:
    swap = raydium.swap_exact_in(pool, amount, x_to_y)
    curve = raydium.Curve(pool, x_to_y)
    if swap.amount_out == 0:
        with pytest.raises(ZeroOutput):
            curve.fill(amount)
        return
    fill = curve.fill(amount)
    creator_in = swap.creator_fee if pool.creator_on_input else 0
    assert (fill.amount_out, fill.fee) == (swap.amount_out, swap.trade_fee + creator_in)


@for_all(pools, st.booleans())
def test_a_curve_is_one_piece_up_to_an_input_of_its_reserve(
    pool: raydium.Pool, x_to_y: bool
) -> None:
    (piece,) = raydium.Curve(pool, x_to_y).pieces(1)
    assert piece.amount_in == (pool.reserve_x if x_to_y else pool.reserve_y)
    assert piece.amount_out == raydium.Curve(pool, x_to_y).amount_out(piece.amount_in)
    assert piece.end >= piece.start
