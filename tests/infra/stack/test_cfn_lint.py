"""cfn-lint checks the templates against CloudFormation's own resource schemas."""

from __future__ import annotations

import json

from cfnlint.api import lint  # type: ignore[import-untyped]
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]

from tests.templates import Template

REGIONS = ["us-east-1", "eu-central-1"]
# Each rule that is not applied, with the reason.
IGNORED = {
    "I1022": "It prefers Fn::Sub to Fn::Join for readability; the CDK generates these templates.",
    "W3005": "A DependsOn that a reference implies is harmless; the CDK adds it.",
}


def findings(template: Template) -> list[str]:
    """The findings of cfn-lint in a template, informational rules included."""
    config = ManualArgs(regions=REGIONS, include_checks=["I"], ignore_checks=list(IGNORED))
    return [
        f"{found.rule.id} {'/'.join(str(part) for part in found.path or ())}: {found.message}"
        for found in lint(json.dumps(template.document), config=config)
    ]


def test_every_resource_property_and_value_is_valid_by_cloudformations_schemas(
    variant: Template,
) -> None:
    assert findings(variant) == []


def test_an_invalid_value_is_found(templates: dict[str, Template]) -> None:
    broken = json.loads(json.dumps(templates["dev"].document))
    name = next(n for n, r in broken["Resources"].items() if r["Type"] == "AWS::SQS::Queue")
    broken["Resources"][name]["Properties"]["VisibilityTimeout"] = 43_201
    (found,) = findings(Template(broken))
    assert "VisibilityTimeout" in found
