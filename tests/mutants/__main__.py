"""`uv run python -m tests.mutants` breaks one line of the product at a time; a test must fail."""

from __future__ import annotations

import argparse
import os
import re
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
README = Path(__file__).with_name("README.md")
SECONDS_MAX = 900
SEEDS = 1000  # of the simulation
BEGIN = "<!-- The list below is written by: uv run python -m tests.mutants --table -->\n"


def main() -> None:
    """Run the mutants; exit 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose name contains this text")
    parser.add_argument("--table", action="store_true", help="write the list in the README; no run")
    arguments = parser.parse_args()
    if arguments.table:
        README.write_text(README.read_text().partition(BEGIN)[0] + BEGIN + listing())
        return
    chosen = [mutant for mutant in MUTANTS if arguments.only in mutant.name]
    started = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = list(pool.map(failure, chosen))
    table = Table("mutant", "must be caught by", "how it was caught")
    for mutant, found in zip(chosen, failures, strict=True):
        table.add_row(mutant.name, mutant.catches, found or "[red]NOT CAUGHT[/]")
    console = Console()
    console.print(table)
    caught = sum(found is not None for found in failures)
    console.print(f"{caught} of {len(chosen)} caught, {time.monotonic() - started:.0f} s")
    sys.exit(0 if caught == len(chosen) else 1)


def failure(mutant: Mutant) -> str | None:
    """How the tests fail on a copy of the project with the mutant; None if they pass."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        for name in ("functions", "infra", "tests", "events"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        broken = copy / mutant.file
        broken.write_text(broken.read_text().replace(mutant.before, mutant.after))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += [mutant.catches]
        shown = r"^FAILED \S+::(.*)$"
        if mutant.catches == SIMULATION:
            command = [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS)]
            command += ["--jobs", "1", "--stop-at-first"]
            shown = r"[1-9]\d* violations.*\n(?:never covered.*\n)*(.*)"
        done = subprocess.run(
            command, cwd=copy, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
        )
        if done.returncode == 0 or (mutant.catches == SIMULATION and done.returncode == 2):
            return None
        # Without a failed test or a violation, the mutant did not run.
        found = re.search(shown, done.stdout, re.MULTILINE)
        if done.returncode != 1 or found is None:
            raise RuntimeError(f"{mutant.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return found[1][:120]


def listing() -> str:
    """The table of all mutants for the README."""
    rows = ["| What is broken | Where | Caught by |", "|---|---|---|"]
    for mutant in MUTANTS:
        caught_by = mutant.catches.replace("tests/", "").replace("::", ": ")
        rows.append(f"| {mutant.name} | `{mutant.file}` | {caught_by} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
