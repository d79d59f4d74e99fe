"""`uv run preflight`: each finding, for answers that botocore's models of AWS allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    EndpointConnectionError,
    NoCredentialsError,
    UnauthorizedSSOTokenError,
)
from botocore.stub import ANY, Stubber

from infra.cli import preflight
from infra.cli.preflight import checks, plan
from infra.cli.preflight.checks import Account
from infra.cli.preflight.finding import Finding, Level
from infra.cli.preflight.plan import Plan, make_plan
from infra.settings import SettingError
from tests.infra.cli.conftest import Run

Json = dict[str, Any]
REGION = "eu-central-1"
STACK = "order-execution-engine-prod"
OWN_LOG_ROLE = f"arn:aws:iam::123456789012:role/{STACK}-ApisLogRole123-ABC"
OTHER_LOG_ROLE = "arn:aws:iam::123456789012:role/api-gateway-logs"
INDEXES = ("byOwner", "openOrders", "openByOwner", "wakeAbove", "wakeBelow")
ORDERS_TABLE: Json = {
    "StackResourceDetail": {
        "LogicalResourceId": "StorageOrders79EED263",
        "PhysicalResourceId": "orders",
        "ResourceType": "AWS::DynamoDB::Table",
        "LastUpdatedTimestamp": 0,
        "ResourceStatus": "UPDATE_COMPLETE",
    }
}


class Aws:
    """An account that is ready; a test changes its answers. Unknown calls are errors."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[Json | str]] = {
            ("sts", "get_caller_identity"): [
                {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"}
            ],
            ("ssm", "get_parameter"): [{"Parameter": {"Value": "29"}}],
            ("lambda", "get_account_settings"): [concurrency(1000)],
            ("apigateway", "get_account"): [{}],
            ("iam", "get_role"): ["NoSuchEntity"],
            ("pricing", "get_products"): [{"PriceList": ["{}"]}],
            ("cloudformation", "describe_stacks"): ["ValidationError"],
            ("dynamodb", "list_tables"): [{"TableNames": ["users"]}],
            ("logs", "describe_log_groups"): [{"logGroups": []}, {"logGroups": []}],
        }
        self.calls: list[str] = []
        self.stubbers: dict[str, Stubber] = {}

    def deploy(self, status: str, *indexes: str) -> None:
        """Add a stack in this state, whose orders table has these indexes."""
        self.answers[("cloudformation", "describe_stacks")] = [stack(status)]
        self.answers[("cloudformation", "describe_stack_resource")] = [ORDERS_TABLE]
        del self.answers[("dynamodb", "list_tables")]
        table = {"GlobalSecondaryIndexes": [{"IndexName": name} for name in indexes]}
        self.answers[("dynamodb", "describe_table")] = [{"Table": table}]

    def account(self, *, region: str = REGION, local: bool = False) -> Account:
        return Account(region=region, local=local, client=self.client)

    def client(self, service: str, region: str | None = None) -> Any:
        self.stop(service)
        made = boto3_client(service, region or REGION)
        stubber = Stubber(made)
        for (of, operation), answers in self.answers.items():
            for answer in answers if of == service else ():
                if isinstance(answer, str):
                    message = f"Stack with id {STACK} does not exist"
                    stubber.add_client_error(operation, answer, message)
                else:
                    stubber.add_response(operation, answer)
        made.meta.events.register("before-parameter-build", self._seen, unique_id="seen")
        stubber.activate()
        self.stubbers[service] = stubber
        return made

    def _seen(self, model: Any, **_: Any) -> None:
        self.calls.append(f"{model.service_model.service_name}:{model.name}")

    def stop(self, *services: str) -> None:
        for service in services or list(self.stubbers):
            if stubber := self.stubbers.pop(service, None):
                events = stubber.client.meta.events
                events.unregister("before-parameter-build", unique_id="seen")
                stubber.deactivate()


SESSION = boto3.Session()


@cache
def boto3_client(service: Any, region: str) -> Any:
    keys: Any = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return SESSION.client(service, region_name=region, **keys)


def concurrency(total: int, reserved: int = 0) -> Json:
    return {
        "AccountLimit": {
            "ConcurrentExecutions": total,
            "UnreservedConcurrentExecutions": total - reserved,
        }
    }


@pytest.fixture
def aws() -> Iterator[Aws]:
    aws = Aws()
    yield aws
    aws.stop()


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    prod = make_plan(["stage=prod"])
    return {
        "prod": prod,
        "without log role": with_settings(prod, api_gateway_log_role=False),
        "three workers": with_settings(prod, max_concurrency=3),
        "one wake index": make_plan(["stage=prod", "wakeIndexes=1"]),
        "snapStart": make_plan(["stage=prod", "snapStart=true"]),
        "local": make_plan([], "http://127.0.0.1:4566"),
    }


def with_settings(plan: Plan, **settings: Any) -> Plan:
    """The plan with these settings, for the checks only: its resources stay the same."""
    return replace(plan, settings=replace(plan.settings, **settings))


@pytest.fixture
def prod(plans: dict[str, Plan]) -> Plan:
    return plans["prod"]


def findings_of(account: Account, plan: Plan) -> list[Finding]:
    return list(checks.account_findings(account, plan, lambda *_: None))


def levels(findings: list[Finding]) -> set[Level]:
    return {finding.level for finding in findings}


def only(level: Level, findings: list[Finding]) -> Finding:
    """The only finding of this level."""
    (found,) = [finding for finding in findings if finding.level is level]
    assert found.what
    assert found.why
    assert found.fix
    assert "\n" not in preflight.line(found).plain
    return found


# --- a ready account


def test_a_ready_account_has_no_warning_and_no_blocker(aws: Aws, prod: Plan) -> None:
    found = findings_of(aws.account(), prod)
    assert levels(found) == {Level.FINE}
    assert checks.caller_finding(aws.account()).what == (
        f"Account 123456789012, region {REGION}, as arn:aws:iam::123456789012:user/me"
    )


def test_every_call_is_a_read(aws: Aws, plans: dict[str, Plan]) -> None:
    aws.answers[("apigateway", "get_account")] = [{"cloudwatchRoleArn": OTHER_LOG_ROLE}]
    aws.answers[("iam", "get_role")] = [role()]
    checks.caller_finding(aws.account())
    findings_of(aws.account(), plans["without log role"])
    assert len(aws.calls) > len(checks.CHECKS)
    verbs = {call.partition(":")[2] for call in aws.calls}
    assert all(verb.startswith(("Get", "List", "Describe")) for verb in verbs)


# --- credentials


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (NoCredentialsError(), "aws configure"),
        (UnauthorizedSSOTokenError(), "aws sso login"),
        (EndpointConnectionError(endpoint_url="https://sts.eu.example"), "region's name"),
    ],
)
def test_without_credentials_no_other_service_is_called(
    aws: Aws, prod: Plan, error: Exception, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def client(service: str, *_: Any) -> Any:
        services.append(service)
        raise error

    services: list[str] = []
    account = Account(region=REGION, local=False, client=client)
    monkeypatch.setattr(preflight, "Account", lambda **_: account)
    found = preflight.findings(["stage=prod"], REGION, None)
    assert fix in only(Level.BLOCKER, found).fix
    assert services == ["sts"]


def test_refused_credentials_may_be_due_to_a_region_that_is_not_enabled(aws: Aws) -> None:
    aws.answers[("sts", "get_caller_identity")] = ["InvalidClientTokenId"]
    found = checks.caller_finding(aws.account())
    assert "enable the region" in only(Level.BLOCKER, [found]).fix


def test_without_a_region_no_service_is_called(aws: Aws) -> None:
    found = checks.caller_finding(aws.account(region=""))
    assert "--region" in only(Level.BLOCKER, [found]).fix
    assert aws.calls == []


def test_a_denied_call_is_a_warning_and_the_other_checks_run(aws: Aws, prod: Plan) -> None:
    ready = len(findings_of(aws.account(), prod))
    aws.answers[("lambda", "get_account_settings")] = ["AccessDeniedException"]
    found = findings_of(aws.account(), prod)
    assert only(Level.WARNING, found).fix == "allow lambda:GetAccountSettings and run it again"
    assert len(found) == ready


# --- bootstrap


def test_an_account_without_a_bootstrap_is_a_blocker(aws: Aws, prod: Plan) -> None:
    aws.answers[("ssm", "get_parameter")] = ["ParameterNotFound"]
    found = only(Level.BLOCKER, findings_of(aws.account(), prod))
    assert found.fix == "uv run cdk bootstrap"


def test_a_bootstrap_that_is_too_old_is_a_blocker(aws: Aws, prod: Plan) -> None:
    assert prod.bootstrap_version >= 6
    aws.answers[("ssm", "get_parameter")] = [{"Parameter": {"Value": "5"}}]
    found = only(Level.BLOCKER, findings_of(aws.account(), prod))
    assert f"needs version {prod.bootstrap_version}" in found.why


# --- concurrency


def test_a_quota_too_small_for_the_workers_is_a_warning(aws: Aws, prod: Plan) -> None:
    aws.answers[("lambda", "get_account_settings")] = [concurrency(10)]
    found = only(Level.WARNING, findings_of(aws.account(), prod))
    assert "runs 10 functions at once" in found.what
    assert "3 fit" in found.why
    assert "-c maxConcurrency=3" in found.fix
    assert f"--quota-code L-B99A9384 --desired-value 1000 --region {REGION}" in found.fix


def test_as_many_workers_as_the_quota_allows_are_fine(aws: Aws, plans: dict[str, Plan]) -> None:
    aws.answers[("lambda", "get_account_settings")] = [concurrency(10)]
    assert levels(findings_of(aws.account(), plans["three workers"])) == {Level.FINE}


def test_concurrency_reserved_by_other_functions_is_not_available(aws: Aws, prod: Plan) -> None:
    aws.answers[("lambda", "get_account_settings")] = [concurrency(1000, reserved=990)]
    found = only(Level.WARNING, findings_of(aws.account(), prod))
    assert "990 of them reserved" in found.what
    assert "--desired-value 1007" in found.fix


def test_the_advised_number_of_workers_is_at_least_the_mappings_minimum(
    aws: Aws, prod: Plan
) -> None:
    aws.answers[("lambda", "get_account_settings")] = [concurrency(3)]
    assert "-c maxConcurrency=2," in only(Level.WARNING, findings_of(aws.account(), prod)).fix


# --- API Gateway's log role


def role() -> Json:
    return {
        "Role": {
            "Path": "/",
            "RoleName": "api-gateway-logs",
            "RoleId": "A" * 16,
            "Arn": OTHER_LOG_ROLE,
            "CreateDate": 0,
        }
    }


def test_replacing_another_applications_log_role_is_a_warning(aws: Aws, prod: Plan) -> None:
    aws.answers[("apigateway", "get_account")] = [{"cloudwatchRoleArn": OTHER_LOG_ROLE}]
    found = only(Level.WARNING, findings_of(aws.account(), prod))
    assert OTHER_LOG_ROLE in found.what
    assert "-c apiGatewayLogRole=false" in found.fix


def test_the_stacks_own_log_role_is_fine(aws: Aws, prod: Plan) -> None:
    aws.answers[("apigateway", "get_account")] = [{"cloudwatchRoleArn": OWN_LOG_ROLE}]
    assert levels(findings_of(aws.account(), prod)) == {Level.FINE}


@pytest.mark.parametrize("arn", ["", OTHER_LOG_ROLE])
def test_keeping_a_log_role_that_does_not_exist_is_a_blocker(
    aws: Aws, plans: dict[str, Plan], arn: str
) -> None:
    aws.answers[("apigateway", "get_account")] = [{"cloudwatchRoleArn": arn} if arn else {}]
    found = only(Level.BLOCKER, findings_of(aws.account(), plans["without log role"]))
    assert found.fix == "leave out -c apiGatewayLogRole=false"


def test_keeping_a_log_role_that_exists_is_fine(aws: Aws, plans: dict[str, Plan]) -> None:
    aws.answers[("apigateway", "get_account")] = [{"cloudwatchRoleArn": OTHER_LOG_ROLE}]
    aws.answers[("iam", "get_role")] = [role()]
    assert levels(findings_of(aws.account(), plans["without log role"])) == {Level.FINE}


# --- the region


def test_a_region_without_arm64_is_a_blocker(aws: Aws, prod: Plan) -> None:
    aws.answers[("pricing", "get_products")] = [{"PriceList": []}]
    assert "no arm64" in only(Level.BLOCKER, findings_of(aws.account(), prod)).what


def test_snap_start_is_a_blocker_only_if_it_is_set_and_the_region_lacks_it(
    aws: Aws, plans: dict[str, Plan]
) -> None:
    taipei = aws.account(region="ap-east-2")
    assert "SnapStart" in only(Level.BLOCKER, findings_of(taipei, plans["snapStart"])).what
    assert Level.BLOCKER not in levels(findings_of(taipei, plans["prod"]))
    assert levels(findings_of(aws.account(), plans["snapStart"])) == {Level.FINE}


def test_a_region_that_boto3_does_not_know_is_a_warning(aws: Aws, prod: Plan) -> None:
    found = only(Level.WARNING, findings_of(aws.account(region="eu-nowhere-9"), prod))
    assert "boto3 knows no apigatewayv2" in found.what


# --- an earlier stack


def stack(status: str) -> Json:
    return {"Stacks": [{"StackName": STACK, "CreationTime": 0, "StackStatus": status}]}


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"]
)
def test_a_stack_that_can_be_updated_is_fine(aws: Aws, prod: Plan, status: str) -> None:
    aws.deploy(status, *INDEXES)
    assert levels(findings_of(aws.account(), prod)) == {Level.FINE}


@pytest.mark.parametrize(
    ("there", "planned", "changed"),
    [
        (INDEXES[:3], "prod", ["wakeAbove", "wakeBelow"]),
        (INDEXES[:3], "one wake index", []),
        (INDEXES[:4], "prod", []),
        (INDEXES, "one wake index", []),
        (
            ("byOwner", "other"),
            "one wake index",
            ["openByOwner", "openOrders", "other", "wakeAbove"],
        ),
        ((), "one wake index", ["byOwner", "openByOwner", "openOrders", "wakeAbove"]),
    ],
)
def test_a_deployed_table_can_gain_or_lose_one_index_a_deployment(
    aws: Aws, plans: dict[str, Plan], there: tuple[str, ...], planned: str, changed: list[str]
) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.OnlineOps.html

    "Cannot perform more than one GSI creation or deletion in a single update".
    """
    aws.deploy("UPDATE_COMPLETE", *there)
    found = findings_of(aws.account(), plans[planned])
    if not changed:
        assert levels(found) == {Level.FINE}
        return
    blocker = only(Level.BLOCKER, found)
    assert blocker.what.endswith(f"{len(changed)} indexes of table orders: {', '.join(changed)}")
    assert "uv run cdk deploy -c stage=prod -c wakeIndexes=1, and then again" in blocker.fix


def test_a_stack_without_the_table_yet_gains_all_its_indexes_at_once(aws: Aws, prod: Plan) -> None:
    aws.deploy("IMPORT_COMPLETE")
    aws.answers[("cloudformation", "describe_stack_resource")] = ["ValidationError"]
    assert levels(findings_of(aws.account(), prod)) == {Level.FINE}


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        ("CREATE_FAILED", "delete-stack"),
        ("ROLLBACK_FAILED", "delete-stack"),
        ("DELETE_FAILED", "delete-stack"),
        ("UPDATE_FAILED", "rollback-stack"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("CREATE_IN_PROGRESS", "wait"),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "wait"),
        ("DELETE_IN_PROGRESS", "wait"),
    ],
)
def test_a_stack_that_can_be_neither_updated_nor_created_is_a_blocker(
    aws: Aws, prod: Plan, status: str, fix: str
) -> None:
    aws.answers[("cloudformation", "describe_stacks")] = [stack(status)]
    found = only(Level.BLOCKER, findings_of(aws.account(), prod))
    assert status in found.what
    assert fix in found.fix


def test_a_failed_first_deployment_is_a_warning_that_names_the_tables_it_left(
    aws: Aws, prod: Plan
) -> None:
    aws.answers[("cloudformation", "describe_stacks")] = [stack("ROLLBACK_COMPLETE")]
    aws.answers[("dynamodb", "list_tables")] = [
        {"TableNames": [f"{STACK}-StorageOrders79EED263-ABC"]}
    ]
    found = [f for f in findings_of(aws.account(), prod) if f.level is not Level.FINE]
    assert [f.level for f in found] == [Level.WARNING, Level.WARNING]
    assert "`cdk deploy` deletes it" in found[0].why
    assert "StorageOrders" in found[1].what


def test_tables_and_logs_of_an_earlier_stack_are_warnings_with_the_commands_that_adopt_them(
    aws: Aws, prod: Plan
) -> None:
    ids = [
        logical_id
        for logical_id, resource in prod.resources.items()
        if resource["Type"] == "AWS::DynamoDB::Table"
    ]
    kept = next(logical_id for logical_id in ids if "Orders" in logical_id)
    mine, group = f"{STACK}-{kept}-1ABCDEF", f"{STACK}-ComputeApiLogs12345678-xYz"
    # Of the stage "prod-2" and of other applications.
    others = [f"{STACK}-2-{kept}-1ABCDEF", f"x-{mine}", "users"]
    aws.answers[("dynamodb", "list_tables")] = [
        {"TableNames": others, "LastEvaluatedTableName": "users"},
        {"TableNames": [mine]},
    ]
    aws.answers[("logs", "describe_log_groups")] = [
        {"logGroups": [{"logGroupName": group}, {"logGroupName": f"{STACK}-2-ComputeLogs-x"}]},
        {"logGroups": []},
    ]
    found = [f for f in findings_of(aws.account(), prod) if f.level is Level.WARNING]
    tables, groups = found
    assert tables.what == f"Tables of an earlier stack are there: {mine}"
    assert f'{{"{kept}": {{"TableName": "{mine}"}}}}' in tables.fix
    assert "uv run cdk import -c stage=prod --resource-mapping tables.json" in tables.fix
    assert groups.what == f"1 log groups of an earlier stack are there, such as {group}"


# --- the plan


def test_the_plan_has_the_number_of_resources_and_the_idle_cost(prod: Plan) -> None:
    resources, cost = plan.plan_findings(prod)
    assert f"Stack {STACK} has {len(prod.resources)} resources" in resources.what
    assert "9 functions, 3 tables, 4 queues, 2 APIs" in resources.why
    dollars = float(cost.what.split()[2])
    assert 5 < dollars < 12
    assert "list prices of us-east-1" in cost.why


def test_alarms_and_snapshots_are_in_the_idle_cost(plans: dict[str, Plan]) -> None:
    def cost(plan_: Plan) -> float:
        return float(list(plan.plan_findings(plan_))[1].what.split()[2])

    without = {
        name: resource
        for name, resource in plans["prod"].resources.items()
        if resource["Type"] != "AWS::CloudWatch::Alarm"
    }
    bare = Plan(plans["prod"].settings, without, 6, "")
    watched = cost(plans["prod"]) - cost(bare)
    assert watched >= 0.1 * (len(plans["prod"].resources) - len(without))
    # Three functions of 512 MB: https://aws.amazon.com/lambda/pricing/
    snapshots = cost(plans["snapStart"]) - cost(plans["prod"])
    assert snapshots == pytest.approx(3 * 0.5 * 30 * 86_400 * 0.0000015046, abs=0.02)


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ("stage", "must be a name and a value"),
        ("maxConcurency=5", "maxConcurrency is"),
        ("colour=red", "is no setting"),
        ("uv=/bin/true", "is no setting"),
        ("stage=PROD", "stage"),
        ("maxConcurrency=many", "maxConcurrency"),
    ],
)
def test_an_invalid_setting_is_named(context: str, reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        make_plan([context])


# --- the command


@pytest.fixture
def run(aws: Aws, command: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(preflight, "client", lambda service, *_: aws.client(service))
    return partial(command, "preflight")


def test_the_exit_code_is_0_unless_a_finding_is_a_blocker(aws: Aws, run: Run) -> None:
    arguments = ("-c", "stage=prod", "--region", REGION)
    aws.answers[("lambda", "get_account_settings")] = [concurrency(10)]
    ready = run(*arguments)
    assert ready.code == 0
    assert [line[0] for line in ready.out.splitlines()].count("!") == 1
    aws.answers[("ssm", "get_parameter")] = ["ParameterNotFound"]
    blocked = run(*arguments)
    assert blocked.code == "✗ 1 of these findings would stop a deployment."
    assert [line for line in blocked.out.splitlines() if line[0] == "✗"] == [
        "✗ The account is not bootstrapped in this region: the CDK has no bucket for the"
        " functions' code and no role to deploy with. Fix: uv run cdk bootstrap"
    ]


@pytest.mark.parametrize(
    "arguments",
    [("-c", "stage"), ("-c", "stge=prod"), ("-c", "stage=P"), ("--stack", "prod"), ("prod",)],
)
def test_a_wrong_command_line_is_exit_code_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2


def test_for_the_local_plan_neither_prices_nor_the_log_role_are_read(
    aws: Aws, plans: dict[str, Plan]
) -> None:
    found = findings_of(aws.account(local=True), plans["local"])
    assert levels(found) == {Level.FINE}
    assert not {"apigateway:GetAccount", "pricing:GetProducts"} & set(aws.calls)
    assert len(list(plan.plan_findings(plans["local"]))) == 1


def test_the_parameters_of_each_call_are_those_of_the_plan(prod: Plan) -> None:
    client = boto3_client("ssm", REGION)
    with Stubber(client) as stub:
        stub.add_response(
            "get_parameter",
            {"Parameter": {"Value": "29"}},
            {"Name": "/cdk-bootstrap/hnb659fds/version"},
        )
        account = Account(region=REGION, local=False, client=lambda *_: client)
        assert levels(list(checks.bootstrap(account, prod))) == {Level.FINE}
    prices = boto3_client("pricing", "us-east-1")
    with Stubber(prices) as stub:
        stub.add_response(
            "get_products",
            {"PriceList": ["{}"]},
            {
                "ServiceCode": "AWSLambda",
                "MaxResults": 1,
                "Filters": [
                    {"Type": "TERM_MATCH", "Field": "regionCode", "Value": REGION},
                    {"Type": "TERM_MATCH", "Field": "group", "Value": ANY},
                ],
            },
        )
        account = Account(region=REGION, local=False, client=lambda *_: prices)
        assert levels(list(checks.region_offers(account, prod))) == {Level.FINE}
