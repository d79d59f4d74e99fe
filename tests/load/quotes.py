"""Quotes: `uv run python -m tests.load.quotes` prints SOL to USDC by size, venue and mixture."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from functions.dex.router import Route, find_route
from functions.dex.tokens import find, to_units
from functions.orders import routes
from functions.simulation import market

SLOT = 4_400_000_000


def mixture(route: Route) -> str:
    """The shares of the order: whole percents of the token in, by venue or hub."""
    shares: dict[str, int] = {}
    for leg in route.route_plan:
        if leg.token_in == route.token_in:
            direct = leg.token_out == route.token_out
            name = leg.venue if direct else f"via {leg.token_out.symbol}"
            shares[name] = shares.get(name, 0) + leg.in_amount
    parts = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{round(100 * part / route.in_amount)} % {name}" for name, part in parts)


def main() -> None:
    sol, usdc = find("SOL"), find("USDC")
    table = Table("SOL in", *market.VENUES, "route", "legs", "USDC out", "advantage", "reference")
    for amount in ("1", "10", "100", "1000", "3000", "10000"):
        snapshots = market.snapshots(SLOT)
        route = find_route(sol, usdc, to_units(amount, sol), 50, snapshots)
        shown = routes.to_client(route)
        quotes = {quote.venue: quote.out_amount or quote.error for quote in shown.quotes}
        table.add_row(
            amount,
            *(quotes[venue] for venue in market.VENUES),
            mixture(route),
            str(len(route.route_plan)),
            shown.out_amount,
            f"{route.advantage_bps} bps",
            f"−{route.reference_difference_bps} bps",
        )
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
