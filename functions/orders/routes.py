"""Converts a route between the router's base units and the decimal text that clients read."""

from __future__ import annotations

from functions.dex import router
from functions.dex.tokens import find, to_text, units_or_zero
from functions.orders.order import Leg, Quote, Route


def to_client(route: router.Route, *, least_out: int | None = None) -> Route:
    """The route as clients read it, in decimal text of whole tokens.

    `least_out`, in base units, replaces the threshold that follows from the slippage.
    """
    threshold = route.other_amount_threshold if least_out is None else least_out
    decimals_in, decimals_out = route.token_in.decimals, route.token_out.decimals
    return Route(
        in_amount=to_text(route.in_amount, decimals_in),
        out_amount=to_text(route.out_amount, decimals_out),
        other_amount_threshold=to_text(threshold, decimals_out),
        price_impact_pct=route.price_impact_pct,
        reference_difference_bps=route.reference_difference_bps,
        slippage_bps=route.slippage_bps if least_out is None else None,
        route_plan=tuple(_leg_to_client(leg) for leg in route.route_plan),
        quotes=tuple(_quote_to_client(quote, decimals_in, decimals_out) for quote in route.quotes),
        reason=route.reason,
        advantage_bps=route.advantage_bps,
        slot=route.slot,
    )


def from_client(route: Route) -> router.Route:
    """The route in base units that `to_client` converted, without its quotes."""
    plan = tuple(_leg_from_client(leg) for leg in route.route_plan)
    token_in, token_out = plan[0].token_in, plan[-1].token_out
    return router.Route(
        token_in=token_in,
        token_out=token_out,
        in_amount=units_or_zero(route.in_amount, token_in),
        out_amount=units_or_zero(route.out_amount, token_out),
        other_amount_threshold=units_or_zero(route.other_amount_threshold, token_out),
        slippage_bps=route.slippage_bps or 0,  # a transaction uses only the threshold
        price_impact_pct=route.price_impact_pct,
        reference_difference_bps=route.reference_difference_bps,
        route_plan=plan,
        quotes=(),
        slot=route.slot,
        reason=route.reason,
        advantage_bps=route.advantage_bps,
    )


def _leg_to_client(leg: router.Leg) -> Leg:
    return Leg(
        venue=leg.venue,
        pool=leg.pool,
        token_in=leg.token_in.symbol,
        token_out=leg.token_out.symbol,
        in_amount=to_text(leg.in_amount, leg.token_in.decimals),
        out_amount=to_text(leg.out_amount, leg.token_out.decimals),
        fee_amount=to_text(leg.fee_amount, leg.token_in.decimals),
        percent=leg.percent,
    )


def _leg_from_client(leg: Leg) -> router.Leg:
    token_in, token_out = find(leg.token_in), find(leg.token_out)
    return router.Leg(
        venue=leg.venue,
        pool=leg.pool,
        token_in=token_in,
        token_out=token_out,
        in_amount=units_or_zero(leg.in_amount, token_in),
        out_amount=units_or_zero(leg.out_amount, token_out),
        fee_amount=units_or_zero(leg.fee_amount, token_in),
        percent=leg.percent,
    )


def _quote_to_client(quote: router.Quote, decimals_in: int, decimals_out: int) -> Quote:
    if quote.error is not None:
        return Quote(venue=quote.venue, error=quote.error)
    return Quote(
        venue=quote.venue,
        out_amount=to_text(quote.out_amount, decimals_out),
        price_impact_pct=quote.price_impact_pct,
        fee_amount=to_text(quote.fee_amount, decimals_in),
    )
