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
from tests.runtime.lives import BATCH, DEAD_ORDER, TAKEN_BY, Life, severity

CONNECTION = "UrZ6idTPliACEvA="  # the owner in the events


def metrics(record: dict[str, object]) -> list[str]:
    """The names of the metrics in a line of the embedded metric format."""
    match record:
        case {"_aws": {"CloudWatchMetrics": list(directives)}}:
            return [metric["Name"] for directive in directives for metric in directive["Metrics"]]
    return []


def test_every_event_has_its_function_and_every_function_an_event(life: Life) -> None:
    untaken = [p.stem for p in EVENTS.glob("*.json") if not p.stem.startswith(tuple(TAKEN_BY))]
    assert untaken == []
    assert set(TAKEN_BY.values()) == set(life.written)


def test_nothing_of_this_projects_environment_can_be_imported(runtime: Runtime) -> None:
    tried = subprocess.run(
        [runtime.python, "-S", "-c", "import aws_cdk"], capture_output=True, text=True, check=False
    )
    assert "ModuleNotFoundError: No module named 'aws_cdk'" in tried.stderr


def test_a_function_and_its_layer_fit_into_lambda(life: Life, runtime: Runtime) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, unzipped."""
    folders = (life.asset, runtime.layer)
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 250 * 1024 * 1024


def test_every_function_starts_and_answers_its_events(life: Life) -> None:
    answers = {name: outcome.body for name, outcome in life.outcomes.items()}
    failed = [name for name, outcome in life.outcomes.items() if outcome.kind != "response"]
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


def test_updates_are_pushed_to_the_connection_that_follows(life: Life) -> None:
    updates = [u for connection, u in life.pushed if connection == CONNECTION and "sequence" in u]
    assert [(u["orderId"], u["sequence"]) for u in updates] == [(ORDER_ID, 2)]


def test_a_batch_of_ten_orders_is_confirmed(life: Life) -> None:
    assert life.outcomes["a batch of ten"].body == {"batchItemFailures": []}
    read = [json.loads(life.outcomes[f"read {id_}"].body["body"]) for id_ in life.accepted]
    assert Counter(order["status"] for order in read) == {"confirmed": BATCH}


def test_a_message_that_cannot_be_read_is_told_to_sqs_and_logged(life: Life) -> None:
    (failure,) = life.outcomes["a poisonous message"].body["batchItemFailures"]
    lines = [record for module, record in life.records() if module == "worker"]
    (line,) = [record for record in lines if record.get("message") == "message failed"]
    assert (line["level"], line["message_id"]) == ("ERROR", failure["itemIdentifier"])


def test_a_crash_is_logged_as_json_by_the_runtime(life: Life) -> None:
    failures = [record for record in life.kept() if "errorType" in record]
    assert [record["level"] for record in failures] == ["ERROR"]


def test_every_log_line_is_json_with_a_level_or_with_metrics(life: Life) -> None:
    for module, record in life.records():
        assert metrics(record) or severity(record["level"]), module


def test_a_log_holds_lines_of_the_level_that_was_asked_for_and_none_below(life: Life) -> None:
    levels = {record["level"] for record in life.kept() if "level" in record}
    assert life.level in levels
    assert [level for level in levels if severity(level) < severity(life.level)] == []


def test_metrics_come_out_whatever_the_level(life: Life) -> None:
    counted = {name for record in life.kept() for name in metrics(record)}
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


def test_no_log_line_holds_a_key_a_ticket_or_a_credential(life: Life) -> None:
    if severity(life.level) <= severity("INFO"):  # at a higher level a function may log nothing
        assert all(life.written.values())
    for module, lines in life.written.items():
        for line in lines:
            assert not [secret for secret in life.secrets if secret in line], module


def test_an_order_is_ended_by_its_dead_letter(life: Life) -> None:
    lines = [
        r for m, r in life.records() if m == "dead_letters" and r.get("order_id") == DEAD_ORDER
    ]
    assert lines
