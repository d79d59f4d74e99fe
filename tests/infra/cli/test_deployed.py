"""The commands find a local stack by its file, and any other stack by CloudFormation."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.cli import deployed
from infra.cli.command import Problem
from infra.cli.deployed import find

Start = Callable[..., str]


@pytest.fixture(autouse=True)
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, str]]:
    """A CloudFormation that knows every stack and records the endpoint and stack of requests."""
    described: list[tuple[str | None, str]] = []

    def client(_service: str, _region: str | None, endpoint: str | None) -> Any:
        def describe_stacks(**given: str) -> Any:
            described.append((endpoint, given["StackName"]))
            return {"Stacks": [{"Outputs": [{"OutputKey": "HttpUrl", "OutputValue": "http"}]}]}

        return SimpleNamespace(describe_stacks=describe_stacks)

    monkeypatch.setattr(deployed, "client", client)
    return described


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Writes the file by which the commands find a running local stack; returns its port."""
    monkeypatch.setattr(deployed, "LOCAL_FOLDER", tmp_path)
    with ExitStack() as running:

        def start(text: str | None = "") -> str:
            server = running.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = str(server.getsockname()[1])
            (tmp_path / port).mkdir()
            endpoint = f"http://127.0.0.1:{port}"
            content = {"stackName": "engine", "awsEndpointUrl": endpoint, "apiKey": f"key-{port}"}
            if text is not None:
                (tmp_path / port / deployed.STACK_FILE).write_text(text or json.dumps(content))
            return port

        yield start


def stale(folder: Path) -> Path:
    """The file of a stack that was killed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (folder / str(port)).mkdir()
    file = folder / str(port) / deployed.STACK_FILE
    file.write_text("{}")
    return file


def test_without_a_local_stack_the_error_says_how_to_start_one(start: Start) -> None:
    with pytest.raises(Problem, match=r"^No local stack is running: .*`uv run local`\.$"):
        find("local")


def test_the_only_local_stack_is_found_without_its_port(
    start: Start, cloudformation: list[tuple[str | None, str]]
) -> None:
    port = start()
    assert find("local").api_key == f"key-{port}"
    assert cloudformation == [(f"http://127.0.0.1:{port}", "engine")]


def test_with_two_local_stacks_the_error_lists_their_ports_and_each_is_found_by_its_port(
    start: Start,
) -> None:
    ports = [start(), start()]
    with pytest.raises(Problem) as refused:
        find("local")
    for port in ports:
        assert f"--stack local:{port}" in str(refused.value)
        assert find(f"local:{port}").api_key == f"key-{port}"


@pytest.mark.parametrize("port", ["1", "70000", "x", "-1", "9" * 30, "../.."])
def test_the_error_about_a_port_without_a_stack_lists_the_ports_that_have_one(
    start: Start, port: str
) -> None:
    running = start()
    with pytest.raises(Problem) as refused:
        find(f"local:{port}")
    assert f"on port {port}" in str(refused.value)
    assert f"--stack local:{running}" in str(refused.value)


def test_the_file_of_a_killed_stack_is_removed_and_ignored(start: Start, tmp_path: Path) -> None:
    killed, port = stale(tmp_path), start()
    assert find("local").api_key == f"key-{port}"
    assert not killed.exists()


@pytest.mark.parametrize("text", [None, " ", "{}", "[]", '{"stackName"'])
def test_a_local_stack_that_is_starting_is_not_ready_yet(start: Start, text: str | None) -> None:
    start(text)
    with pytest.raises(Problem, match="not ready yet"):
        find("local")


def test_a_running_stack_is_found_while_another_one_is_starting(start: Start) -> None:
    start(None)
    running = start()
    assert find("local").api_key == f"key-{running}"


def test_a_stack_in_aws_is_found_by_its_name(
    start: Start, cloudformation: list[tuple[str | None, str]]
) -> None:
    start()
    assert find("localised").outputs == {"HttpUrl": "http"}
    assert cloudformation == [(None, "localised")]


def test_the_error_about_a_stack_that_cannot_be_read_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def describe_stacks(**_: str) -> None:
        error: Any = {"Error": {"Code": "ValidationError", "Message": "Stack does not exist"}}
        raise ClientError(error, "DescribeStacks")

    client = SimpleNamespace(describe_stacks=describe_stacks)
    monkeypatch.setattr(deployed, "client", lambda *_: client)
    with pytest.raises(Problem, match=r"^Stack nowhere cannot be read: .*does not exist"):
        find("nowhere")
