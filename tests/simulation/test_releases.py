"""Two releases of the product settle what the other one signed, to the same base unit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clock import START_MS
from tests.simulation.environments import Copy
from tests.simulation.runs import new_runner

ORDER_ID = "018f2b8e-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def copies() -> Iterator[dict[str, Copy]]:
    with new_runner() as runner:
        yield {release[0].release.name: release[0] for release in runner.releases}


def network(copy: Copy, now_ms: int) -> Any:
    """The network as the release's worker sees it at this time."""
    seed = copy["runtime"].settings.market_seed
    return copy["simulation.network"].Network(lambda: now_ms, lambda _seconds: None, seed)


def signed(copy: Copy, now_ms: int = START_MS) -> str:
    """The text of a transaction that a release signed over the route that it found."""
    orders, tokens = copy["orders.order"], copy["dex.tokens"]
    fields = {"token_in": "SOL", "token_out": "USDC", "amount": "1", "slippage_bps": 500}
    order = orders.order_of(fields, [orders.first_update(ORDER_ID, now_ms)])
    exchange = network(copy, now_ms)
    route = copy["dex.router"].find_route(
        tokens.find("SOL"), tokens.find("USDC"), 10**9, order.slippage_bps, exchange.snapshots()
    )
    text: str = exchange.sign(order, route).text
    return text


def outcome(copy: Copy, text: str) -> int:
    """The output in base units of the landed transaction, as this release settles it."""
    landed = network(copy, START_MS + 86_400_000).outcome(text)
    assert isinstance(landed, copy["orders.settlement"].Landed)
    return int(landed.out_amount)


def pools(text: str) -> set[tuple[str, str, str]]:
    """The pools of the transaction's legs: venue, base and quote."""
    return {
        (leg[0], *pair)
        for leg in json.loads(text)["legs"]
        for pair in ((leg[2], leg[3]), (leg[3], leg[2]))
    }


@pytest.mark.parametrize(("signer", "settler"), [("newer", "older"), ("older", "newer")])
def test_a_release_settles_what_the_other_signed_over_a_pool_that_it_has_closed(
    copies: dict[str, Copy], signer: str, settler: str
) -> None:
    closed = set(copies[settler].release.closed)
    times = range(START_MS, START_MS + 3_600_000, 60_000)
    texts = [signed(copies[signer], now_ms) for now_ms in times]
    text = next(text for text in texts if closed & pools(text))
    assert not any(closed & pools(signed(copies[settler], now_ms)) for now_ms in times)
    assert outcome(copies[settler], text) == outcome(copies[signer], text)


def test_the_older_release_settles_a_transaction_with_a_field_that_only_the_newer_one_knows(
    copies: dict[str, Copy],
) -> None:
    text = signed(copies["newer"])
    longer = json.dumps(json.loads(text) | {"newer": {"a": 1}})
    assert outcome(copies["older"], longer) == outcome(copies["newer"], text)
