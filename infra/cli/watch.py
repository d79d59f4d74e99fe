"""`uv run watch`: print each update of one order until the order ends, or of all your orders."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from functions.client import NoAnswer, OrderUnknown, Patience
from functions.orders.order import Status, Update
from infra.cli.command import UnknownOrder, canonical_order_id, exit_on_problem, options
from infra.cli.connect import connected
from infra.cli.printing import STYLES, plain_console, print_json, update_details

ALL = "*"
CONFIRMED, ENDED_OTHERWISE, UNKNOWN = 0, 3, 4
EXIT_CODES = (
    f"Exit code for one order: {CONFIRMED} it was confirmed, {ENDED_OTHERWISE} it ended otherwise,"
    f" {UNKNOWN} its end is not known: there is no such order, watching was stopped, or the"
    " connection was lost for too long. Exit code 1: not possible (one line says why), 2: a wrong"
    " command line, 0: Ctrl-C while watching all orders."
)


def update_line(update: dict[str, Any]) -> Text:
    """An update (as JSON) as one line of text."""
    status = update["status"]
    details = update_details(update)
    return Text.assemble(
        (update["timestamp"][11:23], "dim"),
        (f"  {update['orderId']}  ", "cyan"),
        (f"{status:<10}", STYLES.get(status, "")),
        *(f" {name} {value}" for name, value in details.items()),
    )


def print_updates(updates: Iterator[Update], *, as_json: bool) -> Update | None:
    """Print each update when it comes; the last one."""
    console, update = plain_console(), None
    for update in updates:
        shown = update.model_dump(mode="json", by_alias=True, exclude_none=True)
        print_json(shown) if as_json else console.print(update_line(shown))
    return update


def exit_code(status: Status | None) -> int:
    """How the command ends for an order that ended with this status."""
    if status is None or not status.terminal:
        return UNKNOWN
    return CONFIRMED if status is Status.CONFIRMED else ENDED_OTHERWISE


def main() -> None:
    """Print each update until the order ends, or until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="uv run watch",
        description=__doc__,
        epilog=EXIT_CODES,
        parents=[options(json=True, key=True)],
    )
    parser.add_argument("order", nargs="?", default=ALL, help="an orderId (all, from now on)")
    arguments = parser.parse_args()
    with exit_on_problem():
        code = _watch(arguments)
    sys.exit(code)


def _watch(arguments: argparse.Namespace) -> int:
    one = arguments.order != ALL

    def tell(notice: str) -> None:
        sys.stderr.write(f"{notice}\n")

    try:
        order_id = canonical_order_id(arguments.order) if one else ALL
        with connected(arguments, patience=Patience(), tell=tell) as client:
            if not one:
                tell("Watching all orders; Ctrl-C ends it.")
            updates = client.follow(order_id) if one else client.follow_all()
            last = print_updates(updates, as_json=arguments.json)
    except (UnknownOrder, OrderUnknown, NoAnswer) as problem:
        tell(f"✗ {problem}")
        return UNKNOWN if one else 1
    except KeyboardInterrupt:
        tell("Stopped.")
        return UNKNOWN if one else 0
    return exit_code(last.status if last else None)
