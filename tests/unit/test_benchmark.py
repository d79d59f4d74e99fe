"""The time to find a route, which is billed. Times are printed, and only roughly asserted."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from functions.dex import router, whirlpool
from functions.dex.router import Route
from functions.dex.tokens import TOKENS, to_units
from functions.orders.settlement import Landed
from functions.simulation import chain, market

SLOT = 4_400_000_000
# Every round quotes at its own slot, so that no pool or ladder is cached from an earlier round.
_SLOTS = count(SLOT, 10)


def quoting(
    token_in: str, token_out: str, amount: str, slippage_bps: int = 50
) -> Callable[[], Route]:
    one, other = TOKENS[token_in], TOKENS[token_out]
    units = to_units(amount, one)

    def quote() -> Route:
        return router.find_route(one, other, units, slippage_bps, market.snapshots(next(_SLOTS)))

    return quote


def test_a_direct_route_is_found_within_100_ms(benchmark: Any) -> None:
    route = benchmark(quoting("SOL", "USDC", "1"))
    assert sum(leg.in_amount for leg in route.route_plan if leg.token_in.symbol == "SOL") == 10**9
    assert benchmark.stats is None or benchmark.stats.stats.median < 0.1


def test_a_split_over_several_venues_is_found_within_100_ms(benchmark: Any) -> None:
    route = benchmark(quoting("SOL", "USDC", "1000"))
    assert len({leg.venue for leg in route.route_plan}) >= 2
    assert benchmark.stats is None or benchmark.stats.stats.median < 0.1


def test_a_route_of_two_hops_is_found_within_100_ms(benchmark: Any) -> None:
    route = benchmark(quoting("BONK", "mSOL", "1000000000"))
    assert "via SOL" in route.reason
    assert benchmark.stats is None or benchmark.stats.stats.median < 0.1


@pytest.mark.parametrize(
    ("token_in", "token_out", "amount"), [("SOL", "USDC", "10000"), ("JUP", "BONK", "100000")]
)
def test_a_mixture_over_hubs_is_found_within_500_ms(
    benchmark: Any, token_in: str, token_out: str, amount: str
) -> None:
    route = benchmark(quoting(token_in, token_out, amount))
    assert len({leg.token_in.symbol for leg in route.route_plan}) > 1
    assert benchmark.stats is None or benchmark.stats.stats.median < 0.5


def test_the_outcome_of_a_transaction_is_computed_within_50_ms(benchmark: Any) -> None:
    # With the default slippage, one order in a few thousand fails.
    quote = quoting("SOL", "USDC", "1000", slippage_bps=1000)
    signed: list[chain.Transaction] = []

    def sign() -> tuple[list[chain.Transaction], dict[str, Any]]:
        route = quote()
        signed.append(chain.build(f"order-{len(signed)}", 1, route, route.slot))
        return signed[-1:], {}

    landed = benchmark.pedantic(chain.outcome, setup=sign, rounds=500)
    assert isinstance(landed, Landed)
    assert landed.out_amount >= signed[-1].other_amount_threshold
    assert len(landed.fills) == len(signed[-1].legs)
    assert benchmark.stats is None or benchmark.stats.stats.median < 0.05


def test_a_swap_that_crosses_two_ticks_is_computed_within_10_ms(benchmark: Any) -> None:
    nets = {-19_104: 200, -19_008: 500, -18_944: -500, -18_848: -200}
    ticks = {tick: net * 10**12 for tick, net in nets.items()}
    sqrt_price = 7_144_393_258_922_745_604
    pool = whirlpool.Pool(4, 400, 1_300, 700 * 10**12, sqrt_price, -18_973, ticks)

    def quote() -> int:
        return pool.side(True).amount_out(4_000 * 10**9)

    assert benchmark(quote) == whirlpool.swap_exact_in(pool, 4_000 * 10**9, True).amount_out
    assert benchmark.stats is None or benchmark.stats.stats.median < 0.01
