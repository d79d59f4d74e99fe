"""Routes between the router and the JSON that clients read and orders store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.dex import router
from functions.dex.errors import NoRoutesFound
from functions.dex.tokens import TOKENS, Token
from functions.orders.order import Route
from functions.orders.routes import from_client, to_client
from functions.simulation.market import VENUES, snapshots

SOL, USDC = TOKENS["SOL"], TOKENS["USDC"]
SLOT = 4_400_000_000


def found(token_in: Token, token_out: Token, amount: int, bps: int, **failing: str) -> router.Route:
    return router.find_route(token_in, token_out, amount, bps, {**snapshots(SLOT), **failing})


def as_json(route: router.Route) -> dict[str, Any]:
    text: dict[str, Any] = json.loads(to_client(route).to_json())
    return text


def test_a_route_is_shown_with_the_documented_fields() -> None:
    route = as_json(found(SOL, USDC, 500 * 10**9, 50))
    assert list(route) == [
        "inAmount",
        "outAmount",
        "otherAmountThreshold",
        "priceImpactPct",
        "referenceDifferenceBps",
        "slippageBps",
        "routePlan",
        "quotes",
        "reason",
        "advantageBps",
        "slot",
    ]
    assert (route["inAmount"], route["slippageBps"], route["slot"]) == ("500", 50, SLOT)
    leg = route["routePlan"][0]
    assert (leg["tokenIn"], leg["tokenOut"]) == ("SOL", "USDC")
    assert list(leg) == [
        "venue",
        "pool",
        "tokenIn",
        "tokenOut",
        "inAmount",
        "outAmount",
        "feeAmount",
        "percent",
    ]


def test_a_venue_without_a_quote_has_an_error() -> None:
    quotes = as_json(found(SOL, USDC, 10**9, 50, meteora="VENUE_DOWN"))["quotes"]
    assert set(quotes[0]) == {"venue", "outAmount", "priceImpactPct", "feeAmount"}
    assert quotes[1] == {"venue": "meteora", "error": "VENUE_DOWN"}


def test_a_route_that_an_early_release_stored_is_read() -> None:
    """It has neither an advantage nor a difference to the reference price."""
    text = as_json(found(TOKENS["RAY"], TOKENS["MET"], 10**9, 10_000))
    early = {name: text[name] for name in text if name not in {"referenceDifferenceBps"}}
    route = from_client(Route.model_validate(early))
    assert (route.reference_difference_bps, route.advantage_bps) == (None, None)
    assert route.other_amount_threshold == 0


pairs = st.permutations(list(TOKENS.values())).map(lambda tokens: (tokens[0], tokens[1]))


@settings(max_examples=60)
@given(pairs, st.integers(1, 10**15), st.integers(0, 10_000))
def test_a_stored_route_is_read_back_without_its_quotes(
    pair: tuple[Token, Token], amount: int, bps: int
) -> None:
    try:
        route = found(*pair, amount, bps)
    except NoRoutesFound:
        return
    stored = Route.model_validate_json(to_client(route).to_json())
    assert from_client(stored) == replace(route, quotes=())


@pytest.mark.parametrize("venue", VENUES)
def test_the_output_of_a_quote_is_in_whole_tokens(venue: str) -> None:
    route = found(SOL, USDC, 10**9, 50)
    (quote,) = (quote for quote in to_client(route).quotes if quote.venue == venue)
    (known,) = (quote for quote in route.quotes if quote.venue == venue)
    assert quote.out_amount == f"{known.out_amount / 10**6:.6f}".rstrip("0")
