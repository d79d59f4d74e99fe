"""`uv run order`, `orders` and `quote` against a server that behaves as documented."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest

from functions.client import Timeouts
from infra.cli import connect
from infra.cli.watch import ENDED_OTHERWISE, UNKNOWN
from tests.engine import Engine
from tests.eventually import eventually
from tests.infra.cli.conftest import Run
from tests.orders import LIFE


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    engine = Engine()
    monkeypatch.setattr(connect, "find", lambda _name: engine.stack)
    quick = Timeouts(call=1, lost=1, backoff=0.01, backoff_max=0.05)
    monkeypatch.setattr(connect, "Timeouts", lambda: quick)
    yield engine
    engine.stop()


# --- order


def test_an_order_is_placed_with_the_arguments_of_the_command_line(
    engine: Engine, command: Run
) -> None:
    result = command("order", "SOL", "USDC", "1.5", "--slippage", "30", "--json")
    placed = json.loads(result.out)
    assert (result.code, placed["amount"], placed["slippageBps"]) == (0, "1.5", 30)
    assert list(engine.orders) == [placed["orderId"]]
    shown = command("order", "SOL", "USDC", "2")
    assert (shown.code, len(shown.out.splitlines())) == (0, 2)
    assert "2 SOL" in shown.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--limit", "160", "--expires", "1d"], {"type": "limit", "limitPrice": "160"}),
        (["--stop", "120", "--ioc"], {"type": "stop", "stopPrice": "120", "timeInForce": "IOC"}),
        (["--limit", "160", "--stop", "120"], {"type": "oco", "stopPrice": "120"}),
        (["--slices", "3", "--every", "60"], {"type": "twap", "intervalSeconds": 60}),
        (["--limit", "1", "--expires", "2026-02-01T12:00:00Z"], {"type": "limit"}),
    ],
)
def test_the_type_of_an_order_follows_from_its_options(
    engine: Engine, command: Run, arguments: list[str], expected: dict[str, object]
) -> None:
    assert command("order", "SOL", "USDC", "1", *arguments).code == 0
    (sent,) = engine.requested.values()
    assert expected.items() <= sent.items()
    if "--expires" in arguments:
        assert len(sent["expiresAt"]) == 24


@pytest.mark.parametrize("text", ["tomorrow", "1w", "", "-1d"])
def test_an_invalid_expiry_is_exit_code_2(engine: Engine, command: Run, text: str) -> None:
    result = command("order", "SOL", "USDC", "1", f"--expires={text}")
    assert result.code == 2
    assert "must be a duration such as 30m or 1d" in result.err
    assert engine.orders == {}


@pytest.mark.parametrize(("end", "code"), [("confirmed", 0), ("failed", ENDED_OTHERWISE)])
def test_the_exit_code_of_a_watched_order_is_that_of_its_end(
    engine: Engine, command: Run, end: str, code: int
) -> None:
    key = str(uuid4())

    def execute() -> None:
        eventually(lambda: bool(engine.orders))
        (order_id,) = engine.orders
        for status in (*LIFE[1:-1], end):
            engine.update(order_id, status)

    execution = threading.Thread(target=execute)
    execution.start()
    result = command("order", "SOL", "USDC", "1", "--id", key, "--watch")
    execution.join()
    assert result.code == code
    assert [line.split()[2] for line in result.out.splitlines()] == [*LIFE[:-1], end]
    again = command("order", "SOL", "USDC", "1", "--id", key, "--watch", "--json")
    assert [json.loads(line)["status"] for line in again.out.splitlines()] == [*LIFE[:-1], end]
    assert len(engine.orders) == 1


def test_a_refusal_is_an_error_in_one_line_and_an_unanswered_order_can_be_sent_again(
    engine: Engine, command: Run
) -> None:
    refused = command("order", "SOL", "SOL", "1")
    assert refused.code == "✗ Refused: CIRCULAR_ARBITRAGE_IS_DISABLED."
    engine.http_faults = ["lost after"] * 1000
    result = command("order", "SOL", "USDC", "1")
    assert result.code == UNKNOWN
    key = result.err.split("--id ")[1].strip()
    engine.http_faults = []
    assert command("order", "SOL", "USDC", "1", "--id", key).code == 0
    assert len(engine.orders) == 1


# --- orders


def test_orders_are_listed_as_a_table_as_json_and_as_csv(engine: Engine, command: Run) -> None:
    updates = (LIFE, ["pending", "failed"], ["pending"])
    order_ids = [engine.new_order(*statuses) for statuses in updates]
    table = command("orders")
    assert table.code == 0
    assert len(table.out.splitlines()) == 4
    for order_id in order_ids:
        assert order_id in table.out
    of_status = command("orders", "--status", "open", "--json")
    assert [json.loads(line)["orderId"] for line in of_status.out.splitlines()] == [order_ids[2]]
    rows = list(csv.DictReader(io.StringIO(command("orders", "--csv").out)))
    assert {row["orderId"]: row["status"] for row in rows} == {
        order_ids[0]: "confirmed",
        order_ids[1]: "failed",
        order_ids[2]: "pending",
    }
    assert len(command("orders", "--last", "1").out.splitlines()) == 2
    assert command("orders", "--status", "expired").err == "There are no such orders.\n"


def test_a_stack_that_does_not_answer_is_an_error_in_one_line(engine: Engine, command: Run) -> None:
    engine.http_faults = [503] * 1000
    for arguments in (["orders"], ["quote", "SOL", "USDC", "1"]):
        assert command(*arguments).code == "✗ the HTTP API answers 503"


# --- quote


def test_a_quote_shows_the_route_and_each_venue(engine: Engine, command: Run) -> None:
    result = command("quote", "SOL", "USDC", "1.5")
    assert result.code == 0
    for part in ("1.5 SOL → 230.1 USDC", "228.9", "153.7", "whirlpool", "VENUE_DOWN"):
        assert part in result.out
    assert json.loads(command("quote", "SOL", "USDC", "1.5", "--json").out)["outAmount"] == "230.1"
