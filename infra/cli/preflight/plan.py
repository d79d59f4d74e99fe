"""The stack that a deployment would create, and its cost in a month without orders."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aws_cdk import App

from infra.app import build, read_settings
from infra.cli.local import LOCAL_CONTEXT
from infra.cli.preflight.finding import Finding, Level
from infra.costs import PRICES, READ_ON, REGION, dollars, idle_month
from infra.settings import SettingError, Settings

ROOT = Path(__file__).parents[3]
NO_BUNDLING: dict[str, Any] = {"aws:cdk:bundling-stacks": []}
COUNTED = {
    "AWS::Lambda::Function": "functions",
    "AWS::DynamoDB::Table": "tables",
    "AWS::SQS::Queue": "queues",
    "AWS::ApiGatewayV2::Api": "APIs",
    "AWS::IAM::Role": "roles",
    "AWS::Logs::LogGroup": "log groups",
    "AWS::CloudWatch::Alarm": "alarms",
}


@dataclass(frozen=True)
class Plan:
    """The stack that a deployment would create."""

    settings: Settings
    resources: dict[str, Any]  # of the template, by logical id
    bootstrap_version: int
    bootstrap_parameter: str  # the SSM parameter that holds the bootstrap's version

    @property
    def functions(self) -> int:
        """The number of Lambda functions."""
        return sum(each["Type"] == "AWS::Lambda::Function" for each in self.resources.values())


def make_plan(context: list[str], local_endpoint: str | None = None) -> Plan:
    """Synthesize the stack with these settings ("name=value"); raises SettingError."""
    given = dict(_named(text) for text in context)
    if local_endpoint:
        given = LOCAL_CONTEXT | given | {"localEndpoint": local_endpoint}
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    with TemporaryDirectory(prefix="engine-") as folder:
        app = App(outdir=folder, context=flags | NO_BUNDLING | given)
        stack = build(app)
        artifact = app.synth().get_stack_by_name(stack.stack_name)
        return Plan(
            settings=read_settings(app),
            resources=artifact.template["Resources"],
            bootstrap_version=int(artifact.requires_bootstrap_stack_version or 0),
            bootstrap_parameter=artifact.bootstrap_stack_version_ssm_parameter or "",
        )


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingError(f"{text}: must be a name and a value, as in -c stage=prod")
    return name, value


def plan_findings(plan: Plan) -> Iterator[Finding]:
    """The number of resources by type, and in AWS their cost in a month without orders."""
    types = Counter(resource["Type"] for resource in plan.resources.values())
    counts = ", ".join(f"{types[name]} {words}" for name, words in COUNTED.items())
    others = types.total() - sum(types[name] for name in COUNTED)
    yield Finding(
        Level.FINE,
        f"Stack {plan.settings.stack_name} has {types.total()} resources",
        f"{counts}, {others} others",
    )
    if plan.settings.local:
        return
    usage = idle_month(
        plan.settings.memory_mb,
        alarms=sum(map(_watched, plan.resources.values())),
        snapshots_mb=sum(map(_snapshot_mb, plan.resources.values())),
        watcher_mb=plan.settings.watcher_memory_mb,
    )
    services: Counter[str] = Counter()
    for name, units in usage.items():
        services[PRICES[name].service] += PRICES[name].each * units  # type: ignore[assignment]
    parts = ", ".join(f"{name} {cost:.2f}" for name, cost in services.most_common() if cost > 0)
    yield Finding(
        Level.FINE,
        f"It costs {dollars(usage):.2f} dollars a month without orders",
        f"{parts} (list prices of {REGION}, {READ_ON}, without free tiers)",
    )


def _watched(resource: dict[str, Any]) -> int:
    # The number of metrics that an alarm watches; AWS bills each of them.
    if resource["Type"] != "AWS::CloudWatch::Alarm":
        return 0
    metrics = resource["Properties"].get("Metrics")
    return sum("MetricStat" in metric for metric in metrics) if metrics else 1


def _snapshot_mb(resource: dict[str, Any]) -> int:
    properties = resource.get("Properties", {})
    memory: int = properties.get("MemorySize", 0) if "SnapStart" in properties else 0
    return memory
