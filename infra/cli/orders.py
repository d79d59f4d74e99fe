"""`uv run orders`: list your orders, newest first."""

import argparse
import sys
from collections.abc import Iterable
from itertools import islice

from rich.table import Table
from rich.text import Text

from functions.client import Order, Status
from functions.orders import sheet
from functions.orders.order import OPEN
from infra.cli.command import exit_on_problem, options, whole_number
from infra.cli.connect import connected
from infra.cli.printing import STYLES, print_json, print_table
from infra.cli.watch import as_json

SHOWN = 20


def table_of(orders: Iterable[Order]) -> Table:
    """A table with a row for each order."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("created", "order", "type", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("amount", "gives", "price"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for order in orders:
        table.add_row(
            order.created_at[:19].replace("T", " "),
            Text(order.order_id, "cyan"),
            order.type.value,
            Text(order.status.value, STYLES.get(order.status, "")),
            f"{order.amount} {order.token_in}",
            f"{order.out_amount or ''} {order.token_out}".strip(),
            order.executed_price or _waits_for(order),
            f"{order.error.code}: {order.error.message}" if order.error else "",
        )
    return table


def _waits_for(order: Order) -> str:
    prices = {"≥ ": order.limit_price, "≤ ": order.stop_price}
    return ", ".join(f"{sign}{price}" for sign, price in prices.items() if price)


def main() -> None:
    """Run the command; it prints a table, CSV or JSON."""
    parser = argparse.ArgumentParser(
        prog="uv run orders", description=__doc__, parents=[options(json=True, key=True)]
    )
    parser.add_argument(
        "--status", choices=[OPEN, *(each.value for each in Status)], help="only these orders"
    )
    parser.add_argument(
        "--last", type=whole_number(1, 1_000_000), metavar="N", help=f"at most N (default: {SHOWN})"
    )
    parser.add_argument("--csv", action="store_true", help="print CSV; without --last, all orders")
    arguments = parser.parse_args()
    with exit_on_problem():
        _list(arguments)


def _list(arguments: argparse.Namespace) -> None:
    most = arguments.last or (None if arguments.csv else SHOWN)
    with connected(arguments) as client:
        orders = list(islice(client.orders(status=arguments.status), most))
    if arguments.csv:
        sys.stdout.write(sheet.text(orders))
    elif arguments.json:
        for order in orders:
            print_json(as_json(order))
    elif orders:
        print_table(table_of(orders))
    else:
        sys.stderr.write("There are no such orders.\n")
