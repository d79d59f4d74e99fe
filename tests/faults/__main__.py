"""`uv run python -m tests.faults` injects every fault at each call, then random ones."""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.faults.injection import Kind, new_harness
from tests.faults.runs import CHUNK, Tally, random_faults, run_all, single_faults
from tests.faults.schedule import Schedule

FAILURES_SHOWN = 10


def main() -> None:
    """Run the schedules that the command line names; exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000, help="random ones (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first random one (0)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="print the steps of this one")
    parser.add_argument("--faults", help="for --replay: CALL:KIND,… instead of those drawn")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        _replay(arguments.replay, arguments.faults)
        return
    started = time.monotonic()
    tasks = [*single_faults(), *random_faults(arguments.schedules, arguments.seed)]
    tally = Tally()
    chunks = -(-len(tasks) // CHUNK)
    for part in track(run_all(tasks), "Injecting faults", total=chunks, transient=True):
        tally.add(part)
    _print(Console(), tally, time.monotonic() - started)
    sys.exit(1 if tally.failures else 0)


def _replay(seed: int, faults: str | None) -> None:
    plan = None
    if faults is not None:
        pairs = (pair.split(":") for pair in faults.split(",") if pair)
        plan = {int(number): Kind(kind) for number, kind in pairs}
    with new_harness() as harness:
        schedule = Schedule(harness, seed, plan)
        try:
            schedule.run()
        finally:
            # The harness discards standard output, because the handlers print their metrics there.
            print(*schedule.log, sep="\n", file=sys.stderr)
            for number, kind in sorted(schedule.plan.items()):
                if number < len(harness.calls.names):
                    print(f"call {number}, {harness.calls.names[number]}: {kind}", file=sys.stderr)
    print("no promise was broken")


def _print(console: Console, tally: Tally, seconds: float) -> None:
    table = Table("call", *Kind, "in all", title="Faults by call")
    for name in sorted({name for name, _ in tally.faults}):
        counts = [tally.faults[name, kind] for kind in Kind]
        table.add_row(name, *map(str, counts), str(sum(counts)))
    totals = [sum(n for (_, k), n in tally.faults.items() if k is kind) for kind in Kind]
    table.add_section()
    table.add_row("in all", *map(str, totals), str(sum(totals)))
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)
    console.print(
        f"{tally.schedules:,} schedules, {tally.calls:,} calls, {sum(totals):,} faults, "
        f"{len(tally.failures)} failures, {seconds:.0f} s"
    )
    for failure in tally.failures[:FAILURES_SHOWN]:
        console.print(failure, markup=False, highlight=False)


if __name__ == "__main__":
    main()
