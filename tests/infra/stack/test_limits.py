"""The templates keep AWS's documented limits, each with the page that states it.

cfn-lint checks single properties (type, pattern and range) in test_cfn_lint.py. This module checks
the limits on sums, and on two resources together.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest

from tests.templates import Template, text

Json = dict[str, Any]
# A reference counts as this many characters: no name or ARN of this stack is longer.
LONGEST_REFERENCE = "x" * 160
MINUTE, HOUR, DAY = 60, 3600, 86_400

_AWS = "https://docs.aws.amazon.com/"
ALARM = f"{_AWS}AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"
ALARM_QUOTAS = f"{_AWS}AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html"
CLOUDFORMATION = f"{_AWS}AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"
DYNAMODB = f"{_AWS}amazondynamodb/latest/developerguide/ServiceQuotas.html"
ENVIRONMENT = f"{_AWS}lambda/latest/dg/configuration-envvars.html"
EVENTBRIDGE = f"{_AWS}eventbridge/latest/userguide/eb-quota.html"
HTTP_API = f"{_AWS}apigateway/latest/developerguide/http-api-quotas.html"
IAM = f"{_AWS}IAM/latest/UserGuide/reference_iam-quotas.html"
LAMBDA = f"{_AWS}lambda/latest/dg/gettingstarted-limits.html"
LOGS = f"{_AWS}AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html"
QUEUE = f"{_AWS}AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html"
QUEUE_MAPPING = f"{_AWS}lambda/latest/dg/services-sqs-parameters.html"
QUEUE_SCALING = f"{_AWS}lambda/latest/dg/services-sqs-scaling.html"
QUEUE_CONFIGURING = f"{_AWS}lambda/latest/dg/services-sqs-configure.html"
STREAM_MAPPING = f"{_AWS}lambda/latest/dg/services-ddb-params.html"
WEB_SOCKET_API = (
    f"{_AWS}apigateway/latest/developerguide/"
    "apigateway-execution-service-websocket-limits-table.html"
)


class Limit(NamedTuple):
    """A range that AWS documents, and the values of a template that must be in it."""

    what: str
    least: float
    most: float
    source: str
    measured: Callable[[Template], Iterable[float]]


def resolved(value: Any) -> Any:
    """The value with a long text in place of each reference."""
    match value:
        case {"Fn::Join": [str(between), list(parts)]}:
            return between.join(str(resolved(part)) for part in parts)
        case dict() if len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::")):
            return LONGEST_REFERENCE
        case dict():
            return {key: resolved(each) for key, each in value.items()}
        case list():
            return [resolved(each) for each in value]
    return value


def size(value: Any) -> int:
    """Characters of a document as AWS counts them, without white space."""
    return len(json.dumps(resolved(value), separators=(",", ":")))


def each(kind: str, name: str) -> Callable[[Template], Iterable[Any]]:
    """The property at a dotted path, of every resource of a type that has it."""

    def values(template: Template) -> Iterable[Any]:
        for resource in template.of_type(kind).values():
            value: Any = resource["Properties"]
            for part in name.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                yield value

    return values


def sizes(kind: str, name: str) -> Callable[[Template], Iterable[float]]:
    """The length of that property: characters of a text, members of a list."""

    def values(template: Template) -> Iterable[float]:
        return (len(resolved(value)) for value in each(kind, name)(template))

    return values


def mapped(source: str, name: str) -> Callable[[Template], Iterable[float]]:
    """A property of every event source mapping from a queue or from a stream."""

    def values(template: Template) -> Iterable[float]:
        return (
            mapping["Properties"][name]
            for mapping in template.of_type("Lambda::EventSourceMapping").values()
            if name in mapping["Properties"]
            and text(mapping["Properties"]["EventSourceArn"]).startswith(source)
        )

    return values


def numbers(kind: str, by: str) -> Callable[[Template], Iterable[float]]:
    """How many resources of a type there are for each value of a property."""

    def values(template: Template) -> Iterable[float]:
        totals: dict[str, int] = defaultdict(int)
        for resource in template.of_type(kind).values():
            totals[text(resource["Properties"][by])] += 1
        return totals.values()

    return values


def environments(template: Template) -> Iterable[float]:
    for function in template.functions().values():
        variables = resolved(function["Environment"]["Variables"])
        yield sum(len(name) + len(value) for name, value in variables.items())


def timeouts(*modules: str) -> Callable[[Template], Iterable[float]]:
    return lambda template: [template.functions()[module]["Timeout"] for module in modules]


def role_policies(template: Template) -> Iterable[float]:
    """The sum of each role's inline policies."""
    totals: dict[str, int] = defaultdict(int)
    for policy in template.of_type("IAM::Policy").values():
        for role in policy["Properties"]["Roles"]:
            totals[text(role)] += size(policy["Properties"]["PolicyDocument"])
    return totals.values()


def trust_policies(template: Template) -> Iterable[float]:
    return (size(p) for p in each("IAM::Role", "AssumeRolePolicyDocument")(template))


def function_policies(template: Template) -> Iterable[float]:
    """The resource policy of each function: the sum of its permissions."""
    totals: dict[str, int] = defaultdict(int)
    for name, permission in template.of_type("Lambda::Permission").items():
        properties = permission["Properties"]
        statement = {
            "Sid": f"{name}-{'x' * 40}",
            "Effect": "Allow",
            "Principal": {"Service": properties["Principal"]},
            "Action": properties["Action"],
            "Resource": LONGEST_REFERENCE,
            "Condition": {"ArnLike": {"AWS:SourceArn": properties.get("SourceArn", "")}},
        }
        totals[text(properties["FunctionName"])] += size(statement)
    return totals.values()


def alarm_seconds(template: Template) -> Iterable[float]:
    """The seconds that an alarm evaluates."""
    for alarm in template.of_type("CloudWatch::Alarm").values():
        properties = alarm["Properties"]
        periods = [
            metric["MetricStat"]["Period"]
            for metric in properties.get("Metrics", ())
            if "MetricStat" in metric
        ]
        yield properties["EvaluationPeriods"] * max([properties.get("Period", 0), *periods])


def alarm_metrics(template: Template) -> Iterable[float]:
    for metrics in each("CloudWatch::Alarm", "Metrics")(template):
        yield sum("MetricStat" in metric for metric in metrics)


def widgets(template: Template) -> list[Json]:
    (body,) = each("CloudWatch::Dashboard", "DashboardBody")(template)
    found: list[Json] = json.loads(resolved(body))["widgets"]
    return found


def widget_metrics(template: Template) -> list[float]:
    return [len(widget["properties"].get("metrics", ())) for widget in widgets(template)]


LIMITS = [
    # Lambda
    Limit("bytes of a function's environment", 0, 4096, LAMBDA, environments),
    Limit("characters of a function's policy", 0, 20_480, LAMBDA, function_policies),
    Limit("seconds of a function", 1, 900, LAMBDA, each("Lambda::Function", "Timeout")),
    Limit("megabytes of a function", 128, 10_240, LAMBDA, each("Lambda::Function", "MemorySize")),
    Limit("layers of a function", 0, 5, LAMBDA, sizes("Lambda::Function", "Layers")),
    # API Gateway waits no longer than this for a function.
    Limit("seconds of the HTTP API's function", 0, 30, HTTP_API, timeouts("api")),
    Limit("seconds of the WebSocket API's function", 0, 29, WEB_SOCKET_API, timeouts("websocket")),
    Limit("seconds of the authorizer", 0, 10, HTTP_API, timeouts("authorizer")),
    # Event source mappings
    Limit("messages of a batch", 1, 10_000, QUEUE_MAPPING, mapped("Queues", "BatchSize")),
    Limit("records of a batch", 1, 10_000, STREAM_MAPPING, mapped("Storage", "BatchSize")),
    Limit(
        "batches of a queue at once",
        2,
        1000,
        QUEUE_SCALING,
        each("Lambda::EventSourceMapping", "ScalingConfig.MaximumConcurrency"),
    ),
    Limit(
        "batches of a shard at once",
        1,
        10,
        STREAM_MAPPING,
        mapped("Storage", "ParallelizationFactor"),
    ),
    # SQS
    Limit(
        "seconds a message is hidden", 0, 12 * HOUR, QUEUE, each("SQS::Queue", "VisibilityTimeout")
    ),
    Limit(
        "seconds a message is kept",
        MINUTE,
        14 * DAY,
        QUEUE,
        each("SQS::Queue", "MessageRetentionPeriod"),
    ),
    Limit(
        "receives of a message", 1, 1000, QUEUE, each("SQS::Queue", "RedrivePolicy.maxReceiveCount")
    ),
    # IAM
    Limit("characters of a role's inline policies", 1, 10_240, IAM, role_policies),
    Limit("characters of a role's trust policy", 1, 2048, IAM, trust_policies),
    # API Gateway
    Limit("routes of an API", 1, 300, HTTP_API, numbers("ApiGatewayV2::Route", "ApiId")),
    Limit(
        "integrations of an API", 1, 300, HTTP_API, numbers("ApiGatewayV2::Integration", "ApiId")
    ),
    Limit("authorizers of an API", 1, 10, HTTP_API, numbers("ApiGatewayV2::Authorizer", "ApiId")),
    Limit(
        "bytes of an access log's template",
        1,
        3072,
        WEB_SOCKET_API,
        sizes("ApiGatewayV2::Stage", "AccessLogSettings.Format"),
    ),
    # CloudWatch
    Limit("characters of an alarm's name", 1, 255, ALARM, sizes("CloudWatch::Alarm", "AlarmName")),
    Limit(
        "characters of an alarm's description",
        1,
        1024,
        ALARM,
        sizes("CloudWatch::Alarm", "AlarmDescription"),
    ),
    Limit("actions of an alarm", 1, 5, ALARM, sizes("CloudWatch::Alarm", "AlarmActions")),
    Limit("seconds that an alarm looks back", 10, DAY, ALARM, alarm_seconds),
    Limit("metrics of an alarm's expression", 1, 10, ALARM_QUOTAS, alarm_metrics),
    Limit("widgets of the dashboard", 1, 500, ALARM_QUOTAS, lambda t: [len(widgets(t))]),
    Limit("metrics of a widget", 0, 500, ALARM_QUOTAS, widget_metrics),
    Limit("metrics of the dashboard", 1, 2500, ALARM_QUOTAS, lambda t: [sum(widget_metrics(t))]),
    # Other services
    Limit(
        "indexes of a table", 0, 20, DYNAMODB, sizes("DynamoDB::Table", "GlobalSecondaryIndexes")
    ),
    Limit("targets of a rule", 1, 5, EVENTBRIDGE, sizes("Events::Rule", "Targets")),
    Limit("resources", 1, 500, CLOUDFORMATION, lambda t: [len(t.resources)]),
    Limit("outputs", 0, 200, CLOUDFORMATION, lambda t: [len(t.document["Outputs"])]),
    Limit("bytes of the template", 1, 1_000_000, CLOUDFORMATION, lambda t: [size(t.document)]),
    Limit(
        "bytes of the description",
        0,
        1024,
        CLOUDFORMATION,
        lambda t: [len(t.document["Description"])],
    ),
]

RESERVED_VARIABLES = {
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
}
RETENTION_DAYS = {
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
}


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.what)
def test_a_template_stays_within_a_limit(variants: dict[str, Template], limit: Limit) -> None:
    for name, template in variants.items():
        measured = list(limit.measured(template))
        assert measured, f"{name} has nothing to measure"
        beyond = [value for value in measured if not limit.least <= value <= limit.most]
        assert beyond == [], f"{name}: {limit.least} to {limit.most}, see {limit.source}"


def test_no_function_sets_a_variable_that_lambda_reserves(variant: Template) -> None:
    """The list is from https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html."""
    for module, function in variant.functions().items():
        assert not RESERVED_VARIABLES & set(function["Environment"]["Variables"]), module


def test_logs_are_kept_for_a_number_of_days_that_cloudwatch_offers(variant: Template) -> None:
    """The list is from the page LOGS."""
    assert set(each("Logs::LogGroup", "RetentionInDays")(variant)) <= RETENTION_DAYS, LOGS


def test_a_queues_visibility_timeout_is_at_least_six_timeouts_of_its_function(
    variant: Template,
) -> None:
    """The batching window is added: see the page QUEUE_CONFIGURING."""
    queues, functions = variant.of_type("SQS::Queue"), variant.of_type("Lambda::Function")
    checked = 0
    for mapping in variant.of_type("Lambda::EventSourceMapping").values():
        properties = mapping["Properties"]
        queue = queues.get(text(properties["EventSourceArn"]).removesuffix(".Arn"))
        if queue:
            timeout = functions[text(properties["FunctionName"])]["Properties"]["Timeout"]
            window = properties.get("MaximumBatchingWindowInSeconds", 0)
            hidden = queue["Properties"]["VisibilityTimeout"]
            assert hidden >= 6 * timeout + window, QUEUE_CONFIGURING
            checked += 1
    assert checked


def test_a_batch_of_more_than_ten_messages_has_a_batching_window(variant: Template) -> None:
    """Lambda refuses the mapping without a window: see the page QUEUE_MAPPING."""
    checked = 0
    for mapping in variant.of_type("Lambda::EventSourceMapping").values():
        properties = mapping["Properties"]
        if text(properties["EventSourceArn"]).startswith("Queues"):
            window = properties.get("MaximumBatchingWindowInSeconds", 0)
            assert properties["BatchSize"] <= 10 or window >= 1, QUEUE_MAPPING
            checked += 1
    assert checked


def test_a_stream_has_at_most_two_readers(variant: Template) -> None:
    """See https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html."""
    readers = mapped("Storage", "BatchSize")(variant)
    assert 1 <= len(list(readers)) <= 2


def test_a_value_beyond_a_limit_is_found(templates: dict[str, Template]) -> None:
    broken = json.loads(json.dumps(templates["dev"].document))
    for resource in broken["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"]["Environment"]["Variables"]["LONG"] = "x" * 4096
    limit = next(limit for limit in LIMITS if limit.measured is environments)
    assert min(limit.measured(Template(broken))) > limit.most
