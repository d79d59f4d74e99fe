"""Load: `uv run python -m tests.load --orders 300` posts orders and watches them all.

Starts the local stack without simulated faults, unless --url and --ws-url name another one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from rich.console import Console
from rich.table import Table

from functions.dex.orders import unix_ms
from infra.local import running_stack
from tests.e2e.client import ORDER, TERMINAL, Client, Json, follow_all, receive

WATCH_SECONDS_MAX = 300


@dataclass
class Run:
    """What one run saw; times in Unix seconds."""

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
    """Events per second over the middle eighty percent, where neither ramp counts."""
    middle = sorted(times)[len(times) // 10 : -(len(times) // 10) or None]
    return (len(middle) - 1) / max(middle[-1] - middle[0], 1e-9)


def report(run: Run, title: str) -> Table:
    """The figures of a run."""
    flat = [update for updates in run.updates.values() for update in updates]
    sequences = {o: [u["sequence"] for u in updates] for o, updates in run.updates.items()}
    repeated = sum(len(seen) - len(set(seen)) for seen in sequences.values())
    lost = sum(max(seen) - len(set(seen)) for seen in sequences.values())
    disordered = sum(b < a for seen in sequences.values() for a, b in pairwise(seen))
    confirmed = {
        update["orderId"]: update["_received"] for update in flat if update["status"] == "confirmed"
    }
    answered = [end for _, end in run.posted.values()]
    post = [(end - start) * 1000 for start, end in run.posted.values()]
    whole = [
        (confirmed[o] - start) * 1000 for o, (start, _) in run.posted.items() if o in confirmed
    ]
    lag = [update["_received"] * 1000 - unix_ms(update["timestamp"]) for update in flat]

    table = Table("figure", "p50", "p95", "p99", title=title)
    for name, values in {
        "POST (ms)": post,
        "POST to confirmed (ms)": whole,
        "push lag (ms)": lag,
    }.items():
        table.add_row(name, *(f"{percentile(values, share):.0f}" for share in (0.5, 0.95, 0.99)))
    table.add_section()
    table.add_row("accepted/s", f"{rate(answered):.1f}")
    table.add_row("confirmed/s, sustained", f"{rate(list(confirmed.values())):.1f}")
    table.add_row("orders confirmed", f"{len(confirmed)} of {len(run.posted)}")
    table.add_row("updates lost, repeated, out of order", f"{lost}, {repeated}, {disordered}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--orders", type=int, default=300)
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

        async def go() -> Run:
            client = Client(http_url, web_socket_url, key)
            try:
                for count in filter(None, (arguments.warm_up, arguments.orders)):
                    console.print(f"Posting {count} orders, {arguments.at_once} at once …")
                    run = await measure(client, count, arguments.at_once)
                return run
            finally:
                await client.close()

        run = asyncio.run(go())
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    console.print(report(run, f"{arguments.orders} orders · {datetime.now(UTC):%F} · {machine}"))


if __name__ == "__main__":
    main()
