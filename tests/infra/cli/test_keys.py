"""`uv run keys`: what it prints, what it stores, and what it refuses."""

from __future__ import annotations

import json
import stat
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.core.models import MockAWS

from functions.contract import API_KEY
from infra.cli import keys, local
from infra.cli.deployed import Deployed
from tests.infra.cli.conftest import Run
from tests.world import create_tables

STACK = Deployed(name="engine", outputs={"AccessTable": "access"})


@pytest.fixture(autouse=True)
def table(aws: MockAWS, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The table of API keys and tickets, with a ticket."""
    aws.reset()
    monkeypatch.setattr(keys, "find", lambda _stack: STACK)
    create_tables(boto3.client("dynamodb"))
    table = boto3.resource("dynamodb").Table("access")
    table.put_item(Item={"id": "ticket#0", "owner": "desk", "expiresAt": 1})
    return table


@pytest.fixture
def run(command: Run) -> Run:
    return partial(command, "keys")


def test_a_key_is_printed_once_and_only_its_hash_is_stored(run: Run, table: Any) -> None:
    created = run("create", "desk-1", "--owner", "desk")
    key = created.out.strip()
    assert (created.code, key.startswith("oee_")) == (0, True)
    assert "cannot be shown again" in created.err
    (item,) = [item for item in table.scan()["Items"] if item["id"] != "ticket#0"]
    assert item == {
        "id": API_KEY.item_id(key),
        "name": "desk-1",
        "owner": "desk",
        "createdAt": item["createdAt"],
    }
    assert key not in run("list").out
    assert key not in run("list", "--json").out


def test_the_owner_of_a_key_is_its_name_unless_another_is_given(run: Run) -> None:
    assert json.loads(run("create", "desk", "--json").out)["owner"] == "desk"
    assert json.loads(run("create", "desk-2", "--owner", "desk", "--json").out)["owner"] == "desk"


def test_a_listed_key_has_the_time_when_it_was_disabled(run: Run) -> None:
    for name in ("a", "b"):
        run("create", name)
    run("disable", "a")
    listed = json.loads(run("list", "--json").out)
    assert {key["name"]: "disabledAt" in key for key in listed} == {"a": True, "b": False}
    assert all(len(key["id"]) == keys.ID_DIGITS for key in listed)


def test_a_disabled_key_keeps_the_time_when_it_was_first_disabled(run: Run, table: Any) -> None:
    run("create", "a")
    run("disable", "a")
    (item,) = [i for i in table.scan()["Items"] if "disabledAt" in i]
    table.put_item(Item=item | {"disabledAt": "2026-01-01T00:00:00Z"})
    run("disable", "a")
    assert json.loads(run("list", "--json").out)[0]["disabledAt"] == "2026-01-01T00:00:00Z"


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
def test_an_invalid_name_and_an_unknown_key_are_errors_in_one_line(
    run: Run, arguments: tuple[str, ...], reason: str
) -> None:
    run("create", "taken")
    code = str(run(*arguments).code)
    assert reason in code
    assert "\n" not in code.replace("'\\n'", "")


def test_the_local_key_is_kept_with_the_data(tmp_path: Path) -> None:
    assert local.own_key(None) != local.own_key(None)
    key = local.own_key(tmp_path)
    assert local.own_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / local.KEY_FILE).stat().st_mode) == 0o600
    for _ in range(2):  # a restart stores it again
        assert keys.create(STACK, local.OWNER, key=key) == key
    assert [found["owner"] for found in keys.list_keys(STACK)] == ["local"]
