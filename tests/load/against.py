"""Against: `uv run python -m tests.load.against PATH` compares this engine with the original one.

PATH is a checkout of the original Node engine after `npm install`. It is started by its `npm start`
with its own Redis and PostgreSQL, on free ports and with their data in a temporary folder. This
engine is a local stack. Both engines get the same orders from the same client, which follows all of
them: first with their simulated waits, then without. A script that Node loads before the original
removes its sleeps, so the checkout is not changed. An update that the original pushes does not name
its order, so the times of its confirmations are those of its messages in Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

from infra.cli.command import Problem
from infra.cli.emulator import free_port
from infra.cli.local import running_stack
from tests.load.__main__ import percentile, rate
from tests.load.machine import children_cpu_seconds, figures
from tests.load.run import Run, measure
from tests.stack_client import AT_ONCE, ORDER

STARTED_SECONDS_MAX = 180
ORDERS_SECONDS_MAX = 450
UPDATES = 5  # of an order that is confirmed at once: pending to confirmed
PACKAGES = {
    "node": "nodejs",
    "npm": "nodejs",
    "redis-server": "redis-server",
    "initdb": "postgresql",
    "postgres": "postgresql",
    "pg_isready": "postgresql",
}
# The sleeps in the engine's own code return at once. Timers of its libraries stay as they are,
# because a queue that renews its locks without a pause does nothing else.
NO_SLEEPS = """
const later = globalThis.setTimeout;
globalThis.setTimeout = Object.assign(function setTimeout(call, wait, ...given) {
  const caller = new Error().stack.split("\\n")[2] ?? "";
  const own = caller.includes(process.cwd()) && !caller.includes("node_modules");
  return own ? setImmediate(call, ...given) : later(call, wait, ...given);
}, later);
"""


def program(name: str) -> str:
    """The path of a program; Debian keeps PostgreSQL's programs in a folder for each version.

    Raises:
        Problem: it is not installed.
    """
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, debian)]))
    if found is None:
        raise Problem(f"{name} is missing. On Debian: apt-get install {PACKAGES[name]}")
    return found


def checked(path: Path) -> Path:
    """The checkout's absolute path.

    Raises:
        Problem: it is not an installed Node project that uses BullMQ, or a program is missing.
    """
    package = path / "package.json"
    if not package.is_file():
        raise Problem(f"{path} is no checkout of the original engine: it has no package.json")
    if "bullmq" not in json.loads(package.read_text()).get("dependencies", {}):
        raise Problem(f"{path} is not the original engine: its package.json does not name bullmq")
    if not (path / "node_modules").is_dir():
        raise Problem(f"{path} is not installed: run `npm install` in it")
    for name in PACKAGES:
        program(name)
    return path.resolve()


# --- the original -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Original:
    """The ports of the original and of its Redis."""

    port: int
    redis_port: int


@contextmanager
def original(path: Path, *, sleeps: bool) -> Iterator[Original]:
    """Start the original, with or without its sleeps; everything ends with the block.

    Raises:
        Problem: a part of it does not start; the text has the end of its output.
    """
    with ExitStack() as cleanup:
        work = Path(cleanup.enter_context(TemporaryDirectory(prefix="original-")))
        work.chmod(0o755)
        found = Original(free_port(0), free_port(0))
        redis = [program("redis-server"), "--port", str(found.redis_port), "--dir", str(work)]
        cleanup.enter_context(running([*redis, "--bind", "127.0.0.1"], work, found.redis_port))
        database = cleanup.enter_context(_postgres(work))
        environment = {
            "PORT": str(found.port),
            "DB_URL": database,
            "DATABASE_URL": database,
            "REDIS_URL": f"redis://127.0.0.1:{found.redis_port}",
        }
        if not sleeps:
            preloaded = work / "no-sleeps.cjs"
            preloaded.write_text(NO_SLEEPS)
            environment["NODE_OPTIONS"] = f"--require {preloaded}"
        start = [program("npm"), "start"]
        cleanup.enter_context(running(start, path, found.port, environment=environment))
        yield found


@contextmanager
def _postgres(work: Path) -> Iterator[str]:
    """Run PostgreSQL with its data in a folder of `work`; yields its URL."""
    port, data = free_port(0), work / "postgres"
    data.mkdir()
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "postgres"
        shutil.chown(data, user)
    made = subprocess.run(
        [program("initdb"), "-D", data, "-U", "engine", "--auth", "trust"],
        user=user,
        cwd=data,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise Problem(f"initdb failed: {made.stderr.strip()}")
    command = [program("postgres"), "-D", str(data), "-p", str(port), "-k", str(data)]
    ready = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    with running(command, data, port, user=user, ready=ready):
        yield f"postgresql://engine@127.0.0.1:{port}/postgres"


@contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    port: int,
    *,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    ready: Sequence[str] = (),
) -> Iterator[None]:
    """Run a command during the block, which begins once `port` is open and `ready` succeeds."""
    name = Path(command[0]).name
    with (
        TemporaryDirectory(prefix=f"{name}-") as logs,
        Path(logs, "log").open("w+b") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | dict(environment or {}),
            user=user,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            deadline = time.monotonic() + STARTED_SECONDS_MAX
            while not _is_open(port) or (ready and subprocess.run(ready, check=False).returncode):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    output = log.read().decode(errors="replace")[-2000:]
                    raise Problem(f"{name} does not start: {output.strip() or 'no output'}")
                time.sleep(0.1)
            yield
        finally:
            for each in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, each)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)


def _is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


async def published(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, str]]:
    """The order and the status of each update that a subscriber of `order:*` in Redis receives."""
    order_id = ""
    while line := await reader.readline():
        text = line.decode().strip()
        if text.startswith("order:") and text != "order:*":
            order_id = text.removeprefix("order:")
        elif text.startswith("{"):
            yield order_id, json.loads(text)["status"]


async def measure_original(at: Original, orders: int) -> tuple[Run, int]:
    """Post the orders, AT_ONCE at a time, follow each, and watch until the last has ended.

    Also returns how many updates the follower received.
    """
    run, gate, pushed = Run(), asyncio.Semaphore(AT_ONCE), 0
    limits = httpx.Limits(max_connections=AT_ONCE)
    reader, writer = await asyncio.open_connection("127.0.0.1", at.redis_port)
    writer.write(b"PSUBSCRIBE order:*\r\n")
    async with (
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{at.port}", limits=limits, timeout=60
        ) as client,
        connect(f"ws://127.0.0.1:{at.port}/api/orders/status", ping_timeout=None) as follower,
    ):

        async def post() -> None:
            async with gate:
                sent = time.time()
                answer = await client.post("/api/orders/execute", json=ORDER)
                answer.raise_for_status()
                order_id = answer.json()["orderId"]
                run.posted[order_id] = (sent, time.time())
                await follower.send(json.dumps({"orderId": order_id}))

        async def watch() -> None:
            async for order_id, status in published(reader):
                run.received({"orderId": order_id, "status": status})
                if len(run.ended) == orders:
                    return

        async def follow() -> None:
            nonlocal pushed
            async for _ in follower:
                pushed += 1

        following = asyncio.create_task(follow())
        watching = asyncio.create_task(asyncio.wait_for(watch(), ORDERS_SECONDS_MAX))
        await asyncio.gather(*(post() for _ in range(orders)))
        await watching
        await asyncio.sleep(1)  # for the last updates of the follower
        following.cancel()
    writer.close()
    return run, pushed


# --- both -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """A run of one engine, what its follower received, and the CPU seconds of its processes."""

    run: Run
    pushed: int
    cpu_seconds: float

    @property
    def orders(self) -> int:
        return len(self.run.posted)


def measured_original(path: Path, orders: int, warm_up: int, *, sleeps: bool) -> Measured:
    with original(path, sleeps=sleeps) as at:
        asyncio.run(measure_original(at, warm_up))
        before = children_cpu_seconds()
        run, pushed = asyncio.run(measure_original(at, orders))
        return Measured(run, pushed, children_cpu_seconds() - before)


def measured_ours(orders: int, warm_up: int, *, latency_scale: str) -> Measured:
    context = {"latencyScale": latency_scale, "quoteErrorPpm": "0", "dropPpm": "0"}
    with running_stack(context=context) as stack:
        where = (stack.http_url, stack.web_socket_url, stack.api_key)
        asyncio.run(measure(*where, 10, 1))  # starts the functions one after the other
        asyncio.run(measure(*where, warm_up, AT_ONCE))
        before = children_cpu_seconds()
        run = asyncio.run(measure(*where, orders, AT_ONCE))
        pushed = sum("_read" not in each for updates in run.updates.values() for each in updates)
        return Measured(run, pushed, children_cpu_seconds() - before)


def figures_of(measured: Measured) -> dict[str, str]:
    """The figures of one engine, by name."""
    run = measured.run
    confirmed = {
        order_id: update["_received"]
        for order_id, updates in run.updates.items()
        for update in updates
        if update["status"] == "confirmed"
    }
    posts = [(answered - sent) * 1000 for sent, answered in run.posted.values()]
    waits = [confirmed[each] - sent for each, (sent, _) in run.posted.items() if each in confirmed]
    return {
        "POST, p50 (ms)": f"{percentile(posts, 0.5):.0f}",
        "POST, p99 (ms)": f"{percentile(posts, 0.99):.0f}",
        "confirmed after, p50 (s)": f"{percentile(waits, 0.5):.1f}",
        "confirmed after, p99 (s)": f"{percentile(waits, 0.99):.1f}",
        "confirmed a second": f"{rate(list(confirmed.values())):.1f}",
        "CPU, an order (ms)": f"{measured.cpu_seconds / measured.orders * 1000:.0f}",
        "orders confirmed": f"{len(confirmed)} of {measured.orders}",
        "updates pushed": f"{measured.pushed} of {UPDATES * measured.orders}",
    }


def report(columns: Mapping[str, Measured]) -> Table:
    """A column for each engine."""
    (orders,) = {each.orders for each in columns.values()}
    table = figures(f"{orders} orders, {AT_ONCE} posts at a time", "", *columns)
    found = [figures_of(each) for each in columns.values()]
    for name in found[0]:
        table.add_row(name, *(each[name] for each in found))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.against", description=__doc__)
    parser.add_argument("path", type=Path, help="a checkout of the original, after npm install")
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--warm-up", type=int, default=100, help="orders before those counted")
    arguments = parser.parse_args()
    console, count = Console(), (arguments.orders, arguments.warm_up)
    try:
        path = checked(arguments.path)
        columns = {}
        for sleeps, name in ((True, "as shipped"), (False, "without waits")):
            console.print(f"The original, {name} …")
            columns[f"original, {name}"] = measured_original(path, *count, sleeps=sleeps)
            console.print(f"Ours, {name} …")
            columns[f"ours, {name}"] = measured_ours(*count, latency_scale=str(int(sleeps)))
    except Problem as problem:
        sys.exit(str(problem))
    console.print(report(columns))


if __name__ == "__main__":
    main()
