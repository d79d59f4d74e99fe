"""The network: the venues' answers, the signed transactions, and their outcomes over time."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest

from functions.dex.errors import NoRoutesFound
from functions.dex.router import Route, find_route
from functions.dex.tokens import TOKENS
from functions.orders.order import Order, OrderError, first_update, order_of
from functions.orders.settlement import Landed, Pending
from functions.simulation.network import BUILDING_MS, QUOTE_MS, QUOTE_TIMEOUT_MS, VENUES, Network

SOL, USDC = TOKENS["SOL"], TOKENS["USDC"]
MILLIONTH = Fraction(1, 10**6)
MADE_MS = 1_760_000_000_000
ORDER_ID = "0a4b1c2d-3e4f-5a6b-8c7d-9e0f1a2b3c4d"


class Time:
    """A clock that only sleeps move on."""

    def __init__(self) -> None:
        self.ms = MADE_MS

    def now_ms(self) -> int:
        return self.ms

    def sleep(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


def network(time: Time, **options: Any) -> Network:
    return Network(time.now_ms, time.sleep, **options)


def order(made_ms: int = MADE_MS, **request: Any) -> Order:
    fields = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1", "slippageBps": 50, **request}
    return order_of(fields, [first_update(ORDER_ID, made_ms)])


def route(on: Network) -> Route:
    return find_route(SOL, USDC, 10**9, 50, on.snapshots())


def test_all_venues_are_asked_at_once_and_answer_with_the_pools_of_that_moment() -> None:
    time = Time()
    on = network(time)
    pools = on.snapshots()
    answers = on.ask(order())
    assert [(answer.venue, answer.pools) for answer in answers] == list(pools.items())
    assert {answer.venue for answer in answers} == set(VENUES)
    assert all(QUOTE_MS[0] <= answer.took_ms <= QUOTE_MS[1] for answer in answers)
    assert time.ms - MADE_MS == max(answer.took_ms for answer in answers)


def test_a_fault_is_simulated_for_the_order_that_asks_for_it_where_that_is_allowed() -> None:
    faulty = order(simulate={"fault": "quote_timeout", "venue": "meteora"})
    for allowed in (True, False):
        answers = {
            answer.venue: answer for answer in network(Time(), simulate_allowed=allowed).ask(faulty)
        }
        timed_out = answers["meteora"].pools == "QUOTE_TIMEOUT"
        assert timed_out is (answers["meteora"].took_ms == QUOTE_TIMEOUT_MS) is allowed
        assert answers["raydium"].pools != "QUOTE_TIMEOUT"


def test_a_transaction_is_pending_until_its_landing_and_then_has_one_outcome() -> None:
    time = Time()
    on = network(time)
    signed = on.sign(order(), route(on))
    assert time.ms - MADE_MS == BUILDING_MS
    on.send(signed.text)
    pending = on.outcome(signed.text)
    assert isinstance(pending, Pending)
    assert 4 * 400 <= pending.wait_ms <= 7 * 400
    time.ms += pending.wait_ms - 1
    assert on.outcome(signed.text) == Pending(1)
    time.ms += 1
    landed = on.outcome(signed.text)
    assert isinstance(landed, Landed)
    time.ms += 10**9
    assert on.outcome(signed.text) == landed


def test_a_dropped_transaction_is_pending_until_it_cannot_land_any_more() -> None:
    time = Time()
    on = network(time, drop_ppm=10**6)
    signed = on.sign(order(), route(on))
    pending = on.outcome(signed.text)
    assert isinstance(pending, Pending)
    assert 150 * 400 < pending.wait_ms <= 151 * 400
    time.ms += pending.wait_ms
    dead = on.outcome(signed.text)
    assert isinstance(dead, OrderError)
    assert dead.code == "FAILED_TO_LAND"


def test_no_latency_is_no_wait() -> None:
    time = Time()
    on = network(time, latency_scale=0)
    on.ask(order())
    signed = on.sign(order(), route(on))
    assert isinstance(on.outcome(signed.text), Landed)
    assert time.ms == MADE_MS


def test_an_id_that_is_used_again_for_another_order_signs_another_transaction() -> None:
    """After `orderExpiryDays` an idempotency key makes an order of the same id."""
    on = network(Time())
    first, again = (on.sign(order(made), route(on)) for made in (MADE_MS, MADE_MS + 1))
    repeated = on.sign(order(), route(on))
    assert first.signature == repeated.signature != again.signature


@pytest.mark.parametrize("seed", ["", "a seed"])
def test_prices_are_told_for_each_time_by_reference_and_venue(seed: str) -> None:
    times = [MADE_MS, MADE_MS + 60_000]
    first, second = network(Time(), seed=seed).prices(SOL, USDC, times)
    assert set(first) == set(second) == {"reference", *VENUES}
    assert first != second
    assert (first["reference"] == "153.666984") is (seed == "")


@pytest.mark.parametrize("seed", ["", "a seed"])
def test_the_reference_of_a_pair_is_that_of_the_prices_to_their_last_digit(seed: str) -> None:
    on = network(Time(), seed=seed)
    for one, other in permutations(TOKENS.values(), 2):
        (point,) = on.prices(one, other, [MADE_MS])
        assert float(on.reference(one, other)) == pytest.approx(float(point["reference"]), rel=1e-6)
        assert on.reference(one, other) * on.reference(other, one) == 1


@pytest.mark.parametrize("dollars", [1, 1_000, 100_000])
def test_no_amount_gets_more_a_unit_than_the_best_price(dollars: int) -> None:
    on = network(Time())
    pools = on.snapshots()
    compared = 0
    for one, other in permutations(TOKENS.values(), 2):
        units = round(dollars * on.reference(USDC, one) * 10**one.decimals)
        price = on.best_price(one, other)
        # Pools count in whole units: a millionth more.
        most = units * price * Fraction(10**other.decimals, 10**one.decimals) * (1 + MILLIONTH)
        with suppress(NoRoutesFound):
            assert find_route(one, other, units, 0, pools).out_amount <= most
            compared += 1
        assert price <= on.reference(one, other) * (1 + MILLIONTH)
    assert compared > 60


def test_an_order_that_names_a_venue_of_another_release_is_still_read() -> None:
    faulty = order(simulate={"fault": "venue_down", "venue": "a newer one"})
    answers = network(Time(), simulate_allowed=True).ask(faulty)
    assert all(not isinstance(answer.pools, str) for answer in answers)
