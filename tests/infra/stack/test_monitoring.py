"""Alarms and the dashboard name only existing metrics, and each alarm says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from functions.contract import CONNECTION_SECONDS_MAX
from functions.contract import Metric as OwnMetric
from functions.orders.failures import FailureCode
from tests.billing import ALARM_METRICS
from tests.granted import GRANTED
from tests.templates import Template, text

ROOT = Path(__file__).parents[3]
# The metrics that the functions emit, and their dimensions.
EMITTED = {metric.value: {"service"} for metric in OwnMetric} | {
    OwnMetric.ORDERS_FAILED.value: {"service", "code"}
}
# The metrics that AWS emits, by the names in its documentation.
BY_AWS = {
    "AWS/SQS": {
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesVisible",
        "NumberOfMessagesReceived",
    },
    "AWS/Lambda": {"ConcurrentExecutions", "Duration", "Errors", "IteratorAge", "Throttles"},
    "AWS/DynamoDB": {"ThrottledRequests"},
    "AWS/ApiGateway": {
        "4xx",
        "5xx",
        "ConnectCount",
        "Count",
        "ExecutionError",
        "IntegrationError",
        "Latency",
        "MessageCount",
    },
}
# One line for each code, or their sum.
SEARCH = re.compile(
    r"""(?:SUM\()?SEARCH\('\{(\w+),code,service\} MetricName="(\w+)" service="([\w-]+)"', """
    r"""'(\w+)', 60\)\)?"""
)


class Metric(NamedTuple):
    namespace: str
    name: str
    dimensions: dict[str, str]
    statistic: str = ""


def alarms(template: Template) -> dict[str, dict[str, Any]]:
    """The properties of each alarm, by its name without the stack's."""
    found = {}
    for resource in template.of_type("CloudWatch::Alarm").values():
        name = resource["Properties"]["AlarmName"].removeprefix(f"{stack(template)}-")
        found[name] = resource["Properties"]
    return found


def stack(template: Template) -> str:
    variables = template.functions()["worker"]["Environment"]["Variables"]
    return str(variables["POWERTOOLS_SERVICE_NAME"])


def metrics_of(alarm: dict[str, Any]) -> list[Metric]:
    if "Metrics" not in alarm:
        statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        return [_metric(alarm, statistic)]
    stats = [m["MetricStat"] for m in alarm["Metrics"] if "MetricStat" in m]
    return [_metric(stat["Metric"], stat["Stat"]) for stat in stats]


def _metric(described: dict[str, Any], statistic: str) -> Metric:
    dimensions = {d["Name"]: text(d["Value"]) for d in described["Dimensions"]}
    return Metric(described["Namespace"], described["MetricName"], dimensions, statistic)


def widgets(template: Template) -> list[dict[str, Any]]:
    (dashboard,) = template.of_type("CloudWatch::Dashboard").values()
    return list(json.loads(text(dashboard["Properties"]["DashboardBody"]))["widgets"])


def shown(template: Template) -> Iterator[Metric]:
    for widget in widgets(template):
        for line in widget["properties"].get("metrics", []):
            if isinstance(line[0], dict) and (found := SEARCH.fullmatch(line[0]["expression"])):
                namespace, name, service, statistic = found.groups()
                yield Metric(namespace, name, {"service": service, "code": "INTERNAL"}, statistic)
            if isinstance(line[0], str):
                *words, options = line
                namespace, name, *pairs = words
                dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
                yield Metric(namespace, name, dimensions, options.get("stat", "Average"))


def assert_exists(template: Template, metric: Metric) -> None:
    """Check that a metric is emitted: an alarm on any other metric would never fire."""
    described = metric.dimensions
    match metric.namespace:
        case "OrderExecutionEngine":
            assert set(described) == EMITTED[metric.name]
            assert described["service"] == stack(template)
            assert described.get("code", "INTERNAL") == "INTERNAL"
            return
        case "AWS/SQS":
            queues = {f"{name}.QueueName" for name in template.of_type("SQS::Queue")}
            assert set(described) == {"QueueName"}
            assert described["QueueName"] in queues
        case "AWS/Lambda":
            assert set(described) == {"FunctionName"}
            assert described["FunctionName"] in template.of_type("Lambda::Function")
        case "AWS/DynamoDB":
            assert set(described) == {"TableName", "Operation"}
            assert described["TableName"] in template.of_type("DynamoDB::Table")
        case "AWS/ApiGateway":
            stages = {
                (text(s["Properties"]["ApiId"]), s["Properties"]["StageName"])
                for s in template.of_type("ApiGatewayV2::Stage").values()
            }
            assert set(described) == {"ApiId", "Stage"}
            assert (described["ApiId"], described["Stage"]) in stages
    assert metric.name in BY_AWS[metric.namespace]


def test_alarms_and_dashboard_refer_to_existing_metrics(template: Template) -> None:
    for alarm in alarms(template).values():
        for metric in metrics_of(alarm):
            assert_exists(template, metric)
    for metric in shown(template):
        assert_exists(template, metric)


def test_every_function_has_the_namespace_of_the_engines_metrics(
    template: Template,
) -> None:
    for function in template.functions().values():
        variables = function["Environment"]["Variables"]
        assert variables["POWERTOOLS_METRICS_NAMESPACE"] == "OrderExecutionEngine"


def test_the_dashboard_shows_every_metric(template: Template) -> None:
    own = [m for m in shown(template) if m.namespace == "OrderExecutionEngine"]
    assert {metric.name for metric in own} == set(EMITTED)
    for name in ("TimeToConfirm", "QuoteLatency", "PushLag"):
        assert {m.statistic for m in own if m.name == name} == {"p50", "p99"}
    for name in ("OrdersAccepted", "OrdersConfirmed", "OrdersFailed", "OrdersSwept"):
        assert {m.statistic for m in own if m.name == name} == {"Sum"}


def test_the_dashboard_shows_what_each_alarm_measures(template: Template) -> None:
    on_dashboard = {(m.namespace, m.name, frozenset(m.dimensions.items())) for m in shown(template)}
    for name, alarm in alarms(template).items():
        measured = {
            (m.namespace, m.name, frozenset(m.dimensions.items())) for m in metrics_of(alarm)
        }
        assert measured & on_dashboard, name


def test_the_dashboard_begins_with_the_state_of_every_alarm(template: Template) -> None:
    first, *rest = widgets(template)
    assert first["type"] == "alarm"
    assert (first["x"], first["y"], first["width"]) == (0, 0, 24)
    named = {f"{name}.Arn" for name in template.of_type("CloudWatch::Alarm")}
    assert set(first["properties"]["alarms"]) == named
    assert {widget["type"] for widget in rest} == {"metric"}


def test_widgets_of_a_row_fill_it_and_overlap_nowhere(template: Template) -> None:
    rows: dict[int, list[tuple[int, int]]] = {}
    for widget in widgets(template):
        rows.setdefault(widget["y"], []).append((widget["x"], widget["width"]))
    for row in rows.values():
        end = 0
        for x, width in sorted(row):
            assert x == end
            end += width
        assert end == 24


def test_every_alarm_notifies_the_topic_when_it_fires_and_when_it_ends(
    template: Template,
) -> None:
    (topic,) = template.of_type("SNS::Topic")
    for alarm in alarms(template).values():
        assert [text(action) for action in alarm["AlarmActions"]] == [topic]
        assert [text(action) for action in alarm["OKActions"]] == [topic]
        assert alarm.get("ActionsEnabled", True) is True


def test_every_alarms_description_has_the_first_command_and_the_section_of_the_runbook(
    template: Template,
) -> None:
    for name, alarm in alarms(template).items():
        description = alarm["AlarmDescription"]
        command = r"uv run ops (stuck|stats|redrive|trace ORDER)"
        assert re.fullmatch(
            rf".{{40,}}\. First: {command} --stack {stack(template)}\."
            rf" Then: infra/RUNBOOK\.md, {name}\.",
            description,
        ), description
        assert len(description) <= 1024  # CloudWatch's limit


def test_the_runbook_has_a_section_for_each_alarm(template: Template) -> None:
    runbook = (ROOT / "infra" / "RUNBOOK.md").read_text()
    section = runbook.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (.+)$", section, re.MULTILINE)
    assert sorted(headings) == sorted(alarms(template))


def test_missing_data_is_breaching_only_for_metrics_that_are_emitted_every_minute(
    template: Template,
) -> None:
    treatment = {name: alarm["TreatMissingData"] for name, alarm in alarms(template).items()}
    assert treatment.pop("OrdersSwept") == treatment.pop("WatcherLate") == "breaching"
    assert set(treatment.values()) == {"notBreaching"}


def test_an_expression_takes_ten_metrics_at_most_and_uses_each(template: Template) -> None:
    sums = {
        name: alarm["Metrics"] for name, alarm in alarms(template).items() if "Metrics" in alarm
    }
    assert sums
    for lines in sums.values():
        (expression,) = [line["Expression"] for line in lines if "Expression" in line]
        ids = [line["Id"] for line in lines if "MetricStat" in line]
        assert len(ids) <= 10
        assert set(re.findall(r"[a-z]\w*", expression)) == set(ids)


def test_an_alarm_that_fills_gaps_with_0_looks_further_back_than_the_newest_point(
    template: Template,
) -> None:
    """The newest point is 0 while its metrics are late, so an alarm on it alone would never fire.

    docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html, on FILL
    """
    filled = {
        name: (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"])
        for name, alarm in alarms(template).items()
        if "FILL(" in json.dumps(alarm.get("Metrics"))
    }
    assert "DeadLetters" in filled
    assert {name for name, (breaching, of) in filled.items() if breaching >= of} == set()


def test_errors_and_throttles_of_every_function_are_in_the_alarms(template: Template) -> None:
    functions = set(template.of_type("Lambda::Function"))
    for name, metric in (("FunctionErrors", "Errors"), ("FunctionThrottles", "Throttles")):
        measured = metrics_of(alarms(template)[name])
        assert {m.name for m in measured} == {metric}
        assert {m.dimensions["FunctionName"] for m in measured} == functions


def test_throttles_of_every_granted_call_of_a_table_are_in_the_alarms(
    template: Template,
) -> None:
    """A new call in a function's grants needs its throttles in the alarm."""
    granted = {
        (resource.split(".")[0], action.removeprefix("dynamodb:"))
        for grants in GRANTED.values()
        for resource, actions in grants.items()
        for action in actions
        if action.startswith("dynamodb:") and ".StreamArn" not in resource
    }
    watched = {
        (metric.dimensions["TableName"], metric.dimensions["Operation"])
        for name in ("OrdersTableThrottles", "OtherTablesThrottles")
        for metric in metrics_of(alarms(template)[name])
    }
    assert watched == granted


def test_an_order_received_again_after_a_crash_does_not_fire_the_alarm(template: Template) -> None:
    alarm = alarms(template)["OrdersWait"]
    queue = template.of_type("SQS::Queue")["QueuesOrders"]["Properties"]
    over_seconds = queue["VisibilityTimeout"] - alarm["Threshold"]
    assert 0 < over_seconds < (alarm["DatapointsToAlarm"] - 1) * alarm["Period"]


def test_a_publisher_that_waits_once_for_a_slow_connection_is_not_late(
    template: Template,
) -> None:
    alarm = alarms(template)["PushesLate"]
    assert alarm["Threshold"] >= 2 * CONNECTION_SECONDS_MAX * 1000


def test_the_topic_accepts_only_this_stacks_alarms_and_only_over_tls(template: Template) -> None:
    (policy,) = template.of_type("SNS::TopicPolicy").values()
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    denied, allowed = sorted(statements, key=lambda s: s["Effect"], reverse=True)
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert denied["Principal"] == "*"
    assert allowed["Effect"] == "Allow"
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ((operator, condition),) = allowed["Condition"].items()
    pattern = text(condition["aws:SourceArn"])
    assert operator == "ArnLike"
    region, account = "AWS::Region", "AWS::AccountId"
    assert pattern == f"arn:AWS::Partition:cloudwatch:{region}:{account}:alarm:{stack(template)}-*"


def test_the_topic_has_a_subscriber_only_if_an_address_is_set(
    template: Template, variants: dict[str, Template]
) -> None:
    assert template.of_type("SNS::Subscription") == {}
    (subscription,) = variants["everything"].of_type("SNS::Subscription").values()
    properties = subscription["Properties"]
    assert (properties["Protocol"], properties["Endpoint"]) == ("email", "desk@example.com")
    assert text(properties["TopicArn"]) == "MonitoringAlarms"


def test_outputs_have_the_dashboards_url_and_the_topics_arn(template: Template) -> None:
    outputs = {name: text(o["Value"]) for name, o in template.document["Outputs"].items()}
    (dashboard,) = template.of_type("CloudWatch::Dashboard").values()
    assert dashboard["Properties"]["DashboardName"] == stack(template)
    (domains,) = template.document["Mappings"].values()
    assert domains["aws"] == {"domain": "console.aws.amazon.com"}
    assert "{'Ref': 'AWS::Partition'}, 'domain'" in outputs["DashboardUrl"]
    # Ref returns the name of a dashboard.
    assert outputs["DashboardUrl"].endswith("#dashboards:name=MonitoringDashboard")
    assert outputs["AlarmTopicArn"] == "MonitoringAlarms"


def test_the_local_stack_has_no_alarm_that_the_emulator_would_refuse(
    templates: dict[str, Template],
) -> None:
    local, dev = alarms(templates["local"]), alarms(templates["dev"])
    assert local == {name: dev[name] for name in dev if "Metrics" not in dev[name]}
    assert local


def test_the_alarm_on_internal_failures_watches_the_code_internal(template: Template) -> None:
    (watched,) = metrics_of(alarms(template)["InternalFailures"])
    assert watched.dimensions["code"] == FailureCode.INTERNAL


def test_the_bill_counts_the_metrics_that_alarms_watch(template: Template) -> None:
    watched = [metric for alarm in alarms(template).values() for metric in metrics_of(alarm)]
    assert len(watched) == ALARM_METRICS
