"""The calls by which `uv run local` starts the functions before the stack is ready."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from functions.contract import order_id_of
from infra.cli import warm as warming
from infra.cli.command import Problem
from infra.cli.deployed import Deployed
from infra.cli.warm import warm
from tests.engine import Engine, Json

FUNCTIONS = {"worker": "the-worker", "publisher": "the-publisher", "sweeper": "the-sweeper"}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(Deployed, "functions", lambda _stack: FUNCTIONS)
    engine = Engine()
    yield engine
    engine.stop()


@pytest.fixture
def invoked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Json]:
    """The payloads of each function's invocations; a function named "broken" fails."""
    events: dict[str, Json] = {}

    def invoke(**given: Any) -> Json:
        events[given["FunctionName"]] = json.loads(given["Payload"])
        if given["FunctionName"] == "broken":
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage":"boom"}')}
        return {"Payload": io.BytesIO(b"null")}

    monkeypatch.setattr(Deployed, "client", lambda *_: SimpleNamespace(invoke=invoke))
    return events


def test_each_function_that_an_order_passes_is_called_once_and_no_order_is_stored(
    engine: Engine, invoked: dict[str, Json]
) -> None:
    reported: list[tuple[int, int | None]] = []
    warm(engine.stack, lambda done, total: reported.append((done, total)))
    assert sorted(reported) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert engine.requests == ["/api/orders?limit=1"]
    assert [message["action"] for message in engine.messages] == ["ping"]
    assert engine.connects == 1
    assert invoked.keys() == {"the-worker", "the-publisher"}
    assert invoked["the-publisher"] == {"Records": []}
    (record,) = invoked["the-worker"]["Records"]
    assert order_id_of(record["body"]) not in engine.orders


def test_a_call_to_an_api_that_is_not_ready_is_retried(
    engine: Engine, invoked: dict[str, Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "RETRY_SECONDS", 0.01)
    engine.http_faults = [500, 503]
    engine.refuse_connections = [500, 403]
    warm(engine.stack, lambda *_: None)
    assert engine.requests == ["/api/orders?limit=1"] * 3
    assert [message["action"] for message in engine.messages] == ["ping"]


def test_a_failing_api_is_an_error_in_one_line(
    engine: Engine, invoked: dict[str, Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "RETRIES_SECONDS_MAX", 0)
    engine.http_status = 500
    with pytest.raises(Problem, match="The HTTP API answers 500"):
        warm(engine.stack, lambda *_: None)


def test_a_refused_web_socket_is_an_error_in_one_line(
    engine: Engine, invoked: dict[str, Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "RETRIES_SECONDS_MAX", 0)
    engine.refuse_connections = [500]
    with pytest.raises(Problem, match="The WebSocket API does not answer"):
        warm(engine.stack, lambda *_: None)


def test_a_stack_that_does_not_listen_is_an_error_in_one_line(
    engine: Engine, invoked: dict[str, Json]
) -> None:
    urls = engine.stack.outputs | {"HttpUrl": "http://127.0.0.1:1"}
    with pytest.raises(Problem, match="The HTTP API does not answer"):
        warm(replace(engine.stack, outputs=urls), lambda *_: None)


def test_the_error_of_a_failing_function_has_its_name_and_the_reason(
    engine: Engine, invoked: dict[str, Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = FUNCTIONS | {"publisher": "broken"}
    monkeypatch.setattr(Deployed, "functions", lambda _stack: functions)
    with pytest.raises(Problem, match=r"broken fails: .*boom"):
        warm(engine.stack, lambda *_: None)
