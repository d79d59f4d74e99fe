"""Cold start: `uv run python -m tests.load.cold_start` weighs the import of each handler.

Each in a fresh process, against another that only makes boto3's DynamoDB client: CPU time of the
process from its start to its end, the median of several interleaved rounds. With tracing off, and
on, where X-Ray's SDK comes with it.
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

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.load.machine import figures

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("api", "worker", "publisher", "websocket", "authorizer", "sweeper", "dead_letters")
BARE = "import boto3; boto3.client('dynamodb')"
START_SECONDS_MAX = 60
# As in Lambda, where the runtime sets them.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": "https://ws.example.com/live",
    "QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
    "POWERTOOLS_SERVICE_NAME": "order-execution-engine",
}


def cpu_seconds(program: str, *, tracing: bool) -> float:
    """CPU time, user's and system's, of a fresh process that runs `program`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            **ENVIRONMENT,
            "POWERTOOLS_TRACE_DISABLED": "false" if tracing else "true",
        },
        check=True,
        timeout=START_SECONDS_MAX,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def programs() -> dict[tuple[str, bool], str]:
    """What is run, by name and whether tracing is on; the bare client knows no tracing."""
    found = {("boto3", False): BARE}
    for function in FUNCTIONS:
        for tracing in (False, True):
            found[function, tracing] = f"import functions.{function}"
    return found


def measure(rounds: int) -> dict[tuple[str, bool], list[float]]:
    """CPU seconds of every program in every round; the first round, which compiles, is left out."""
    seconds: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for number in track(range(rounds + 1), "Starting", console=Console(stderr=True)):
        for (name, tracing), program in programs().items():
            spent = cpu_seconds(program, tracing=tracing)
            if number:
                seconds[name, tracing].append(spent)
    return seconds


def report(seconds: dict[tuple[str, bool], list[float]]) -> Table:
    """Medians, and as ratios to the bare client's of the same round."""
    table = figures("CPU of a cold start", "import", "ms", "ratio", "ms, traced", "ratio, traced")
    bare = seconds["boto3", False]
    table.add_row("boto3.client", f"{median(bare) * 1000:.0f}", "1.00")
    for function in FUNCTIONS:
        cells = []
        for tracing in (False, True):
            spent = seconds[function, tracing]
            ratios = [mine / theirs for mine, theirs in zip(spent, bare, strict=True)]
            cells += [f"{median(spent) * 1000:.0f}", f"{median(ratios):.2f}"]
        table.add_row(function, *cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.cold_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="the median of so many (9)")
    Console().print(report(measure(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
