"""cdk-nag's packs AwsSolutions and Serverless find nothing but the findings accepted here."""

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
from tests.infra.conftest import CONTEXT

# Rule and construct, both as patterns, and the reason why the finding is accepted.
ACCEPTED = {
    ("AwsSolutions-APIG4", "Apis/Http/ANY--*"): "Health, documentation and the dashboard's files "
    "need no key; all else has the authorizer, which test_template.py holds.",
    ("AwsSolutions-APIG4", "Apis/WebSocket/$d*-Route"): "API Gateway authorizes a WebSocket at "
    "$connect only; later messages carry the owner found there.",
    ("AwsSolutions-DDB3", "Storage/Connections"): "Connections end within hours; there is nothing "
    "to recover.",
    ("AwsSolutions-IAM4[[]Policy::*AmazonAPIGatewayPushToCloudWatchLogs]", "Apis/LogRole"): "API "
    "Gateway asks for what this policy grants when it is given its log role.",
    ("AwsSolutions-IAM5[[]Resource::*/@connections/[*]]", "Compute/*Role/DefaultPolicy"): "The ids "
    "of connections are not known beforehand; API, stage and method are.",
    ("AwsSolutions-L1", "Compute/*"): "Python 3.13 is what uv.lock's wheels are installed for.",
    ("Serverless-EventBusDLQ", "EveryMinute"): "The next minute sweeps and watches again.",
    ("Serverless-LambdaAsyncFailureDestination", "Compute/WatcherInvocations"): "A watcher that "
    "failed is of no use later; the next one looks at the same indexes.",
    ("Serverless-LambdaDLQ", "Compute/*"): "APIs call and wait, queues and the stream keep what "
    "failed, and the sweeper runs every minute.",
    ("Serverless-LambdaEventSourceMappingDestination", "PublishUpdates"): "Lambda "
    "retries as long as the stream keeps a record, twelve times as long as a connection lives.",
    ("Serverless-LambdaEventSourceMappingDestination", "*s"): "SQS keeps what failed and buries "
    "it in the dead-letter queue.",
    ("Serverless-LambdaLatestVersion", "Compute/*"): "As AwsSolutions-L1.",
    (
        "Serverless-LambdaTracing",
        "Compute/*",
    ): "The log tells an order's story; .github/DECISIONS.md, "
    "Decisions, says what tracing would cost.",
    ("Serverless-SQSRedrivePolicy", "Queues/*"): "Both are dead-letter queues themselves.",
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
    ("Serverless-SNSRedrivePolicy", "Monitoring/Alarms/desk@example.com"): "An alarm that could "
    "not be mailed is seen on the dashboard, and is no news later.",
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
def test_every_finding_is_accepted_for_a_reason_and_every_acceptance_needed(
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
