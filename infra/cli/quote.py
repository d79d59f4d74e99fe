"""`uv run quote SOL USDC 1.5`: print what an order, and each venue alone, would give now."""

import argparse

from rich.table import Table

from functions.client import QuoteAnswer
from infra.cli.command import exit_on_problem, swap_options
from infra.cli.connect import connected
from infra.cli.printing import plain_console, print_json, print_table
from infra.cli.watch import as_json


def lines_of(quote: QuoteAnswer) -> list[Table | str]:
    """The lines and tables of a quote: its output, the route's legs, and each venue's quote."""
    legs = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("route", "", "gives", "share"):
        legs.add_column(name)
    for leg in quote.route_plan:
        gives = f"{leg.out_amount} {leg.token_out}"
        legs.add_row(leg.venue, f"{leg.in_amount} {leg.token_in}", gives, f"{leg.percent} %")
    venues = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("venue alone", "gives"):
        venues.add_column(name)
    for each in quote.quotes:
        gives = f"{each.out_amount} {quote.token_out}" if each.out_amount else str(each.error)
        venues.add_row(each.venue, gives)
    return [
        f"{quote.in_amount} {quote.token_in} → {quote.out_amount} {quote.token_out}",
        f"at least {quote.other_amount_threshold} {quote.token_out},"
        f" {quote.reference_difference_bps or '0'} bps less than at the reference price"
        f" {quote.reference_price}",
        quote.reason,
        "",
        legs,
        "",
        venues,
    ]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="uv run quote", description=__doc__, parents=[swap_options()]
    )
    arguments = parser.parse_args()
    with exit_on_problem():
        with connected(arguments) as client:
            quote = client.quote(
                arguments.token_in,
                arguments.token_out,
                arguments.amount,
                slippage_bps=arguments.slippage,
            )
        if arguments.json:
            print_json(as_json(quote))
        else:
            for line in lines_of(quote):
                print_table(line) if isinstance(line, Table) else plain_console().print(line)
