"""Cold start: `uv run python -m tests.load.cold_start` measures the import of each handler.

Each import runs in a fresh process; another process only makes boto3's DynamoDB client. The figure
is the CPU time of the process without its exit, as the median of several interleaved rounds: for
the import alone, and with the DynamoDB client, which the functions make at their first call.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.environment import AWS, SETTINGS
from tests.granted import GRANTED
from tests.load.machine import figures

ROOT = Path(__file__).parents[2]
ROUNDS = 9
VARIANTS = ("import", "with client")
BARE = "import boto3; boto3.client('dynamodb')"
START_SECONDS_MAX = 60
Seconds = dict[tuple[str, str], list[float]]
# As Lambda sets them.
ENVIRONMENT = {
    **AWS,
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "QUEUE_URL": SETTINGS["QUEUE_URL"],
    "POWERTOOLS_SERVICE_NAME": "order-execution-engine",
}


def cpu_seconds(start: Start) -> float:
    """The CPU seconds, user and system, of a fresh process that runs the program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        # Python's own exit would take time too, and Lambda never runs it.
        [sys.executable, "-c", f"{start.program}; import os; os._exit(0)"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            **ENVIRONMENT,
            "_HANDLER": f"functions.{start.name}.handler",
        },
        check=True,
        timeout=START_SECONDS_MAX,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


class Start(NamedTuple):
    """A program that runs in its own process."""

    name: str
    variant: str
    program: str


def starts() -> list[Start]:
    """The programs of a round: first the one that only makes a client."""
    found = [Start("boto3", "import", BARE)]
    for function in GRANTED:
        program = f"import functions.{function}"
        with_client = f"{program}; functions.store.clients.dynamodb()"
        found += [
            Start(function, "import", program),
            Start(function, "with client", with_client),
        ]
    return found


def measure() -> Seconds:
    """CPU seconds of every program in every round; the first round, which compiles, is left out."""
    seconds: Seconds = defaultdict(list)
    for number in track(range(ROUNDS + 1), "Starting", console=Console(stderr=True)):
        for start in starts():
            spent = cpu_seconds(start)
            if number:
                seconds[start.name, start.variant].append(spent)
    return seconds


def report(seconds: Seconds) -> Table:
    """The medians, and the ratios to the DynamoDB client alone in the same round."""
    columns = [cell for variant in VARIANTS for cell in (f"{variant} (ms)", "ratio")]
    table = figures("CPU of a cold start", "function", *columns)
    bare = seconds["boto3", "import"]
    table.add_row("boto3.client", f"{median(bare) * 1000:.0f}", "1.00")
    for function in GRANTED:
        cells = []
        for variant in VARIANTS:
            spent = seconds[function, variant]
            ratios = [own / client for own, client in zip(spent, bare, strict=True)]
            cells += [f"{median(spent) * 1000:.0f}", f"{median(ratios):.2f}"]
        table.add_row(function, *cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.cold_start", description=__doc__)
    parser.parse_args()
    Console().print(report(measure()))


if __name__ == "__main__":
    main()
