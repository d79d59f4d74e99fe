"""Properties of the templates, with the reasons; `__snapshots__` has the whole templates."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from functions.contract import PUBLIC_PATHS
from functions.store.resting import WATCHER_MS
from functions.watcher import STOP_MS_BEFORE_TIMEOUT
from infra.cli.deployed import Deployed
from tests.infra.stack import access_log_variables
from tests.templates import Template, short, synthesize, text

# The fields that an access log may hold: clients can put a secret into none of them.
ALLOWED_FIELDS = {
    "connectionId",
    "eventType",
    "httpMethod",
    "integrationErrorMessage",
    "identity.sourceIp",
    "requestId",
    "requestTime",
    "responseLatency",
    "responseLength",
    "routeKey",
    "status",
}
PUSH_VARIABLE = "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"


def mapping_of(template: Template, function: str) -> dict[str, Any]:
    mappings = template.of_type("Lambda::EventSourceMapping").values()
    (found,) = [
        m["Properties"] for m in mappings if text(m["Properties"]["FunctionName"]) == function
    ]
    return dict(found)


def properties(template: Template, kind: str, name: str) -> dict[str, Any]:
    return dict(template.of_type(kind)[name]["Properties"])


def test_simulated_faults_are_allowed_only_locally(templates: dict[str, Template]) -> None:
    allowed = {
        name: t.functions()["api"]["Environment"]["Variables"]["SIMULATE_ALLOWED"]
        for name, t in templates.items()
    }
    assert allowed == {"dev": "false", "prod": "false", "local": "true"}


def test_each_function_has_its_own_role_and_log_group(template: Template) -> None:
    functions = template.functions()
    assert len({text(f["Role"]) for f in functions.values()}) == len(functions)
    groups = template.of_type("Logs::LogGroup")
    own = {text(f["LoggingConfig"]["LogGroup"]) for f in functions.values()}
    assert own == {name for name in groups if name.startswith("Compute")}
    assert len(own) == len(functions)


def test_an_order_received_five_times_becomes_a_dead_letter(template: Template) -> None:
    """AWS advises at least five, because a throttled invocation counts as well.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    """
    redrive = properties(template, "SQS::Queue", "QueuesOrders")["RedrivePolicy"]
    assert redrive["maxReceiveCount"] == 5
    assert text(redrive["deadLetterTargetArn"]) == "QueuesDeadLetters.Arn"


def test_queues_are_encrypted_and_refuse_plain_http(
    template: Template,
) -> None:
    queues = template.of_type("SQS::Queue")
    for queue in queues.values():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
    policies = template.of_type("SQS::QueuePolicy").values()
    refusing = {
        text(queue)
        for policy in policies
        for queue in policy["Properties"]["Queues"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    assert refusing == set(queues)


def test_recursive_loop_detection_is_off_for_the_worker_alone(template: Template) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html

    The worker sends messages to its own queue. With detection, Lambda would stop such a chain
    after about 16 messages: one would become a dead letter, and its order fail as INTERNAL.
    """
    allowed = {m: f.get("RecursiveLoop") for m, f in template.functions().items()}
    assert allowed.pop("worker") == "Allow"
    assert set(allowed.values()) == {None}


def test_a_watcher_starts_each_minute_and_may_run_for_more_than_two_minutes(
    template: Template,
) -> None:
    """EventBridge may start a watcher late or twice: a watcher ends when the next one ticks.

    Lambda would retry a failed watcher twice, but its seconds have passed by then:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    """
    (rule,) = template.of_type("Events::Rule").values()
    assert rule["Properties"]["ScheduleExpression"] == "rate(1 minute)"
    started = [text(target["Arn"]) for target in rule["Properties"]["Targets"]]
    assert started == ["ComputeSweeper.Arn", "ComputeWatcher.Arn"]
    (invocations,) = template.of_type("Lambda::EventInvokeConfig").values()
    assert text(invocations["Properties"]["FunctionName"]) == "ComputeWatcher"
    assert invocations["Properties"]["MaximumRetryAttempts"] == 0
    assert invocations["Properties"]["MaximumEventAgeInSeconds"] == 60
    watcher = template.functions()["watcher"]
    # The worker relies on a watcher to tick for this long, unless the next one has taken over.
    assert watcher["Timeout"] * 1000 - STOP_MS_BEFORE_TIMEOUT == WATCHER_MS > 120_000
    assert "ReservedConcurrentExecutions" not in watcher  # an account may have only 10


def test_the_first_of_two_deployments_adds_one_index_and_starts_no_watcher(tmp_path: Path) -> None:
    template = synthesize(tmp_path, wakeIndexes="1")
    table = properties(template, "DynamoDB::Table", "StorageOrders")
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == [
        "byOwner",
        "openOrders",
        "openByOwner",
        "wakeAbove",
    ]
    (rule,) = template.of_type("Events::Rule").values()
    assert [text(each["Arn"]) for each in rule["Properties"]["Targets"]] == ["ComputeSweeper.Arn"]


def test_the_publisher_reads_the_whole_stream_and_retries_as_long_as_the_stream_keeps_it(
    template: Template,
) -> None:
    """A stream keeps a record for 24 hours, and a connection lasts at most two.

    No connection that was open when an update was stored is still open when Lambda gives up.

    https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html (both limits default to
    -1: "failed records are retried until the record expires", which is after 24 hours)
    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
    (connection duration: 2 hours, cannot be increased)
    """
    mapping = mapping_of(template, "ComputePublisher")
    assert text(mapping["EventSourceArn"]) == "StorageOrders.StreamArn"
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["BatchSize"] == 100
    assert mapping["ParallelizationFactor"] == 10
    assert mapping["BisectBatchOnFunctionError"] is True
    limits = {"MaximumRetryAttempts", "MaximumRecordAgeInSeconds"}
    # Lambda drops no record, so it needs no destination; and it retries a failed batch as a whole.
    assert not mapping.keys() & (limits | {"DestinationConfig", "FunctionResponseTypes"})


def routes(template: Template) -> dict[str, Any]:
    """The authorizer of each route, by route key; None if it has none."""
    found = {}
    for resource in template.of_type("ApiGatewayV2::Route").values():
        route = resource["Properties"]
        assert (route["AuthorizationType"] == "CUSTOM") == ("AuthorizerId" in route)
        assert not route.get("ApiKeyRequired")
        found[route["RouteKey"]] = text(route["AuthorizerId"]) if "AuthorizerId" in route else None
    return found


def test_every_route_but_health_documentation_and_the_dashboards_files_has_the_authorizer(
    template: Template,
) -> None:
    found = routes(template)
    assert found.pop("ANY /{proxy+}") == "ApisHttpAccess"
    assert found.pop("$connect") == "ApisWebSocketAccess"
    # Messages arrive on an authorized connection, with the owner that the authorizer found.
    assert found.pop("$default") is found.pop("$disconnect") is None
    assert set(found) == {f"ANY {path}" for path in (*PUBLIC_PATHS, "/assets/{name}")}
    assert set(found.values()) == {None}


def test_one_function_authorizes_both_apis_and_the_http_api_caches_its_answer_for_30_s(
    template: Template,
) -> None:
    http = properties(template, "ApiGatewayV2::Authorizer", "ApisHttpAccess")
    web_socket = properties(template, "ApiGatewayV2::Authorizer", "ApisWebSocketAccess")
    assert "ComputeAuthorizer.Arn" in text(http["AuthorizerUri"])
    assert text(http["AuthorizerUri"]) == text(web_socket["AuthorizerUri"])
    assert http["AuthorizerType"] == web_socket["AuthorizerType"] == "REQUEST"
    assert http["AuthorizerPayloadFormatVersion"] == "2.0"
    assert http["EnableSimpleResponses"] is True
    assert http["IdentitySource"] == ["$request.header.Authorization"]
    assert http["AuthorizerResultTtlInSeconds"] == 30
    # The Host header is in every handshake, with a key in a header or with a ticket.
    assert web_socket["IdentitySource"] == ["route.request.header.Host"]
    assert "AuthorizerResultTtlInSeconds" not in web_socket


def logged(template: Template) -> dict[str, set[str]]:
    """The variables in the access log of each kind of API: HTTP and WEBSOCKET."""
    kinds = {
        name: api["Properties"]["ProtocolType"]
        for name, api in template.of_type("ApiGatewayV2::Api").items()
    }
    found = {}
    for stage in template.of_type("ApiGatewayV2::Stage").values():
        text_of_line = stage["Properties"]["AccessLogSettings"]["Format"]
        values = json.loads(text_of_line).values()
        assert all(value.startswith("$context.") for value in values)
        kind = kinds[text(stage["Properties"]["ApiId"])]
        found[kind] = {value.removeprefix("$context.") for value in values}
    return found


def test_access_logs_name_only_variables_that_api_gateway_documents(template: Template) -> None:
    variables = logged(template)
    assert variables.keys() == access_log_variables.VARIABLES.keys()
    for kind, named in variables.items():
        assert named <= access_log_variables.VARIABLES[kind], access_log_variables.SOURCES[kind]


def test_access_logs_have_neither_path_nor_query_nor_headers(template: Template) -> None:
    for variables in logged(template).values():
        assert {"requestId", "status", "routeKey", "identity.sourceIp"} <= variables
        assert variables <= ALLOWED_FIELDS


def test_the_http_apis_log_does_not_fill_the_accounts_resource_policy(template: Template) -> None:
    """docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html states the limit and the name."""
    named = {
        name: group["Properties"]["LogGroupName"]
        for name, group in template.of_type("Logs::LogGroup").items()
        if "LogGroupName" in group["Properties"]
    }
    assert named.keys() == {"ApisHttpAccessLogs"}
    assert text(named["ApisHttpAccessLogs"]).startswith("/aws/vendedlogs/order-execution-engine-")
    # A group of an earlier stack with this name does not block the deployment.
    assert "AWS::StackId" in str(named["ApisHttpAccessLogs"])


def test_cors_is_off_unless_an_origin_is_given(
    template: Template, variants: dict[str, Template]
) -> None:
    assert "CorsConfiguration" not in properties(template, "ApiGatewayV2::Api", "ApisHttp")
    given = variants["everything"]
    cors = properties(given, "ApiGatewayV2::Api", "ApisHttp")["CorsConfiguration"]
    assert cors["AllowOrigins"] == ["https://desk.example"]
    assert "AllowCredentials" not in cors
    assert routes(given)["OPTIONS /{proxy+}"] is None


def strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from strings(list(value.values()))
        case list():
            for each in value:
                yield from strings(each)


def test_no_url_or_arn_ties_the_stack_to_one_partition(template: Template) -> None:
    """Only AWS::URLSuffix and AWS::Partition are right in China and in GovCloud too."""
    for value in strings([template.document["Resources"], template.document["Outputs"]]):
        assert "arn:aws" not in value
        assert "aws.amazon.com" not in value
        # A service's name, as a principal, is the same everywhere.
        assert "amazonaws.com" not in value or re.fullmatch(r"[a-z]+\.amazonaws\.com", value)


def test_every_physical_name_contains_the_stacks_name(template: Template) -> None:
    kinds = "Function Table Queue Role LogGroup Rule Topic Alarm Dashboard"
    names = [f"{kind}Name" for kind in kinds.split()]
    stack = template.functions()["api"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    named = [
        (short(logical_id), name)
        for logical_id, resource in template.resources.items()
        for name in names
        if isinstance(value := resource.get("Properties", {}).get(name), str)
        or "Fn::Join" in (value or {})
        if stack not in text(value)
    ]
    assert named == []


def test_locally_ids_are_pinned_urls_are_local_and_no_layer_is_built(
    templates: dict[str, Template],
) -> None:
    local = templates["local"]
    tags = {
        a["Properties"]["Tags"]["ms-custom-id"] for a in local.of_type("ApiGatewayV2::Api").values()
    }
    assert tags == {"c0ffee00", "c0ffee01"}
    base = "http://127.0.0.1:4566/_aws/execute-api"
    outputs = local.document["Outputs"]
    assert outputs["HttpUrl"]["Value"] == f"{base}/c0ffee00"
    assert outputs["WebSocketUrl"]["Value"] == "ws://127.0.0.1:4566/_aws/execute-api/c0ffee01/dev"
    pushed_to = local.functions()["publisher"]["Environment"]["Variables"][PUSH_VARIABLE]
    assert pushed_to == f"{base}/c0ffee01/dev"
    assert local.of_type("Lambda::LayerVersion") == {}


def test_in_aws_pushes_go_to_the_stage_and_no_id_is_pinned(template: Template) -> None:
    pushed_to = text(template.functions()["publisher"]["Environment"]["Variables"][PUSH_VARIABLE])
    assert pushed_to.startswith("https://ApisWebSocket.execute-api.")
    assert "ms-custom-id" not in str(template.document)


def test_settings_in_the_context_change_the_template(tmp_path: Path) -> None:
    template = synthesize(
        tmp_path,
        memoryMb="1024",
        workerMemoryMb="256",
        watcherMemoryMb="1769",
        holdMs="0",
        maxConcurrency="50",
        throttleRate="7",
        throttleBurst="9",
        latencyScale="0",
        logRetentionDays="7",
        simulateAllowed="true",
        maxOpenOrders="5",
        keyCacheSeconds="0",
        apiGatewayLogRole="false",
    )
    functions = template.functions()
    worker = functions["worker"]
    memory_mb = {module: function["MemorySize"] for module, function in functions.items()}
    assert memory_mb == dict.fromkeys(functions, 1024) | {
        "worker": 256,
        "publisher": 256,
        "watcher": 1769,
    }
    assert worker["Environment"]["Variables"]["HOLD_MS"] == "0"
    assert worker["Environment"]["Variables"]["LATENCY_SCALE"] == "0"
    assert worker["Environment"]["Variables"]["SIMULATE_ALLOWED"] == "true"
    assert mapping_of(template, "ComputeWorker")["ScalingConfig"] == {"MaximumConcurrency": 50}
    limits = [
        s["Properties"]["DefaultRouteSettings"]
        for s in template.of_type("ApiGatewayV2::Stage").values()
    ]
    assert limits == [{"ThrottlingBurstLimit": 9, "ThrottlingRateLimit": 7}] * 2
    groups = template.of_type("Logs::LogGroup").values()
    assert {g["Properties"]["RetentionInDays"] for g in groups} == {7}
    assert template.functions()["api"]["Environment"]["Variables"]["MAX_OPEN_ORDERS"] == "5"
    access = properties(template, "ApiGatewayV2::Authorizer", "ApisHttpAccess")
    assert access["AuthorizerResultTtlInSeconds"] == 0
    assert template.of_type("ApiGateway::Account") == {}


def test_every_function_has_a_log_group_that_is_found(
    monkeypatch: pytest.MonkeyPatch, template: Template
) -> None:
    resources = [
        {"LogicalResourceId": name, "ResourceType": r["Type"], "PhysicalResourceId": f"/{name}"}
        for name, r in template.resources.items()
    ]
    pages = SimpleNamespace(paginate=lambda **_: [{"StackResourceSummaries": resources}])
    client = SimpleNamespace(get_paginator=lambda _name: pages)
    monkeypatch.setattr(Deployed, "client", lambda _stack, _service: client)
    groups = Deployed(name="engine", outputs={}).log_groups()
    assert set(groups) == set(template.functions())
    assert groups["dead_letters"].startswith("/ComputeDeadLettersLogs")
