"""An order's transitions, and its state after each update."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.contract import iso, unix_ms
from functions.orders.order import (
    TRANSITIONS,
    ImpossibleTransition,
    Order,
    Status,
    first_update,
    order_of,
)

ORDER_ID = "0a4b1c2d-3e4f-5a6b-8c7d-9e0f1a2b3c4d"
REQUEST = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1", "slippageBps": 50}


def order_in(*statuses: Status) -> Order:
    order = order_of(REQUEST, [first_update(ORDER_ID, 0)])
    for status in statuses:
        order = order.apply(order.next_update(status, 0))
    return order


@pytest.mark.parametrize("then", list(Status))
@pytest.mark.parametrize("now", list(Status))
def test_a_status_follows_only_where_the_table_says_so(now: Status, then: Status) -> None:
    order = order_in().model_copy(update={"status": now})
    if then in TRANSITIONS[now]:
        assert order.apply(order.next_update(then, 0)).status is then
    else:
        with pytest.raises(ImpossibleTransition, match=f"{now} cannot become {then}"):
            order.next_update(then, 0)


def test_only_confirmed_failed_cancelled_and_expired_are_terminal() -> None:
    terminal = {status for status in Status if status.terminal}
    assert terminal == {Status.CONFIRMED, Status.FAILED, Status.CANCELLED, Status.EXPIRED}


def test_an_update_out_of_sequence_is_refused() -> None:
    order = order_in(Status.ROUTING)
    late = order_in().next_update(Status.ROUTING, 0)
    with pytest.raises(ImpossibleTransition, match="update 2"):
        order.apply(late)


def test_an_order_is_its_request_and_the_fold_of_its_updates() -> None:
    order = order_in(Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED)
    assert order_of(REQUEST, order.updates) == order
    assert [update.sequence for update in order.updates] == [1, 2, 3, 4, 5]


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_a_time_survives_being_written_as_text(moment_ms: int) -> None:
    assert unix_ms(iso(moment_ms)) == moment_ms
    assert len(iso(moment_ms)) == 24
