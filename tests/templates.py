"""The stack's templates, synthesized without building any asset."""

import json
import re
from pathlib import Path
from typing import Any

from aws_cdk import App

from infra.app import build

CDK_JSON = json.loads((Path(__file__).parents[1] / "cdk.json").read_text())
# The context that the CDK command line passes, so that no asset is built.
CONTEXT: dict[str, Any] = CDK_JSON["context"] | {"aws:cdk:bundling-stacks": []}
# Every rule about a deployable template is checked against the templates of these contexts.
VARIANTS: dict[str, dict[str, str]] = {
    "dev": {},
    "prod": {"stage": "prod"},
    "everything": {
        "stage": "prod",
        "alarmEmail": "desk@example.com",
        "corsOrigin": "https://desk.example",
        "logLevel": "DEBUG",
        "orderExpiryDays": "30",
        "simulateAllowed": "true",
        "snapStart": "true",
    },
    "edges": {"apiGatewayLogRole": "false", "keyCacheSeconds": "0", "maxConcurrency": "2"},
}


class Template:
    """A template whose resources are found by type and property, not by logical id."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.resources: dict[str, dict[str, Any]] = document["Resources"]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The resources of a type, by logical id without its hash."""
        return {
            short(name): resource
            for name, resource in self.resources.items()
            if resource["Type"] == f"AWS::{kind}"
        }

    def functions(self) -> dict[str, dict[str, Any]]:
        """The properties of each function, by module."""
        found = {}
        for resource in self.of_type("Lambda::Function").values():
            package, module, name = resource["Properties"]["Handler"].split(".")
            assert (package, name) == ("functions", "handler")
            found[module] = resource["Properties"]
        return found

    def statements(self, module: str) -> list[dict[str, Any]]:
        """The statements of the role of one function."""
        role = text(self.functions()[module]["Role"]).removesuffix(".Arn")
        policies = self.of_type("IAM::Policy").values()
        own = [
            p["Properties"]
            for p in policies
            if [text(r) for r in p["Properties"]["Roles"]] == [role]
        ]
        return [s for policy in own for s in policy["PolicyDocument"]["Statement"]]


def short(logical_id: str) -> str:
    """A logical id without the hash that CDK appends."""
    return re.sub(r"[0-9A-F]{8}$", "", logical_id)


def text(value: Any) -> str:
    """A template value as text, references by short logical id."""
    match value:
        case {"Ref": str(name)}:
            return name if name.startswith("AWS::") else short(name)
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"{short(name)}.{attribute}"
        case {"Fn::Join": ["", list(parts)]}:
            return "".join(text(part) for part in parts)
        case _:
            return str(value)


def synthesize(folder: Path, **context: str) -> Template:
    """The template of the stack with this context."""
    app = App(outdir=str(folder), context=CONTEXT | context)
    stack = build(app)
    artifact = app.synth().get_stack_by_name(stack.stack_name)
    return Template(artifact.template)
