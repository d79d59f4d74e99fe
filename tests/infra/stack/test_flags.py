"""cdk.json sets every feature flag of the CDK as the pinned CDK recommends."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import aws_cdk
import pytest

from tests.templates import CDK_JSON, synthesize, text


def test_every_flag_of_the_pinned_cdk_is_set_as_it_recommends() -> None:
    """`cdk flags --unstable=flags` lists them, `cdk init` would write them."""
    (package,) = Path(aws_cdk.__file__).parent.glob("_jsii/aws-cdk-lib@*.tgz")
    with tarfile.open(package) as archive:
        file = archive.extractfile("package/recommended-feature-flags.json")
        assert file is not None
        recommended = json.load(file)
    assert len(recommended) > 50
    flags = {name: value for name, value in CDK_JSON["context"].items() if name.startswith("@")}
    assert flags == recommended


@pytest.mark.slow
def test_a_release_that_changes_only_dependencies_takes_new_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def versions(release: str) -> set[str]:
        monkeypatch.setattr(
            "infra.stack.dependencies.pinned_requirements", lambda _uv: f"boto3=={release}"
        )
        template = synthesize(tmp_path / release, snapStart="true")
        return {
            name
            for name, resource in template.resources.items()
            if resource["Type"] == "AWS::Lambda::Version"
            and text(resource["Properties"]["FunctionName"]).startswith("Compute")
        }

    earlier, later = versions("1.0"), versions("2.0")
    assert len(earlier) == len(later) == 3
    assert not earlier & later
