"""`uv run python -m tests.mutants`: break the product in one line at a time; tests must fail."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.mutants.table import MUTANTS, SIMULATION, Mutant

ROOT = Path(__file__).parents[2]
SEEDS = 400
SECONDS_MAX = 600


def main() -> None:
    """Run the mutants; exit 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose name contains this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at a time")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if arguments.only in mutant.name]
    started = time.monotonic()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        caught = list(pool.map(is_caught, chosen))
    table = Table("mutant", "caught by", "caught")
    for mutant, found in zip(chosen, caught, strict=True):
        table.add_row(mutant.name, mutant.catches, "yes" if found else "[red]NO[/]")
    console = Console()
    console.print(table)
    console.print(f"{sum(caught)} of {len(chosen)} caught, {time.monotonic() - started:.0f} s")
    sys.exit(0 if all(caught) else 1)


def is_caught(mutant: Mutant) -> bool:
    """Whether the mutant's tests fail on a copy of the project with its breakage."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        for name in ("functions", "infra", "tests", "events"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        broken = copy / mutant.file
        broken.write_text(broken.read_text().replace(mutant.before, mutant.after))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += [mutant.catches]
        if mutant.catches == SIMULATION:
            command = [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS)]
            command += ["--jobs", "1", "--stop-at-first"]
        done = subprocess.run(
            command, cwd=copy, capture_output=True, timeout=SECONDS_MAX, check=False
        )
        return done.returncode == 1


if __name__ == "__main__":
    main()
