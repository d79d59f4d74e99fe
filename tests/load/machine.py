"""The date and machine that every table of a measurement shows."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime

from rich.table import Table


def machine() -> str:
    """Cores, architecture and Python version of this machine."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def dated(subject: str) -> str:
    """A table's title: its subject, today's date (UTC), this machine."""
    return f"{subject} · {datetime.now(UTC):%F} · {machine()}"


def figures(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers, to the right."""
    table = Table(*columns, title=dated(title))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def sources(pages: Iterable[str]) -> str:
    """A line for each page that the figures are from, because a table has no room for them."""
    return "\n".join(["Sources:", *(f"  {page}" for page in dict.fromkeys(filter(None, pages)))])
