"""An order's transitions, and its state after each update."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.contract import (
    DELAY_SECONDS_MAX,
    MAX_ATTEMPTS,
    RETRY_BASE_MS_MAX,
    iso,
    unix_ms,
)
from functions.orders.order import (
    STEPS,
    TRANSITIONS,
    ImpossibleTransition,
    OrderError,
    Status,
    order_of,
)
from functions.orders.retries import after_failure
from functions.orders.terms import type_of
from tests.orders import REQUEST, advanced, pending_order


@pytest.mark.parametrize("then", list(Status))
@pytest.mark.parametrize("now", list(Status))
def test_a_status_follows_another_only_as_the_table_of_transitions_allows(
    now: Status, then: Status
) -> None:
    order = pending_order().model_copy(update={"status": now})
    if then in TRANSITIONS[now]:
        assert order.apply(order.next_update(then, 0)).status is then
    else:
        with pytest.raises(ImpossibleTransition, match=f"{now} cannot become {then}"):
            order.next_update(then, 0)


def test_only_confirmed_failed_cancelled_and_expired_are_terminal() -> None:
    terminal = {status for status in Status if status.terminal}
    assert terminal == {Status.CONFIRMED, Status.FAILED, Status.CANCELLED, Status.EXPIRED}


def test_an_update_out_of_sequence_is_refused() -> None:
    order = advanced(pending_order(), Status.ROUTING)
    late = pending_order().next_update(Status.ROUTING, 0)
    with pytest.raises(ImpossibleTransition, match="update 2"):
        order.apply(late)


def test_an_order_is_rebuilt_from_its_request_and_its_updates() -> None:
    order = advanced(
        pending_order(), Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED
    )
    assert order_of(REQUEST, order.updates) == order
    assert [update.sequence for update in order.updates] == [1, 2, 3, 4, 5]


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_a_time_written_as_text_is_read_back(moment_ms: int) -> None:
    assert unix_ms(iso(moment_ms)) == moment_ms
    assert len(iso(moment_ms)) == 24


def test_the_steps_of_an_order_are_transitions_from_pending_to_a_terminal_status() -> None:
    assert STEPS[0] is Status.PENDING
    assert all(then in TRANSITIONS[now] for now, then in pairwise(STEPS))
    assert STEPS[-1].terminal


@given(reverts=st.integers(0, 50), attempt=st.integers(1, MAX_ATTEMPTS - 1))
def test_no_backoff_is_longer_than_the_longest_delay_of_a_message(
    reverts: int, attempt: int
) -> None:
    order = advanced(pending_order(), Status.ROUTING).model_copy(
        update={"attempt": attempt + reverts, "max_attempts": MAX_ATTEMPTS + reverts}
    )
    error = OrderError(code="FAILED_TO_LAND", message="dropped")
    update = after_failure(order, error, 0, RETRY_BASE_MS_MAX)
    assert update.next_retry_at is not None
    assert unix_ms(update.next_retry_at) <= DELAY_SECONDS_MAX * 1000


@pytest.mark.parametrize(
    ("given_terms", "kind"),
    [
        ("", "market"),
        ("slippageBps", "market"),
        ("limitPrice expiresAt", "limit"),
        ("limitPrice slippageBps", "limit"),
        ("stopPrice slippageBps", "stop"),
        ("limitPrice stopPrice", "oco"),
        ("slices intervalSeconds", "twap"),
        ("slices intervalSeconds limitPrice", "twap"),
        ("slices", "twap"),
    ],
)
def test_the_type_of_an_order_follows_from_its_terms(given_terms: str, kind: str) -> None:
    assert type_of(set(given_terms.split())) == kind
