"""Each function in Lambda's own Python runtime, from what a deployment uploads, at each log level.

The client of the runtime is awslambdaric, the package that runs in Lambda. The process has the
code asset, the layer and Lambda's environment, and nothing of this project's Python environment.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter

from tests.events import EVENTS
from tests.orders import ORDER_ID
from tests.runtime.execution import Runtime
from tests.runtime.results import BATCH, DEAD_ORDER, FUNCTION_OF, Results, severity

CONNECTION = "UrZ6idTPliACEvA="  # the connection in the events


def metrics(record: dict[str, object]) -> list[str]:
    """The names of the metrics in a line of the embedded metric format."""
    match record:
        case {"_aws": {"CloudWatchMetrics": list(directives)}}:
            return [metric["Name"] for directive in directives for metric in directive["Metrics"]]
    return []


def test_every_event_has_its_function_and_every_function_an_event(results: Results) -> None:
    unhandled = [p.stem for p in EVENTS.glob("*.json") if not p.stem.startswith(tuple(FUNCTION_OF))]
    assert unhandled == []
    assert set(FUNCTION_OF.values()) == set(results.written)


def test_no_package_of_the_projects_own_environment_can_be_imported(
    results: Results, runtime: Runtime
) -> None:
    def errors(program: str) -> str:
        command, environment = runtime.command("-c", program), runtime.environment(results.asset)
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        ).stderr

    assert errors("import awslambdaric, functions.contract, pydantic") == ""
    assert "ModuleNotFoundError: No module named 'aws_cdk'" in errors("import aws_cdk")


def test_a_function_and_its_layer_fit_into_lambda(results: Results, runtime: Runtime) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, unzipped."""
    folders = (results.asset, runtime.layer)
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 250 * 1024 * 1024


def test_every_function_starts_and_answers_its_events(results: Results) -> None:
    answers = {name: outcome.body for name, outcome in results.outcomes.items()}
    failed = [name for name, outcome in results.outcomes.items() if outcome.kind != "response"]
    assert failed == ["a crash"]
    statuses = {name: answers[name]["statusCode"] for name in answers if name.startswith("http_")}
    assert statuses.pop("http_execute_order") == 202
    assert statuses.pop("http_create_ticket") == 201
    assert statuses.pop("http_cancel_order") == 409
    assert statuses.pop("http_change_order") == 400  # a market order has no price to change
    assert set(statuses.values()) == {200}
    assert answers["authorizer_http"]["context"] == {"owner": "desk-7"}
    assert answers["authorizer_websocket"]["context"] == {"owner": "desk-7"}
    assert {a["statusCode"] for n, a in answers.items() if n.startswith("websocket_")} == {200}
    assert answers["sqs_order"] == answers["sqs_dead_letter"] == {"batchItemFailures": []}
    assert answers["schedule_sweep"]["swept"] >= 1
    assert answers["schedule_watch"] == {"woken": 0}


def test_updates_are_pushed_to_the_connection_that_follows(results: Results) -> None:
    updates = [
        u for connection, u in results.pushed if connection == CONNECTION and "sequence" in u
    ]
    assert [(u["orderId"], u["sequence"]) for u in updates] == [(ORDER_ID, 2)]


def test_a_batch_of_ten_orders_is_confirmed(results: Results) -> None:
    assert results.outcomes["a batch of ten"].body == {"batchItemFailures": []}
    read = [json.loads(results.outcomes[f"read {id_}"].body["body"]) for id_ in results.accepted]
    assert Counter(order["status"] for order in read) == {"confirmed": BATCH}


def test_a_message_that_cannot_be_read_is_reported_to_sqs_and_logged(results: Results) -> None:
    (failure,) = results.outcomes["an unreadable message"].body["batchItemFailures"]
    lines = [record for module, record in results.records() if module == "worker"]
    (line,) = [record for record in lines if record.get("message") == "message failed"]
    assert (line["level"], line["message_id"]) == ("ERROR", failure["itemIdentifier"])


def test_a_crash_is_logged_as_json_by_the_runtime(results: Results) -> None:
    failures = [record for record in results.in_cloudwatch() if "errorType" in record]
    assert [record["level"] for record in failures] == ["ERROR"]


def test_every_log_line_is_json_with_a_level_or_with_metrics(results: Results) -> None:
    for module, record in results.records():
        assert metrics(record) or severity(record["level"]), module


def test_a_log_has_lines_of_its_level_and_none_below(results: Results) -> None:
    levels = {record["level"] for record in results.in_cloudwatch() if "level" in record}
    assert results.level in levels
    assert [level for level in levels if severity(level) < severity(results.level)] == []


def test_metrics_are_logged_at_every_level(results: Results) -> None:
    counted = {name for record in results.in_cloudwatch() for name in metrics(record)}
    assert counted >= {
        "OrdersAccepted",
        "OrdersConfirmed",
        "OrdersFailed",
        "OrdersSwept",
        "PushLag",
        "QuoteLatency",
        "TimeToConfirm",
        "WatcherLag",
    }


def test_no_log_line_holds_a_key_a_ticket_or_a_credential(results: Results) -> None:
    if severity(results.level) <= severity("INFO"):  # at a higher level a function may log nothing
        assert all(results.written.values())
    for module, lines in results.written.items():
        for line in lines:
            assert not [secret for secret in results.secrets if secret in line], module


def test_an_order_is_ended_by_its_dead_letter(results: Results) -> None:
    order = json.loads(results.outcomes[f"read {DEAD_ORDER}"].body["body"])
    assert (order["status"], order["error"]["code"]) == ("failed", "INTERNAL")
    (line,) = [
        r for _, r in results.records() if r.get("message") == "order ended by its dead letter"
    ]
    assert (line["order_id"], line["status"]) == (DEAD_ORDER, "failed")
