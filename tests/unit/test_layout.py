"""The modules that a function loads when it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = {"__init__", "aws", "contract", "delivery", "messages", "push", "runtime", "telemetry"}
HANDLERS = sorted({path.stem for path in (ROOT / "functions").glob("*.py")} - SHARED)


def test_the_import_contracts_of_pyproject_hold() -> None:
    linter = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", linter, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_function_loads_no_module_that_only_other_functions_use(handler: str) -> None:
    program = f"import sys, functions.{handler}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    powertools = "aws_lambda_powertools.event_handler"
    assert "botocore" in loaded
    assert "boto3" not in loaded
    assert f"{powertools}.openapi.models" not in loaded  # the API loads it later
    assert (powertools in loaded) == (handler == "api")
    assert ("pydantic" in loaded) == (handler not in {"authorizer", "notifier"})
