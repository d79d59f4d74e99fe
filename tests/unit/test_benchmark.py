"""How long a route takes; what is billed. Times are shown, and asserted only to be sane."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from functions.dex import router
from functions.dex.router import Route
from functions.dex.tokens import TOKENS, to_units
from functions.simulation import chain, market

SLOT = 4_400_000_000
# Every round quotes at a slot of its own, so that no pool or ladder is there from the round before.
_SLOTS = count(SLOT, 10)


def quoting(token_in: str, token_out: str, amount: str) -> Callable[[], Route]:
    one, other = TOKENS[token_in], TOKENS[token_out]
    units = to_units(amount, one)

    def quote() -> Route:
        slot = next(_SLOTS)
        pools = {venue: market.snapshot(venue, slot) for venue in market.VENUES}
        return router.find_route(one, other, units, 50, pools)

    return quote


@pytest.mark.parametrize("amount", ["1", "100", "10000"])
def test_a_split_route_over_two_venues(benchmark: Any, amount: str) -> None:
    route = benchmark(quoting("SOL", "USDC", amount))
    assert route.out_amount > 0
    assert benchmark.stats is None or benchmark.stats.stats.median < 0.1


@pytest.mark.parametrize("amount", ["1000000", "1000000000"])
def test_a_route_of_two_hops(benchmark: Any, amount: str) -> None:
    route = benchmark(quoting("BONK", "mSOL", amount))
    assert "via SOL" in route.reason
    assert benchmark.stats is None or benchmark.stats.stats.median < 0.5


def test_a_route_where_both_hubs_and_the_pair_itself_compete(benchmark: Any) -> None:
    route = benchmark(quoting("JUP", "BONK", "100000"))
    assert route.out_amount > 0


def test_the_outcome_of_a_transaction(benchmark: Any) -> None:
    quote = quoting("SOL", "USDC", "1000")
    found = [quote() for _ in range(5_000)]
    numbers = count()

    def settle() -> object:
        number = next(numbers)
        route = found[number % len(found)]
        return chain.outcome(chain.build(f"order-{number}", 1, route, route.slot))

    assert benchmark(settle)
