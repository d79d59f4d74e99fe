"""Metrics and logs of an order, for operators."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from functions import runtime, watcher
from functions.contract import Metric, order_message, unix_ms
from functions.simulation.network import VENUES
from tests.events import Json
from tests.receiver import Receiver, answer_with
from tests.world import Context, World

SERVICE = "order-execution-engine"
OWNER = "desk-7"  # of the events
RUNBOOK = Path(__file__).parents[2] / "infra" / "RUNBOOK.md"


def lines(log: io.StringIO) -> list[Json]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def metrics(printed: str) -> list[tuple[str, tuple[str, ...], list[float]]]:
    """(name, values of its dimensions, values) of every metric in EMF lines."""
    found = []
    for line in printed.splitlines():
        blob: dict[str, Any] = json.loads(line)
        for directive in blob["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == "OrderExecutionEngine"
            (dimensions,) = directive["Dimensions"]
            named = tuple(sorted(blob[dimension] for dimension in dimensions))
            for metric in directive["Metrics"]:
                values = blob[metric["Name"]]
                found.append(
                    (metric["Name"], named, values if isinstance(values, list) else [values])
                )
    return found


def test_a_confirmed_order_is_counted_and_timed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    order = world.submit()
    world.send(world.connect("c1"), {"orderId": order["orderId"]})
    world.work_until_empty()
    found = metrics(capsys.readouterr().out)
    counted = {(name, named): values for name, named, values in found if name != "PushLag"}
    service = (SERVICE,)
    assert counted.keys() == {
        ("OrdersAccepted", service),
        ("OrdersConfirmed", service),
        ("Attempts", service),
        ("TimeToConfirm", service),
        ("QuoteLatency", service),
    }
    assert counted["OrdersAccepted", service] == counted["OrdersConfirmed", service] == [1]
    assert counted["Attempts", service] == [1]
    assert len(counted["QuoteLatency", service]) == len(VENUES)
    (took,) = counted["TimeToConfirm", service]
    times = world.read(order["orderId"])
    assert took == unix_ms(times["confirmedAt"]) - unix_ms(times["createdAt"])
    # One for each live update. The replay of "pending" has no lag, because the client requested it.
    lags = [lag for name, _, values in found if name == "PushLag" for lag in values]
    assert len(lags) == 4
    assert all(lag >= 0 for lag in lags)


def test_a_failed_order_is_counted_by_its_code(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.submit(simulate={"fault": "venue_down"})
    world.work_until_empty()
    found = metrics(capsys.readouterr().out)
    assert ("OrdersFailed", ("QUOTES_UNAVAILABLE", SERVICE), [1]) in found
    assert ("Attempts", (SERVICE,), [3]) in found
    assert "OrdersConfirmed" not in {name for name, _, _ in found}


def test_a_gone_connection_and_a_swept_order_are_counted(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = world.submit()["orderId"]
    world.sqs.purge_queue(QueueUrl=world.queue_url)
    world.send(world.connect("c1"), {"orderId": order_id})
    world.connections.gone.add("c1")
    world.publish()
    assert world.sweep() == 0
    monkeypatch.setattr("functions.sweeper.now_ms", lambda: runtime.now_ms() + 160_000)
    assert world.sweep() == 1
    found = metrics(capsys.readouterr().out)
    assert ("ConnectionsGone", (SERVICE,), [1]) in found
    assert [values for name, _, values in found if name == "OrdersSwept"] == [[0], [1]]


def test_metrics_are_written_even_if_the_handler_fails(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.submit()
    capsys.readouterr()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("functions.dex.router.find_route", broken)
    world.work()
    assert [name for name, _, _ in metrics(capsys.readouterr().out)] == ["QuoteLatency"]


def test_every_metric_is_emitted_and_no_other(
    world: World, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    world.create_webhook(receiver.url)
    order_id = world.submit()["orderId"]
    world.publish()
    world.notify()
    receiver.handle = answer_with(500)
    world.submit(simulate={"fault": "venue_down"})
    world.publish()
    world.notify()
    for connection_id in ("stays", "gone"):
        world.send(world.connect(connection_id), {"orderId": order_id})
    world.connections.gone.add("gone")
    world.work_until_empty()
    world.sweep()
    resting = world.submit(type="limit", limitPrice="1000000")["orderId"]
    world.work()
    path = f"/api/orders/{resting}"
    world.http("execute_order", method="PATCH", path=path, body={"limitPrice": "900000"})
    watcher.handler({}, Context(12))
    assert {name for name, _, _ in metrics(capsys.readouterr().out)} == {*Metric}


def test_every_log_line_that_the_runbook_searches_for_is_written(
    world: World, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sqs.send_message(QueueUrl=world.queue_url, MessageBody="no order")
    world.work()
    world.deliver_dead_letter("no order")
    dead = world.submit()["orderId"]
    runtime.sleep(runtime.settings.sweep_idle_seconds)
    world.deliver_dead_letter(order_message(dead))
    world.submit()
    world.sqs.purge_queue(QueueUrl=world.queue_url)
    monkeypatch.setattr("functions.sweeper.now_ms", lambda: runtime.now_ms() + 160_000)
    world.sweep()
    webhook = world.create_webhook("http://127.0.0.1:9/")["webhookId"]
    world.http("execute_order", path=f"/api/webhooks/{webhook}/test", body=None, headers={})
    world.notify()
    written = [line["message"] for line in lines(log)]
    searched = re.findall(r"""filter-pattern\s+'"([a-z ]+)"'""", RUNBOOK.read_text())
    assert len(searched) >= 4
    for phrase in searched:
        assert any(phrase in message for message in written), phrase


def test_one_query_by_order_id_finds_the_log_lines_of_an_order(
    world: World, log: io.StringIO
) -> None:
    orders = [world.submit()["orderId"] for _ in range(3)]
    retried = world.submit(simulate={"fault": "slippage", "attempts": 1})["orderId"]
    world.work_until_empty()
    by_order: dict[str, list[Json]] = {}
    for line in lines(log):
        by_order.setdefault(line["order_id"], []).append(line)
    assert by_order.keys() == {*orders, retried}
    for order_id in orders:
        assert [line["message"] for line in by_order[order_id]] == [
            "order accepted",
            "order taken on",
            "order submitted",
            "order confirmed",
        ]
    assert [line["attempt"] for line in by_order[retried] if "attempt" in line][-1] == 2
    assert "SLIPPAGE_TOLERANCE_EXCEEDED" in [line.get("code") for line in by_order[retried]]
    for line in lines(log):
        assert (line["owner"], line["service"]) == (OWNER, SERVICE)
        assert line["attempt"] in (1, 2)


def test_a_log_line_names_no_order_of_an_earlier_message(world: World, log: io.StringIO) -> None:
    world.submit()
    world.http("list_orders")
    world.http("execute_order", body={"tokenIn": "SOL"})
    world.work()
    world.sqs.send_message(QueueUrl=world.queue_url, MessageBody="no order")
    world.work()
    (failed,) = [line for line in lines(log) if line["message"] == "message failed"]
    assert not {"order_id", "owner", "attempt"} & failed.keys()
    assert failed["body"] == "no order"


def test_a_log_line_has_an_rfc_3339_time_with_milliseconds(world: World, log: io.StringIO) -> None:
    world.submit()
    (timestamp, *_) = [line["timestamp"] for line in lines(log)]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", timestamp)


def test_a_message_that_fails_is_logged_with_its_order(
    world: World, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no chain")

    order_id = world.submit()["orderId"]
    monkeypatch.setattr("functions.simulation.chain.build", broken)
    world.work()
    (failed,) = [line for line in lines(log) if line["level"] == "ERROR"]
    assert (failed["order_id"], failed["owner"], failed["attempt"]) == (order_id, OWNER, 1)
    assert failed["message_id"]
    assert "no chain" in failed["exception"]
