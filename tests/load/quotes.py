"""Quotes: `uv run python -m tests.load.quotes` prints SOL to USDC by size, venue and split."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from functions.dex.router import find_route
from functions.dex.tokens import find, to_units
from functions.simulation import market

SLOT = 4_400_000_000


def main() -> None:
    sol, usdc = find("SOL"), find("USDC")
    table = Table("SOL in", "Raydium", "Meteora", "route", "USDC out", "advantage (bps)")
    for amount in ("1", "100", "1000", "10000"):
        snapshots = {venue: market.snapshot(venue, SLOT) for venue in market.VENUES}
        route = find_route(sol, usdc, to_units(amount, sol), 50, snapshots).to_json()
        quotes = {q["venue"]: q.get("outAmount", q.get("error")) for q in route["quotes"]}
        legs = " + ".join(f"{leg['venue']} {leg['percent']} %" for leg in route["routePlan"])
        out, advantage = route["outAmount"], route["advantageBps"]
        table.add_row(amount, quotes["raydium"], quotes["meteora"], legs, out, advantage)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
