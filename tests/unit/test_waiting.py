"""The prices that an order waits for, in base units and as keys."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.contract import wake_key
from functions.dex import router, tokens
from functions.orders import waiting
from functions.orders.order import Order, Trigger
from functions.orders.waiting import Wake
from functions.simulation.network import Network
from tests.clock import START_MS
from tests.orders import pending_order

AMOUNTS = st.integers(1, 10**15).map(lambda units: tokens.to_text(units, 9))
PRICES = st.decimals("0.000001", "1e9", places=6).map(str)


def order(kind: str, amount: str = "1", pair: str = "SOL/USDC", **prices: Any) -> Order:
    token_in, token_out = pair.split("/")
    terms: dict[str, Any] = {"type": kind, "tokenIn": token_in, "tokenOut": token_out}
    return pending_order("0", amount=amount, slippageBps=None, **terms, **prices)


@given(AMOUNTS, PRICES)
def test_the_least_output_of_a_limit_order_is_the_smallest_at_its_price(
    amount: str, price: str
) -> None:
    least = waiting.limit_out(order("limit", amount, limit_price=price))
    assert Decimal(least) / 10**6 >= Decimal(amount) * Decimal(price) - Decimal("1e-20")
    assert Fraction(least - 1, 10**6) < Fraction(amount) * Fraction(price)


@given(AMOUNTS, PRICES)
def test_a_stop_is_reached_at_the_largest_output_that_pays_its_price_or_less(
    amount: str, price: str
) -> None:
    most = waiting.stop_out(order("stop", amount, stop_price=price))
    assert Fraction(most, 10**6) <= Fraction(amount) * Fraction(price) < Fraction(most + 1, 10**6)


@pytest.mark.parametrize(
    ("out_amount", "trigger"),
    [(None, None), (90, "stop"), (91, None), (109, None), (110, "limit")],
)
def test_each_side_of_an_oco_order_is_reached_at_its_price(
    out_amount: int | None, trigger: str | None
) -> None:
    both = order("oco", "0.000001", limit_price="110", stop_price="90")
    assert waiting.reached_trigger(both, out_amount) == (Trigger(trigger) if trigger else None)


def test_the_wake_keys_of_an_order_without_a_route_are_its_own_prices() -> None:
    both = order("oco", limit_price="110", stop_price="90")
    found = waiting.wake(both, None, Fraction(100))
    assert found == Wake(wake_key(110 * (1 - waiting.ROUNDING)), wake_key(Fraction(90)))


@pytest.mark.parametrize(
    "share", [10**6, *(pytest.param(share, marks=pytest.mark.slow) for share in (20, 3))]
)
@pytest.mark.parametrize("pair", ["SOL/USDC", "RAY/MET", "USDC/RAY", "mSOL/SOL"])
def test_the_wake_keys_cover_every_moment_at_which_an_order_can_execute(
    pair: str, share: int
) -> None:
    """The amount is a `share`-th of the largest that routes; the prices are of other times."""
    clock = [START_MS]
    network = Network(lambda: clock[0], lambda _seconds: None)
    source, target = map(tokens.find, pair.split("/"))
    units = router.largest_amount(source, target, network.snapshots()) // share
    amount = tokens.to_text(units, source.decimals)
    moments = random.Random(1).sample(range(START_MS, START_MS + 10**10, 1000), 30)
    seen = []
    for clock[0] in moments:
        route = router.find_route(source, target, units, 0, network.snapshots())
        seen.append((route.out_amount, network.reference(source, target)))
    for out_then, reference_then in seen[:6]:
        for out_now, reference_now in seen:
            price = tokens.price_text(units, source, out_now, target)
            limit = order("limit", amount, pair, limit_price=price)
            above = waiting.wake(limit, out_then, reference_then).above
            assert above is not None
            assert wake_key(reference_now) >= above
            higher = tokens.price_text(units, source, out_now + out_now // 10**9 + 1, target)
            stop = order("stop", amount, pair, stop_price=higher)
            below = waiting.wake(stop, out_then, reference_then).below
            assert below is not None
            if waiting.reached_trigger(stop, out_now):
                assert wake_key(reference_now) <= below


def test_new_wake_keys_are_stored_only_if_they_save_a_wake_or_prevent_a_missed_one() -> None:
    def keys(above: int | None = None, below: int | None = None) -> Wake:
        return Wake(
            *(None if each is None else wake_key(Fraction(each)) for each in (above, below))
        )

    price = Fraction(100)
    assert waiting.is_worth_storing(
        keys(101), keys(99), price
    )  # it is not woken at this price any more
    assert not waiting.is_worth_storing(
        keys(100), keys(99), price
    )  # it is woken at this price anyway
    assert waiting.is_worth_storing(keys(98), keys(99), price)  # an execution could be missed
    assert waiting.is_worth_storing(keys(below=99), keys(below=101), price)
    assert waiting.is_worth_storing(keys(below=102), keys(below=101), price)
    assert not waiting.is_worth_storing(keys(below=100), keys(below=101), price)
    assert waiting.is_worth_storing(keys(101, 99), waiting.AT_ONCE, price)
