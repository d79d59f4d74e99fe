"""Calls: `uv run python -m tests.load.calls` counts the AWS calls of one market order.

One follower subscribes at once. The calls go to moto and are counted by botocore's events, so a
call that is retried counts once. The owner is busy, so the functions' caches of the owner are warm.
Further columns show what an owner's first order adds, and what one webhook for `confirmed` adds.
"""

from __future__ import annotations

import argparse
from collections import Counter

from rich.console import Console
from rich.table import Table

from tests.load.machine import figures
from tests.load.recording import RecordedWorld, recorded_world
from tests.receiver import receiving

Counts = dict[str, dict[str, int]]


def busy_and_first() -> tuple[Counts, Counts]:
    """Calls by function and operation: of a busy owner's order, and added by an owner's first."""
    with recorded_world() as recorded:
        first = _of_one_order(recorded, with_key=True)
        busy = _of_one_order(recorded)
    return busy, added(first, busy)


def with_a_webhook() -> Counts:
    """The calls that a webhook for `confirmed` adds, without Lambda's own calls for its queue."""
    with recorded_world() as recorded, receiving() as receiver:
        recorded.order()
        busy = _of_one_order(recorded)
        recorded.create_webhook(receiver.url, "confirmed")
        recorded.order()
        recorded.notify()
        recorded.recorder.take()
        recorded.order()
        recorded.notify()
        return added(recorded.recorder.counts(), busy)


def added(more: Counts, less: Counts) -> Counts:
    """The calls in `more` beyond those in `less`; functions without any are left out."""
    beyond = {name: dict(Counter(more[name]) - Counter(less.get(name, {}))) for name in more}
    return {name: calls for name, calls in beyond.items() if calls}


def total(counts: Counts) -> int:
    return sum(sum(calls.values()) for calls in counts.values())


def _of_one_order(recorded: RecordedWorld, *, with_key: bool = False) -> Counts:
    recorded.recorder.take()
    if with_key:
        key = recorded.world.add_key("desk-7")
        with recorded.recorder.of("authorize"):
            recorded.world.authorize_http(authorization=f"Bearer {key}")
    recorded.order()
    return recorded.recorder.counts()


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
