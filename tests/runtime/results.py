"""The results of every event in events/, handled by its function in Lambda's runtime."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from functions.contract import order_message
from infra.cli.deployed import Deployed
from infra.cli.keys import create
from infra.settings import LogLevel
from tests.events import EVENTS, Json, event, sqs_event, sqs_message
from tests.runtime.execution import ExecutionEnvironment, Outcome, Runtime
from tests.templates import Template

LEVELS: tuple[str, ...] = get_args(get_args(LogLevel)[0])  # those that a deployment can set
REGION = "us-east-1"
OWNER = "desk-7"  # the owner in the events
KEY = "oee_EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXA"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ASIAEXAMPLEEXAMPLE12",
    "AWS_SECRET_ACCESS_KEY": "EXAMPLE/secret/access/key/EXAMPLE0123456",
    "AWS_SESSION_TOKEN": "EXAMPLEsessionTokenEXAMPLE0123456789abcdef==",
}
# The function that handles an event, by the start of the event's name, in the order of invocation.
FUNCTION_OF = {
    "http": "api",
    "authorizer": "authorizer",
    "websocket": "websocket",
    "stream": "publisher",
    "sqs_order": "worker",
    "schedule_sweep": "sweeper",
    "schedule_watch": "watcher",
    "sqs_dead": "dead_letters",
    "sqs_webhook": "notifier",
}
BATCH = 10
DEAD_ORDER = "0a4b1c2d-3e4f-5a6b-8c7d-9e0f1a2b3c4e"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass
class Results:
    """The answers, pushes and log lines of the functions."""

    level: str
    asset: Path
    # By event; further answers by the names in `_invoke`.
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)
    pushed: list[tuple[str, Json]] = field(default_factory=list)
    # By function: the lines that the process wrote, and the lowest level that Lambda passes on.
    written: dict[str, list[str]] = field(default_factory=dict)
    lowest_level: dict[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    def records(self) -> Iterator[tuple[str, Json]]:
        """Each log line, parsed, with its function."""
        for module, lines in self.written.items():
            for line in lines:
                yield module, json.loads(line)

    def in_cloudwatch(self) -> Iterator[Json]:
        """The records that Lambda's own filter passes on to CloudWatch.

        A line without a level, or without a timestamp by RFC 3339, has the level INFO there:
        https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
        """
        for module, record in self.records():
            timed = RFC_3339.fullmatch(str(record.get("timestamp")))
            level = record.get("level", "INFO") if timed else "INFO"
            if severity(level) >= severity(self.lowest_level[module]):
                yield record


def severity(level: str) -> int:
    """The number of a level, by its name in Python or in Lambda."""
    return logging.getLevelNamesMapping()[{"TRACE": "DEBUG"}.get(level, level)]


def handle_events(
    template: Template, folder: Path, runtime: Runtime, aws: str, *, level: str
) -> Results:
    """Let the functions handle the events, in the order of FUNCTION_OF."""
    (asset,) = (folder / "cdk.out").glob("asset.*")
    results = Results(level, asset)
    account = Account(template, aws, suffix=level)
    create(account.stack, OWNER, key=KEY)
    stored = event("stream_order")["Records"][0]["dynamodb"]["NewImage"]
    dead = json.loads(json.dumps(stored).replace(stored["orderId"]["S"], DEAD_ORDER))
    for item in (stored, dead):
        account.stack.client("dynamodb").put_item(
            TableName=account.variables["ORDERS_TABLE"], Item=item
        )

    with ExitStack() as running:
        functions: dict[str, ExecutionEnvironment] = {}
        for module, properties in template.functions().items():
            results.lowest_level[module] = properties["LoggingConfig"]["ApplicationLogLevel"]
            assert asset.name == f"asset.{Path(properties['Code']['S3Key']).stem}"
            environment = ExecutionEnvironment(
                runtime.command("-m", "awslambdaric", properties["Handler"]),
                folder=asset,
                environment=account.environment(module, properties, runtime.version)
                | {"LAMBDA_TASK_ROOT": str(asset)}
                | runtime.environment(asset),
                log=folder / f"{module}.log",
            )
            functions[module] = running.enter_context(closing(environment))
        _invoke(results, functions)
    for module, function in functions.items():
        results.written[module] = function.log.read_text().splitlines()
        while not function.pushed.empty():
            results.pushed.append(function.pushed.get())
    return results


def _invoke(results: Results, functions: dict[str, ExecutionEnvironment]) -> None:
    def invoke(name: str, module: str, request: Json) -> Outcome:
        results.outcomes[name] = functions[module].invoke(request)
        return results.outcomes[name]

    ticket = ""
    names = sorted(path.stem for path in EVENTS.glob("*.json"))
    for prefix, module in FUNCTION_OF.items():
        for name in [name for name in names if name.startswith(prefix)]:
            request = event(name)
            if name == "authorizer_websocket":
                request["queryStringParameters"] = {"ticket": ticket}
            if name == "sqs_dead_letter":
                request["Records"][0]["body"] = order_message(DEAD_ORDER)
            answer = invoke(name, module, request).body
            if name == "http_create_ticket":
                ticket = json.loads(answer["body"])["ticket"]
    results.secrets = [KEY, ticket, CREDENTIALS["AWS_SECRET_ACCESS_KEY"]]
    results.secrets += [CREDENTIALS["AWS_SESSION_TOKEN"], "Bearer ", "Signature="]

    for number in range(BATCH):
        order = event("http_execute_order")
        order["headers"]["idempotency-key"] = f"batch-{number}"
        # With the default slippage, one order in a few thousand fails.
        order["body"] = json.dumps(json.loads(order["body"]) | {"slippageBps": 1000})
        answer = functions["api"].invoke(order).body
        results.accepted.append(json.loads(answer["body"])["orderId"])
    messages = [sqs_message(order_message(order_id), order_id) for order_id in results.accepted]
    invoke("a batch of ten", "worker", sqs_event("order", messages))
    for order_id in (*results.accepted, DEAD_ORDER):
        request = event("http_get_order")
        request["rawPath"] = request["requestContext"]["http"]["path"] = f"/api/orders/{order_id}"
        invoke(f"read {order_id}", "api", request)
    invoke("an unreadable message", "worker", sqs_event("order", [sqs_message("nonsense")]))
    headers = {"authorization": f"Bearer {KEY}"}
    invoke("a crash", "api", {"version": "2.0", "headers": headers})


class Account:
    """The template's tables and queues in moto, and the values of its functions' variables."""

    def __init__(self, template: Template, aws: str, *, suffix: str) -> None:
        self.stack = Deployed(name="runtime", outputs={}, region=REGION, endpoint_url=aws)
        self._ids: dict[str, str] = {
            "AWS::Region": REGION,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::Partition": "aws",
            "AWS::AccountId": "111122223333",
        }
        for name, resource in template.resources.items():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::DynamoDB::Table":
                self._ids[name] = self._table(f"{name}-{suffix}", properties)
            elif resource["Type"] == "AWS::SQS::Queue":
                created = self.stack.client("sqs").create_queue(QueueName=f"{name}-{suffix}")
                self._ids[name] = created["QueueUrl"]
            else:
                self._ids[name] = name
        # One dictionary for all functions, because a variable has the same value in each of them.
        self.variables = {
            name: self._value(value)
            for function in template.functions().values()
            for name, value in function["Environment"]["Variables"].items()
        }
        self.stack.outputs["AccessTable"] = self.variables["ACCESS_TABLE"]

    def environment(self, module: str, properties: Json, version: str) -> dict[str, str]:
        """The variables that Lambda sets, and the function's own.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
        """
        own = properties["Environment"]["Variables"]
        logs = properties["LoggingConfig"]
        return {name: self._value(value) for name, value in own.items()} | {
            **CREDENTIALS,
            "_HANDLER": properties["Handler"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": str(self.stack.endpoint_url),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(properties["MemorySize"]),
            "AWS_LAMBDA_FUNCTION_NAME": module,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": logs["LogFormat"],
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{module}",
            "AWS_LAMBDA_LOG_LEVEL": logs["ApplicationLogLevel"],
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/03/12/[$LATEST]0123456789abcdef",
            "AWS_REGION": REGION,
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin/:/bin",
            "TZ": ":UTC",
        }

    def _table(self, name: str, properties: Json) -> str:
        wanted = ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema")
        table = {key: properties[key] for key in wanted if key in properties}
        self.stack.client("dynamodb").create_table(TableName=name, **table)
        return name

    def _value(self, value: Any) -> str:
        match value:
            case {"Ref": str(name)}:
                return self._ids[name]
            case {"Fn::Join": [str(between), list(parts)]}:
                return between.join(self._value(part) for part in parts)
            case str():
                return value
        raise AssertionError(f"unknown form of a variable's value: {value}")
