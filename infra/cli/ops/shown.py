"""How the commands speak: answers on stdout, progress on stderr."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

Report = Callable[[int, int | None], None]  # so many done, of so many where that is known

STYLES = {
    "WARNING": "yellow",
    "ERROR": "bold red",
    "CRITICAL": "bold red",
    "confirmed": "bold green",
    "failed": "bold red",
    "cancelled": "yellow",
}


def answers() -> Console:
    """Prints text as it is, however narrow the terminal."""
    return Console(highlight=False, soft_wrap=True, markup=False)


def write_json(value: Any) -> None:
    """One line of JSON for programs, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


@contextmanager
def progress(title: str, *, among_answers: bool = False) -> Iterator[Report]:
    """A bar on stderr while the block runs, where there is a terminal to show it.

    A block that prints answers as it goes says so: on a terminal they need no bar among them.
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
        redirect_stdout=False,  # to where the bar is, which is stderr
        disable=hidden,
    ) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
