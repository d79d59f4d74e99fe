"""cdk-nag's packs AwsSolutions and Serverless report only the findings that are accepted here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks, ServerlessChecks

from infra.app import build
from tests.templates import CONTEXT

# Rule and construct, both as patterns, and the reason why the finding is accepted.
ACCEPTED = {
    ("AwsSolutions-APIG4", "Apis/Http/ANY--*"): "Health, documentation and the dashboard's files "
    "need no key; all other routes have the authorizer, as test_template.py checks.",
    ("AwsSolutions-APIG4", "Apis/WebSocket/$d*-Route"): "API Gateway authorizes a WebSocket at "
    "$connect only; later messages have the owner that the authorizer found.",
    ("AwsSolutions-DDB3", "Storage/Connections"): "Connections end within hours; there is nothing "
    "to recover.",
    ("AwsSolutions-IAM4[[]Policy::*AmazonAPIGatewayPushToCloudWatchLogs]", "Apis/LogRole"): "API "
    "Gateway accepts a log role only with the grants of this policy.",
    ("AwsSolutions-IAM5[[]Resource::*/@connections/[*]]", "Compute/*Role/DefaultPolicy"): "The ids "
    "of connections are not known beforehand; the grant names API, stage and method.",
    ("AwsSolutions-L1", "Compute/*"): "The wheels of uv.lock are installed for Python 3.13.",
    (
        "Serverless-EventBusDLQ",
        "EveryMinute",
    ): "A minute later the rule starts both functions again.",
    ("Serverless-LambdaAsyncFailureDestination", "Compute/WatcherInvocations"): "A retry would be "
    "too late for its minute; the next watcher queries the same indexes.",
    ("Serverless-LambdaDLQ", "Compute/*"): "APIs wait for the answer, queues and the stream keep "
    "failed events, and the rule starts the sweeper and the watcher every minute.",
    ("Serverless-LambdaEventSourceMappingDestination", "PublishUpdates"): "Lambda "
    "retries as long as the stream keeps a record, twelve times as long as a connection lives.",
    ("Serverless-LambdaEventSourceMappingDestination", "*s"): "SQS keeps failed "
    "messages and moves them to the dead-letter queue.",
    ("Serverless-LambdaLatestVersion", "Compute/*"): "As AwsSolutions-L1.",
    (
        "Serverless-LambdaTracing",
        "Compute/*",
    ): "The log has every step of an order; .github/DECISIONS.md, "
    "Decisions, has the cost of tracing.",
    ("Serverless-SQSRedrivePolicy", "Queues/*"): "These are the dead-letter queues.",
}


def findings(folder: Path, **context: str) -> Iterator[tuple[str, str]]:
    app = App(outdir=str(folder), context=CONTEXT | context)
    stack = build(app)
    for pack in (AwsSolutionsChecks(app), ServerlessChecks(app)):
        Validations.of(app).add_plugins(pack)
    with suppress(RuntimeError):  # the findings, as text
        app.synth()
    report = json.loads((folder / "validation-report.json").read_text())
    packs = {pack["pluginName"]: pack["violations"] for pack in report["pluginReports"]}
    assert {"AwsSolutions", "Serverless"} <= set(packs)
    for violations in packs.values():
        for violation in violations:
            for construct in violation["violatingConstructs"]:
                path = construct["constructPath"].removesuffix("/Resource")
                yield violation["ruleName"], path.removeprefix(f"{stack.stack_name}/")


EVERYTHING_ON = {
    "snapStart": "true",
    "alarmEmail": "desk@example.com",
    "orderExpiryDays": "90",
}
ACCEPTED_WITH_EVERYTHING = {
    ("Serverless-SNSRedrivePolicy", "Monitoring/Alarms/desk@example.com"): "The dashboard "
    "shows an alarm whose mail failed; a later mail would be out of date.",
}


@pytest.mark.parametrize(
    ("context", "accepted_too"),
    [
        pytest.param({"stage": "dev"}, {}, id="dev"),
        pytest.param({"stage": "prod"}, {}, id="prod"),
        pytest.param(
            {"stage": "prod"} | EVERYTHING_ON, ACCEPTED_WITH_EVERYTHING, id="everything-on"
        ),
    ],
)
def test_every_finding_is_accepted_for_a_reason_and_every_acceptance_is_needed(
    tmp_path: Path,
    context: dict[str, str],
    accepted_too: dict[tuple[str, str], str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    found = set(findings(tmp_path, **context))
    capfd.readouterr()  # the packs print the same findings
    all_accepted = ACCEPTED | accepted_too
    matches = {
        finding: [a for a in all_accepted if all(map(fnmatchcase, finding, a))] for finding in found
    }
    assert [finding for finding, accepted in matches.items() if not accepted] == []
    assert set(all_accepted) == {accepted for several in matches.values() for accepted in several}
