"""Routes: the best of venues, splits and two hops, and the reason that a route states."""

from decimal import Decimal

import pytest
from hypothesis import assume, example, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from functions.dex import meteora, raydium, router
from functions.dex.errors import CircularArbitrage, InvalidAmount, NoRoutesFound
from functions.dex.router import Route, find_route, largest_amount, pool_takes
from functions.dex.sides import usable
from functions.dex.tokens import TOKENS, UNITS_MAX, Token
from functions.simulation import market
from functions.simulation.market import VENUES, Snapshot, snapshot, snapshots
from tests.unit.figures import figures

SOL, USDC, RAY, MET = (TOKENS[symbol] for symbol in ("SOL", "USDC", "RAY", "MET"))
BONK, MSOL, JITOSOL, USDT = (TOKENS[symbol] for symbol in ("BONK", "mSOL", "JitoSOL", "USDT"))
SLOT = 4_400_000_000

slots = st.integers(4 * 10**9, 5 * 10**9)
pairs = st.permutations(list(TOKENS.values())).map(lambda tokens: (tokens[0], tokens[1]))


def at(slot: int = SLOT, **failing: str) -> dict[str, Snapshot | str]:
    return {**snapshots(slot), **failing}


def beyond_all_pools(token_in: Token, slot: int = SLOT) -> int:
    """One base unit more than all pools of the token take together, so more than any route."""
    others = [token for token in TOKENS.values() if token is not token_in]
    pools = [
        pool
        for venue in snapshots(slot).values()
        for other in others
        for pool in venue.pools(token_in, other)
    ]
    return sum(usable(pool.side(token_in)) for pool in pools) + 1


def check(route: Route) -> None:
    """Check the properties of every route."""
    held = {route.token_in: route.in_amount}
    one_unit: dict[Token, int] = {}  # what one more unit into each leg of the first hop gives
    for token_in in dict.fromkeys(leg.token_in for leg in route.route_plan):
        legs = [leg for leg in route.route_plan if leg.token_in == token_in]
        assert sum(leg.in_amount for leg in legs) == held.pop(token_in)
        assert sum(leg.percent for leg in legs) == 100
        assert all(leg.percent > 0 for leg in legs)
        for leg in legs:
            pool = snapshot(leg.venue, route.slot).pool(leg.pool)
            fill = pool.fill(leg.token_in, leg.in_amount)
            assert (fill.amount_out, fill.fee) == (leg.out_amount, leg.fee_amount)
            rounded = 100 + one_unit.get(token_in, 0)
            assert leg.in_amount <= usable(pool.side(token_in)) + rounded
            gives = -(-leg.out_amount // leg.in_amount)
            one_unit[leg.token_out] = one_unit.get(leg.token_out, 0) + gives
            held[leg.token_out] = held.get(leg.token_out, 0) + leg.out_amount
    assert held == {route.token_out: route.out_amount}
    assert len({leg.pool for leg in route.route_plan}) == len(route.route_plan)
    least = route.out_amount - route.out_amount * route.slippage_bps // 10_000
    assert route.other_amount_threshold == least
    assert 0 <= Decimal(route.price_impact_pct) < 1
    quoted = [quote.out_amount for quote in route.quotes if quote.error is None]
    cost = snapshot("raydium", route.slot).leg_cost(route.token_out)
    assert route.out_amount + cost * len(route.route_plan) >= max(quoted, default=0)
    assert (route.advantage_bps is None) == (not quoted)
    assert "\n" not in route.reason


@figures("slippage ExactIn otherAmountThreshold")
def test_the_threshold_is_equal_to_jupiters(
    given: dict[str, int], expected: dict[str, int]
) -> None:
    threshold = router.threshold_exact_in(given["out_amount"], given["slippage_bps"])
    assert threshold == expected["other_amount_threshold"]


@pytest.mark.parametrize(
    ("amount", "bps", "least", "most"),
    [
        (10_000, 0, 10_000, 10_000),
        (9_999, 1, 9_999, 9_999),
        (10_000, 1, 9_999, 10_001),
        (19_999, 1, 19_998, 20_000),
        (12_345, 50, 12_284, 12_406),
        (7, 10_000, 0, 14),
    ],
)
def test_slippage_rounds_in_favour_of_the_user(
    amount: int, bps: int, least: int, most: int
) -> None:
    assert router.threshold_exact_in(amount, bps) == least
    assert router.threshold_exact_out(amount, bps) == most


def test_an_order_is_split_over_two_pools_of_one_venue() -> None:
    only = at(meteora="VENUE_DOWN", whirlpool="VENUE_DOWN")
    route = find_route(RAY, SOL, 1_000 * 10**6, 50, only)
    check(route)
    direct = [leg for leg in route.route_plan if (leg.token_in, leg.token_out) == (RAY, SOL)]
    programs = {market.program_of(leg.pool).name for leg in direct}
    assert programs == {"raydium-cpmm", "raydium-amm-v4"}
    assert 0 < route.quotes[0].out_amount <= route.out_amount
    assert route.quotes[1].error == "VENUE_DOWN"


def test_a_large_order_is_split_and_its_reason_states_the_advantage() -> None:
    route = find_route(SOL, USDC, 10_000 * 10**9, 50, at())
    check(route)
    assert {leg.venue for leg in route.route_plan} == {"raydium", "meteora", "whirlpool"}
    raydiums, meteoras, whirlpools = route.quotes
    assert raydiums.error is None
    assert meteoras.error == whirlpools.error == "INSUFFICIENT_LIQUIDITY"
    assert route.advantage_bps is not None
    assert Decimal(route.advantage_bps) > 50
    assert f"alone by {route.advantage_bps} bps" in route.reason
    assert {leg.token_in.symbol for leg in route.route_plan} > {"SOL"}


def test_a_small_order_goes_to_one_venue() -> None:
    route = find_route(SOL, USDC, 10**9, 50, at())
    check(route)
    (leg,) = route.route_plan
    assert (leg.venue, leg.percent, route.advantage_bps) == ("meteora", 100, "0")
    assert route.reason.startswith("meteora beats whirlpool by ")


def test_a_route_of_two_hops_splits_each_hop_by_itself() -> None:
    route = find_route(BONK, MSOL, 2 * 10**9 * 10**5, 50, at())
    check(route)
    assert {(leg.token_in.symbol, leg.token_out.symbol) for leg in route.route_plan} == {
        ("BONK", "SOL"),
        ("SOL", "mSOL"),
    }
    assert len(route.route_plan) >= 3
    assert "via SOL" in route.reason


def test_a_route_of_two_hops_can_use_a_different_venue_for_each() -> None:
    route = find_route(RAY, MET, 10**6, 50, at())
    check(route)
    assert [leg.venue for leg in route.route_plan] == ["raydium", "meteora"]
    assert {quote.error for quote in route.quotes} == {"NO_POOL"}
    assert route.advantage_bps is None
    assert "no venue has a path alone" in route.reason


def test_a_route_of_two_hops_can_be_better_than_the_pairs_own_pool() -> None:
    """JUP has pools against USDC; at some times JUP to SOL to USDC gives more."""
    routes = [find_route(TOKENS["JUP"], USDC, 10**7, 50, at(SLOT + 9_000 * i)) for i in range(40)]
    for route in routes:
        check(route)
    stops = {tuple(dict.fromkeys(leg.token_in.symbol for leg in r.route_plan)) for r in routes}
    assert {("JUP",), ("JUP", "SOL")} <= stops


def test_an_order_is_split_over_direct_pools_and_hubs_and_each_hub_spends_its_input() -> None:
    route = find_route(SOL, TOKENS["JUP"], 100 * 10**9, 50, at())
    check(route)
    stops = list(dict.fromkeys(leg.token_in.symbol for leg in route.route_plan))
    assert stops[0] == "SOL"
    assert len(stops) > 1
    direct = [leg for leg in route.route_plan if leg.token_out.symbol == "JUP"]
    assert {leg.token_in.symbol for leg in direct} == set(stops)
    assert " + via " in route.reason


@pytest.mark.parametrize(
    ("token_in", "amount", "slot", "by_brute_force"),
    [
        ("mSOL", 5_314_727_278_890, 4_588_622_564, 842_747_462_881),
        ("BONK", 4_331_008_589_463_826, 4_670_801_279, 1_178_755_803_369),
        ("RAY", 1_230_930_818_110, 4_750_791_933, 2_174_637_346_113),
    ],
)
def test_the_first_hop_gives_no_more_than_the_second_can_take(
    token_in: str, amount: int, slot: int, by_brute_force: int
) -> None:
    """All pools of the token give more SOL than the pools of JUP take."""
    route = find_route(TOKENS[token_in], TOKENS["JUP"], amount, 50, at(slot))
    check(route)
    assert route.out_amount >= by_brute_force


def test_a_leg_gains_more_than_its_network_fee() -> None:
    route = find_route(SOL, USDC, 3_000 * 10**9, 50, at())
    cost = snapshot("raydium", SLOT).leg_cost(USDC)
    alone = max(quote.out_amount for quote in route.quotes)
    assert len(route.route_plan) > 1
    assert route.out_amount - alone > cost * (len(route.route_plan) - 1)
    small = find_route(SOL, USDC, 10**6, 50, at())
    assert len(small.route_plan) == 1


def test_a_venues_quote_is_its_best_route_including_two_hops_over_its_own_pools() -> None:
    """Raydium has a pool of SOL and USDC, and at some times a better route over USDT."""
    better = 0
    for i in range(60):
        slot = SLOT + 9_000 * i
        route = find_route(SOL, USDC, 10**10, 50, at(slot))
        (pool,) = snapshot("raydium", slot).pools(SOL, USDC)
        direct = pool.fill(SOL, 10**10).amount_out
        assert route.quotes[0].out_amount >= direct
        better += route.quotes[0].out_amount > direct
    assert 0 < better < 60


def test_a_route_has_its_difference_to_the_reference_price() -> None:
    for amount in (10**9, 100 * 10**9, 5_000 * 10**9):
        route = find_route(SOL, USDC, amount, 50, at())
        worth = snapshot("raydium", SLOT).worth(amount, SOL, USDC)
        bps = (worth - route.out_amount) * 10_000 * 100 // worth
        assert route.reference_difference_bps == f"{bps // 100}.{bps % 100:02}".rstrip("0").rstrip(
            "."
        )
        assert bps >= 0


def test_a_failing_venue_leaves_the_others_quotes() -> None:
    route = find_route(SOL, USDC, 10**9, 50, at(meteora="QUOTE_TIMEOUT", whirlpool="QUOTE_ERROR"))
    check(route)
    assert {leg.venue for leg in route.route_plan} == {"raydium"}
    assert [quote.error for quote in route.quotes] == [None, "QUOTE_TIMEOUT", "QUOTE_ERROR"]
    only = "is the only quote: meteora QUOTE_TIMEOUT, whirlpool QUOTE_ERROR"
    assert route.reason.startswith("raydium ")
    assert route.reason.endswith(only)


def test_without_any_venue_there_is_no_route_and_the_error_has_each_venues_reason() -> None:
    failing = {"raydium": "VENUE_DOWN", "meteora": "QUOTE_ERROR", "whirlpool": "QUOTE_TIMEOUT"}
    with pytest.raises(NoRoutesFound) as no_route:
        find_route(SOL, USDC, 10**9, 50, failing)
    assert no_route.value.code == "NO_ROUTES_FOUND"
    assert no_route.value.reasons == failing
    assert "raydium VENUE_DOWN, meteora QUOTE_ERROR, whirlpool QUOTE_TIMEOUT" in str(no_route.value)
    with pytest.raises(NoRoutesFound):
        find_route(USDC, MET, 10**6, 50, at(meteora="VENUE_DOWN"))
    with pytest.raises(NoRoutesFound):
        find_route(SOL, USDC, 10**9, 50, {})


def test_an_amount_beyond_the_liquidity_of_all_pools_has_no_route() -> None:
    with pytest.raises(NoRoutesFound) as no_route:
        find_route(SOL, USDC, beyond_all_pools(SOL), 50, at())
    assert set(no_route.value.reasons.values()) <= {"INSUFFICIENT_LIQUIDITY", "NO_POOL"}


def test_an_amount_of_all_direct_pools_liquidity_has_a_route_and_three_times_it_has_none() -> None:
    pools = [pool for venue in snapshots(SLOT).values() for pool in venue.pools(SOL, USDC)]
    direct = sum(usable(pool.side(SOL)) for pool in pools)
    check(find_route(SOL, USDC, direct, 50, at()))
    check(find_route(SOL, USDC, direct * 6 // 5, 50, at()))
    with pytest.raises(NoRoutesFound):
        find_route(SOL, USDC, direct * 3, 50, at())


def test_an_amount_too_small_for_any_output_has_no_route() -> None:
    with pytest.raises(NoRoutesFound) as dust:
        find_route(BONK, SOL, 1, 50, at())
    assert set(dust.value.reasons.values()) == {"AMOUNT_TOO_SMALL"}


def test_a_pair_of_one_token_and_an_amount_of_zero_are_refused() -> None:
    with pytest.raises(CircularArbitrage) as circular:
        find_route(SOL, SOL, 10**9, 50, at())
    assert circular.value.code == "CIRCULAR_ARBITRAGE_IS_DISABLED"
    with pytest.raises(InvalidAmount):
        find_route(SOL, USDC, 0, 50, at())


def test_the_fee_of_a_quote_over_two_hops_is_in_the_token_in() -> None:
    route = find_route(BONK, MSOL, 10**6 * 10**5, 50, at(meteora="VENUE_DOWN"))
    first, second = route.route_plan
    converted = second.fee_amount * first.in_amount // first.out_amount
    assert route.quotes[0].fee_amount == first.fee_amount + converted


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ([5], [100]),
        ([1, 1], [50, 50]),
        ([1, 2], [33, 67]),
        ([10**9, 1], [99, 1]),
        ([1, 10**9, 1], [1, 98, 1]),
        ([1, 1, 1], [34, 33, 33]),
    ],
)
def test_percents_are_whole_positive_and_sum_to_100(
    amounts: list[int], expected: list[int]
) -> None:
    assert router.percents(amounts) == expected


def test_an_input_of_a_tenth_of_the_reserve_has_an_impact_of_an_eleventh() -> None:
    side = raydium.Pool(10**12, 10**12, trade_fee_rate=0).side(True)
    assert side.fill(10**11).impact == 10**12 // 11


@pytest.mark.parametrize("x_to_y", [True, False])
def test_the_impact_of_a_swap_over_two_bins_is_the_mean_of_their_impacts(x_to_y: bool) -> None:
    no_fees = meteora.Parameters(bin_step=100, base_factor=0, variable_fee_control=0)
    bins = {0: (0, 10**9), -1: (0, 10**9)} if x_to_y else {0: (10**9, 0), 1: (10**9, 0)}
    side = meteora.Pool(no_fees, 0, bins).side(x_to_y)
    assert side.fill(10**9).impact == 0
    assert abs(side.fill(2 * 10**9).impact - 10**12 // 202) < 10**4


def test_price_impact_compounds_over_hops() -> None:
    route = find_route(RAY, MET, 10**6, 50, at())
    first, second = (
        snapshot(leg.venue, SLOT).pool(leg.pool).fill(leg.token_in, leg.in_amount).impact
        for leg in route.route_plan
    )
    kept = (10**12 - first) * (10**12 - second) // 10**12
    assert abs(10**12 - kept - int(Decimal(route.price_impact_pct).scaleb(12))) <= 2


def test_price_impact_of_a_split_is_the_mean_of_its_legs_by_input() -> None:
    route = find_route(SOL, USDC, 1_000 * 10**9, 50, at())
    assert {leg.token_in.symbol for leg in route.route_plan} == {"SOL"}
    assert len(route.route_plan) > 1
    weighted = sum(
        snapshot(leg.venue, SLOT).pool(leg.pool).fill(SOL, leg.in_amount).impact * leg.in_amount
        for leg in route.route_plan
    )
    mean = weighted // route.in_amount
    assert abs(mean - int(Decimal(route.price_impact_pct).scaleb(12))) <= len(route.route_plan)


@settings(max_examples=60)
@example(4_068_382_298, (SOL, USDC), 125_609)  # one lamport into the first hop gives 767 BONK units
@for_all(slots, pairs, st.integers(1, 10**6))
def test_every_route_has_the_properties_of_a_route(
    slot: int, pair: tuple[Token, Token], ppm: int
) -> None:
    token_in, token_out = pair
    amount = max(beyond_all_pools(token_in, slot) * ppm // 10**6, 1)
    try:
        route = find_route(token_in, token_out, amount, 50, at(slot))
    except NoRoutesFound as no_route:
        reasons = set(no_route.reasons.values())
        if not reasons <= {"NO_POOL", "INSUFFICIENT_LIQUIDITY", "AMOUNT_TOO_SMALL"}:
            raise
        return
    check(route)


@settings(max_examples=60)
@for_all(slots, pairs, st.integers(1, 10**5))
def test_a_route_is_never_worse_than_one_with_a_venue_less(
    slot: int, pair: tuple[Token, Token], ppm: int
) -> None:
    token_in, token_out = pair
    amount = max(beyond_all_pools(token_in, slot) * ppm // 10**6, 1)
    all_venues = net_output(token_in, token_out, amount, at(slot))
    for venue in VENUES:
        fewer = net_output(token_in, token_out, amount, at(slot, **{venue: "VENUE_DOWN"}))
        # The split within each hop is found to a fraction of a unit's worth.
        assert all_venues + all_venues // 10**9 + 2 >= fewer


@settings(max_examples=60)
@for_all(slots, pairs, st.integers(1, 10**5), st.integers(1, 10**5))
def test_a_larger_input_never_gives_a_smaller_output(
    slot: int, pair: tuple[Token, Token], ppm: int, more_ppm: int
) -> None:
    token_in, token_out = pair
    capacity = beyond_all_pools(token_in, slot)
    amount, more = (max(capacity * part // 10**6, 1) for part in (ppm, more_ppm))
    less = output(token_in, token_out, amount, at(slot))
    try:
        more_out = find_route(token_in, token_out, amount + more, 50, at(slot)).out_amount
    except NoRoutesFound as no_route:
        # The larger amount may be beyond all liquidity, but not too small if the smaller was not.
        assume(less == 0 or "AMOUNT_TOO_SMALL" in no_route.reasons.values())
        more_out = 0
    assert more_out >= less


@settings(max_examples=60)
@for_all(slots, pairs, st.integers(1, 10**5))
def test_a_round_trip_never_gains(slot: int, pair: tuple[Token, Token], ppm: int) -> None:
    token_in, token_out = pair
    amount = max(beyond_all_pools(token_in, slot) * ppm // 10**6, 1)
    there = output(token_in, token_out, amount, at(slot))
    if there:
        assert output(token_out, token_in, there, at(slot)) <= amount


def net_output(
    token_in: Token, token_out: Token, amount: int, snapshots: dict[str, Snapshot | str]
) -> int:
    """The output less the network fee of each leg, by which routes are compared."""
    live = next(each for each in snapshots.values() if not isinstance(each, str))
    try:
        route = find_route(token_in, token_out, amount, 50, snapshots)
    except NoRoutesFound:
        return 0
    return route.out_amount - len(route.route_plan) * live.leg_cost(token_out)


def output(
    token_in: Token, token_out: Token, amount: int, snapshots: dict[str, Snapshot | str]
) -> int:
    try:
        return find_route(token_in, token_out, amount, 50, snapshots).out_amount
    except NoRoutesFound:
        return 0


@pytest.mark.slow
@settings(max_examples=30)
@for_all(slots, pairs, st.integers(1, 10**6))
def test_the_largest_amount_has_a_route_and_no_larger_one_has(
    slot: int, pair: tuple[Token, Token], more: int
) -> None:
    token_in, token_out = pair
    most = largest_amount(token_in, token_out, at(slot))
    assert find_route(token_in, token_out, most, 50, at(slot)).in_amount == most
    for amount in (most + 1, most + more, most + most * more // 10**6 + 1, UNITS_MAX):
        with pytest.raises(NoRoutesFound):
            find_route(token_in, token_out, amount, 50, at(slot))


@settings(deadline=None)
@for_all(pairs, slots, st.integers(0, 64).map(lambda bits: 1 << bits) | st.integers(1, UNITS_MAX))
def test_an_amount_that_one_pool_takes_has_a_route(
    pair: tuple[Token, Token], slot: int, amount: int
) -> None:
    if pool_takes(*pair, amount, at(slot)):
        check(find_route(*pair, amount, 50, at(slot)))


def test_a_pool_takes_1_sol_and_none_takes_more_than_all_liquidity() -> None:
    assert pool_takes(SOL, USDC, 10**9, at())
    assert not pool_takes(SOL, USDC, beyond_all_pools(SOL), at())
    assert not pool_takes(SOL, USDC, 10**9, dict.fromkeys(VENUES, "VENUE_DOWN"))


def test_without_a_venue_the_largest_amount_is_zero() -> None:
    assert largest_amount(SOL, USDC, dict.fromkeys(VENUES, "VENUE_DOWN")) == 0
