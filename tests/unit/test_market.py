"""The simulated market: its prices, their bounds, and its pools."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from functions.dex import meteora, raydium, whirlpool
from functions.dex.router import find_route
from functions.dex.sides import usable
from functions.dex.tokens import TOKENS, UNITS_MAX, Token
from functions.orders.settlement import Landed
from functions.simulation import chain, market
from functions.simulation.listings import LISTINGS, REFERENCES, Listing
from functions.simulation.market import VENUES, snapshot, snapshots
from tests.arbitrage import better_quotes, gain_of_a_cycle
from tests.unit.figures import price_figures

SOL, USDC = TOKENS["SOL"], TOKENS["USDC"]
SLOT = 1_760_000_000 * 1000 // 400

slots = st.integers(0, 10**10)
seeds = st.sampled_from(["", "a seed"])


def venue_price(venue: str, base: Token, quote: Token, slot: int, **world: Any) -> int:
    """The price of the venue's pools of this pair, in the unit of the reference price."""
    return market.pair_prices(base, quote, slot, **world)[venue]


def test_the_reference_price_is_the_checked_one_of_each_version() -> None:
    assert market.slot_at(1_760_000_000_000) == SLOT
    assert market.reference_price(SOL, USDC, SLOT, version=1) == 150_694_059
    assert market.reference_price(SOL, USDC, SLOT) == 153_666_984


def test_the_venues_prices_are_the_checked_ones() -> None:
    assert venue_price("raydium", SOL, USDC, SLOT) == 153_455_745
    assert venue_price("meteora", SOL, USDC, SLOT) == 153_694_175
    assert market.pair_prices(TOKENS["MET"], SOL, SLOT).keys() == {"reference", "meteora"}


@price_figures("pair", "venue")
def test_a_price_is_the_checked_one(figure: dict[str, Any]) -> None:
    base, quote = (TOKENS[symbol] for symbol in figure["pair"].split("/"))
    slot = -(-figure["second"] * 1_000 // 400)
    if figure["venue"] is None:
        price = market.reference_price(base, quote, slot, figure["seed"])
    else:
        price = venue_price(figure["venue"], base, quote, slot, seed=figure["seed"])
    assert price == figure["expect"]


def first_rule(text: str, second: int) -> int:
    """The noise of version 1, term by term: seven octaves of hashed levels, joined by lines."""

    def level(octave: int, step: int) -> int:
        digest = sha256(f"{text}|{octave}|{step}".encode()).digest()
        return digest[0] * 256 + digest[1] - 32_768

    total = 0
    for octave in range(7):
        period = 60 * 4**octave
        k, r = divmod(second, period)
        between = level(octave, k) * (period - r) + level(octave, k + 1) * r
        total += 8 * 2**octave * 10_000 * between // (period * 32_768)
    return total


@for_all(slots, st.sampled_from(["raydium", "meteora"]))
def test_prices_of_the_first_version_follow_its_rule_term_by_term(slot: int, venue: str) -> None:
    second = slot * 400 // 1_000
    price = 150_000_000 + 150_000_000 * first_rule("SOL/USDC", second) // 10**8
    offset = price * (first_rule(f"SOL/USDC|{venue}", second) // 2_000) // 10**8
    assert market.reference_price(SOL, USDC, slot, version=1) == price
    assert venue_price(venue, SOL, USDC, slot, version=1) == price + offset


def test_a_slot_is_400_ms_and_a_price_lasts_a_second() -> None:
    assert [market.slot_at(ms) for ms in (0, 399, 400, 1_999)] == [0, 0, 1, 4]
    assert [market.seconds_at(slot) for slot in (0, 2, 3, 5)] == [0, 0, 1, 2]


def test_the_sol_usdc_pools_have_the_expected_reserves_and_bins() -> None:
    (pool,) = snapshot("raydium", SLOT).pools(SOL, USDC)
    assert isinstance(pool.state, raydium.Pool)
    k = pool.state.reserve_x * pool.state.reserve_y
    assert abs(k - 33_333_333_333_333 * 5_000_000_000_000) <= pool.state.reserve_x

    (ladder,) = snapshot("meteora", SLOT).pools(SOL, USDC)
    assert isinstance(ladder.state, meteora.Pool)
    active = ladder.state.active_id
    assert sorted(ladder.state.bins) == list(range(active - 35, active + 36))
    assert ladder.state.bins[active] == (25 * 10**9, 3_750 * 10**6)
    assert ladder.state.bins[active + 35] == (50 * 10**9, 0)
    assert ladder.state.bins[active - 35] == (0, 7_500 * 10**6)
    assert ladder.state.last_update is None


def test_the_sol_usdc_whirlpool_has_the_expected_positions() -> None:
    (pool,) = snapshot("whirlpool", SLOT).pools(SOL, USDC)
    assert isinstance(pool.state, whirlpool.Pool)
    state = pool.state
    assert (state.tick_spacing, state.fee_rate, state.protocol_fee_rate) == (4, 400, 1_300)
    assert state.liquidity == 776 * 10**12
    middle = state.tick // 4 * 4
    reaches = {tick - middle for tick in state.ticks if abs(tick) < 443_636}
    assert reaches == {-512, -128, -32, 32, 128, 512}
    assert state.ticks[-443_636] == 10**12
    assert state.ticks[middle + 128] == -2 * 10**14


@for_all(slots, st.sampled_from(LISTINGS), seeds)
def test_the_price_of_a_pool_is_its_venues_price(slot: int, listing: Listing, seed: str) -> None:
    base, quote = TOKENS[listing.base], TOKENS[listing.quote]
    price = venue_price(listing.venue, base, quote, slot, seed=seed)
    pool = snapshot(listing.venue, slot, seed).pool(listing.address)
    lot = 10 ** REFERENCES[listing.base].lot
    if isinstance(pool.state, raydium.Pool):
        pool_price = pool.state.reserve_y * lot // pool.state.reserve_x
        assert abs(pool_price - price) <= 1 + price // 10**6
        return
    if isinstance(pool.state, whirlpool.Pool):
        pool_price = pool.state.sqrt_price**2 * lot >> 128
        assert abs(pool_price - price) <= 1
        return
    assert isinstance(pool.state, meteora.Pool)
    step, active = pool.state.parameters.bin_step, pool.state.active_id
    distance = {
        i: abs(meteora.price_of_bin(i, step) * lot - (price << 64))
        for i in (active - 1, active, active + 1)
    }
    assert distance[active] < distance[active - 1]
    assert distance[active] <= distance[active + 1]


@for_all(st.sampled_from([1, 4, 25, 100]), st.integers(-1_000, 1_000))
def test_the_lower_of_two_equally_near_bins_is_active(bin_step: int, bin_id: int) -> None:
    lower, upper = (meteora.price_of_bin(i, bin_step) for i in (bin_id, bin_id + 1))
    # Doubled prices, so that the middle is an integer number of 2^-64.
    middle = lower + upper
    assert meteora.nearest_bin(middle, 2 << 64, bin_step) == bin_id
    assert meteora.nearest_bin(middle + 1, 2 << 64, bin_step) == bin_id + 1


@for_all(slots, seeds)
def test_prices_stay_within_their_bounds(slot: int, seed: str) -> None:
    price = market.reference_price(SOL, USDC, slot, seed)
    assert abs(price - 150_000_000) * 10_000 <= 150_000_000 * 2_002
    for venue, bps in (("raydium", 25), ("meteora", 2), ("whirlpool", 4)):
        moved = venue_price(venue, SOL, USDC, slot, seed=seed) - price
        assert abs(moved) * 10_000 < price * bps


@for_all(slots, st.sampled_from(LISTINGS))
def test_the_price_of_the_reversed_pair_is_the_reciprocal(slot: int, listing: Listing) -> None:
    base, quote = TOKENS[listing.base], TOKENS[listing.quote]
    there = venue_price(listing.venue, base, quote, slot)
    back = venue_price(listing.venue, quote, base, slot)
    lots = market.LOTS[listing.base] * market.LOTS[listing.quote]
    # Each price is rounded down, and so are the two values whose quotient it is.
    assert there * back == pytest.approx(lots, rel=1e-6 + 3 / min(there, back))


def test_each_venue_has_the_highest_price_at_some_time() -> None:
    moments = [SLOT + 216_000 * i for i in range(60)]
    dearest = {
        max(VENUES, key=lambda venue: venue_price(venue, SOL, USDC, slot)) for slot in moments
    }
    assert dearest == set(VENUES)


@pytest.mark.parametrize("slot", range(SLOT, SLOT + 10**9, 10**9 // 40))
def test_no_pools_quote_is_better_than_the_reference(slot: int) -> None:
    assert list(better_quotes(slot)) == []


@pytest.mark.slow
def test_no_cycle_gains_a_unit() -> None:
    """`python -m tests.load.cycles` checks 20,000 slots."""
    drawn = random.Random(0)
    slots = [drawn.randrange(4 * 10**9, 5 * 10**9) for _ in range(150)]
    assert [slot for slot in slots if gain_of_a_cycle(drawn, slot) > 0] == []


def test_each_seed_has_its_own_prices() -> None:
    assert market.reference_price(SOL, USDC, SLOT, "a") != market.reference_price(
        SOL, USDC, SLOT, "b"
    )


def test_a_token_without_a_reference_price_is_an_error_when_the_market_loads() -> None:
    program = """
from functions.dex import tokens
tokens.TOKENS["WIF"] = tokens.Token("WIF", "EKpQ…zcjm", 6, "dogwifhat")
import functions.simulation.market
"""
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "LookupError: tokens without a reference price: WIF" in loaded.stderr


def test_some_pairs_are_on_one_venue_and_some_need_two_hops() -> None:
    def venues(one: str, other: str) -> list[str]:
        pair = TOKENS[one], TOKENS[other]
        return [venue for venue, found in snapshots(SLOT).items() if found.pools(*pair)]

    assert venues("SOL", "USDC") == ["raydium", "meteora", "whirlpool"]
    assert venues("RAY", "USDC") == ["raydium"]
    assert venues("USDC", "MET") == ["meteora"]
    assert venues("JitoSOL", "USDC") == []


def test_every_pool_has_its_own_address() -> None:
    addresses = [listing.address for listing in LISTINGS]
    assert len(set(addresses)) == len(addresses)
    assert all(43 <= len(address) <= 44 for address in addresses)
    with pytest.raises(KeyError):
        snapshot("raydium", SLOT).pool("nowhere")
    meteoras = next(listing.address for listing in LISTINGS if listing.venue == "meteora")
    with pytest.raises(KeyError):
        snapshot("raydium", SLOT).pool(meteoras)
    with pytest.raises(ValueError, match="no venue"):
        snapshot("nowhere", SLOT)


def test_the_first_version_has_its_own_listings_and_prices() -> None:
    assert [pool.venue for pool in snapshot("raydium", SLOT, version=1).pools(SOL, USDC)]
    assert snapshot("whirlpool", SLOT, version=1).pools(SOL, USDC) == ()
    (first,), (second,) = (
        snapshot("raydium", SLOT, version=version).pools(SOL, USDC) for version in (1, 2)
    )
    assert first.address == second.address
    assert first.fill(SOL, 10**9).amount_out != second.fill(SOL, 10**9).amount_out


def test_a_snapshot_converts_amounts_at_the_reference_price_and_prices_a_leg() -> None:
    at = snapshot("raydium", SLOT)
    assert at.worth(10**9, SOL, USDC) == 153_666_984
    assert at.worth(153_666_984, USDC, SOL) == 10**9
    assert at.leg_cost(SOL) == 4_500
    assert at.leg_cost(USDC) == 4_500 * 153_666_984 // 10**9


@for_all(slots, st.sampled_from(LISTINGS), st.booleans(), seeds)
def test_the_pools_of_a_pair_never_take_or_hold_more_than_a_token_account_can(
    slot: int, listing: Listing, from_base: bool, seed: str
) -> None:
    base, quote = TOKENS[listing.base], TOKENS[listing.quote]
    token_in = base if from_base else quote
    pools = [pool for venue in snapshots(slot, seed).values() for pool in venue.pools(base, quote)]
    most_in = sum(usable(pool.side(token_in)) for pool in pools)
    assert most_in <= UNITS_MAX
    for pool in pools:
        state = pool.state
        held = []
        if isinstance(state, raydium.Pool):
            held = [(state.reserve_x, state.reserve_y)]
        elif isinstance(state, meteora.Pool):
            held = list(state.bins.values())
        assert 2 * most_in + sum(x for x, _ in held) + sum(y for _, y in held) <= UNITS_MAX


def test_a_closed_pool_is_in_no_new_route_and_still_settles_transactions_routed_over_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    route = find_route(SOL, USDC, 10**9, 50, snapshots(SLOT))
    (leg,) = route.route_plan
    signed = chain.build("order-1", 1, route, SLOT)
    settled = chain.outcome(signed)
    assert isinstance(settled, Landed)
    closed = tuple(
        replace(listing, closed=listing.closed or listing.address == leg.pool)
        for listing in LISTINGS
    )
    monkeypatch.setattr(market, "LISTINGS", closed)
    snapshot.cache_clear()
    try:
        (other,) = find_route(SOL, USDC, 10**9, 50, snapshots(SLOT)).route_plan
        assert other.pool != leg.pool
        assert chain.outcome(signed) == settled
    finally:
        snapshot.cache_clear()


def test_a_listed_pool_keeps_its_outputs_in_every_version() -> None:
    """Transactions under way name it. To change a pool, close it, and list another one."""
    known = json.loads((Path(__file__).parent / "market-versions.json").read_text())
    assert set(known) == {str(version) for version in range(1, market.VERSION + 1)}
    for version, pools in known.items():
        found = {
            listing.address: fingerprint(listing, int(version))
            for listing in LISTINGS
            if listing.address in pools
        }
        assert found == pools, "a listing or a reference was changed or deleted"
    newest = {listing.address for listing in LISTINGS}
    assert newest == set(known[str(market.VERSION)]), "add the new pools to market-versions.json"


def fingerprint(listing: Listing, version: int) -> str:
    """A hash of the pool's outputs at several slots, for amounts of both tokens."""
    tokens = TOKENS[listing.base], TOKENS[listing.quote]
    given = [
        snapshot(listing.venue, slot, seed, version)
        .pool(listing.address)
        .fill(token, units * 10**token.decimals)
        for seed in ("", "a seed")
        for slot in (SLOT, SLOT + 9_999)
        for token in tokens
        for units in (1, 7)
    ]
    return sha256(str([fill.amount_out for fill in given]).encode()).hexdigest()[:16]


def test_pools_of_one_program_and_pair_with_different_numbers_have_different_addresses() -> None:
    first = LISTINGS[0]
    assert replace(first, number=2).address != first.address


@pytest.mark.parametrize("pair", list(permutations(TOKENS, 2)), ids="/".join)
def test_every_pair_has_a_route(pair: tuple[str, str]) -> None:
    token_in, token_out = TOKENS[pair[0]], TOKENS[pair[1]]
    route = find_route(token_in, token_out, 10 * 10**token_in.decimals, 50, snapshots(SLOT))
    assert route.out_amount > 0


def test_the_prices_of_a_slot_are_text_by_venue() -> None:
    prices = market.price_texts(SOL, USDC, SLOT)
    assert prices["reference"] == "153.666984"
    assert set(prices) == {"reference", "raydium", "meteora", "whirlpool"}
    assert set(market.price_texts(TOKENS["MET"], USDC, SLOT)) == {"reference", "meteora"}
