"""`uv run local`, and the commands that it prints."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from infra.cli.deployed import LOCAL_FOLDER, STACK_FILE, find
from infra.cli.ops.logs import search
from tests.eventually import eventually

pytestmark = pytest.mark.emulator

WAIT_SECONDS_MAX = 300
READY = "The engine's log follows"


class Local:
    """A running `uv run local`, and what it has printed."""

    def __init__(self, data: Path) -> None:
        self.lines: list[str] = []
        self._process = start("local", "--port", "0", "--data", str(data))
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.lines.append(line.rstrip("\n"))

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not any(READY in line for line in self.lines):
            assert self._process.poll() is None, self.lines
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.1)

    @property
    def port(self) -> str:
        return self.after("WebSocket").split(":")[2].split("/")[0]

    def after(self, label: str) -> str:
        """The word after a label."""
        (found,) = [
            line.split()[len(label.split())] for line in self.lines if line.startswith(label)
        ]
        return found

    def stop(self) -> int:
        """Stop it as Ctrl-C does; returns its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        code = self._process.wait(WAIT_SECONDS_MAX)
        self._reader.join()
        if self._process.stdout:
            self._process.stdout.close()
        return code


def start(command: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of the project in its own process, without a terminal."""
    program = f"from infra.cli.{command} import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(command: str, *arguments: str) -> tuple[int, str]:
    """Run a command; returns its exit code and its output."""
    process = start(command, *arguments)
    printed, _ = process.communicate(timeout=WAIT_SECONDS_MAX)
    return process.returncode, printed


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def local(data: Path) -> Iterator[Local]:
    local = Local(data)
    try:
        local.wait_until_ready()
        yield local
    finally:
        local.stop()


def placed(local: Local) -> httpx.Response:
    """Send the request of the printed curl command; returns the answer."""
    (line,) = [line for line in local.lines if line.strip().startswith("curl ")]
    _, method_flag, method, url, *rest = shlex.split(line)
    assert method_flag == "-X"
    flags = list(zip(rest[::2], rest[1::2], strict=True))
    headers = dict(value.split(": ", 1) for flag, value in flags if flag == "-H")
    (body,) = [value for flag, value in flags if flag == "-d"]
    return httpx.request(method, url, headers=headers, content=body, timeout=60)


def test_the_first_order_has_no_cold_start(local: Local) -> None:
    steps = [line for line in local.lines if line.startswith("✓")]
    assert "Warming the functions" in steps[-1]
    key = {"authorization": f"Bearer {local.after('API key')}"}
    base = local.after("API docs").removesuffix("/docs")
    orders = httpx.get(f"{base}/api/orders", headers=key, timeout=60).json()["orders"]
    assert orders == []  # the warm-up stores no order

    answer = placed(local)
    assert answer.status_code == 202, answer.text
    order_id = answer.json()["orderId"]
    location = urljoin(str(answer.url), answer.headers["location"])
    assert location == f"{base}/api/orders/{order_id}"
    assert httpx.get(location, headers=key, timeout=60).json()["orderId"] == order_id

    code, printed = run("watch", order_id, "--stack", f"local:{local.port}")
    assert code == 0, printed
    statuses = [line.split()[2] for line in printed.splitlines()]
    assert (statuses[0], statuses[-1]) == ("pending", "confirmed")
    stack = find(f"local:{local.port}")

    def started() -> dict[str, Any]:
        lines = search(stack, order_id, 0, 2**42, lambda *_: None)
        return {line.function: line.record.get("cold_start") for line in lines}

    eventually(lambda: {"api", "worker"} <= started().keys())  # logged when an invocation has ended
    assert not any(started().values())


def test_the_printed_log_begins_after_the_warm_up(local: Local) -> None:
    ready = next(number for number, line in enumerate(local.lines) if READY in line)
    assert "ERROR" not in "\n".join(local.lines[ready:])


def test_each_printed_link_answers(local: Local) -> None:
    for label, text in {"Dashboard": "<!doctype html>", "API docs": "<!doctype html>"}.items():
        answer = httpx.get(local.after(label).partition("#")[0], timeout=60)
        assert answer.status_code == 200
        assert text in answer.text.lower()


def test_the_preflight_passes_against_the_local_stack(local: Local) -> None:
    code, printed = run("preflight", "--stack", f"local:{local.port}")
    assert code == 0, printed
    assert [line[0] for line in printed.splitlines()] == ["✓"] * 5
    assert "Account 000000000000" in printed
    assert "The account is bootstrapped" in printed
    assert "Lambda runs" in printed
    assert "Stack order-execution-engine-dev is " in printed


def test_a_key_of_the_local_stack_is_created_by_its_port(local: Local) -> None:
    code, printed = run("keys", "create", "desk", "--stack", f"local:{local.port}", "--json")
    assert code == 0, printed
    assert json.loads(printed)["owner"] == "desk"


@pytest.mark.parametrize(
    "arguments",
    [
        ("watch", "nonsense"),
        ("watch", "--key", "oee_wrong"),
        ("ops", "trace", "nonsense"),
        ("keys", "disable", "nobody"),
        ("keys", "create", "two words"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(local: Local, arguments: tuple[str, ...]) -> None:
    code, printed = run(*arguments, "--stack", f"local:{local.port}")
    assert code not in (0, 2)
    assert re.fullmatch(r"✗ .+\n", printed)


def test_ctrl_c_stops_everything_and_the_stack_is_no_longer_found(local: Local) -> None:
    port, file = local.port, LOCAL_FOLDER / local.port / STACK_FILE
    assert file.exists()
    assert local.stop() == 0
    assert local.lines[-1] == "Stopped."
    assert not file.exists()
    code, printed = run("watch", "--stack", f"local:{port}")
    assert code == 1
    assert printed.startswith(f"✗ No local stack is running on port {port}: ")
