"""Calls: `uv run python -m tests.load.calls` counts the AWS calls of one market order.

One follower subscribes at once. The calls go to moto and are counted by botocore's events, so a
call that is retried counts once. The owner is busy, so the functions' caches of the owner are warm.
Further columns show what an owner's first order adds, and what one webhook for `confirmed` adds.
"""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from tests.load.machine import figures
from tests.recording import Counts, busy_and_first, total, with_a_webhook


def report(busy: Counts, first: Counts, webhook: Counts) -> Table:
    """All counts, with a row for each function."""
    title = "AWS calls of one market order"
    table = figures(title, "function", "busy", "first", "webhook", "which")
    table.columns[4].justify = "left"
    for name in dict.fromkeys([*first, *busy, *webhook]):
        calls, more = busy.get(name, {}), {"first": first, "webhook": webhook}
        which = [f"{count} {operation}" for operation, count in calls.items()]
        for cause, counts in more.items():
            which += [f"{cause}: {count} {name_}" for name_, count in counts.get(name, {}).items()]
        sums = [sum(counts.get(name, {}).values()) for counts in more.values()]
        table.add_row(
            name,
            str(sum(calls.values())),
            *(f"+{count}" if count else "" for count in sums),
            ", ".join(which),
        )
    table.add_section()
    table.add_row("in all", str(total(busy)), f"+{total(first)}", f"+{total(webhook)}", "")
    return table


def main() -> None:
    argparse.ArgumentParser(prog="python -m tests.load.calls", description=__doc__).parse_args()
    Console().print(report(*busy_and_first(), with_a_webhook()))


if __name__ == "__main__":
    main()
