"""`uv run local`: its use of the machine, its refusals, and its output."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from infra.cli import emulator, local
from infra.cli.command import Problem
from infra.cli.deployed import STACK_FILE, Deployed
from infra.cli.local import Stack
from tests.infra.cli.conftest import Run

REAL = {
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_ENDPOINT_URL": "https://real.example",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/real",
    "CDK_DEFAULT_ACCOUNT": "123456789012",
}
API = "http://127.0.0.1:4567/_aws/execute-api/c0ffee00"
STACK = Stack(
    name="order-execution-engine-dev",
    endpoint_url="http://127.0.0.1:4567",
    region="us-east-1",
    ca_bundle=None,
    outputs={
        "HttpUrl": API,
        "WebSocketUrl": "ws://127.0.0.1:4567/_aws/execute-api/c0ffee01/dev",
    },
    api_key="oee_secret",
    deploy=lambda _project: None,
)


# --- processes


def test_the_emulators_environment_has_nothing_of_a_real_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in REAL.items():
        monkeypatch.setenv(name, value)
    environment = emulator.environment()
    assert not set(REAL.values()) & set(environment.values())
    assert environment["AWS_ACCESS_KEY_ID"] == "test"
    assert (
        environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    )
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"


def test_a_proxy_is_kept_and_not_used_for_the_stack_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    environment = emulator.environment()
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert environment["NO_PROXY"] == "intranet.example,127.0.0.1,localhost"


def test_npm_keeps_the_users_certificates_and_the_cdk_gets_the_emulators(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", "/users.crt")
    show = [sys.executable, "-c", "import os; print(os.environ['NODE_EXTRA_CA_CERTS'])"]
    monkeypatch.setattr(local, "cdk_path_command", lambda: show)
    cdk = local.Cdk(tmp_path)
    cdk.fetch("https://127.0.0.1:4567", tmp_path / "emulators.crt")
    assert cdk.log.read_text() == "/users.crt\n"
    assert cdk.environment["NODE_EXTRA_CA_CERTS"] == str(tmp_path / "emulators.crt")


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("ok\nRuntimeError: boom\nthe app: Subprocess exited with error 1\n", "RuntimeError: boom"),
        (
            "npm error code ENOTFOUND\n"
            "npm error network request to https://r.example failed, reason: getaddrinfo ENOTFOUND\n"
            "npm error A complete log of this run can be found in: /home/u/.npm\n",
            "getaddrinfo ENOTFOUND",
        ),
        ("", "it said nothing"),
    ],
)
def test_the_reason_of_a_failure_is_found_in_its_log(tmp_path: Path, log: str, reason: str) -> None:
    path = tmp_path / "log"
    path.write_text(log)
    assert emulator.reason(path) == reason


# --- orders that outlive a run


def test_kept_data_gets_the_queue_urls_of_a_new_port_and_no_stream_positions(
    tmp_path: Path,
) -> None:
    queues = tmp_path / "sqs.json"
    queues.write_text('{"payload": "http://localhost:4566/000000000000/orders"}')
    functions = tmp_path / "lambda.json"
    functions.write_text('{"payload": {"esms": 1, "dynamodb_stream_positions": {"a": 7}}}')
    with emulator.kept_state(tmp_path, 4600):
        assert queues.read_text() == '{"payload": "http://localhost:4600/000000000000/orders"}'
        assert json.loads(functions.read_text()) == {"payload": {"esms": 1}}


def test_two_stacks_cannot_keep_their_orders_in_one_folder(tmp_path: Path) -> None:
    with (
        emulator.kept_state(tmp_path, 4566),
        pytest.raises(Problem, match="Another local stack keeps its orders in"),
        emulator.kept_state(tmp_path, 4567),
    ):
        pass
    with emulator.kept_state(tmp_path, 4567):  # the first stack has ended
        pass


@pytest.mark.parametrize("state", ["", "{", "[]", "{}", '{"payload": []}'])
def test_kept_orders_that_cannot_be_read_are_an_error_in_one_line(
    tmp_path: Path, state: str
) -> None:
    (tmp_path / "lambda.json").write_text(state)
    with (
        pytest.raises(Problem, match=r"^The orders kept in .* cannot be read"),
        emulator.kept_state(tmp_path, 4566),
    ):
        pass


def test_a_key_file_without_a_key_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / local.KEY_FILE).write_text("")
    with pytest.raises(Problem, match="holds no API key"):
        local.own_key(tmp_path)


# --- the command line


@pytest.fixture
def run(command: Run) -> Iterator[Run]:
    """Runs the command; the test leaves signal handlers and environment as they were."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in signals]
    environment = dict(os.environ)
    yield partial(command, "local")
    for number, handler in zip(signals, handlers, strict=True):
        signal.signal(number, handler)
    os.environ.clear()
    os.environ.update(environment)


@pytest.mark.parametrize("port", ["-1", "65536", "9" * 5000, "1e400", "nan", "http", ""])
def test_an_invalid_port_is_exit_code_2(run: Run, port: str) -> None:
    assert run(f"--port={port}").code == 2


def test_a_port_in_use_is_an_error_in_one_line(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = run("--port", str(port)).code
    assert code == f"✗ Port {port} is in use; choose another with --port"


def test_a_data_folder_that_cannot_be_written_is_an_error_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local, "LOCAL_FOLDER", tmp_path)
    file = tmp_path / "file"
    file.touch()
    for data in (file, file / "below"):
        code = str(run("--port", "0", "--data", str(data)).code)
        assert code.startswith(f"✗ Orders cannot be kept in {data}: ")
        assert "\n" not in code


def test_each_stack_has_its_own_file_which_is_removed_when_it_ends(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def running_stack(*_: Any, **__: Any) -> Iterator[Stack]:
        yield STACK

    def follow(_console: Any, _stack: Deployed, log: Path) -> None:
        file = log.parent / STACK_FILE
        seen[log.parent.name] = json.loads(file.read_text())
        assert stat.S_IMODE(file.stat().st_mode) == 0o600  # it holds the key
        raise KeyboardInterrupt

    seen: dict[str, Any] = {}
    monkeypatch.setattr(local, "LOCAL_FOLDER", tmp_path)
    monkeypatch.setattr(local, "running_stack", running_stack)
    monkeypatch.setattr(local, "follow", follow)
    monkeypatch.setattr(emulator, "free_port", lambda port: port)  # nothing listens on them
    ports = [4601, 4602]
    for port in ports:
        (tmp_path / str(port)).mkdir()
        ended = run("--port", str(port))
        assert ended.code == 0
        assert f"uv run watch --stack local:{port}" in ended.out
    assert seen.keys() == {str(port) for port in ports}
    assert all(stack["apiKey"] == STACK.api_key for stack in seen.values())
    assert list(tmp_path.rglob("*.json")) == []
    assert list(tmp_path.rglob("*.tmp")) == []


def test_the_printed_text_has_the_urls_the_key_and_the_commands_with_the_port(
    tmp_path: Path,
) -> None:
    text = "\n".join(local.explanation(STACK, 4567, None))
    for line in (
        f"Dashboard[/]  {API}/#key=oee_secret",
        f"API docs[/]   {API}/docs",
        f"WebSocket[/]  {STACK.web_socket_url}",
        "API key[/]    oee_secret",
        "The key and all orders end with this run.",
        f"curl -X POST {API}/api/orders/execute",
        "uv run watch --stack local:4567",
        "uv run keys create NAME --stack local:4567",
        ".local/4567/stack.json",
    ):
        assert line in text
    kept = "\n".join(local.explanation(STACK, local.PORT, tmp_path))
    assert f"The key and all orders are kept in {tmp_path}." in kept
    assert "--stack" not in kept  # the commands need no port for the default one
