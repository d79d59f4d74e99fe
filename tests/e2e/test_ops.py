"""The operator's commands against the deployed stack."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial

import pytest

from infra.cli import ops
from infra.cli.deployed import Deployed
from infra.cli.ops import stuck
from tests.e2e.actions import stopped
from tests.e2e.conftest import Target
from tests.eventually import eventually_async
from tests.orders import LIFE, is_complete
from tests.stack_client import Client, Json

pytestmark = pytest.mark.emulator

POSTED = 5

Run = Callable[..., tuple[int | str | None, list[Json]]]


@pytest.fixture
def deployed(target: Target) -> Deployed:
    """The stack with its account, which the commands need."""
    assert target.deployed
    return target.deployed


@pytest.fixture
def run(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a command with --json; returns its exit code and the parsed lines of its output."""

    def run(*arguments: str) -> tuple[int | str | None, list[Json]]:
        monkeypatch.setattr(ops, "find", lambda _name: deployed)
        monkeypatch.setattr(sys, "argv", ["ops", *arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            ops.main()
        return ended.value.code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


async def test_the_trace_of_a_confirmed_order_has_its_updates_and_the_workers_log_lines(
    client: Client, run: Run
) -> None:
    order = await client.accepted(amount="1.5")
    other = await client.accepted()
    for made in (order, other):
        assert is_complete(await client.follow(made["orderId"]))

    def timeline() -> list[Json]:
        code, (trace,) = run("trace", order["orderId"])
        assert code is None
        assert trace["request"]["amount"] == "1.5"
        entries: list[Json] = trace["timeline"]
        return entries

    def of_worker() -> list[Json]:
        return [entry for entry in timeline() if entry["source"] == "worker"]

    await eventually_async(lambda: {2, 4, 5} <= {e.get("sequence") for e in of_worker()})
    trace = timeline()
    assert [e["status"] for e in trace if e["source"] == "update"] == LIFE
    assert [e["sequence"] for e in of_worker() if "sequence" in e] == [2, 4, 5]
    assert [e["at"] for e in trace] == sorted(e["at"] for e in trace)
    assert other["orderId"] not in json.dumps(trace)


async def test_no_confirmed_order_is_stuck(client: Client, run: Run) -> None:
    order = await client.accepted()
    assert is_complete(await client.follow(order["orderId"]))
    assert run("stuck") == (0, [])


async def test_a_stuck_order_is_found_and_executes_once_it_is_queued_again(
    client: Client, run: Run, deployed: Deployed
) -> None:
    with stopped(deployed, "OrderQueueUrl"):
        order_id = (await client.accepted())["orderId"]

        def found() -> Json:
            code, orders = run("stuck", "--older-than", "1")
            assert code == (stuck.FOUND if orders else 0)
            return {order["orderId"]: order for order in orders}

        await eventually_async(lambda: order_id in found())
        assert found()[order_id]["status"] == "pending"
        deployed.client("sqs").purge_queue(QueueUrl=deployed.outputs["OrderQueueUrl"])
        code, orders = run("stuck", "--older-than", "1", "--requeue")
        assert code == 0
        assert order_id in [order["orderId"] for order in orders]
        _, (figures,) = run("stats")
        assert figures["now"]["orderQueue"]["visible"] >= 1
        assert figures["now"]["openOrders"] >= 1
    assert is_complete(await client.follow(order_id))


async def test_a_dead_letter_is_moved_back_to_the_order_queue(
    client: Client, run: Run, deployed: Deployed
) -> None:
    sqs, queue = deployed.client("sqs"), deployed.outputs["OrderQueueUrl"]
    with stopped(deployed, "OrderQueueUrl", "DeadLetterQueueUrl"):
        order_id = (await client.accepted())["orderId"]

        def dead() -> int:
            """Receive the message, as failing workers do, until SQS makes it a dead letter."""
            sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
            _, (trace,) = run("trace", order_id)
            visible: int = trace["queues"]["deadLetters"]["visible"]
            return visible

        await eventually_async(lambda: dead() > 0)
        code, moved = run("redrive")
        assert code is None
        assert order_id in [message["orderId"] for message in moved]
        assert run("redrive") == (None, [])
    assert is_complete(await client.follow(order_id))


async def test_stats_count_the_posted_orders(client: Client, run: Run) -> None:
    def figures() -> Json:
        _, (figures,) = run("stats", "--minutes", "1440")
        return figures

    def logged(order: Json) -> bool:
        """Whether the worker has logged the order's end, which it does after its invocation."""
        _, (trace,) = run("trace", order["orderId"])
        of_worker = [entry for entry in trace["timeline"] if entry["source"] == "worker"]
        return order["sequence"] in [entry.get("sequence") for entry in of_worker]

    query = {"status": "confirmed", "limit": "1"}
    for latest in (await client.http.get("/api/orders", params=query)).json()["orders"]:
        await eventually_async(partial(logged, latest))
    before = figures()  # these count all earlier orders
    for _ in range(POSTED):
        order = await client.accepted()
        assert is_complete(await client.follow(order["orderId"]))
    await eventually_async(lambda: figures()["confirmed"] - before["confirmed"] >= POSTED)
    after = figures()
    assert after["accepted"] - before["accepted"] == POSTED
    assert after["confirmed"] - before["confirmed"] == POSTED
    assert after["failed"] == before["failed"]
    times = after["timeToConfirmMs"]
    assert times["count"] - before["timeToConfirmMs"]["count"] == POSTED
    assert 0 < times["p50"] <= times["p95"] <= times["p99"] <= times["max"]
    assert after["attempts"]["count"] - before["attempts"]["count"] == POSTED
