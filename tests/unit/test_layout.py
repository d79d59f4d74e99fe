"""What a function loads when it starts, and what the commands need."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.granted import GRANTED

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_commands_need_only_the_packages_that_uv_run_installs(tmp_path: Path) -> None:
    environment = os.environ | {"UV_PROJECT_ENVIRONMENT": str(tmp_path)}
    sync = [os.environ.get("UV", "uv"), "sync", "--quiet", "--frozen"]
    subprocess.run(sync, cwd=ROOT, env=environment, check=True)
    commands = distribution("order-execution-engine").entry_points
    modules = {command.module for command in commands} | {"infra.app", "infra.cli.local_emulator"}
    python = tmp_path / "bin" / "python"
    program = f"import {', '.join(sorted(modules))}"
    subprocess.run([python, "-c", program], cwd=ROOT, check=True)
    of_tests = subprocess.run(
        [python, "-c", "import moto"], cwd=ROOT, capture_output=True, check=False
    )
    assert of_tests.returncode == 1


@pytest.mark.parametrize("handler", sorted(GRANTED))
def test_a_function_loads_neither_boto3_nor_packages_that_only_others_use(handler: str) -> None:
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
