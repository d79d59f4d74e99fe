"""`uv run market` shows the market of a moment, and refuses invalid arguments."""

import json
import sys

import pytest

from functions.simulation.network import VENUES
from infra.cli import market

NOON = "2026-01-31T12:00:00Z"


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> str:
    monkeypatch.setattr(sys, "argv", ["market", *arguments])
    market.main()
    return capsys.readouterr().out


def test_a_moment_is_printed_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--pair", "SOL/USDC", "--at", NOON, "--amount", "1", "99999999", "--json")
    found = json.loads(run(monkeypatch, capsys, *arguments))
    assert (found["slot"], found["prices"]["reference"]) == (4_424_652_000, "154.027777")
    assert {pool["venue"] for pool in found["pools"]} == {*VENUES}
    assert all(pool["state"] for pool in found["pools"])
    assert found["routes"]["1"]["routePlan"]
    assert found["routes"]["99999999"]["error"].startswith("No route takes")
    assert json.loads(run(monkeypatch, capsys, *arguments)) == found
    other = json.loads(run(monkeypatch, capsys, *arguments, "--seed", "another"))
    assert other["prices"] != found["prices"]


def test_a_moment_is_printed_as_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = run(monkeypatch, capsys, "--pair", "RAY/SOL", "--at", NOON)
    for shown in ("RAY/SOL at 2026-01-31T12:00:00.000Z", "raydium-amm-v4", "raydium alone"):
        assert shown in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pair", "SOL"], "must be two tokens such as SOL/USDC"),
        (["--pair", "SOL/SOL"], "must be two tokens such as SOL/USDC"),
        (["--pair", "SOL/DOGE"], "DOGE"),
        (["--at", "noon"], "must be a time with its zone"),
        (["--at", "2026-01-31T12:00:00"], "must be a time with its zone"),
        (["--amount", "-1"], "must be greater than 0"),
        (["--amount", "1", "x"], "must be a decimal number"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["market", *arguments])
    with pytest.raises(SystemExit) as ended:
        market.main()
    assert message in f"{ended.value.code} {capsys.readouterr().err}"
