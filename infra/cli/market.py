"""`uv run market`: print the simulated market at a moment: prices, pools, quotes, routes."""

import argparse
import re
import time
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from functions.contract import unix_ms
from functions.simulation import replay
from infra.cli.command import Problem, exit_on_problem
from infra.cli.printing import print_json

Json = dict[str, Any]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="uv run market", description=__doc__)
    parser.add_argument(
        "--pair", default="SOL/USDC", type=_pair, help="tokenIn/tokenOut (default: %(default)s)"
    )
    parser.add_argument(
        "--at", type=_time, metavar="TIME", help="such as 2026-01-31T12:00:00Z (default: now)"
    )
    parser.add_argument("--seed", default="", help="the stack's marketSeed (default: none)")
    amounts = ["1", "100", "10000"]
    parser.add_argument(
        "--amount", nargs="+", default=amounts, help=f"of tokenIn (default: {' '.join(amounts)})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    asked = parser.parse_args()
    at_ms = time.time_ns() // 1_000_000 if asked.at is None else asked.at
    with exit_on_problem():
        try:
            token_in, token_out = asked.pair
            found = replay.moment(token_in, token_out, at_ms, asked.amount, asked.seed)
        except replay.Refused as refused:
            raise Problem(str(refused)) from refused
        if asked.json:
            print_json(found)
        else:
            show(Console(), found)


def _pair(text: str) -> tuple[str, str]:
    token_in, slash, token_out = text.partition("/")
    if not (token_in and slash and token_out) or token_in == token_out:
        raise argparse.ArgumentTypeError("must be two tokens such as SOL/USDC")
    return token_in, token_out


def _time(text: str) -> int:
    try:
        if not re.search(r"(Z|[+-]\d\d:\d\d)$", text):
            raise ValueError
        at_ms = unix_ms(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "must be a time with its zone, such as 2026-01-31T12:00:00Z"
        ) from None
    if at_ms < 0:
        raise argparse.ArgumentTypeError("must not be before 1970")
    return at_ms


def show(console: Console, found: Json) -> None:
    """Print the result of `replay.moment` as tables."""
    one, other = found["tokenIn"], found["tokenOut"]
    console.print(
        f"{one}/{other} at {found['at']}, slot {found['slot']}, market version {found['version']}"
        + (f", seed {found['seed']}" if found["seed"] else "")
    )
    prices = Table("price", f"{other} for one {one}", title="Prices", title_justify="left")
    for source, price in found["prices"].items():
        prices.add_row(source, price)
    console.print(prices)
    columns = ("program", Column("pool", overflow="fold"), "pair", f"takes {one}")
    pools = Table(*columns, title="Pools", title_justify="left")
    for pool in found["pools"]:
        pair = f"{pool['base']}/{pool['quote']}"
        pools.add_row(pool["program"], pool["pool"], pair, pool["takes"])
    console.print(pools)
    for amount, route in found["routes"].items():
        console.print(_route(amount, route, one, other))


def _route(amount: str, route: Json, one: str, other: str) -> Table | str:
    if "error" in route:
        return f"{amount} {one}: {route['error']}"
    title = f"{amount} {one} → {route['outAmount']} {other}: {route['reason']}"
    table = Table("", "in", "out", "share", title=title, title_justify="left")
    for quote in route["quotes"]:
        table.add_row(
            f"{quote['venue']} alone", f"{amount} {one}", quote.get("outAmount", quote.get("error"))
        )
    table.add_section()
    for leg in route["routePlan"]:
        table.add_row(
            f"{leg['venue']} {leg['pool'][:8]}…",
            f"{leg['inAmount']} {leg['tokenIn']}",
            f"{leg['outAmount']} {leg['tokenOut']}",
            f"{leg['percent']} %",
        )
    return table


if __name__ == "__main__":
    main()
