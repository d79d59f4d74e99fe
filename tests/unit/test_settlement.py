"""The last update of a submitted order, and its execution report."""

from fractions import Fraction
from typing import Any

import pytest

from functions.contract import unix_ms
from functions.dex.tokens import Token
from functions.orders import settlement
from functions.orders.order import Order, OrderError, Status, Update
from functions.orders.settlement import Landed
from tests.orders import ORDER_ID, advanced, pending_order

CREATED, RESTED, WOKEN, NOW = 1_000_000, 2_000_000, 3_000_000, 4_000_000
LEG = {"venue": "raydium", "pool": "P", "feeAmount": "0", "percent": 100}
ROUTE = {
    "inAmount": "2",
    "outAmount": "300",
    "otherAmountThreshold": "298.5",
    "priceImpactPct": "0",
    "slippageBps": 50,
    "routePlan": [
        {**LEG, "tokenIn": "SOL", "tokenOut": "USDT", "inAmount": "2", "outAmount": "301"},
        {**LEG, "tokenIn": "USDT", "tokenOut": "USDC", "inAmount": "301", "outAmount": "300"},
    ],
    "quotes": [],
    "reason": "",
    "slot": 1,
}
LANDED = Landed(299_970_000, 17_000, ((2 * 10**9, 300_900_000), (300_900_000, 299_970_000)))


def submitted(**request: Any) -> Order:
    order = pending_order(at_ms=CREATED, amount="2", **request)
    order = advanced(order, Status.ROUTING, at_ms=CREATED)
    if order.type.rests:
        order = order.apply(order.resting_update(RESTED))
    order = order.apply(order.next_update(Status.BUILDING, WOKEN, route=ROUTE))
    return order.apply(order.next_update(Status.SUBMITTED, WOKEN))


def price(_in: Token, _out: Token, at_ms: int) -> Fraction:
    """150.06 when the order was created, and 150.03 when it was woken."""
    return {CREATED: Fraction("150.06"), WOKEN: Fraction("150.03")}[at_ms]


def test_an_execution_has_its_network_fee_its_fills_its_quote_slippage_and_its_shortfall() -> None:
    ended = settlement.ending_update(submitted(), LANDED, NOW, price)
    assert (ended.status, ended.out_amount) == (Status.CONFIRMED, "299.97")
    assert ended.execution is not None
    assert ended.execution.model_dump(by_alias=True, exclude_none=True) == {
        "networkFeeLamports": 17_000,
        # 0.03 of 300, and 0.15 of 300.12, in bps rounded down.
        "quoteSlippageBps": "1",
        "shortfallBps": "4.99",
        # The first leg took what was planned.
        "fills": ({"outAmount": "300.9"}, {"inAmount": "300.9", "outAmount": "299.97"}),
    }


def test_the_shortfall_of_a_resting_order_is_against_the_price_when_it_was_woken() -> None:
    waited = submitted(type="limit", limitPrice="140")
    ended = settlement.ending_update(waited, LANDED, NOW, price)
    assert ended.execution is not None
    assert ended.execution.shortfall_bps == "2.99"


def test_the_network_fee_of_an_order_is_the_sum_of_its_transactions_without_dropped_ones() -> None:
    order = submitted()
    for error in (
        OrderError(code="SLIPPAGE_TOLERANCE_EXCEEDED", message="", network_fee_lamports=17_000),
        OrderError(code="FAILED_TO_LAND", message=""),
    ):
        order = order.apply(order.next_update(Status.ROUTING, NOW, error=error, attempt=2))
        order = order.apply(order.next_update(Status.BUILDING, NOW, route=ROUTE))
        order = order.apply(order.next_update(Status.SUBMITTED, NOW))
        assert order.network_fee_lamports == 17_000
    order = order.apply(settlement.ending_update(order, LANDED, NOW, price))
    assert order.network_fee_lamports == 34_000
    assert order.execution is not None


@pytest.mark.parametrize("landed", [True, False])
def test_an_update_of_an_earlier_release_is_read_without_an_execution(landed: bool) -> None:
    stored = Update.model_validate(
        {
            "orderId": ORDER_ID,
            "sequence": 5,
            "status": "confirmed" if landed else "failed",
            "timestamp": "2026-01-31T12:00:00.000Z",
            "outAmount": "299.97" if landed else None,
            "error": None if landed else {"code": "INTERNAL", "message": "m"},
        }
    )
    order = submitted().apply(stored)
    assert (order.execution, order.network_fee_lamports) == (None, None)
    assert unix_ms(order.updated_at) == unix_ms(stored.timestamp)
