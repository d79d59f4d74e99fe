"""`uv run watch`: print each update of one order until the order ends, or of all your orders."""

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from functions.client import NoAnswer, OrderUnknown
from functions.contract import EVERY_ORDER
from functions.orders.order import Status, Update
from infra.cli.command import UnknownOrder, canonical_order_id, exit_on_problem, options
from infra.cli.connect import connected
from infra.cli.printing import STYLES, plain_console, print_json, update_details

CONFIRMED, ENDED_OTHERWISE, UNKNOWN = 0, 3, 4
EXIT_CODES = (
    f"Exit code for one order: {CONFIRMED} it was confirmed, {ENDED_OTHERWISE} it ended otherwise,"
    f" {UNKNOWN} its end is not known: there is no such order, watching was stopped, or the"
    " connection was lost for too long. Exit code 1: not possible (one line says why), 2: a wrong"
    " command line, 0: Ctrl-C while watching all orders."
)


def update_line(update: dict[str, Any]) -> Text:
    """One line of text for an update (JSON)."""
    status = update["status"]
    details = update_details(update)
    return Text.assemble(
        (update["timestamp"][11:23], "dim"),
        (f"  {update['orderId']}  ", "cyan"),
        (f"{status:<10}", STYLES.get(status, "")),
        *(f" {name} {value}" for name, value in details.items()),
    )


def as_json(model: BaseModel) -> dict[str, Any]:
    """The model as the JSON that the API writes."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def print_updates(updates: Iterable[Update], *, as_lines_of_json: bool) -> Update | None:
    """Print each update as it arrives; returns the last one, or None if there was none.

    On a terminal, a line below the updates shows the time since the last update.
    """
    console, last = plain_console(), None
    waiting = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", style="dim"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=as_lines_of_json or not console.is_terminal,
    )
    with waiting:
        task = waiting.add_task("waiting for the first update")
        for last in updates:
            shown = as_json(last)
            print_json(shown) if as_lines_of_json else console.print(update_line(shown))
            waiting.reset(task, description=f"since {last.status}")
    return last


def exit_code(last: Update | None) -> int:
    """The exit code of a command that followed one order to this last update."""
    if last is None or not last.status.terminal:
        return UNKNOWN
    return CONFIRMED if last.status is Status.CONFIRMED else ENDED_OTHERWISE


def main() -> None:
    """Run the command until the order ends, or until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="uv run watch",
        description=__doc__,
        epilog=EXIT_CODES,
        parents=[options(json=True, key=True)],
    )
    parser.add_argument(
        "order",
        nargs="?",
        default=EVERY_ORDER,
        help="an orderId (default: all orders, from now on)",
    )
    arguments = parser.parse_args()
    with exit_on_problem():
        code = _watch(arguments)
    sys.exit(code)


def _watch(arguments: argparse.Namespace) -> int:
    one = arguments.order != EVERY_ORDER

    def tell(notice: str) -> None:
        sys.stderr.write(f"{notice}\n")

    try:
        order_id = canonical_order_id(arguments.order) if one else EVERY_ORDER
        with connected(arguments, tell=tell) as client:
            if not one:
                tell("Watching all orders; Ctrl-C ends it.")
            updates = client.follow(order_id) if one else client.follow_all()
            last = print_updates(updates, as_lines_of_json=arguments.json)
    except (UnknownOrder, OrderUnknown, NoAnswer) as problem:
        tell(f"✗ {problem}")
        return UNKNOWN if one else 1
    except KeyboardInterrupt:
        tell("Stopped.")
        return UNKNOWN if one else 0
    return exit_code(last)
