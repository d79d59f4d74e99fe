"""Draws and simulated faults are the same for the same keys, and have the right frequency."""

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from functions.dex import base58
from functions.orders.draws import draw
from functions.orders.order import Simulate
from functions.simulation.faults import fate, quote_error


@for_all(st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.text(max_size=20))
def test_a_draw_stays_in_its_bounds_and_repeats(low: int, width: int, key: str) -> None:
    drawn = draw(low, low + width, key, 1)
    assert low <= drawn <= low + width
    assert draw(low, low + width, key, 1) == drawn


def test_draws_are_evenly_distributed_and_differ_between_keys() -> None:
    drawn = [draw(0, 9, "order", i) for i in range(10_000)]
    assert all(850 < drawn.count(digit) < 1_150 for digit in range(10))
    assert draw(0, 10**12, "a", "bc") != draw(0, 10**12, "ab", "c")
    assert draw(5, 5, "any") == 5
    with pytest.raises(ValueError, match="no integer"):
        draw(1, 0)


def test_base58_keeps_leading_zeros() -> None:
    assert base58.encode(b"") == ""
    assert base58.encode(b"\0\0\1") == "112"
    assert base58.encode(b"Hello World!") == "2NEpo7TZRRrLZSi2U"


def test_nothing_fails_at_a_chance_of_zero_and_everything_at_one() -> None:
    for i in range(200):
        assert quote_error(f"order-{i}", 1, "raydium", None, 0) is None
        assert quote_error(f"order-{i}", 1, "raydium", None, 1_000_000) == "QUOTE_ERROR"
        assert fate(f"order-{i}", 1, None, 0) == "land"
        assert fate(f"order-{i}", 1, None, 1_000_000) == "drop"


def test_at_a_chance_of_two_percent_about_two_percent_fail() -> None:
    orders = [f"order-{i}" for i in range(10_000)]
    assert 140 < sum(fate(order, 1, None, 20_000) == "drop" for order in orders) < 260
    errors = sum(quote_error(order, 1, "meteora", None, 20_000) is not None for order in orders)
    assert 140 < errors < 260


@pytest.mark.parametrize(
    ("fault", "reason"), [("venue_down", "VENUE_DOWN"), ("quote_timeout", "QUOTE_TIMEOUT")]
)
def test_a_venue_fails_in_the_attempts_that_the_orders_fault_names(fault: str, reason: str) -> None:
    one = Simulate.model_validate({"fault": fault, "venue": "raydium", "attempts": 2})
    assert quote_error("o", 1, "raydium", one, 0) == reason
    assert quote_error("o", 2, "raydium", one, 0) == reason
    assert quote_error("o", 3, "raydium", one, 0) is None
    assert quote_error("o", 1, "meteora", one, 0) is None
    everywhere = Simulate.model_validate({"fault": fault})
    assert quote_error("o", 3, "meteora", everywhere, 0) == reason
    assert quote_error("o", 4, "meteora", everywhere, 0) is None
    assert fate("o", 1, everywhere, 0) == "land"


def test_a_transaction_drops_or_slips_in_the_attempts_that_the_orders_fault_names() -> None:
    dropped = Simulate(fault="dropped_transaction", attempts=1)
    assert [fate("o", attempt, dropped, 0) for attempt in (1, 2)] == ["drop", "land"]
    slipped = Simulate(fault="slippage")
    assert [fate("o", attempt, slipped, 0) for attempt in (1, 2, 3, 4)] == [
        "slip",
        "slip",
        "slip",
        "land",
    ]
    assert quote_error("o", 1, "raydium", dropped, 0) is None
