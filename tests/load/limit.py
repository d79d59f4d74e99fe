"""Limit: `uv run python -m tests.load.limit` compares an order with its AWS calls alone.

No engine of this design can cost less than its calls. The calls of one market order with one
follower are recorded over moto, and boto3's clients repeat them on the emulator, with a table and a
queue that start no function. The engine makes the same calls in its handlers, without simulated
latency. `tests.load.cpu` compares the CPU of both in process.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import uuid4

from botocore import xform_name
from rich.console import Console
from rich.table import Table

import tests.conftest  # noqa: F401 - the settings, before the handlers read them
from infra.cli.deployed import Deployed, client
from infra.cli.local import Stack, running_stack
from tests.load.__main__ import rate
from tests.load.machine import children_cpu_seconds, figures
from tests.load.run import measure
from tests.recording import Call, Json, recorded_world
from tests.stack_client import AT_ONCE, Client, follow_all

ONE_BY_ONE, ORDERS = 20, 200  # orders one after the other, and AT_ONCE at a time
PLAIN = "plain-orders"  # the table and the queue that start no function


@dataclass(frozen=True)
class OnEmulator:
    """The ms of an order alone; the rate and the CPU ms of an order with AT_ONCE at a time."""

    alone_ms: float
    orders_per_second: float
    cpu_ms: float


def recorded() -> tuple[str, list[Call]]:
    """A busy owner's order: its id and its calls."""
    with recorded_world() as world:
        world.order()
        world.recorder.take()
        return world.order(), world.recorder.take()


def with_names_replaced(given: Any, names: Mapping[str, str]) -> Any:
    """A call's parameters with the names replaced in all texts."""
    match given:
        case dict():
            return {key: with_names_replaced(value, names) for key, value in given.items()}
        case list():
            return [with_names_replaced(each, names) for each in given]
        case str():
            for old, new in names.items():
                given = given.replace(old, new)
    return given


def plain_table_and_queue(deployed: Deployed) -> str:
    """Create copies of the orders table and the order queue, without readers.

    Returns the queue's URL.
    """
    dynamodb = deployed.client("dynamodb")
    table = dynamodb.describe_table(TableName=deployed.output("OrdersTable"))["Table"]
    fields = ("IndexName", "KeySchema", "Projection")
    dynamodb.create_table(
        TableName=PLAIN,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=table["AttributeDefinitions"],
        KeySchema=table["KeySchema"],
        GlobalSecondaryIndexes=[
            {name: index[name] for name in fields} for index in table["GlobalSecondaryIndexes"]
        ],
        StreamSpecification=table["StreamSpecification"],
    )
    url: str = deployed.client("sqs").create_queue(QueueName=PLAIN)["QueueUrl"]
    return url


def open_connection(pushes: Any, items: list[Json]) -> str:
    """The id of the connection among these items that is still open."""
    for item in items:
        connection_id: str = item["connectionId"]["S"]
        with suppress(pushes.exceptions.GoneException):
            pushes.post_to_connection(ConnectionId=connection_id, Data=b"{}")
            return connection_id
    raise AssertionError("no connection is open")


def calls_alone(stack: Stack) -> OnEmulator:
    """Make the calls of ORDERS orders, whose updates all go to the one open connection."""
    recorded_id, calls = recorded()
    queue_url = plain_table_and_queue(stack)
    pushes = client(
        "apigatewaymanagementapi", stack.region, stack.web_socket_url.replace("ws", "http", 1)
    )
    clients = {
        "dynamodb": stack.client("dynamodb"),
        "sqs": stack.client("sqs"),
        "apigatewaymanagementapi": pushes,
    }
    connections = clients["dynamodb"].scan(TableName=stack.outputs["ConnectionsTable"])["Items"]
    own = {
        "TableName": PLAIN,
        "QueueUrl": queue_url,
        "ConnectionId": open_connection(pushes, connections),
    }

    def one_order(_number: int) -> float:
        names = {recorded_id: str(uuid4())}
        began = time.monotonic()
        for call in calls:
            given = with_names_replaced(call.given, names)
            given |= {name: own[name] for name in given.keys() & own.keys()}
            getattr(clients[call.service], xform_name(call.operation))(**given)
        return (time.monotonic() - began) * 1000

    one_order(0)
    alone = [one_order(number) for number in range(ONE_BY_ONE)]
    before, began = time.process_time() + children_cpu_seconds(), time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one_order, range(ORDERS)))
    seconds = time.monotonic() - began
    spent = time.process_time() + children_cpu_seconds() - before
    return OnEmulator(median(alone), ORDERS / seconds, spent / ORDERS * 1000)


async def engine(stack: Stack) -> OnEmulator:
    """Let the stack execute ORDERS orders."""
    where = (stack.http_url, stack.web_socket_url, stack.api_key)
    for warm_up, at_once in ((10, 1), (100, AT_ONCE)):  # so that functions start one by one
        await measure(*where, warm_up, at_once)
    alone = []
    for _ in range(ONE_BY_ONE):
        run = await measure(*where, 1, 1)
        ((sent, _answered),) = run.posted.values()
        ((*_, last),) = run.updates.values()
        alone.append((last["_received"] - sent) * 1000)
    before = children_cpu_seconds()
    run = await measure(*where, ORDERS, AT_ONCE)
    spent = children_cpu_seconds() - before
    ends = [updates[-1]["_received"] for updates in run.updates.values()]
    return OnEmulator(median(alone), rate(ends), spent / ORDERS * 1000)


def on_emulator() -> tuple[OnEmulator, OnEmulator]:
    """The calls alone, and the engine."""

    async def go(stack: Stack) -> tuple[OnEmulator, OnEmulator]:
        engine_figures = await engine(stack)
        user = Client(stack.http_url, stack.web_socket_url, stack.api_key)
        try:
            async with user.socket() as socket:
                await follow_all(socket)

                async def drain() -> None:
                    async for _ in socket:
                        pass

                draining = asyncio.create_task(drain())
                alone = await asyncio.to_thread(calls_alone, stack)
                draining.cancel()
        finally:
            await user.close()
        return alone, engine_figures

    context = {"latencyScale": "0", "quoteErrorPpm": "0", "dropPpm": "0"}
    with running_stack(context=context) as stack:
        return asyncio.run(go(stack))


def report(alone: OnEmulator, engine_figures: OnEmulator) -> Table:
    """A row for each kind of measurement, with the ratio of the engine and the calls alone."""
    table = figures("An order against its AWS calls alone", "", "calls alone", "engine", "ratio")

    def row(name: str, calls: float, ours: float) -> None:
        ratio = max(calls, ours) / min(calls, ours)
        table.add_row(name, f"{calls:.1f}", f"{ours:.1f}", f"{ratio:.2f}")

    row("emulator, one order at a time (ms)", alone.alone_ms, engine_figures.alone_ms)
    row(
        f"emulator, {AT_ONCE} at a time: orders/s",
        alone.orders_per_second,
        engine_figures.orders_per_second,
    )
    row("the same: CPU of all processes, an order (ms)", alone.cpu_ms, engine_figures.cpu_ms)
    return table


def main() -> None:
    argparse.ArgumentParser(prog="python -m tests.load.limit", description=__doc__).parse_args()
    Console().print(report(*on_emulator()))


if __name__ == "__main__":
    main()
