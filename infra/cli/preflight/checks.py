"""Checks an AWS account, without changes, for what would stop a deployment or harm the stack."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

from infra.cli.preflight.finding import Finding, Level
from infra.cli.preflight.plan import Plan
from infra.cli.printing import Report

WORKERS_MIN = 2  # the least value of an SQS event source mapping's maximum concurrency
CONCURRENCY_DEFAULT = 1000
# https://docs.aws.amazon.com/general/latest/gr/lambda-service.html
CONCURRENCY_QUOTA = "L-B99A9384"
# All commercial regions but these: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html
NO_SNAP_START = {"ap-southeast-6", "ap-east-2"}
SERVICES = ("apigatewayv2", "cloudwatch", "dynamodb", "events", "lambda", "logs", "sns", "sqs")
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
CONTINUE_ROLLBACK = "aws cloudformation continue-update-rollback"
DELETE_STACK = "aws cloudformation delete-stack"


class Client(Protocol):
    """Makes a boto3 client of a service, in the account's region or in another one."""

    def __call__(self, service: str, region: str | None = None, /) -> Any: ...


@dataclass(frozen=True)
class Account:
    """Where the stack would be deployed: an account in a region, or (`local`) the emulator."""

    region: str
    local: bool
    client: Client


def caller_finding(account: Account) -> Finding:
    """The caller's account and identity; a BLOCKER if AWS cannot be called."""
    if not account.region:
        return Finding(
            Level.BLOCKER,
            "No AWS region is chosen",
            "a stack is deployed into one region",
            "--region REGION, or export AWS_REGION=REGION",
        )
    try:
        caller = account.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, EndpointConnectionError):
            fix = "check the region's name, and this machine's network"
        elif isinstance(error, ClientError):
            fix = "renew the credentials (aws sso login), or enable the region in the account"
        else:
            fix = "aws configure, or aws sso login"
        what = f"AWS cannot be called in region {account.region}"
        return Finding(Level.BLOCKER, what, _reason(error), fix)
    return Finding(
        Level.FINE, f"Account {caller['Account']}, region {account.region}, as {caller['Arn']}"
    )


def account_findings(account: Account, plan: Plan, report: Report) -> Iterator[Finding]:
    """The findings of each check; a check whose calls of AWS fail gives a WARNING."""
    for number, (subject, action, check) in enumerate(CHECKS, start=1):
        try:
            yield from check(account, plan)
        except (BotoCoreError, ClientError) as error:
            why, fix = _reason(error), f"allow {action} and run it again"
            yield Finding(Level.WARNING, f"{subject} could not be checked", why, fix)
        report(number, len(CHECKS))


def bootstrap(account: Account, plan: Plan) -> Iterator[Finding]:
    """Whether the CDK's bootstrap stack exists and is new enough for this stack."""
    name = plan.bootstrap_parameter
    fix = "uv run cdk bootstrap"
    try:
        version = int(account.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        yield Finding(
            Level.BLOCKER,
            "The account is not bootstrapped in this region",
            "the CDK has no bucket for the functions' code and no role to deploy with",
            fix,
        )
        return
    if version < plan.bootstrap_version:
        why = f"the pinned CDK needs version {plan.bootstrap_version}"
        yield Finding(Level.BLOCKER, f"The bootstrap stack has version {version}", why, fix)
    else:
        yield Finding(Level.FINE, f"The account is bootstrapped (version {version})")


def concurrency(account: Account, plan: Plan) -> Iterator[Finding]:
    """Whether the workers leave enough of Lambda's concurrency for the other functions."""
    limits = account.client("lambda").get_account_settings()["AccountLimit"]
    total, free = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
    wanted = plan.settings.max_concurrency
    # One execution of each function but the worker and the dead-letter function, which runs rarely.
    others = plan.functions - 2
    fits = max(WORKERS_MIN, free - others)
    what = f"Lambda runs {total} functions at once in this account and region"
    if free < total:
        what += f", {total - free} of them reserved"
    if wanted <= fits:
        yield Finding(Level.FINE, f"{what}; maxConcurrency={wanted} leaves {free - wanted}")
        return
    ask = max(CONCURRENCY_DEFAULT, total - free + wanted + others)
    yield Finding(
        Level.WARNING,
        what,
        f"maxConcurrency={wanted} leaves less than {others} to the API and the other"
        f" functions, so requests are throttled under load; {fits} fit",
        f"-c maxConcurrency={fits}, and to raise the quota: aws service-quotas"
        f" request-service-quota-increase --service-code lambda --quota-code {CONCURRENCY_QUOTA}"
        f" --desired-value {ask} --region {account.region}",
    )


def log_role(account: Account, plan: Plan) -> Iterator[Finding]:
    """Whether API Gateway can write access logs, and which role the deployment would replace."""
    if plan.settings.local:
        return
    arn = account.client("apigateway").get_account().get("cloudwatchRoleArn") or ""
    name = arn.rsplit("/", 1)[-1]
    if plan.settings.api_gateway_log_role:
        if not arn or name.startswith(f"{plan.settings.stack_name}-"):
            yield Finding(Level.FINE, "The deployment sets API Gateway's log role")
            return
        yield Finding(
            Level.WARNING,
            f"API Gateway writes logs with the role {arn}",
            "the deployment replaces it for every API of this account and region",
            "-c apiGatewayLogRole=false keeps it",
        )
        return
    fix = "leave out -c apiGatewayLogRole=false"
    if not arn:
        why = "the WebSocket API's access log is refused without one"
        yield Finding(Level.BLOCKER, "API Gateway has no log role", why, fix)
    elif not _role_exists(account, name):
        why = "it no longer exists, so nothing would be logged"
        yield Finding(Level.BLOCKER, f"API Gateway's log role is {arn}", why, fix)
    else:
        yield Finding(Level.FINE, f"API Gateway writes logs with the role {arn}")


def _role_exists(account: Account, name: str) -> bool:
    try:
        account.client("iam").get_role(RoleName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        return False
    return True


def region_offers(account: Account, plan: Plan) -> Iterator[Finding]:
    """Whether the region has the services, Lambda on arm64, and SnapStart if it is enabled."""
    if account.local:
        return
    session: Any = boto3.Session()
    partition = session.get_partition_for_region(account.region)
    missing = [
        service
        for service in SERVICES
        if account.region not in session.get_available_regions(service, partition)
    ]
    if missing:
        yield Finding(
            Level.WARNING,
            f"boto3 knows no {', '.join(missing)} in {account.region}",
            "the stack needs them",
            "choose another region, or update boto3",
        )
    if plan.settings.snap_start and account.region in NO_SNAP_START:
        yield Finding(
            Level.BLOCKER,
            f"{account.region} has no SnapStart",
            "-c snapStart=true needs it",
            "leave out -c snapStart=true",
        )
    # Only the price list shows where Lambda offers arm64:
    # https://docs.aws.amazon.com/lambda/latest/dg/foundation-arch.html
    wanted = {"regionCode": account.region, "group": "AWS-Lambda-Duration-ARM"}
    found = account.client("pricing", "us-east-1").get_products(
        ServiceCode="AWSLambda",
        Filters=[{"Type": "TERM_MATCH", "Field": f, "Value": v} for f, v in wanted.items()],
        MaxResults=1,
    )
    if found["PriceList"]:
        yield Finding(Level.FINE, f"Lambda has arm64 in {account.region}")
    else:
        yield Finding(
            Level.BLOCKER,
            f"Lambda has no arm64 in {account.region}",
            "the functions are built for it",
            "choose another region",
        )


def earlier_stack(account: Account, plan: Plan) -> Iterator[Finding]:
    """Whether a stack of this name can be updated, or what remains of an earlier one."""
    name = plan.settings.stack_name
    cloudformation = account.client("cloudformation")
    try:
        stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in error.response["Error"]["Message"]:
            raise
        yield from _left_behind(account, plan)
        return
    status = stacks[0]["StackStatus"]
    what = f"Stack {name} is {status}"
    region = f"--region {account.region}"
    match status:
        case "REVIEW_IN_PROGRESS":
            yield Finding(Level.FINE, what, "it has no resources yet")
        case "ROLLBACK_COMPLETE":
            yield Finding(
                Level.WARNING,
                what,
                "its first deployment failed; `cdk deploy` deletes it before it starts again",
                f"find the cause: aws cloudformation describe-stack-events --stack-name {name}"
                f" {region}",
            )
            yield from _left_behind(account, plan)
        case "UPDATE_ROLLBACK_FAILED":
            fix = f"{CONTINUE_ROLLBACK} --stack-name {name} {region}"
            yield Finding(Level.BLOCKER, what, "it can be updated only after the rollback", fix)
        case "CREATE_FAILED" | "ROLLBACK_FAILED" | "DELETE_FAILED":
            fix = f"{DELETE_STACK} --stack-name {name} {region}"
            yield Finding(Level.BLOCKER, what, "it can be neither updated nor created again", fix)
        case "UPDATE_FAILED":
            fix = f"aws cloudformation rollback-stack --stack-name {name} {region}"
            yield Finding(Level.BLOCKER, what, "it can be updated only after a rollback", fix)
        case _ if status.endswith("_IN_PROGRESS"):
            fix = "wait until it has ended"
            yield Finding(Level.BLOCKER, what, "another operation is under way", fix)
        case _:
            yield Finding(Level.FINE, what, "the deployment updates it")
            yield from _index_changes(account, cloudformation, plan)


def _index_changes(account: Account, cloudformation: Any, plan: Plan) -> Iterator[Finding]:
    """Whether the deployment would add or remove more than one index of a table.

    DynamoDB refuses such an update, and CloudFormation does not divide it:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.OnlineOps.html
    """
    for logical_id, resource in plan.resources.items():
        planned = _index_names(resource.get("Properties", {}))
        if resource["Type"] != "AWS::DynamoDB::Table" or not planned:
            continue
        try:
            there = cloudformation.describe_stack_resource(
                StackName=plan.settings.stack_name, LogicalResourceId=logical_id
            )
        except ClientError as error:
            if "does not exist" not in error.response["Error"]["Message"]:
                raise
            continue
        name = there["StackResourceDetail"]["PhysicalResourceId"]
        table = account.client("dynamodb").describe_table(TableName=name)["Table"]
        changed = sorted(planned ^ _index_names(table))
        if len(changed) > 1:
            yield Finding(
                Level.BLOCKER,
                f"The deployment adds or removes {len(changed)} indexes of table {name}:"
                f" {', '.join(changed)}",
                "DynamoDB adds or removes one index in an update",
                f"uv run cdk deploy -c stage={plan.settings.stage} -c wakeIndexes=1, and then again"
                " without wakeIndexes",
            )


def _index_names(table: dict[str, Any]) -> set[str]:
    return {index["IndexName"] for index in table.get("GlobalSecondaryIndexes", ())}


def _left_behind(account: Account, plan: Plan) -> Iterator[Finding]:
    """The tables and log groups that remain of an earlier stack of this name."""
    name = plan.settings.stack_name
    # CloudFormation names a resource by stack, logical id and random characters. The name of a
    # stage may contain hyphens.
    named = re.compile(rf"{name}-[A-Za-z0-9]+-[A-Za-z0-9]+")
    pages = account.client("dynamodb").get_paginator("list_tables").paginate()
    tables = [t for page in pages for t in page["TableNames"] if named.fullmatch(t)]
    describe = account.client("logs").get_paginator("describe_log_groups")
    own, gateway = f"{name}-", f"/aws/vendedlogs/{name}/"
    groups = [
        group["logGroupName"]
        for prefix in (own, gateway)
        for page in describe.paginate(logGroupNamePrefix=prefix)
        for group in page["logGroups"]
        if prefix == gateway or named.fullmatch(group["logGroupName"])
    ]
    if tables:
        yield Finding(
            Level.WARNING,
            f"Tables of an earlier stack are there: {', '.join(tables)}",
            "a deployment begins with empty tables beside them",
            f"to continue with them: echo '{_mapping(tables, plan)}' > tables.json;"
            f" uv run cdk import -c stage={plan.settings.stage} --resource-mapping tables.json",
        )
    if groups:
        yield Finding(
            Level.WARNING,
            f"{len(groups)} log groups of an earlier stack are there, such as {groups[0]}",
            "AWS bills their storage",
            f"if they are not needed: aws logs delete-log-group --log-group-name {groups[0]}"
            f" --region {account.region}",
        )
    if not tables and not groups:
        yield Finding(Level.FINE, f"There is no stack {name} yet, and nothing of an earlier one")


def _mapping(tables: list[str], plan: Plan) -> str:
    """The mapping for `cdk import` (JSON), with the last of several tables of one logical id."""
    mapping = {
        logical_id: {"TableName": table}
        for logical_id, resource in plan.resources.items()
        if resource["Type"] == "AWS::DynamoDB::Table"
        for table in tables
        if table.startswith(f"{plan.settings.stack_name}-{logical_id}-")
    }
    return json.dumps(mapping)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


Check = Callable[[Account, Plan], Iterator[Finding]]
# For each check: its subject, the IAM actions that it needs, and its function.
CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("The bootstrap", "ssm:GetParameter", bootstrap),
    ("Lambda's concurrency", "lambda:GetAccountSettings", concurrency),
    ("API Gateway's log role", "apigateway:GET on /account and iam:GetRole", log_role),
    ("The region's services", "pricing:GetProducts", region_offers),
    (
        "An earlier stack",
        "cloudformation:DescribeStacks, cloudformation:DescribeStackResource,"
        " dynamodb:DescribeTable, dynamodb:ListTables and logs:DescribeLogGroups",
        earlier_stack,
    ),
)
