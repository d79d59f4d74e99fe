"""Load: `uv run python -m tests.load --orders 300` posts orders and watches them all.

It starts the local stack without simulated faults, unless --url and --ws-url name another one. The
row "beyond the simulated" is the time from POST to confirmed less the simulated latencies: quoting
and building, as the worker draws them, and landing, from the submitted update to its slot.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from statistics import median

from rich.console import Console
from rich.table import Table

from functions.contract import unix_ms
from functions.simulation.network import BUILDING_MS
from infra.cli.command import exit_on_problem
from infra.cli.local import running_stack
from tests.load.machine import children_cpu_seconds, figures
from tests.load.run import Run, measure
from tests.load.simulated import landing_ms, quoting_ms
from tests.stack_client import Json


def percentile(values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def rate(times: list[float]) -> float:
    """Events per second over the middle eighty percent, without the ramps at either end."""
    middle = sorted(times)[len(times) // 10 : -(len(times) // 10) or None]
    return (len(middle) - 1) / max(middle[-1] - middle[0], 1e-9) if len(middle) > 1 else 0.0


Row = list[float]  # p50, p95 and p99 in ms, or one number


def simulated_ms(updates: list[Json], scale: float) -> float | None:
    """The simulated ms of an order that was confirmed at its first attempt; None for others."""
    statuses = {update["status"]: update for update in updates}
    needed = {"pending", "submitted", "confirmed"}
    if not needed <= statuses.keys() or any("attempt" in update for update in updates):
        return None
    submitted = statuses["submitted"]
    identity = f"{submitted['orderId']}@{statuses['pending']['timestamp']}"
    signed_ms = unix_ms(submitted["timestamp"])
    return scale * (quoting_ms(identity) + BUILDING_MS + landing_ms(identity, signed_ms))


def summary(run: Run, scale: float) -> dict[str, Row]:
    """The figures of a run by name."""
    flat = [update for updates in run.updates.values() for update in updates]
    confirmed = {
        update["orderId"]: update["_received"] for update in flat if update["status"] == "confirmed"
    }
    total_ms = {
        o: (confirmed[o] - start) * 1000 for o, (start, _) in run.posted.items() if o in confirmed
    }
    simulated = {o: simulated_ms(updates, scale) for o, updates in run.updates.items()}
    times = {
        "POST (ms)": [(end - start) * 1000 for start, end in run.posted.values()],
        "POST to confirmed (ms)": list(total_ms.values()),
        "beyond the simulated (ms)": [
            total_ms[o] - part
            for o, part in simulated.items()
            if part is not None and o in total_ms
        ],
        "push lag (ms)": [
            u["_received"] * 1000 - unix_ms(u["timestamp"]) for u in flat if "_read" not in u
        ],
    }
    rows = {
        name: [percentile(values, share) for share in (0.5, 0.95, 0.99)]
        for name, values in times.items()
        if values
    }
    rows["accepted/s"] = [rate([end for _, end in run.posted.values()])]
    rows["confirmed/s, sustained"] = [rate(list(confirmed.values()))]
    if confirmed:
        began = min(start for start, _ in run.posted.values())
        rows["confirmed/s, first POST to last"] = [
            len(confirmed) / (max(confirmed.values()) - began)
        ]
    return rows


def medians(summaries: list[dict[str, Row]]) -> dict[str, Row]:
    """Each figure's median over the runs."""
    return {
        name: [median(column) for column in zip(*(each[name] for each in summaries), strict=True)]
        for name in summaries[0]
        if all(name in each for each in summaries)
    }


def delivery(run: Run) -> tuple[int, int, int, int]:
    """How many orders were confirmed, and how many updates lost, repeated, out of order."""
    confirmed = lost = repeated = disordered = 0
    for updates in run.updates.values():
        received = {update["sequence"] for update in updates}
        pushed = [update["sequence"] for update in updates if "_read" not in update]
        confirmed += any(update["status"] == "confirmed" for update in updates)
        lost += max(received) - len(received)
        repeated += len(pushed) - len(set(pushed))
        disordered += sum(later < earlier for earlier, later in pairwise(pushed))
    return confirmed, lost, repeated, disordered


def endings(run: Run) -> Counter[str]:
    """The orders that were not confirmed, by their last status or the reason of the refusal."""
    last = dict.fromkeys(run.posted, "no update")
    for order_id, updates in run.updates.items():
        status = max(updates, key=lambda update: int(update["sequence"]))["status"]
        last[order_id] = status if order_id in run.ended else f"still {status}"
    counted = Counter(last.values()) + run.refused
    del counted["confirmed"]
    return counted


def report(runs: list[Run], scale: float, title: str) -> Table:
    """The medians of the runs' figures, and the numbers of failed orders, requests and updates."""
    table = figures(title, "figure", "p50", "p95", "p99")
    for name, row in medians([summary(run, scale) for run in runs]).items():
        table.add_row(name, *(f"{value:.0f}" if len(row) > 1 else f"{value:.1f}" for value in row))
    table.add_section()
    outcomes = [delivery(run) for run in runs]
    confirmed, *wrong = (sum(column) for column in zip(*outcomes, strict=True))
    table.add_row("orders confirmed", f"{confirmed} of {sum(len(run.posted) for run in runs)}")
    table.add_row("updates lost, repeated, out of order", ", ".join(map(str, wrong)))
    for run in runs:
        read = sum("_read" in update for updates in run.updates.values() for update in updates)
        rows = (
            ("orders not confirmed", endings(run)),
            ("requests that failed", run.failures),
            ("lost connections of the follower", Counter(run.cuts)),
            ("updates read from the list", Counter([""] * read)),
        )
        for name, counted in rows:
            for what, count in counted.items():
                table.add_row(f"{name}: {what}" if what else name, str(count))
    return table


def is_complete(run: Run) -> bool:
    """Whether each order was accepted and has ended, and each of its updates was received."""
    return run.complete and not run.refused and delivery(run)[1] == 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--runs", type=int, default=1, help="the median of so many (1)")
    parser.add_argument("--at-once", type=int, default=10, help="posts at the same time (10)")
    parser.add_argument("--latency-scale", default="1", help="of the simulated venues (1)")
    parser.add_argument("--warm-up", type=int, default=200, help="orders before those counted")
    parser.add_argument("--max-concurrency", default="20", help="worker invocations at once (20)")
    parser.add_argument("--url", help="HTTP URL of a stack that runs already")
    parser.add_argument("--ws-url", help="its WebSocket URL")
    parser.add_argument(
        "--key", default=os.environ.get("OEE_API_KEY", ""), help="an API key of it (OEE_API_KEY)"
    )
    arguments = parser.parse_args()
    console = Console()
    with ExitStack() as running:
        http_url, web_socket_url, key = arguments.url, arguments.ws_url, arguments.key
        if not (http_url and web_socket_url):
            console.print("Starting the local stack …")
            context = {
                "latencyScale": arguments.latency_scale,
                "maxConcurrency": arguments.max_concurrency,
                "quoteErrorPpm": "0",
                "dropPpm": "0",
            }
            stack = running.enter_context(running_stack(context=context))
            http_url, web_socket_url, key = stack.http_url, stack.web_socket_url, stack.api_key

        runs, began = [], (0.0, 0.0)
        for count in (arguments.warm_up, *[arguments.orders] * arguments.runs):
            if count:
                console.print(f"Posting {count} orders, {arguments.at_once} at once …")
                began = children_cpu_seconds(), time.process_time()
                run = measure(http_url, web_socket_url, key, count, arguments.at_once)
                runs.append(asyncio.run(run))
        ended = children_cpu_seconds(), time.process_time()
        runs = runs[-arguments.runs :]
    title = f"{arguments.orders} orders, median of {len(runs)}"
    table = report(runs, float(arguments.latency_scale), title)
    for whose, before, after in zip(("stack", "client"), began, ended, strict=True):
        milliseconds = (after - before) * 1000 / arguments.orders
        if milliseconds:
            table.add_row(f"CPU of the {whose} (ms an order)", f"{milliseconds:.1f}")
    console.print(table)
    if not all(map(is_complete, runs)):
        sys.exit("✗ Some orders were refused or have not ended, or updates were lost.")


if __name__ == "__main__":
    with exit_on_problem():
        main()
