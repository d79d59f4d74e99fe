"""What the local stack takes from the machine it runs on, and what it must not."""

import json
import socket
from pathlib import Path

import pytest

from infra.cli import local

REAL = {
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_ENDPOINT_URL": "https://real.example",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/real",
    "CDK_DEFAULT_ACCOUNT": "123456789012",
}


def test_nothing_of_a_real_account_reaches_what_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in REAL.items():
        monkeypatch.setenv(name, value)
    environment = local._environment()
    assert not set(REAL.values()) & set(environment.values())
    assert environment["AWS_ACCESS_KEY_ID"] == "test"
    assert (
        environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    )
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"


def test_a_proxy_is_kept_but_not_used_for_the_stack_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    environment = local._environment()
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert environment["NO_PROXY"] == "intranet.example,127.0.0.1,localhost"


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(local.LocalError, match=f"^Port {port} is in use; choose another"),
            local.running_stack(port, work=tmp_path),
        ):
            pass


def test_a_stack_kept_from_another_port_finds_its_queues_and_its_stream(tmp_path: Path) -> None:
    queues = tmp_path / "sqs.json"
    queues.write_text('{"payload": "http://localhost:4566/000000000000/orders"}')
    functions = tmp_path / "lambda.json"
    functions.write_text('{"payload": {"esms": 1, "dynamodb_stream_positions": {"a": 7}}}')
    local._adopt(tmp_path, 4600)
    assert queues.read_text() == '{"payload": "http://localhost:4600/000000000000/orders"}'
    assert json.loads(functions.read_text()) == {"payload": {"esms": 1}}


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
    assert local._reason(path) == reason
