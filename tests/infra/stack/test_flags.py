"""cdk.json sets every feature flag of the CDK as the pinned CDK recommends."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import aws_cdk

from tests.templates import CDK_JSON


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
