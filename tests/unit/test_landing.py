"""A route of any amount lands: its output some slots later is at least its threshold."""

import random

import pytest

from functions.dex.router import Route, find_route, largest_amount
from functions.dex.tokens import TOKENS, Token
from functions.orders.order import OrderError
from functions.orders.settlement import Landed, Outcome
from functions.simulation import chain
from functions.simulation.market import snapshots

SOL, USDC, BONK = TOKENS["SOL"], TOKENS["USDC"], TOKENS["BONK"]
SLOT = 4_400_000_000
# Far more than prices move before a transaction lands.
ANY_PRICE_BPS = 2_000


def routed(token_in: Token, token_out: Token, amount: int, slot: int, slippage_bps: int) -> Route:
    return find_route(token_in, token_out, amount, slippage_bps, snapshots(slot))


def landed(route: Route, order_id: str = "order") -> Outcome:
    return chain.outcome(chain.build(order_id, 1, route, route.slot))


@pytest.mark.parametrize("slot", range(SLOT, SLOT + 10**6, 10**5))
@pytest.mark.parametrize("dollars", [100_000, 300_000])
def test_a_trade_that_takes_most_of_all_bins_lands(slot: int, dollars: int) -> None:
    route = routed(USDC, BONK, dollars * 10**6, slot, ANY_PRICE_BPS)
    assert isinstance(landed(route), Landed)


@pytest.mark.slow
def test_the_largest_trade_of_any_pair_lands() -> None:
    drawn = random.Random(0)
    for number in range(60):
        token_in, token_out = drawn.sample(list(TOKENS.values()), 2)
        slot = drawn.randrange(4 * 10**9, 5 * 10**9)
        amount = largest_amount(token_in, token_out, snapshots(slot))
        route = routed(token_in, token_out, amount, slot, ANY_PRICE_BPS)
        outcome = landed(route, f"order-{number}")
        assert isinstance(outcome, Landed), (token_in.symbol, token_out.symbol, slot, outcome)


@pytest.mark.slow
def test_a_slippage_of_5_bps_sometimes_fails_and_one_of_50_bps_almost_never() -> None:
    drawn = random.Random(0)
    failed = {5: 0, 50: 0}
    for number in range(1_000):
        slot = drawn.randrange(4 * 10**9, 5 * 10**9)
        for bps in failed:
            route = routed(SOL, USDC, 10**9, slot, bps)
            failed[bps] += isinstance(landed(route, f"order-{number}"), OrderError)
    assert 3 <= failed[5] <= 40
    assert failed[50] <= 3
