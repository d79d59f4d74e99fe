"""Runs the files that `cdk deploy` would upload in Lambda's Python runtime, with moto as AWS."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from infra.stack.dependencies import PYTHON_VERSION, install, pinned_requirements
from tests.runtime.execution import Runtime
from tests.runtime.results import LEVELS, Results, handle_events
from tests.templates import synthesize

UV = os.environ.get("UV", "uv")
# The client of Lambda's runtime, and its dependencies.
CLIENT = ("awslambdaric", "simplejson", "snapshot-restore-py")


def interpreter() -> tuple[str, str]:
    """The functions' Python and its version, if this machine has it, else the tests' own."""
    named = f"python{PYTHON_VERSION}"
    installed = Path.home().glob(f".pyenv/versions/{PYTHON_VERSION}*/bin/{named}")
    listed = subprocess.run(
        [UV, "python", "find", "--quiet", "--no-project", "--no-python-downloads", PYTHON_VERSION],
        capture_output=True,
        text=True,
        check=False,
    )
    for found in (shutil.which(named), *map(str, installed), listed.stdout.strip()):
        if found and _version(found) == PYTHON_VERSION:
            return found, PYTHON_VERSION
    return sys.executable, f"{sys.version_info.major}.{sys.version_info.minor}"


def _version(python: str) -> str:
    printed = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
        capture_output=True,
        text=True,
        check=False,
    )
    return printed.stdout.strip()  # empty output if `python` is a name without a program


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """Lambda's runtime with the layer that a deployment builds, for this machine's platform."""
    if sys.platform != "linux":
        pytest.skip("awslambdaric, the client of Lambda's runtime, is built for Linux only")
    python, python_version = interpreter()
    client, layer = tmp_path_factory.mktemp("client"), tmp_path_factory.mktemp("layer")
    install(
        UV,
        pinned_requirements(UV),
        layer / "python",
        platform=f"{platform.machine()}-manylinux2014",
        python_version=python_version,
    )
    subprocess.run(
        [
            *(UV, "pip", "install", "--quiet", "--target", str(client)),
            *("--python-version", python_version, "--no-deps", "--only-binary", ":all:"),
            *(f"{name}=={version(name)}" for name in CLIENT),
        ],
        check=True,
    )
    return Runtime(python, python_version, client, layer / "python")


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The URL of moto's server."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module", params=LEVELS)
def results(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    runtime: Runtime,
    aws: str,
) -> Results:
    """The result of every event in events/, and the log lines at one level."""
    folder = tmp_path_factory.mktemp(f"results-{request.param}")
    # Without latency and random faults, every order is confirmed at once.
    faultless = {"latencyScale": "0", "quoteErrorPpm": "0", "dropPpm": "0"}
    template = synthesize(folder / "cdk.out", logLevel=request.param, **faultless)
    return handle_events(template, folder, runtime, aws, level=request.param)
