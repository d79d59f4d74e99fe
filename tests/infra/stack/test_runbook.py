"""The runbook's commands are valid, and its program restores orders."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.contract import WATCHED_PAIRS_ID
from infra.settings import KEYS
from tests.templates import Template

ROOT = Path(__file__).parents[3]
RUNBOOK = (ROOT / "infra" / "RUNBOOK.md").read_text()
SHELL = "\n".join(dedent(block) for block in re.findall(r"```sh\n(.*?)```", RUNBOOK, re.DOTALL))


def order(order_id: str, text: str, *, is_open: bool = False) -> dict[str, Any]:
    return {"orderId": order_id, "request": text} | ({"openOwner": "desk"} if is_open else {})


@pytest.fixture
def tables() -> Iterator[tuple[Any, Any]]:
    """The table restored from a backup, and the stack's table after a loss of data."""
    with mock_aws():
        dynamodb = boto3.resource("dynamodb")
        restored, table = (
            dynamodb.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "orderId", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "orderId", "KeyType": "HASH"}],
            )
            for name in ("restored", "orders")
        )
        for item in (
            order("lost", "old"),
            order("kept", "old", is_open=True),
            order("open", "old", is_open=True),
            order("damaged", "whole"),
        ):
            restored.put_item(Item=item)
        for item in (order("kept", "new"), order("damaged", "broken"), order("later", "new")):
            table.put_item(Item=item)
        yield restored, table


def restore(monkeypatch: pytest.MonkeyPatch, *chosen: str) -> None:
    """Run the program of the runbook, with the ids of the chosen orders."""
    (program,) = re.findall(r"<<'EOF'\n(.*?)\nEOF", SHELL, re.DOTALL)
    monkeypatch.setattr(sys, "argv", ["-", "restored", "orders", *chosen])
    exec(compile(program, "RUNBOOK.md", "exec"), {})  # noqa: S102


def stored(table: Any) -> dict[str, str]:
    return {item["orderId"]: item["request"] for item in table.scan()["Items"]}


def test_missing_ended_orders_are_restored_and_open_ones_are_listed(
    tables: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, table = tables
    for _ in range(2):  # a second run changes nothing
        restore(monkeypatch)
        assert stored(table) == {"lost": "old", "kept": "new", "damaged": "broken", "later": "new"}
        assert capsys.readouterr().out == "open\n"


def test_only_the_named_orders_are_restored_and_existing_ones_are_overwritten(
    tables: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    restored, table = tables
    restore(monkeypatch, "damaged", "open")
    assert stored(table) == {"kept": "new", "damaged": "whole", "later": "new", "open": "old"}
    assert (
        table.get_item(Key={"orderId": "open"})["Item"]
        == restored.get_item(Key={"orderId": "open"})["Item"]
    )
    assert capsys.readouterr().out == ""


def test_the_pair_of_a_restored_resting_order_is_watched(
    tables: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    restored, table = tables
    restored.put_item(Item=order("resting", "old", is_open=True) | {"wakePair": "SOL/USDC"})
    before_ms = time.time_ns() // 1_000_000
    restore(monkeypatch, "resting")
    watched = table.get_item(Key={"orderId": WATCHED_PAIRS_ID})["Item"]
    assert watched["SOL/USDC"] >= before_ms


def test_every_shell_command_has_valid_syntax() -> None:
    checked = subprocess.run(
        ["bash", "-n"], input=SHELL, text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_each_resource_and_output_in_the_commands_exists_once(template: Template) -> None:
    wanted = re.findall(r"\$\(physical (\S+) ([\w$]+)\)", RUNBOOK)
    assert len(wanted) > 10
    mappings = re.findall(r"for mapping in (\w+) (\w+); do", RUNBOOK)
    named = {name for pair in mappings for name in pair}
    for kind, name in wanted:
        for prefix in named if name == "$mapping" else {name}:
            found = [
                logical_id
                for logical_id, resource in template.resources.items()
                if resource["Type"] == f"AWS::{kind}" and logical_id.startswith(prefix)
            ]
            assert len(found) == 1, prefix
    outputs = set(re.findall(r"\boutput ([A-Z]\w+)", RUNBOOK))
    assert outputs
    assert outputs <= set(template.document["Outputs"])


def test_the_settings_in_the_commands_exist() -> None:
    named = set(re.findall(r"-c ([a-z]\w+)", RUNBOOK))
    assert named
    assert named <= set(KEYS)
