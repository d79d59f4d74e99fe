"""CPU: `uv run python -m tests.load.cpu` compares each handler's CPU with that of its AWS calls.

One market order with one follower is recorded over moto. Then each handler runs again with the
recorded answers, in process (no sockets, no moto, simulated latency 0). Alternately, a loop makes
only the same calls, with the same parameters and answers, by boto3's clients. The figure is the CPU
time of the process with all its threads, as the median of several rounds.
"""

from __future__ import annotations

import argparse
import copy
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from time import process_time
from typing import Any
from unittest.mock import patch

import boto3
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from rich.console import Console
from rich.progress import track
from rich.table import Table

import tests.conftest  # noqa: F401 - the settings, before the handlers read them
from functions import api, publisher, push, websocket, worker
from functions.contract import order_message
from functions.store import clients
from tests.cloud import http_response
from tests.events import event, sqs_event, sqs_message
from tests.load.machine import figures
from tests.recording import CONNECTION, Call, Json, logged_to, recorded_world
from tests.world import Context

BATCH = 10
ROUNDS, ORDERS = 15, 50  # the orders of each round and function
_ORDER_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
Handler = Callable[[Json, Any], Any]


@dataclass(frozen=True)
class Part:
    """The work of one function for `orders` orders: its events, and its calls."""

    name: str
    handler: Handler
    events: list[Json]
    calls: list[Call]
    orders: int


@dataclass(frozen=True)
class CpuSeconds:
    """CPU seconds per order: of the handler, and of its AWS calls alone."""

    handler: float
    bare: float

    @property
    def ratio(self) -> float:
        return self.handler / self.bare

    def __add__(self, other: CpuSeconds) -> CpuSeconds:
        return CpuSeconds(self.handler + other.handler, self.bare + other.bare)


class Replay:
    """Answers AWS calls with the recorded answers for the same operation on the same order."""

    def __init__(self, calls: list[Call]) -> None:
        recorded: dict[tuple[str, str, bytes], list[Call]] = defaultdict(list)
        self._any_order: dict[tuple[str, str], Call] = {}
        for call in calls:
            key = _ORDER_ID.search(repr(call.given).encode())
            recorded[call.function, call.operation, key[0] if key else b""].append(call)
            self._any_order.setdefault((call.service, call.operation), call)
        self._answers = {key: cycle(answers) for key, answers in recorded.items()}
        self.function = ""

    def attach(self, client: Any) -> None:
        client.meta.events.register_first("before-send.*.*", self._answer)

    def _answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        service, operation = event_name.split(".")[1:]
        key = _ORDER_ID.search(request.body)
        known = self._answers.get((self.function, operation, key[0] if key else b""))
        call = next(known) if known else self._any_order[service, operation]
        return http_response(request.url, call.status, call.body, call.headers)


def record() -> tuple[list[Part], list[Call]]:
    """The parts of a busy owner's orders, and all recorded calls, also of the first order."""
    with recorded_world() as recorded:
        recorded.order()
        all_calls = recorded.recorder.take()
        parts = []
        for batch in (1, BATCH):
            recorded.records.clear()
            order_ids = recorded.orders(batch)
            calls = recorded.recorder.take()
            all_calls += calls
            parts += _parts(order_ids, recorded.records, calls)
    # Only the worker's part depends on the size of its batch.
    return [*parts[:4], parts[6]], all_calls


def _parts(order_ids: list[str], records: list[Json], calls: list[Call]) -> list[Part]:
    batch = len(order_ids)
    submit = event("http_execute_order")
    submit["body"] = '{"tokenIn":"SOL","tokenOut":"USDC","amount":1}'
    submit["headers"].pop("idempotency-key", None)
    messages = [sqs_message(order_message(order_id), order_id) for order_id in order_ids]
    parts: dict[str, tuple[Handler, list[Json]]] = {
        "submit": (api.handler, [submit] * batch),
        "subscribe": (websocket.handler, [_subscribe(order_id) for order_id in order_ids]),
        "work": (worker.handler, [sqs_event("order", messages)]),
        "publish": (publisher.handler, [{"Records": [record]} for record in records]),
    }
    return [
        Part(name, handler, events, [call for call in calls if call.function == name], batch)
        for name, (handler, events) in parts.items()
    ]


def _subscribe(order_id: str) -> Json:
    message = event("websocket_subscribe") | {"body": f'{{"orderId":"{order_id}"}}'}
    message["requestContext"] |= {"connectionId": CONNECTION}
    return message


@contextmanager
def replayed(calls: list[Call]) -> Iterator[tuple[Replay, dict[str, Any]]]:
    """Plain clients by service; they and the functions' clients receive the recorded answers."""
    replay = Replay(calls)
    cached = (clients.dynamodb, clients.sqs, push.client)
    for each in cached:
        each.cache_clear()
    plain: dict[str, Any] = {}
    for each in cached:
        with patch.dict(os.environ, AWS_LAMBDA_FUNCTION_NAME="function"):  # no checks, as in Lambda
            own: Any = each()
        service = own.meta.service_model.service_name
        plain[service] = boto3.client(service)
        replay.attach(own)
        replay.attach(plain[service])
    try:
        with open(os.devnull, "w") as nowhere, logged_to(nowhere):
            yield replay, plain
    finally:
        for each in cached:
            each.cache_clear()


def cpu_seconds(part: Part, replay: Replay, plain: dict[str, Any], times: int) -> CpuSeconds:
    """Both CPU times an order, over `times` runs of each."""
    replay.function = part.name
    context = Context()
    events = copy.deepcopy([part.events] * times)
    start = process_time()
    for once in events:
        for each in once:
            part.handler(each, context)
    between = process_time()
    bare = [(getattr(plain[c.service], xform_name(c.operation)), c.given) for c in part.calls]
    began = process_time()
    for _ in range(times):
        for call, given in bare:
            call(**given)
    end = process_time()
    orders = times * part.orders
    return CpuSeconds((between - start) / orders, (end - began) / orders)


def measure() -> dict[str, list[CpuSeconds]]:
    """Each part's seconds in every round; the worker's with a batch of one and of ten."""
    parts, all_calls = record()
    times_of: dict[str, list[CpuSeconds]] = defaultdict(list)
    with replayed(all_calls) as (replay, plain):
        for number in track(range(ROUNDS + 1), "Measuring", console=Console(stderr=True)):
            for part in parts:
                seconds = cpu_seconds(part, replay, plain, max(1, ORDERS // part.orders))
                if number:  # the first round warms up
                    name = f"work, batch of {part.orders}" if part.name == "work" else part.name
                    times_of[name].append(seconds)
    for batch in (1, BATCH):
        names = ("submit", "subscribe", f"work, batch of {batch}", "publish")
        rows = zip(*(times_of[name] for name in names), strict=True)
        times_of[f"in all, batch of {batch}"] = [sum(row, CpuSeconds(0, 0)) for row in rows]
    return times_of


def report(times_of: dict[str, list[CpuSeconds]]) -> Table:
    """The rounds' medians: a row for each part, the sums last."""
    columns = ("function", "handler (ms)", "bare calls (ms)", "ratio", "of the rounds")
    table = figures("CPU of one market order", *columns)
    for name, rounds in times_of.items():
        if name == "in all, batch of 1":
            table.add_section()
        ratios = [each.ratio for each in rounds]
        table.add_row(
            name,
            f"{median(each.handler for each in rounds) * 1000:.2f}",
            f"{median(each.bare for each in rounds) * 1000:.2f}",
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f}–{max(ratios):.2f}",
        )
    return table


def main() -> None:
    argparse.ArgumentParser(prog="python -m tests.load.cpu", description=__doc__).parse_args()
    Console().print(report(measure()))


if __name__ == "__main__":
    main()
