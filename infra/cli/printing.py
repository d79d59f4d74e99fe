"""Prints the commands' answers to stdout, and their progress to stderr."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from functions.orders.order import Status

Report = Callable[[int, int | None], None]  # how much is done, and of how much, if known

STYLES: dict[str, str] = {
    "WARNING": "yellow",
    "ERROR": "bold red",
    "CRITICAL": "bold red",
    **{status: "yellow" for status in Status if status.terminal},
    Status.CONFIRMED: "bold green",
    Status.FAILED: "bold red",
    Status.RESTING: "magenta",
}


def update_details(update: dict[str, Any]) -> dict[str, Any]:
    """The fields of an update (JSON) that a line of text shows after time and status."""
    names = (
        *("attempt", "nextRetryAt", "trigger", "limitPrice", "stopPrice", "expiresAt", "slice"),
        *("sliceAmount", "slicesDone", "filledAmount", "nextSliceAt"),
        *("txHash", "outAmount", "executedPrice"),
    )
    shown = {name: update[name] for name in names if name in update}
    if "route" in update:
        shown["route"] = update["route"]["reason"]
    if "error" in update:
        shown["error"] = f"{update['error']['code']}: {update['error']['message']}"
    return shown


def plain_console() -> Console:
    """A console that prints text unchanged: it adds no line breaks and reads no markup."""
    return Console(highlight=False, soft_wrap=True, markup=False)


def print_table(table: Table) -> None:
    """Print a table in full width, even if the terminal is narrower."""
    Console(highlight=False, markup=False, width=1000).print(table)


def print_json(value: Any) -> None:
    """Print one line of JSON, for programs, and flush it."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


@contextmanager
def progress(title: str, *, among_answers: bool = False) -> Iterator[Report]:
    """Show a progress bar on stderr while the block runs, if stderr is a terminal.

    If the block prints answers (`among_answers`) and stdout is a terminal too, no bar is shown.
    """
    console = Console(stderr=True)
    hidden = not console.is_terminal or (among_answers and sys.stdout.isatty())
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
    )
    with Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,  # otherwise answers would go to stderr
        disable=hidden,
    ) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
