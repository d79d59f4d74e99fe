"""`uv run market` shows the market of a moment, and refuses invalid arguments."""

import json

import pytest

from functions.simulation.network import VENUES
from tests.infra.cli.conftest import Run

NOON = "2026-01-31T12:00:00Z"


def test_a_moment_is_printed_as_json(command: Run) -> None:
    arguments = ("--pair", "SOL/USDC", "--at", NOON, "--amount", "1", "99999999", "--json")
    found = json.loads(command("market", *arguments).out)
    assert (found["slot"], found["prices"]["reference"]) == (4_424_652_000, "154.027777")
    assert {pool["venue"] for pool in found["pools"]} == {*VENUES}
    assert all(pool["state"] for pool in found["pools"])
    assert found["routes"]["1"]["routePlan"]
    assert found["routes"]["99999999"]["error"].startswith("No route takes")
    assert json.loads(command("market", *arguments).out) == found
    other = json.loads(command("market", *arguments, "--seed", "another").out)
    assert other["prices"] != found["prices"]


def test_a_moment_is_printed_as_tables(command: Run) -> None:
    text = command("market", "--pair", "RAY/SOL", "--at", NOON).out
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
def test_an_invalid_argument_is_refused_with_its_rule(
    command: Run, arguments: list[str], message: str
) -> None:
    refused = command("market", *arguments)
    assert refused.code != 0
    assert message in f"{refused.code} {refused.err}"
