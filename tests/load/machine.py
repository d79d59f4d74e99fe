"""Tables of measurements with their date and machine, and the CPU time of child processes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table


def machine() -> str:
    """Cores, architecture and Python version of this machine."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def dated(subject: str) -> str:
    """A table's title: its subject, today's date (UTC), this machine."""
    return f"{subject} · {datetime.now(UTC):%F} · {machine()}"


def figures(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose other columns are right-aligned numbers."""
    table = Table(*columns, title=dated(title))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def sources(pages: Iterable[str]) -> str:
    """A line for each page that the figures come from; a table has no room for the pages."""
    return "\n".join(["Sources:", *(f"  {page}" for page in dict.fromkeys(filter(None, pages)))])


def children_cpu_seconds() -> float:
    """CPU seconds so far of all processes below this one, their own ended children included."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it has ended meanwhile
            continue
        # The name in brackets may contain anything. man proc: fields 4 and 14 to 17.
        after = text.rpartition(")")[2].split()
        pid = int(stat.parent.name)
        parents[pid], ticks[pid] = int(after[1]), sum(map(int, after[11:15]))

    def is_below(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    below = sum(count for pid, count in ticks.items() if is_below(pid))
    return below / os.sysconf("SC_CLK_TCK")
