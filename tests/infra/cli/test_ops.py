"""The operator's commands, over moto."""

from __future__ import annotations

import itertools
import json
import time
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.stub import ANY, Stubber
from moto.core.models import MockAWS

from functions.contract import iso, order_id_of, order_message, unix_ms
from functions.dex import router, tokens
from functions.orders import routes, settlement
from functions.orders.order import Order, OrderError, Status
from functions.simulation.network import Network
from functions.store import orders as store
from infra.cli import ops
from infra.cli.command import Problem
from infra.cli.deployed import Deployed
from infra.cli.ops import backlog, stats, stuck
from tests.infra.cli.conftest import Run
from tests.orders import ORDER_ID, pending_order
from tests.world import aws_clients, create_tables

Json = dict[str, Any]
GROUPS = {"api": "/api", "worker": "/worker", "dead_letters": "/dead-letters"}
HOUR_MS = 3_600_000


class Engine:
    """A stack in moto, with orders as the functions store them."""

    def __init__(self, stack: Deployed) -> None:
        self.stack = stack
        self._numbers = itertools.count()  # so that eight orders are in all eight shards
        self._logs = boto3.client("logs")
        for group in GROUPS.values():
            self._logs.create_log_group(logGroupName=group)
            self._logs.create_log_stream(logGroupName=group, logStreamName="0")

    def order(
        self, at_ms: int, *statuses: Status, request: Json | None = None, **details: Any
    ) -> Order:
        """Store an order that was created at a time and spent 100 ms in each of the statuses."""
        order_id = str(UUID(int=next(self._numbers)))
        order = pending_order(order_id, at_ms, **(request or {}))
        store.create_order(order, "desk")
        for step, status in enumerate(statuses, start=1):
            more = details if step == len(statuses) else {}
            update = order.next_update(status, at_ms + 100 * step, **more)
            order = store.append_update(order, "desk", update)
        return order

    def log(self, function: str, at_ms: int, message: Json | str) -> None:
        """Write one line to a function's log; a record contains its own time too."""
        if not isinstance(message, str):
            message = json.dumps({"timestamp": iso(at_ms), "service": "engine", **message})
        self._logs.put_log_events(
            logGroupName=GROUPS[function],
            logStreamName="0",
            logEvents=[{"timestamp": at_ms, "message": message}],
        )

    def metric(self, name: str, values: list[float], at_ms: int, **more: str) -> None:
        """Write the log line by which a function emits a metric."""
        defined = {
            "Namespace": more.pop("namespace", "OrderExecutionEngine"),
            "Dimensions": [["service", *more]],
            "Metrics": [{"Name": name, "Unit": "Count"}],
        }
        embedded = {"Timestamp": at_ms, "CloudWatchMetrics": [defined]}
        line = {"_aws": embedded, "service": "engine", name: values, **more}
        self.log("worker", at_ms, json.dumps(line))

    def add_dead_letter(self, body: str) -> None:
        """Add a dead letter."""
        url = self.stack.outputs["DeadLetterQueueUrl"]
        boto3.client("sqs").send_message(QueueUrl=url, MessageBody=body)

    def queued(self) -> list[str]:
        """The bodies in the order queue."""
        sqs, bodies = boto3.client("sqs"), []
        while answer := sqs.receive_message(
            QueueUrl=self.stack.outputs["OrderQueueUrl"], MaxNumberOfMessages=10
        ).get("Messages"):
            bodies += [message["Body"] for message in answer]
        return bodies


@pytest.fixture
def engine(aws: MockAWS, monkeypatch: pytest.MonkeyPatch) -> Engine:
    aws.reset()
    monkeypatch.setattr(Deployed, "log_groups", lambda _stack: GROUPS)
    dynamodb, sqs = aws_clients()
    create_tables(dynamodb)
    urls = {k: sqs.create_queue(QueueName=k)["QueueUrl"] for k in backlog.QUEUES.values()}
    tables = {f"{n}Table": n.lower() for n in ("Orders", "Connections", "Access")}
    return Engine(Deployed(name="engine", outputs=urls | tables))


@pytest.fixture
def run(engine: Engine, command: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(ops, "find", lambda _name: engine.stack)
    return partial(command, "ops")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def confirmed(engine: Engine) -> Order:
    """An order that was confirmed a minute ago, in its second attempt."""
    at = now_ms() - 60_000
    error = OrderError(code="QUOTES_UNAVAILABLE", message="No venue answered.")
    order = engine.order(at, Status.ROUTING, Status.ROUTING, attempt=2, error=error)
    for step, status in enumerate((Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED), start=3):
        update = order.next_update(status, at + 100 * step)
        order = store.append_update(order, "desk", update, transaction='{"secret":"signed"}')
    return order


# --- trace


def test_a_trace_has_the_updates_and_the_log_lines_in_order_of_time(
    engine: Engine, run: Run
) -> None:
    order = confirmed(engine)
    start = unix_ms(order.created_at)
    fields = {"level": "INFO", "order_id": order.order_id}
    engine.log("worker", start + 250, fields | {"message": "order routing", "attempt": 2})
    engine.log("api", start + 50, fields | {"message": "order accepted"})
    engine.log("worker", start + 260, {"message": "another order", "order_id": str(uuid4())})
    engine.log("worker", start + 270, {"_aws": {}, "order_id": order.order_id})
    engine.log("worker", start + 550, f"Task timed out; it had {order.order_id}\n")
    answer = run("trace", order.order_id, "--json")
    assert (answer.code, answer.err) == (0, "")
    trace = json.loads(answer.out)
    timeline = [(e["source"], e.get("status") or e["message"]) for e in trace["timeline"]]
    assert timeline == [
        ("update", "pending"),
        ("api", "order accepted"),
        ("update", "routing"),
        ("update", "routing"),
        ("worker", "order routing"),
        ("update", "building"),
        ("update", "submitted"),
        ("update", "confirmed"),
        ("worker", f"Task timed out; it had {order.order_id}"),
    ]
    assert trace["timeline"][0]["at"] == order.created_at == trace["createdAt"]
    assert trace["timeline"][3]["error"]["code"] == "QUOTES_UNAVAILABLE"
    assert (trace["owner"], trace["status"]) == ("desk", "confirmed")
    assert trace["request"]["tokenOut"] == "USDC"
    assert "signed" not in answer.out
    text = run("trace", order.order_id).out
    for shown in ("desk", "order accepted", "attempt 2", "QUOTES_UNAVAILABLE: No venue answered."):
        assert shown in text


def test_a_log_line_is_sorted_by_the_time_in_it_not_by_when_cloudwatch_received_it(
    engine: Engine, run: Run
) -> None:
    order = confirmed(engine)
    line = {"timestamp": order.created_at, "message": "early", "order_id": order.order_id}
    engine.log("worker", now_ms(), json.dumps(line))
    timeline = json.loads(run("trace", order.order_id, "--json").out)["timeline"]
    assert [entry.get("message") for entry in timeline[:3]] == [None, "early", None]


def test_a_trace_counts_the_receives_and_the_failures_of_each_message(
    engine: Engine, run: Run
) -> None:
    order, at = engine.order(now_ms() - 60_000, Status.ROUTING), now_ms() - 50_000
    fields = {"order_id": order.order_id, "message_id": "m-1"}
    for number in range(3):
        invocation = fields | {"function_request_id": str(number)}
        engine.log("worker", at, invocation | {"message": "order taken on"})
        engine.log("worker", at, invocation | {"message": "message failed", "exception": "Oh"})
    line = fields | {"message_id": "m-2", "function_request_id": "9", "message": "order taken on"}
    engine.log("worker", at, line)
    engine.add_dead_letter(order_message(order.order_id))
    trace = json.loads(run("trace", order.order_id, "--json").out)
    assert trace["messages"] == [
        {"messageId": "m-1", "taken": 3, "failed": 3},
        {"messageId": "m-2", "taken": 1, "failed": 0},
    ]
    assert trace["queues"]["deadLetters"] == {"visible": 1, "inFlight": 0, "delayed": 0}
    assert "message m-1  taken 3 times, failed 3 times" in run("trace", order.order_id).out


def test_a_trace_does_not_search_the_log_long_before_or_after_the_order(
    engine: Engine, run: Run
) -> None:
    order = engine.order(now_ms() - 2 * HOUR_MS, Status.CANCELLED)
    for ago_ms in (3 * HOUR_MS, 2 * HOUR_MS - 1000, HOUR_MS):
        line = {"message": str(ago_ms), "order_id": order.order_id}
        engine.log("worker", now_ms() - ago_ms, line)
    timeline = json.loads(run("trace", order.order_id, "--json").out)["timeline"]
    assert [e["message"] for e in timeline if "message" in e] == [str(2 * HOUR_MS - 1000)]


@pytest.mark.parametrize("unknown", ["nowhere", str(UUID(int=7)), "", "x" * 5000, "\udcff"])
def test_an_unknown_order_is_an_error_in_one_line(run: Run, unknown: str) -> None:
    answer = run("trace", unknown, "--json")
    assert str(answer.code).startswith("✗ There is no order ")
    assert str(answer.code).encode()
    assert answer.out == ""


def test_an_order_is_found_by_its_id_in_capitals_and_without_hyphens(
    engine: Engine, run: Run
) -> None:
    order = confirmed(engine)
    assert run("trace", UUID(order.order_id).hex.upper(), "--json").code == 0


# --- stuck


def test_only_open_orders_without_an_update_for_the_given_time_are_stuck(
    engine: Engine, run: Run
) -> None:
    old = now_ms() - 400_000
    idle = engine.order(old, Status.ROUTING, Status.ROUTING, attempt=2)
    untouched = engine.order(old)
    engine.order(old, Status.CANCELLED)
    engine.order(old, Status.ROUTING, Status.ROUTING, next_retry_at=iso(now_ms() + 60_000))
    engine.order(now_ms() - 200_000)
    answer = run("stuck", "--json")
    assert answer.code == stuck.FOUND
    found = {order["orderId"]: order for order in map(json.loads, answer.out.splitlines())}
    assert set(found) == {idle.order_id, untouched.order_id}
    assert found[idle.order_id].pop("idleSince") >= iso(old + 200)
    assert found[idle.order_id] == {
        "orderId": idle.order_id,
        "owner": "desk",
        "status": "routing",
        "attempt": 2,
        "sequence": 3,
        "createdAt": iso(old),
        "updatedAt": iso(old + 200),
    }
    assert "2 orders without an update for 300 s." in run("stuck").out
    assert len(run("stuck", "--older-than", "100", "--json").out.splitlines()) == 3
    assert engine.queued() == []


@pytest.mark.parametrize(("expires_in_ms", "is_stuck"), [(300_000, False), (-301_000, True)])
def test_a_resting_order_is_stuck_only_after_its_expiry(
    engine: Engine, run: Run, expires_in_ms: int, is_stuck: bool
) -> None:
    now = now_ms()
    expires_at = iso(now + expires_in_ms)
    terms = {"limit_price": "160", "expires_at": expires_at}
    limit = terms | {"type": "limit"}
    order = engine.order(now - 400_000, Status.ROUTING, Status.RESTING, request=limit, **terms)
    found = [json.loads(line)["orderId"] for line in run("stuck", "--json").out.splitlines()]
    assert found == ([order.order_id] if is_stuck else [])


@pytest.mark.parametrize("status", [Status.ROUTING, Status.CANCELLED])
def test_an_order_updated_after_the_index_was_read_is_not_stuck(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    order, make_client = engine.order(now_ms() - 400_000), Deployed.client

    def update(**_: Any) -> None:
        store.append_update(order, "desk", order.next_update(status, now_ms()))

    def client(stack: Deployed, service: str) -> Any:
        made = make_client(stack, service)
        made.meta.events.register("provide-client-params.dynamodb.BatchGetItem", update)
        return made

    monkeypatch.setattr(Deployed, "client", client)
    assert run("stuck", "--requeue", "--json").out == ""
    assert store.get_order(order.order_id, "desk").status is status
    assert engine.queued() == []


def test_stuck_orders_are_queued_again_with_requeue(engine: Engine, run: Run) -> None:
    orders = {engine.order(now_ms() - 400_000).order_id for _ in range(12)}
    answer = run("stuck", "--requeue")
    assert answer.code == 0
    assert all(order_id in answer.out for order_id in orders)
    queued = engine.queued()
    assert len(queued) == len(orders)
    assert {order_id_of(body) for body in queued} == orders


def test_without_a_stuck_order_the_exit_code_is_0(engine: Engine, run: Run) -> None:
    engine.order(now_ms())
    answer = run("stuck", "--json")
    assert (answer.code, answer.out) == (0, "")


# --- redrive


def test_redriving_moves_every_dead_letter_back_to_the_order_queue(
    engine: Engine, run: Run
) -> None:
    ids = [str(UUID(int=number)) for number in range(25)]
    bodies = {order_message(order_id) for order_id in ids} | {"no order"}
    for body in bodies:
        engine.add_dead_letter(body)
    answer = run("redrive", "--json")
    assert answer.code == 0
    moved = [json.loads(line) for line in answer.out.splitlines()]
    assert {line["body"]: line["orderId"] for line in moved} == {
        **{order_message(order_id): order_id for order_id in ids},
        "no order": None,
    }
    assert set(backlog.counts(engine.stack, "deadLetters").values()) == {0}
    assert run("redrive").out == "0 dead letters moved back to the order queue.\n"
    assert sorted(engine.queued()) == sorted(bodies)


def test_dead_letters_of_webhooks_return_to_their_own_queue(engine: Engine, run: Run) -> None:
    sqs = engine.stack.client("sqs")
    url = engine.stack.output("WebhookDeadLetterQueueUrl")
    sqs.send_message(QueueUrl=url, MessageBody="notice")
    assert run("redrive", "--webhooks").out.endswith(
        "1 dead letters moved back to the webhook queue.\n"
    )
    assert backlog.counts(engine.stack, "webhookQueue")["visible"] == 1
    assert backlog.counts(engine.stack, "webhookDeadLetters")["visible"] == 0
    assert engine.queued() == []


# --- stats


def test_stats_of_the_emulator_are_read_from_the_log(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = now_ms()
    engine.metric("OrdersAccepted", [1], now - 1000)
    engine.metric("OrdersAccepted", [1, 1], now - 2000)
    engine.metric("OrdersAccepted", [1], now - HOUR_MS)
    engine.metric("OrdersAccepted", [1], now - 1000, namespace="Another")
    for code in ("INTERNAL", "NO_ROUTES_FOUND", "INTERNAL"):
        engine.metric("OrdersFailed", [1], now - 1000, code=code)
    engine.metric("TimeToConfirm", [float(ms) for ms in range(1, 101)], now - 1000)
    engine.log("api", now - 1000, {"message": "the word CloudWatchMetrics alone"})
    reported: list[tuple[int, int | None]] = []
    found = stats.from_log(
        engine.stack, now - 600_000, now, lambda done, total: reported.append((done, total))
    )
    assert reported[-1] == (len(GROUPS), len(GROUPS))
    assert (found["accepted"], found["confirmed"], found["swept"]) == (3, 0, 0)
    assert found["failed"] == {"INTERNAL": 2, "NO_ROUTES_FOUND": 1}
    assert found["timeToConfirmMs"] == {"count": 100, "p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert found["pushLagMs"] == {"count": 0, "p50": None, "p95": None, "p99": None, "max": None}


def test_stats_of_a_stack_in_aws_are_those_of_cloudwatch(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, queries = boto3.client("cloudwatch"), list[Json]()

    def record(params: Json, **_: Any) -> None:
        queries.extend(params["MetricDataQueries"])

    client.meta.events.register("before-parameter-build.cloudwatch.GetMetricData", record)
    service = {"Name": "service", "Value": "engine"}
    metrics: Any = [
        {"Dimensions": [service, {"Name": "code", "Value": code}]} for code in ("INTERNAL", "RARE")
    ]
    results: Any = [{"Id": f"q{number}", "Values": [float(number)]} for number in range(26)]
    results[5]["Values"] = []
    monkeypatch.setattr(Deployed, "client", lambda _stack, _service: client)
    with Stubber(client) as stub:
        failed = {"Namespace": "OrderExecutionEngine", "MetricName": "OrdersFailed"}
        stub.add_response("list_metrics", {"Metrics": metrics}, failed | {"Dimensions": [service]})
        times = {"StartTime": ANY, "EndTime": ANY}
        stub.add_response(
            "get_metric_data", {"MetricDataResults": results}, times | {"MetricDataQueries": ANY}
        )
        found = stats.from_metrics(engine.stack, 60, now_ms())
    number_of: dict[tuple[str, ...], int] = {}
    for number, query in enumerate(queries):
        stat = query["MetricStat"]
        dimensions = {d["Name"]: d["Value"] for d in stat["Metric"]["Dimensions"]}
        assert dimensions.pop("service") == "engine"
        assert stat["Period"] == 3600
        figure = (stat["Metric"]["MetricName"], stat["Stat"], *dimensions.values())
        number_of[figure] = number
    for name, metric in stats.COUNTED.items():
        assert found[name] == number_of[metric, "Sum"]
    assert found["failed"] == {"INTERNAL": number_of["OrdersFailed", "Sum", "INTERNAL"]}
    for name, metric in stats.MEASURED.items():
        for shown, kind in {"count": "SampleCount", "p99": "p99", "max": "Maximum"}.items():
            assert found[name][shown] == number_of[metric, kind]


def test_stats_count_open_orders_connections_and_queued_messages(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        engine.order(now_ms())
    resting = {"orderId": {"S": str(uuid4())}, "openOwner": {"S": "desk"}}  # has no expiry
    boto3.client("dynamodb").put_item(TableName="orders", Item=resting)
    confirmed(engine)
    for number, until_ms in enumerate((now_ms() + HOUR_MS, now_ms() - HOUR_MS)):
        item = {"owner": {"S": "desk"}, "connectionId": {"S": str(number)}}
        item["expiresAt"] = {"N": str(until_ms // 1000)}
        boto3.client("dynamodb").put_item(TableName="connections", Item=item)
    engine.add_dead_letter("{}")
    flow = stats.from_log(engine.stack, now_ms() - HOUR_MS, now_ms(), lambda *_: None)
    monkeypatch.setattr(stats, "from_metrics", lambda *_: flow)
    monkeypatch.setattr(stats, "oldest_seconds", lambda *_: 7.0)
    found = json.loads(run("stats", "--json").out)["now"]
    assert (found["openOrders"], found["connections"]) == (11, 1)
    assert (found["deadLetters"]["visible"], found["orderQueue"]["visible"]) == (1, 0)
    text = run("stats").out
    assert "11 open orders, 1 connections" in text
    assert "oldest message: 7 s" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("trace",),
        ("nothing",),
        ("stats", "--minutes", "0"),
        ("stats", "--minutes", "1441"),
        ("stats", "--minutes", "9" * 5000),
        ("stuck", "--older-than", "-1"),
        ("stuck", "--older-than", "1e400"),
        ("stuck", "--older-than", "9" * 19),
        ("stuck", "--older-than", "nan"),
        ("stuck", "--older-than", "\N{ARABIC-INDIC DIGIT THREE}"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2


def test_the_largest_numbers_in_range_are_accepted(run: Run) -> None:
    assert run("stuck", "--older-than", str(366 * 24 * 3600)).code == 0
    assert run("stuck", "--older-than", "0" * 5000 + "7").code == 0


# --- errors, and names that must agree with the stack


def test_a_stack_of_another_application_is_an_error(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "find", lambda _name: Deployed(name="website", outputs={}))
    for arguments in (["redrive"], ["stuck"], ["stats"], ["trace", str(UUID(int=7))]):
        assert "Stack website is no order execution engine" in str(run(*arguments).code)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Problem("There is no\nsuch stack."), "✗ There is no such stack."),
        (NoCredentialsError(), "✗ Unable to locate credentials"),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "Not you."}}, "Query"),
            "✗ An error occurred (AccessDenied) when calling the Query operation: Not you.",
        ),
    ],
)
@pytest.mark.parametrize("arguments", [("redrive",), ("stuck",), ("stats",), ("trace", "x")])
def test_a_stack_that_cannot_be_found_is_an_error_in_one_line(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    error: Exception,
    line: str,
) -> None:
    def find(_stack: str) -> Deployed:
        raise error

    monkeypatch.setattr(ops, "find", find)
    assert run(*arguments, "--stack", "nowhere").code == line


# --- explain


def test_an_explanation_computes_an_executed_order_again(engine: Engine, run: Run) -> None:
    order = executed(engine)
    done = run("explain", order.order_id)
    assert done.code == 0
    assert "raydium" in done.out or "meteora" in done.out or "whirlpool" in done.out
    assert "DIFFERS" not in done.out
    explained = json.loads(run("explain", order.order_id, "--json").out)
    assert (explained["differs"], explained["landing"]["txHash"]) == (False, order.tx_hash)


def test_an_explanation_reports_a_stored_value_that_differs(engine: Engine, run: Run) -> None:
    order = executed(engine, out_amount="1")
    done = run("explain", order.order_id)
    assert done.code == 4
    assert "DIFFERS outAmount: stored 1, computed " in done.out


def test_an_unknown_order_has_no_explanation(run: Run) -> None:
    done = run("explain", ORDER_ID)
    assert "There is no order" in str(done.code)


def executed(engine: Engine, **stored: str) -> Order:
    """Store an order that the simulated market executed; `stored` changes its last update."""
    clock = [now_ms() - 60_000]
    network = Network(lambda: clock[0], lambda _seconds: None)
    order = engine.order(clock[0], Status.ROUTING)
    pair = tokens.find(order.token_in), tokens.find(order.token_out)
    units = tokens.to_units(order.amount, pair[0])
    found = router.find_route(*pair, units, order.slippage_bps or 0, network.snapshots())
    update = order.next_update(Status.BUILDING, clock[0], route=routes.to_client(found))
    order = store.append_update(order, "desk", update)
    signed = network.sign(order, found)
    update = order.next_update(Status.SUBMITTED, clock[0], tx_hash=signed.signature)
    order = store.append_update(order, "desk", update, transaction=signed.text)
    clock[0] += 10_000
    outcome = network.outcome(signed.text)
    assert not isinstance(outcome, settlement.Pending)
    update = settlement.ending_update(order, outcome, clock[0], network.reference)
    return store.append_update(order, "desk", update.model_copy(update=stored))
