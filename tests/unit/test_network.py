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
from functions.orders.order import Order, OrderError
from functions.orders.settlement import Landed, Pending
from functions.simulation.network import BUILDING_MS, QUOTE_MS, QUOTE_TIMEOUT_MS, VENUES, Network
from tests.clock import VirtualClock
from tests.orders import pending_order

SOL, USDC = TOKENS["SOL"], TOKENS["USDC"]
MILLIONTH = Fraction(1, 10**6)
CREATED_MS = 1_760_000_000_000


def network(clock: VirtualClock | None = None, **options: Any) -> Network:
    clock = clock or VirtualClock(CREATED_MS)
    return Network(clock.now_ms, clock.sleep, **options)


def order(created_ms: int = CREATED_MS, **request: Any) -> Order:
    return pending_order(at_ms=created_ms, **request)


def route(exchange: Network) -> Route:
    return find_route(SOL, USDC, 10**9, 50, exchange.snapshots())


def test_all_venues_are_asked_concurrently_and_answer_with_the_pools_of_that_moment() -> None:
    clock = VirtualClock(CREATED_MS)
    exchange = network(clock)
    pools = exchange.snapshots()
    answers = exchange.ask(order())
    assert [(answer.venue, answer.pools) for answer in answers] == list(pools.items())
    assert {answer.venue for answer in answers} == set(VENUES)
    assert all(QUOTE_MS[0] <= answer.took_ms <= QUOTE_MS[1] for answer in answers)
    assert clock.at_ms - CREATED_MS == max(answer.took_ms for answer in answers)


def test_a_fault_that_an_order_requests_is_simulated_only_if_that_is_allowed() -> None:
    faulty = order(simulate={"fault": "quote_timeout", "venue": "meteora"})
    for allowed in (True, False):
        answers = {answer.venue: answer for answer in network(simulate_allowed=allowed).ask(faulty)}
        timed_out = answers["meteora"].pools == "QUOTE_TIMEOUT"
        assert timed_out is (answers["meteora"].took_ms == QUOTE_TIMEOUT_MS) is allowed
        assert answers["raydium"].pools != "QUOTE_TIMEOUT"


def test_a_transaction_is_pending_until_it_lands_and_then_keeps_its_outcome() -> None:
    clock = VirtualClock(CREATED_MS)
    exchange = network(clock)
    signed = exchange.sign(order(), route(exchange))
    assert clock.at_ms - CREATED_MS == BUILDING_MS
    exchange.send(signed.text)
    pending = exchange.outcome(signed.text)
    assert isinstance(pending, Pending)
    assert 4 * 400 <= pending.wait_ms <= 7 * 400
    clock.at_ms += pending.wait_ms - 1
    assert exchange.outcome(signed.text) == Pending(1)
    clock.at_ms += 1
    landed = exchange.outcome(signed.text)
    assert isinstance(landed, Landed)
    clock.at_ms += 10**9
    assert exchange.outcome(signed.text) == landed


def test_a_dropped_transaction_is_pending_until_its_last_valid_slot_has_passed() -> None:
    clock = VirtualClock(CREATED_MS)
    exchange = network(clock, drop_ppm=10**6)
    signed = exchange.sign(order(), route(exchange))
    pending = exchange.outcome(signed.text)
    assert isinstance(pending, Pending)
    assert 150 * 400 < pending.wait_ms <= 151 * 400
    clock.at_ms += pending.wait_ms
    dropped = exchange.outcome(signed.text)
    assert isinstance(dropped, OrderError)
    assert dropped.code == "FAILED_TO_LAND"


def test_without_simulated_latency_no_call_waits() -> None:
    clock = VirtualClock(CREATED_MS)
    exchange = network(clock, latency_scale=0)
    exchange.ask(order())
    signed = exchange.sign(order(), route(exchange))
    assert isinstance(exchange.outcome(signed.text), Landed)
    assert clock.at_ms == CREATED_MS


def test_a_later_order_of_the_same_id_signs_another_transaction() -> None:
    """After `orderExpiryDays` the same idempotency key makes a new order with the same id."""
    exchange = network()
    first, again = (
        exchange.sign(order(created), route(exchange)) for created in (CREATED_MS, CREATED_MS + 1)
    )
    repeated = exchange.sign(order(), route(exchange))
    assert first.signature == repeated.signature != again.signature


@pytest.mark.parametrize("seed", ["", "a seed"])
def test_prices_at_each_time_are_the_reference_price_and_one_of_each_venue(seed: str) -> None:
    times = [CREATED_MS, CREATED_MS + 60_000]
    first, second = network(seed=seed).prices(SOL, USDC, times)
    assert set(first) == set(second) == {"reference", *VENUES}
    assert first != second
    assert (first["reference"] == "153.666984") is (seed == "")


@pytest.mark.parametrize("seed", ["", "a seed"])
def test_the_exact_reference_price_equals_the_rounded_one_and_reverses_with_the_pair(
    seed: str,
) -> None:
    exchange = network(seed=seed)
    for one, other in permutations(TOKENS.values(), 2):
        (point,) = exchange.prices(one, other, [CREATED_MS])
        reference = float(exchange.reference(one, other))
        assert reference == pytest.approx(float(point["reference"]), rel=1e-6)
        assert exchange.reference(one, other) * exchange.reference(other, one) == 1


@pytest.mark.parametrize("dollars", [1, 1_000, 100_000])
def test_no_amount_gets_a_better_price_than_the_best_price(dollars: int) -> None:
    exchange = network()
    pools = exchange.snapshots()
    compared = 0
    for one, other in permutations(TOKENS.values(), 2):
        units = round(dollars * exchange.reference(USDC, one) * 10**one.decimals)
        price = exchange.best_price(one, other)
        # A millionth more, because pools round to whole units.
        most = units * price * Fraction(10**other.decimals, 10**one.decimals) * (1 + MILLIONTH)
        with suppress(NoRoutesFound):
            assert find_route(one, other, units, 0, pools).out_amount <= most
            compared += 1
        assert price <= exchange.reference(one, other) * (1 + MILLIONTH)
    assert compared > 60


def test_an_order_whose_fault_names_an_unknown_venue_is_quoted_by_all_venues() -> None:
    faulty = order(simulate={"fault": "venue_down", "venue": "a newer one"})
    answers = network(simulate_allowed=True).ask(faulty)
    assert all(not isinstance(answer.pools, str) for answer in answers)
