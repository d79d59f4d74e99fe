"""`uv run keys`: what it prints, what it stores, and what it refuses."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.contract import API_KEY
from infra.cli import keys, local
from infra.cli.deployed import Deployed

STACK = Deployed(name="engine", outputs={"AccessTable": "access"})
Run = Callable[..., tuple[str, str]]


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(keys, "find", lambda _stack: STACK)
    with mock_aws():
        table = boto3.resource("dynamodb").create_table(
            TableName="access",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        table.put_item(Item={"id": "ticket#0", "owner": "desk", "expiresAt": 1})
        yield table


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["keys", *arguments])
        keys.main()
        printed = capsys.readouterr()
        return printed.out, printed.err

    return run


def test_a_key_is_printed_once_and_only_its_hash_is_stored(run: Run, table: Any) -> None:
    printed, notice = run("create", "desk-1", "--owner", "desk")
    key = printed.strip()
    assert key.startswith("oee_")
    assert "cannot be shown again" in notice
    stored = [item for item in table.scan()["Items"] if item["id"] != "ticket#0"]
    (item,) = stored
    assert item == {
        "id": API_KEY.item_id(key),
        "name": "desk-1",
        "owner": "desk",
        "createdAt": item["createdAt"],
    }
    assert key not in run("list")[0]
    assert key not in run("list", "--json")[0]


def test_the_owner_of_a_key_is_its_name_unless_another_is_given(run: Run) -> None:
    assert json.loads(run("create", "desk", "--json")[0])["owner"] == "desk"
    assert json.loads(run("create", "desk-2", "--owner", "desk", "--json")[0])["owner"] == "desk"


def test_keys_are_listed_oldest_first_with_what_became_of_them(run: Run) -> None:
    for name in ("a", "b"):
        run("create", name)
    run("disable", "a")
    listed = json.loads(run("list", "--json")[0])
    assert {key["name"]: "disabledAt" in key for key in listed} == {"a": True, "b": False}
    assert all(len(key["id"]) == keys.ID_DIGITS for key in listed)


def test_a_disabled_key_keeps_the_time_when_it_was_first_disabled(run: Run, table: Any) -> None:
    run("create", "a")
    run("disable", "a")
    (item,) = [i for i in table.scan()["Items"] if "disabledAt" in i]
    table.put_item(Item=item | {"disabledAt": "2026-01-01T00:00:00Z"})
    run("disable", "a")
    assert json.loads(run("list", "--json")[0])[0]["disabledAt"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("create", "taken"), "named taken already"),
        (("create", "two words"), "up to 64"),
        (("create", "x" * 65), "up to 64"),
        (("create", "x", "--owner", "\n"), "up to 64"),
        (("disable", "nobody"), "no key named nobody"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    run: Run, arguments: tuple[str, ...], reason: str
) -> None:
    run("create", "taken")
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert reason in str(stopped.value)
    assert "\n" not in str(stopped.value).replace("'\\n'", "")


def test_the_local_key_lives_as_long_as_the_data(tmp_path: Path) -> None:
    assert local.own_key(None) != local.own_key(None)
    key = local.own_key(tmp_path)
    assert local.own_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / local.KEY_FILE).stat().st_mode) == 0o600
    for _ in range(2):  # a restart stores it again
        assert keys.create(STACK, local.OWNER, key=key) == key
    assert [found["owner"] for found in keys.list_keys(STACK)] == ["local"]
