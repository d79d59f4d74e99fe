"""The packages of the Lambda layer."""

import os
import re

from infra.stack.dependencies import pinned_requirements


def test_the_layer_has_the_functions_dependencies_and_what_those_need() -> None:
    pinned = pinned_requirements(os.environ.get("UV", "uv"))
    assert set(re.findall(r"^([\w-]+)==", pinned, re.MULTILINE)) == {
        "annotated-types",
        "aws-lambda-powertools",
        "botocore",
        "jmespath",
        "pydantic",
        "pydantic-core",
        "python-dateutil",
        "six",
        "typing-extensions",
        "typing-inspection",
        "urllib3",
    }
