"""`uv run python -m tests.simulation` runs many seeds on all cores and counts the covered cases."""

from __future__ import annotations

import argparse
import os
import sys
import time

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.simulation.runs import CHUNK, EXPECTED_COVERAGE, Tally, new_runner, run_all

FAILURES_SHOWN = 10


def main() -> None:
    """Run the seeds; exit 1 if a promise was broken, 2 if a case was never covered."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (one a core)")
    parser.add_argument("--stop-at-first", action="store_true", help="stop at a violation")
    parser.add_argument("--replay", type=int, metavar="SEED", help="print one run, step by step")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        _replay(arguments.replay)
        return
    started = time.monotonic()
    tally = Tally()
    parts = run_all(range(arguments.seeds), arguments.jobs)
    for part in track(parts, "Simulating", total=-(-arguments.seeds // CHUNK), transient=True):
        tally.add(part)
        if arguments.stop_at_first and tally.failures:
            break
    missing = [name for name in EXPECTED_COVERAGE if not tally.coverage[name]]
    _print(Console(), tally, missing, time.monotonic() - started)
    sys.exit(1 if tally.failures else 2 if missing else 0)


def _replay(seed: int) -> None:
    with new_runner() as runner:
        try:
            runner.run(seed)
        finally:
            if runner.simulation is not None:
                print(*runner.simulation.scheduler.log, sep="\n", file=sys.stderr)
    print(f"seed {seed}: no promise was broken")


def _print(console: Console, tally: Tally, missing: list[str], seconds: float) -> None:
    table = Table("what happened", "times", title="Coverage")
    table.columns[1].justify = "right"
    for name, times in sorted(tally.coverage.items()):
        table.add_row(str(name), f"{times:,}")
    console.print(table)
    console.print(
        f"{tally.runs:,} seeds, {tally.steps:,} steps, {len(tally.failures)} violations,"
        f" {seconds:.0f} s"
    )
    for name in missing:
        console.print(f"never covered: {name}")
    for failure in tally.failures[:FAILURES_SHOWN]:
        console.print(failure, markup=False, highlight=False)


if __name__ == "__main__":
    main()
