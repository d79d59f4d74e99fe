"""The best mixture of paths: checked figures, brute force, and properties of any pools."""

import gc
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from functions.dex import meteora, raydium, whirlpool
from functions.dex.mixture import (
    Mixer,
    Mixture,
    Path,
    TooShallow,
    TooSmall,
    chained,
    curve_of,
    curve_of_one,
    share,
)
from functions.dex.pools import Pool, PoolSide, State
from functions.dex.sides import Piece, usable
from functions.dex.tokens import TOKENS, UNITS_MAX
from tests.unit.figures import figures


def side_of(state: State) -> PoolSide:
    return Pool("an address", "a venue", raydium.CPMM, SOL, USDC, make=lambda: state).side(SOL)


def curve(reserve_in: int, reserve_out: int, fee: int = 2_500) -> PoolSide:
    return side_of(raydium.Pool(reserve_in, reserve_out, trade_fee_rate=fee))


def ladder(price: int, depth: int, bins: int = 10, step: int = 10) -> PoolSide:
    """Bins below the id `price`, each of `depth` units out."""
    held = {price - i: (0, depth) for i in range(bins)}
    return side_of(meteora.Pool(meteora.Parameters(step), price, held))


def ranges(tick: int, liquidity: int) -> PoolSide:
    """A whirlpool in two layers around a tick."""
    middle = tick // 4 * 4
    ticks = {
        middle - 400: liquidity,
        middle - 40: 3 * liquidity,
        middle + 40: -3 * liquidity,
        middle + 400: -liquidity,
    }
    price = whirlpool.sqrt_price_of_tick(tick)
    return side_of(whirlpool.Pool(4, 400, 1_300, 4 * liquidity, price, tick, ticks))


SOL, USDC = TOKENS["SOL"], TOKENS["USDC"]


@figures("split")
def test_two_curves_share_an_amount_at_least_as_well_as_the_closed_form(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    hop = [
        curve(pool["reserve_in"], pool["reserve_out"], pool["trade_fee_rate"])
        for pool in given["pools"]
    ]
    mixture = best_mixture([[hop]], given["amount_in"])
    assert mixture.amount_out >= expected["total_at_rounded_closed_form"]


@figures("split cpmm+dlmm")
def test_a_curve_and_a_ladder_share_an_amount_at_least_as_well_as_a_grid_search(
    given: dict[str, Any], expected: dict[str, int]
) -> None:
    bins = {-4744 + i: (50 * 10**9, 0) for i in range(1, 36)}
    bins |= {-4744 - i: (0, 7_500 * 10**6) for i in range(1, 36)}
    bins[-4744] = (25 * 10**9, 3_750 * 10**6)
    dlmm = side_of(meteora.Pool(meteora.Parameters(bin_step=4), -4744, bins))
    cpmm = curve(given["cpmm"]["reserve_in"], given["cpmm"]["reserve_out"])
    amount = given["amount_in"]
    assert best_mixture([[[cpmm, dlmm]]], amount).amount_out >= expected["total_out"]
    assert cpmm.amount_out(amount) == expected["only_cpmm"]
    assert dlmm.amount_out(amount) == expected["only_dlmm"]


amounts = st.integers(1, 1_000) | st.integers(1, 10**13)
sides = st.one_of(
    st.builds(curve, st.integers(10**9, 10**14), st.integers(10**9, 10**14)),
    st.builds(ladder, st.integers(-500, 500), st.integers(10**6, 10**12)),
    st.builds(ranges, st.integers(-5_000, 5_000), st.integers(10**9, 10**14)),
)
hops = st.lists(sides, min_size=1, max_size=3)
paths = st.lists(st.lists(hops, min_size=1, max_size=2), min_size=1, max_size=3)
costs = st.sampled_from([0, 0, 10, 10**4, 10**8])


def check(mixture: Mixture, amount: int, leg_cost: int) -> None:
    """Check that the mixture uses every unit, and that each output is exactly its pool's."""
    assert sum(path[0].amount_in for path in mixture.flows) == amount
    for path in mixture.flows:
        for hop in path:
            assert all(leg.amount_in > 0 for leg in hop.shares)
            assert all(leg.amount_out == leg.side.amount_out(leg.amount_in) for leg in hop.shares)
            assert all(leg.amount_out > 0 for leg in hop.shares)
        for before, after in pairwise(path):
            assert before.amount_out == after.amount_in
    legs = [leg for path in mixture.flows for hop in path for leg in hop.shares]
    assert mixture.legs == len(legs)
    assert mixture.amount_out == sum(path[-1].amount_out for path in mixture.flows)
    assert mixture.net == mixture.amount_out - leg_cost * mixture.legs


def by_brute_force(hop: Sequence[PoolSide], amount: int) -> int:
    """The best output of all shares of a hop in steps of 5 %; 0 if the pools cannot take it."""

    def best(sides: Sequence[PoolSide], left: int) -> int:
        first, *others = sides
        if not others:
            whole = left * amount // 20
            return first.amount_out(whole) if whole <= usable(first) else 0
        found = 0
        for part in range(left + 1):
            amount_in = left * amount // 20 - (left - part) * amount // 20
            rest = best(others, left - part) if part < left else 0
            if amount_in <= usable(first) and (rest or part == left):
                found = max(found, (first.amount_out(amount_in) if amount_in else 0) + rest)
        return found

    return best(hop, 20)


@for_all(paths, amounts, costs)
def test_every_mixture_uses_the_whole_amount_at_its_pools_prices(
    paths: list[list[list[PoolSide]]], amount: int, leg_cost: int
) -> None:
    direct = [path[0] for path in paths if len(path) == 1]
    try:
        mixture = best_mixture(paths, amount, leg_cost)
    except TooShallow:
        assert all(amount > sum(map(usable, hop)) for hop in direct)
        return
    except TooSmall:
        assert not any(side.amount_out(amount) for hop in direct for side in hop)
        return
    check(mixture, amount, leg_cost)


@for_all(hops, st.integers(10**6, 10**13))
def test_a_hop_is_shared_at_least_as_well_as_any_steps_of_five_percent(
    hop: list[PoolSide], amount: int
) -> None:
    try:
        mixture = best_mixture([[hop]], amount)
    except TooShallow:
        assert amount > sum(usable(side) for side in hop)
        return
    except TooSmall:
        return
    brute = by_brute_force(hop, amount)
    # Each leg rounds its input and output by a unit or two, each at that pool's price.
    units = sum(2 + 2 * side.amount_out(10**6) // 10**6 for side in hop)
    assert mixture.amount_out + units + brute // 10**6 >= brute


@for_all(paths, st.integers(10**6, 10**12))
def test_paths_together_give_at_least_what_each_gives_alone(
    paths: list[list[list[PoolSide]]], amount: int
) -> None:
    def net(some: Sequence[Path]) -> int:
        try:
            return best_mixture(some, amount).net
        except (TooShallow, TooSmall):
            return 0

    together = net(paths)
    for path in paths:
        alone = net([path])
        assert together + together // 10**6 + 50 >= alone or alone < 10**4


def test_a_leg_that_gains_less_than_it_costs_is_left_out() -> None:
    hop = [curve(10**15, 10**15), curve(10**12, 10**12)]
    amount = 10**12
    free = best_mixture([[hop]], amount)
    assert free.legs == 2
    gain = free.amount_out - hop[0].amount_out(amount)
    assert gain > 0
    assert best_mixture([[hop]], amount, gain - 1).legs == 2
    assert best_mixture([[hop]], amount, gain + 1).legs == 1


def test_a_hub_is_used_where_it_gains_more_than_the_cost_of_its_two_legs() -> None:
    direct = [curve(10**12, 10**12)]
    around: Path = [[curve(10**12, 10**12)], [curve(10**12, 10**12)]]
    assert best_mixture([direct_path(direct), around], 10**8).legs == 1
    mixture = best_mixture([direct_path(direct), around], 10**11)
    assert mixture.legs == 3
    gain = mixture.amount_out - direct[0].amount_out(10**11)
    assert best_mixture([direct_path(direct), around], 10**11, gain // 2 + 1).legs == 1


def direct_path(hop: Sequence[PoolSide]) -> Path:
    return [hop]


@pytest.mark.parametrize("legs_max", [1, 2, 3, 4, 5, 6])
def test_the_mixture_of_a_number_of_legs_uses_the_best_choice_of_pools(legs_max: int) -> None:
    """Six pools of one pair; the test tries every choice of `legs_max` of them."""
    hop = [curve(10**12 * (i + 3), 10**12 * (i + 3) - 10**9 * i * i) for i in range(6)]
    amount = 3 * 10**11
    found = Mixer(amount, legs_max=legs_max).best([[hop]])
    assert found.legs == legs_max
    outputs = [
        Mixer(amount, legs_max=6).best([[list(chosen)]]).amount_out
        for chosen in combinations(hop, legs_max)
    ]
    assert found.amount_out == max(outputs)


def test_a_limit_on_legs_removes_both_legs_of_a_path() -> None:
    direct, first, second = (curve(10**12, 10**12) for _ in range(3))
    paths: list[Path] = [[[direct]], [[first], [second]]]
    assert Mixer(10**11, legs_max=3).best(paths).legs == 3
    assert Mixer(10**11, legs_max=2).best(paths).legs == 1


def test_an_amount_that_needs_more_legs_than_the_limit_is_refused() -> None:
    hop = [ladder(0, 10**6) for _ in range(3)]
    amount = usable(hop[0]) * 5 // 2
    assert Mixer(amount, legs_max=3).best([[hop]]).legs == 3
    with pytest.raises(TooShallow):
        Mixer(amount, legs_max=2).best([[hop]])


def test_an_amount_beyond_one_paths_liquidity_goes_to_another_path() -> None:
    """The first hop could give more than the second hop holds."""
    narrow: Path = [[curve(10**15, 10**15)], [ladder(0, 10**9)]]
    wide: Path = [[curve(10**15, 10**15)]]
    most = usable(narrow[1][0])
    mixture = best_mixture([narrow, wide], 10 * most)
    check(mixture, 10 * most, 0)
    for path in mixture.flows:
        if len(path) == 2:
            assert path[1].amount_in <= most + 2
    with pytest.raises(TooShallow):
        best_mixture([narrow], 10 * most)


def test_of_two_mixtures_with_equal_outputs_the_one_with_fewer_legs_is_chosen() -> None:
    """Two equal pools give no more for a small amount than one of them."""
    hop = [curve(10**15, 10**15, fee=0) for _ in range(2)]
    assert best_mixture([[hop]], 10**5).legs == 1


def test_no_leg_has_an_output_of_zero_because_its_swap_would_fail_on_chain() -> None:
    """The tiny pool's fair share is one unit, for which the pool gives nothing."""
    hop = [curve(20_000, 20_000, fee=0), curve(10**9, 10**9, fee=0), ladder(0, 10**9, bins=1)]
    check(best_mixture([[hop]], 10**6), 10**6, 0)
    with pytest.raises(TooSmall):
        best_mixture([[[curve(10**12, 10**6)]]], 1)


def test_the_last_six_percent_of_a_pools_liquidity_are_not_used() -> None:
    bins = ladder(0, 10**9)
    assert sum(piece.amount_out for piece in bins.pieces(UNITS_MAX)) == 94 * 10**8
    with pytest.raises(TooShallow):
        best_mixture([[[bins]]], usable(bins) + 100)
    check(best_mixture([[[bins]]], usable(bins)), usable(bins), 0)


def test_a_piece_is_cut_at_the_given_output() -> None:
    whole = curve(10**12, 10**12, fee=0).pieces(1)[0]
    half = whole.cut(10**11)
    assert half.amount_out == 10**11
    assert abs(curve(10**12, 10**12, fee=0).amount_out(half.amount_in) - 10**11) <= 2
    assert whole.cut(whole.amount_out) is whole
    step = Piece(1 << 64, 1 << 64, 1_000, 2_000)
    assert step.cut(500) == Piece(1 << 64, 1 << 64, 250, 500)


@for_all(hops, st.integers(10**3, 10**12))
def test_the_combined_curve_of_a_hop_has_the_depth_at_which_its_pools_share(
    hop: list[PoolSide], amount: int
) -> None:
    pieces = [piece for side in hop for piece in side.pieces(amount)]
    whole = curve_of(pieces, amount)
    curves = [curve_of_one(side.pieces(amount)) for side in hop]
    parts, depth = share(curves, amount)
    assert sum(parts) == amount
    if whole.most >= amount:
        units = sum(len(curve.ins) for curve in curves)  # each corner may lose one by rounding
        with_hint, same_depth = share(curves, amount, whole)
        assert sum(with_hint) == amount
        assert all(abs(a - b) <= units for a, b in zip(parts, with_hint, strict=True))
        for found in (depth, same_depth, whole.depth_of(amount)):
            near = found >> 20
            assert whole.before(found - near) - units <= amount
            assert amount <= whole.through(found + near) + units


@for_all(sides, st.integers(10**3, 10**12))
def test_the_curve_of_one_pool_is_that_of_its_pieces(side: PoolSide, amount: int) -> None:
    pieces = side.pieces(amount)
    one, any_number = curve_of_one(pieces), curve_of(pieces, UNITS_MAX)
    assert sorted(set(one.depths)) == sorted(set(any_number.depths))
    assert (one.ins[-1], one.outs[-1]) == (
        sum(piece.amount_in for piece in pieces),
        sum(piece.amount_out for piece in pieces),
    )
    for depth in one.depths:
        assert abs(one.through(depth) - any_number.through(depth)) <= len(pieces)
        assert abs(one.before(depth) - any_number.before(depth)) <= len(pieces)


def test_a_pool_is_freed_without_the_garbage_collector() -> None:
    """Thousands of pools are made in a minute, and a full collection takes longer than a route."""
    gc.collect()
    assert curve(10**9, 10**9).takes(1_000)
    assert gc.collect() == 0


@for_all(sides, sides, st.integers(10**6, 10**11))
def test_the_depth_of_two_chained_hops_is_the_product_of_their_depths(
    one: PoolSide, two: PoolSide, amount: int
) -> None:
    first = curve_of(one.pieces(amount), amount)
    second = curve_of(two.pieces(first.outs[-1]), first.outs[-1])
    both = chained(first, second, amount, 1 << 192)
    assert both.depths == sorted(both.depths)
    assert both.ins == sorted(both.ins)
    part = both.most // 2
    middle = one.amount_out(part)
    if part > 10**6 and middle > 10**6:
        depth = first.depth_of(part) * second.depth_of(middle) >> 64
        low, high = both.depth_of(part * 999 // 1000), both.depth_of(part * 1001 // 1000 + 1)
        assert low * 999 // 1000 <= depth <= high * 1001 // 1000


def best_mixture(paths: Sequence[Path], amount: int, leg_cost: int = 0) -> Mixture:
    return Mixer(amount, leg_cost).best(paths)
