"""Routes: the best of venues, splits and two hops, and the words that explain it."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from functions.dex import meteora, raydium, router
from functions.dex.errors import CircularArbitrage, InvalidAmount, NoRoutesFound
from functions.dex.pools import Pool
from functions.dex.router import Route, find_route, largest_amount
from functions.dex.tokens import TOKENS, UNITS_MAX, Token
from functions.simulation import market
from functions.simulation.market import VENUES, Snapshot, snapshot
from tests.unit.figures import figures

SOL, USDC, RAY, MET = (TOKENS[symbol] for symbol in ("SOL", "USDC", "RAY", "MET"))
BONK, MSOL, JITOSOL, USDT = (TOKENS[symbol] for symbol in ("BONK", "mSOL", "JitoSOL", "USDT"))
SLOT = 4_400_000_000

slots = st.integers(4 * 10**9, 5 * 10**9)
pairs = st.permutations(list(TOKENS.values())).map(lambda tokens: (tokens[0], tokens[1]))


def at(slot: int = SLOT, **failing: str) -> dict[str, Snapshot | str]:
    return {venue: failing.get(venue) or snapshot(venue, slot) for venue in VENUES}


def check(route: Route) -> None:
    """What every route promises, whatever it is."""
    hops = [
        [leg for leg in route.route_plan if leg.token_in == route.token_in],
        [leg for leg in route.route_plan if leg.token_in != route.token_in],
    ]
    amount = route.in_amount
    for hop in filter(None, hops):
        assert sum(leg.in_amount for leg in hop) == amount
        assert sum(leg.percent for leg in hop) == 100
        assert all(leg.percent > 0 for leg in hop)
        assert len({leg.pool for leg in hop}) == len(hop)
        for leg in hop:
            pool = snapshot(leg.venue, route.slot).pool(leg.pool)
            fill = pool.fill(leg.token_in, leg.in_amount)
            assert (fill.amount_out, fill.fee) == (leg.out_amount, leg.fee_amount)
            assert leg.in_amount <= pool.side(leg.token_in).max_in
        amount = sum(leg.out_amount for leg in hop)
    assert amount == route.out_amount
    least = route.out_amount - route.out_amount * route.slippage_bps // 10_000
    assert route.other_amount_threshold == least
    assert 0 <= Decimal(route.price_impact_pct) < 1
    quoted = [quote.out_amount for quote in route.quotes if quote.error is None]
    assert route.out_amount >= max(quoted, default=0)
    assert (route.advantage_bps is None) == (not quoted)
    assert "\n" not in route.reason


@figures("slippage ExactIn otherAmountThreshold")
def test_the_threshold_is_jupiters(given: dict[str, int], expected: dict[str, int]) -> None:
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


@figures("split cpmm+dlmm")
def test_a_curve_and_a_ladder_share_as_well_as_a_grid_of_half_a_bps_finds(
    given: dict[str, Any], expected: dict[str, int]
) -> None:
    cpmm = raydium.Pool(given["cpmm"]["reserve_in"], given["cpmm"]["reserve_out"])
    bins = {-4744 + i: (50 * 10**9, 0) for i in range(1, 36)}
    bins |= {-4744 - i: (0, 7_500 * 10**6) for i in range(1, 36)}
    bins[-4744] = (25 * 10**9, 3_750 * 10**6)
    dlmm = meteora.Pool(meteora.Parameters(bin_step=4), -4744, bins)
    curve = Pool("curve", "raydium", SOL, USDC, cpmm)
    ladder = Pool("ladder", "meteora", SOL, USDC, dlmm)
    amount = given["amount_in"]

    hop = router.split(SOL, USDC, amount, [curve, ladder])
    assert not isinstance(hop, str)
    assert hop.out_amount >= expected["total_out"]
    assert curve.fill(SOL, amount).amount_out == expected["only_cpmm"]
    assert ladder.fill(SOL, amount).amount_out == expected["only_dlmm"]

    grid = [amount * bps // 10_000 for bps in range(0, 10_001, 500)]
    curve_out, ladder_out = curve.side(SOL).amount_out, ladder.side(SOL).amount_out
    coarse = max(curve_out(amount - share) + ladder_out(share) for share in grid)
    assert (expected["total_out"] - coarse) * 10**6 <= expected["total_out"]


def test_the_two_curves_of_one_venue_share_too() -> None:
    route = find_route(RAY, SOL, 100_000 * 10**6, 50, at())
    check(route)
    programs = {market.program_of(leg.pool) for leg in route.route_plan}
    assert programs == {"raydium-cpmm", "raydium-amm-v4"}
    assert route.quotes[0].out_amount == route.out_amount
    assert route.quotes[1].error == "NO_POOL"


def test_a_big_order_is_split_and_says_by_how_much_that_is_better() -> None:
    route = find_route(SOL, USDC, 10_000 * 10**9, 50, at())
    check(route)
    assert {leg.venue for leg in route.route_plan} == {"raydium", "meteora"}
    raydiums, meteoras = route.quotes
    assert raydiums.error is None
    assert meteoras.error == "INSUFFICIENT_LIQUIDITY"
    assert route.advantage_bps is not None
    assert Decimal(route.advantage_bps) > 500
    assert f"alone by {route.advantage_bps} bps" in route.reason


def test_a_small_order_goes_to_one_venue() -> None:
    route = find_route(SOL, USDC, 10**9, 50, at())
    check(route)
    (leg,) = route.route_plan
    assert (leg.venue, leg.percent, route.advantage_bps) == ("meteora", 100, "0")
    assert route.reason.startswith("meteora beats raydium by ")


def test_two_hops_are_found_and_each_is_split_by_itself() -> None:
    route = find_route(BONK, MSOL, 2 * 10**9 * 10**5, 50, at())
    check(route)
    assert {(leg.token_in.symbol, leg.token_out.symbol) for leg in route.route_plan} == {
        ("BONK", "SOL"),
        ("SOL", "mSOL"),
    }
    assert len(route.route_plan) >= 3
    assert "via SOL" in route.reason


def test_two_hops_over_two_venues_need_no_venue_that_has_both() -> None:
    route = find_route(RAY, MET, 1_000 * 10**6, 50, at())
    check(route)
    assert [leg.venue for leg in route.route_plan] == ["raydium", "meteora"]
    assert [quote.error for quote in route.quotes] == ["NO_POOL", "NO_POOL"]
    assert route.advantage_bps is None
    assert "no venue has a path alone" in route.reason


def test_two_hops_can_beat_the_pairs_own_pool() -> None:
    """JUP has pools against USDC; at times its pools against SOL, then SOL's, give more."""
    routes = [
        find_route(TOKENS["JUP"], USDC, 10_000 * 10**6, 50, at(SLOT + 25 * i)) for i in range(20)
    ]
    for route in routes:
        check(route)
    assert {len({leg.token_in for leg in route.route_plan}) for route in routes} == {1, 2}


def test_a_venue_that_cannot_answer_stops_no_other() -> None:
    route = find_route(SOL, USDC, 10**9, 50, at(meteora="QUOTE_TIMEOUT"))
    check(route)
    assert [leg.venue for leg in route.route_plan] == ["raydium"]
    assert [quote.error for quote in route.quotes] == [None, "QUOTE_TIMEOUT"]
    assert route.reason == "raydium is the only quote: meteora QUOTE_TIMEOUT"


def test_no_venue_left_is_no_route_and_names_the_reasons() -> None:
    with pytest.raises(NoRoutesFound) as none:
        find_route(SOL, USDC, 10**9, 50, at(raydium="VENUE_DOWN", meteora="QUOTE_ERROR"))
    assert none.value.code == "NO_ROUTES_FOUND"
    assert none.value.reasons == {"raydium": "VENUE_DOWN", "meteora": "QUOTE_ERROR"}
    assert "raydium VENUE_DOWN, meteora QUOTE_ERROR" in str(none.value)
    with pytest.raises(NoRoutesFound):
        find_route(RAY, USDC, 10**6, 50, at(raydium="VENUE_DOWN"))
    with pytest.raises(NoRoutesFound):
        find_route(SOL, USDC, 10**9, 50, {})


def test_an_amount_beyond_all_depth_is_no_route() -> None:
    with pytest.raises(NoRoutesFound) as deep:
        find_route(SOL, USDC, market.capacity(SOL, USDC), 50, at())
    assert set(deep.value.reasons.values()) == {"INSUFFICIENT_LIQUIDITY"}


def test_everything_up_to_all_depth_together_routes() -> None:
    sides = [pool.side(SOL) for venue in VENUES for pool in snapshot(venue, SLOT).pools(SOL, USDC)]
    most_in = sum(side.max_in for side in sides)
    check(find_route(SOL, USDC, most_in, 50, at()))
    with pytest.raises(NoRoutesFound):
        find_route(SOL, USDC, most_in + 1, 50, at())


def test_dust_that_buys_nothing_is_no_route() -> None:
    with pytest.raises(NoRoutesFound) as dust:
        find_route(BONK, SOL, 1, 50, at())
    assert set(dust.value.reasons.values()) == {"AMOUNT_TOO_SMALL"}


def test_a_token_is_not_swapped_for_itself_nor_nothing_for_something() -> None:
    with pytest.raises(CircularArbitrage) as circular:
        find_route(SOL, SOL, 10**9, 50, at())
    assert circular.value.code == "CIRCULAR_ARBITRAGE_IS_DISABLED"
    with pytest.raises(InvalidAmount):
        find_route(SOL, USDC, 0, 50, at())


def test_a_hop_of_more_pools_than_the_split_knows_is_refused() -> None:
    pool = Pool("one", "raydium", SOL, USDC, raydium.Pool(10**12, 10**12))
    with pytest.raises(ValueError, match="one or two curves"):
        router.split(SOL, USDC, 10**6, [pool, pool, pool])


def test_of_equal_outputs_the_one_with_fewer_legs_wins() -> None:
    """Two equal pools share 2 units as well as one takes them: 1 and 1, or 2."""
    pools = [
        Pool(name, "raydium", SOL, USDC, raydium.Pool(10**15, 10**15, trade_fee_rate=0))
        for name in ("one", "two")
    ]
    hop = router.split(SOL, USDC, 10**5, pools)
    assert not isinstance(hop, str)
    assert len(hop.shares) == 1


def test_of_equal_paths_the_one_with_fewer_legs_wins() -> None:
    side = snapshot("raydium", SLOT).pools(SOL, USDC)[0].side(SOL)
    two = (router.Hop(SOL, USDC, ((side, 5), (side, 5)), 100),)
    one = (router.Hop(SOL, USDC, ((side, 10),), 100),)
    more = (router.Hop(SOL, USDC, ((side, 4), (side, 6)), 101),)
    assert router._best(["NO_POOL", two, one]) is one
    assert router._best([one, two, more]) is more
    assert router._best(["NO_POOL"]) is None


def test_no_leg_gives_nothing_for_its_swap_would_fail_on_chain() -> None:
    """The tiny pool's fair share is one unit, which buys none."""
    tiny, deep = (
        Pool(name, "raydium", SOL, USDC, raydium.Pool(depth, depth, trade_fee_rate=0))
        for name, depth in (("tiny", 20_000), ("deep", 10**9))
    )
    bins = meteora.Pool(meteora.Parameters(bin_step=1), 0, {0: (0, 10**9)})
    ladder = Pool("ladder", "meteora", SOL, USDC, bins)
    hop = router.split(SOL, USDC, 10**6, [tiny, deep, ladder])
    assert not isinstance(hop, str)
    assert all(side.amount_out(amount) > 0 for side, amount in hop.shares)
    assert sum(amount for _, amount in hop.shares) == 10**6


def test_a_quotes_fee_over_two_hops_is_told_in_the_token_in() -> None:
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


def test_json_is_the_shape_that_clients_read() -> None:
    route = find_route(SOL, USDC, 500 * 10**9, 50, at(SLOT))
    shown = route.to_json()
    assert list(shown) == [
        "inAmount",
        "outAmount",
        "otherAmountThreshold",
        "priceImpactPct",
        "slippageBps",
        "routePlan",
        "quotes",
        "reason",
        "advantageBps",
        "slot",
    ]
    assert (shown["inAmount"], shown["slippageBps"], shown["slot"]) == ("500", 50, SLOT)
    assert shown["routePlan"] == [leg.to_json() for leg in route.route_plan]
    leg = route.route_plan[0].to_json()
    assert (leg["tokenIn"], leg["tokenOut"]) == ("SOL", "USDC")
    assert list(leg) == [
        "venue",
        "pool",
        "tokenIn",
        "tokenOut",
        "inAmount",
        "outAmount",
        "feeAmount",
        "percent",
    ]
    failing = find_route(SOL, USDC, 10**9, 50, at(meteora="VENUE_DOWN")).to_json()
    assert isinstance(failing["quotes"], list)
    assert set(failing["quotes"][0]) == {"venue", "outAmount", "priceImpactPct", "feeAmount"}
    assert failing["quotes"][1] == {"venue": "meteora", "error": "VENUE_DOWN"}


def test_price_impact_compounds_over_hops_and_weighs_by_input() -> None:
    """A curve that takes a tenth of its reserve moves by 1/11, whatever else is there."""
    one = Pool("one", "raydium", SOL, USDC, raydium.Pool(10**12, 10**12, trade_fee_rate=0))
    assert one.fill(SOL, 10**11).impact == 10**12 // 11
    down = Pool(
        "two",
        "meteora",
        SOL,
        USDC,
        meteora.Pool(
            meteora.Parameters(bin_step=100, base_factor=0, variable_fee_control=0),
            0,
            {0: (0, 10**9), -1: (0, 10**9)},
        ),
    )
    assert down.fill(SOL, 10**9).impact == 0
    half_a_percent = down.fill(SOL, 2 * 10**9).impact
    assert abs(half_a_percent - 10**12 // 202) < 10**4
    up = Pool(
        "three",
        "meteora",
        SOL,
        USDC,
        meteora.Pool(
            meteora.Parameters(bin_step=100, base_factor=0, variable_fee_control=0),
            0,
            {0: (10**9, 0), 1: (10**9, 0)},
        ),
    )
    assert up.fill(USDC, 10**9).impact == 0
    assert abs(up.fill(USDC, 2 * 10**9).impact - 10**12 // 202) < 10**4
    route = find_route(RAY, MET, 50_000 * 10**6, 50, at())
    first, second = (
        snapshot(leg.venue, SLOT).pool(leg.pool).fill(leg.token_in, leg.in_amount).impact
        for leg in route.route_plan
    )
    kept = (10**12 - first) * (10**12 - second) // 10**12
    assert abs(10**12 - kept - int(Decimal(route.price_impact_pct).scaleb(12))) <= 2


@settings(max_examples=60)
@for_all(slots, pairs, st.integers(1, 10**6))
def test_every_route_keeps_its_promises(slot: int, pair: tuple[Token, Token], ppm: int) -> None:
    token_in, token_out = pair
    amount = max(market.capacity(token_in, token_out) * ppm // 10**6, 1)
    try:
        route = find_route(token_in, token_out, amount, 50, at(slot))
    except NoRoutesFound as none:
        reasons = set(none.reasons.values())
        if not reasons <= {"NO_POOL", "INSUFFICIENT_LIQUIDITY", "AMOUNT_TOO_SMALL"}:
            raise
        return
    check(route)


@settings(max_examples=60)
@for_all(slots, pairs, st.integers(1, 10**5))
def test_a_split_is_never_worse_than_any_venue_and_a_venue_more_never_hurts(
    slot: int, pair: tuple[Token, Token], ppm: int
) -> None:
    token_in, token_out = pair
    amount = max(market.capacity(token_in, token_out) * ppm // 10**6, 1)
    both = _out(token_in, token_out, amount, at(slot))
    for venue in VENUES:
        alone = _out(token_in, token_out, amount, at(slot, **{venue: "VENUE_DOWN"}))
        # Two hops over one venue may use a split of its own, found to a fraction of a unit's worth.
        assert both + both // 10**9 + 2 >= alone


@settings(max_examples=60)
@for_all(slots, pairs, st.integers(1, 10**5), st.integers(1, 10**5))
def test_more_in_never_gives_less_out(
    slot: int, pair: tuple[Token, Token], ppm: int, more_ppm: int
) -> None:
    token_in, token_out = pair
    capacity = market.capacity(token_in, token_out)
    amount, more = (max(capacity * part // 10**6, 1) for part in (ppm, more_ppm))
    less = _out(token_in, token_out, amount, at(slot))
    try:
        more_out = find_route(token_in, token_out, amount + more, 50, at(slot)).out_amount
    except NoRoutesFound as none:
        # More may be beyond all depth, but never too small where less was enough.
        assume(less == 0 or "AMOUNT_TOO_SMALL" in none.reasons.values())
        more_out = 0
    assert more_out >= less


@settings(max_examples=60)
@for_all(slots, pairs, st.integers(1, 10**5))
def test_a_round_trip_never_profits(slot: int, pair: tuple[Token, Token], ppm: int) -> None:
    token_in, token_out = pair
    amount = max(market.capacity(token_in, token_out) * ppm // 10**6, 1)
    there = _out(token_in, token_out, amount, at(slot))
    if there:
        assert _out(token_out, token_in, there, at(slot)) <= amount


def _out(
    token_in: Token, token_out: Token, amount: int, snapshots: dict[str, Snapshot | str]
) -> int:
    try:
        return find_route(token_in, token_out, amount, 50, snapshots).out_amount
    except NoRoutesFound:
        return 0


@settings(max_examples=30)
@for_all(slots, pairs, st.integers(1, 10**6))
def test_the_largest_amount_routes_and_nothing_above_it_does(
    slot: int, pair: tuple[Token, Token], more: int
) -> None:
    token_in, token_out = pair
    most = largest_amount(token_in, token_out, at(slot))
    assert find_route(token_in, token_out, most, 50, at(slot)).in_amount == most
    for amount in (most + 1, most + more, most + most * more // 10**6 + 1, UNITS_MAX):
        with pytest.raises(NoRoutesFound):
            find_route(token_in, token_out, amount, 50, at(slot))


def test_without_a_venue_there_is_no_largest_amount() -> None:
    assert largest_amount(SOL, USDC, dict.fromkeys(VENUES, "VENUE_DOWN")) == 0
