"""Load: `uv run python -m tests.load --orders 300` posts orders and watches them all.

Starts the local stack without simulated faults, unless --url and --ws-url name another one. "beyond
the simulated" is POST to confirmed less what the venues and the chain took of it: quoting and
building as the worker draws them, landing from the update that was submitted to its slot.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from rich.console import Console
from rich.table import Table

from functions.contract import unix_ms
from functions.simulation.network import BUILDING_MS
from infra.cli.local import running_stack
from tests.e2e.client import ORDER, TERMINAL, Client, Json, follow_all, receive
from tests.load.machine import figures
from tests.load.simulated import landing_ms, quoting_ms

WATCH_SECONDS_MAX = 300


@dataclass
class Run:
    """The observations of one run; times in Unix seconds."""

    posted: dict[str, tuple[float, float]] = field(default_factory=dict)  # sent, answered
    updates: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))

    def ended(self) -> int:
        return sum(updates[-1]["status"] in TERMINAL for updates in self.updates.values())


async def measure(client: Client, orders: int, at_once: int) -> Run:
    """Post `orders` market orders, `at_once` at a time, and watch until the last has ended."""
    run, gate = Run(), asyncio.Semaphore(at_once)

    async def post() -> None:
        async with gate:
            sent = time.time()
            answer = await client.submit(ORDER)
            assert answer.status_code == 202, answer.text
            run.posted[answer.json()["orderId"]] = (sent, time.time())

    async with client.socket() as socket:
        await follow_all(socket)

        async def watch() -> None:
            while len(run.updates) < orders or run.ended() < orders:
                update = await receive(socket)
                run.updates[update["orderId"]].append(update)

        watching = asyncio.create_task(asyncio.wait_for(watch(), WATCH_SECONDS_MAX))
        await asyncio.gather(*(post() for _ in range(orders)))
        await watching
    return run


def percentile(values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def rate(times: list[float]) -> float:
    """Events per second over the middle eighty percent, without the ramps at either end."""
    middle = sorted(times)[len(times) // 10 : -(len(times) // 10) or None]
    return (len(middle) - 1) / max(middle[-1] - middle[0], 1e-9)


Row = list[float]  # p50, p95 and p99 in ms, or one number


def simulated_ms(updates: list[Json], scale: float) -> float | None:
    """The simulated part of an order that was confirmed at its first attempt; None for others."""
    statuses = {update["status"]: update for update in updates}
    if "confirmed" not in statuses or any("attempt" in update for update in updates):
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
    whole = {
        o: (confirmed[o] - start) * 1000 for o, (start, _) in run.posted.items() if o in confirmed
    }
    simulated = {o: simulated_ms(updates, scale) for o, updates in run.updates.items()}
    times = {
        "POST (ms)": [(end - start) * 1000 for start, end in run.posted.values()],
        "POST to confirmed (ms)": list(whole.values()),
        "beyond the simulated (ms)": [
            whole[o] - part for o, part in simulated.items() if part is not None and o in whole
        ],
        "push lag (ms)": [u["_received"] * 1000 - unix_ms(u["timestamp"]) for u in flat],
    }
    rows = {
        name: [percentile(values, share) for share in (0.5, 0.95, 0.99)]
        for name, values in times.items()
        if values
    }
    rows["accepted/s"] = [rate([end for _, end in run.posted.values()])]
    rows["confirmed/s, sustained"] = [rate(list(confirmed.values()))]
    return rows


def middle(summaries: list[dict[str, Row]]) -> dict[str, Row]:
    """Each figure's median over the runs."""
    return {
        name: [median(column) for column in zip(*(each[name] for each in summaries), strict=True)]
        for name in summaries[0]
    }


def faultless(run: Run) -> tuple[int, int, int, int]:
    """Orders confirmed; updates lost, repeated, out of order."""
    sequences = [[u["sequence"] for u in updates] for updates in run.updates.values()]
    confirmed = sum(updates[-1]["status"] == "confirmed" for updates in run.updates.values())
    lost = sum(max(seen) - len(set(seen)) for seen in sequences)
    repeated = sum(len(seen) - len(set(seen)) for seen in sequences)
    return confirmed, lost, repeated, sum(b < a for seen in sequences for a, b in pairwise(seen))


def report(runs: list[Run], scale: float, title: str) -> Table:
    """The figures of the runs: medians, and the faults of all runs."""
    table = figures(title, "figure", "p50", "p95", "p99")
    for name, row in middle([summary(run, scale) for run in runs]).items():
        table.add_row(name, *(f"{value:.0f}" if len(row) > 1 else f"{value:.1f}" for value in row))
    table.add_section()
    outcomes = [faultless(run) for run in runs]
    confirmed, *wrong = (sum(column) for column in zip(*outcomes, strict=True))
    table.add_row("orders confirmed", f"{confirmed} of {sum(len(run.posted) for run in runs)}")
    table.add_row("updates lost, repeated, out of order", ", ".join(map(str, wrong)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--runs", type=int, default=1, help="the median of so many (1)")
    parser.add_argument("--at-once", type=int, default=10, help="posts under way at any time")
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

        async def go() -> list[Run]:
            client = Client(http_url, web_socket_url, key)
            try:
                runs = []
                for count in (arguments.warm_up, *[arguments.orders] * arguments.runs):
                    if count:
                        console.print(f"Posting {count} orders, {arguments.at_once} at once …")
                        runs.append(await measure(client, count, arguments.at_once))
                return runs[-arguments.runs :]
            finally:
                await client.close()

        runs = asyncio.run(go())
    title = f"{arguments.orders} orders, median of {len(runs)}"
    console.print(report(runs, float(arguments.latency_scale), title))


if __name__ == "__main__":
    main()
