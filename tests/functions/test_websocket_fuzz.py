"""Messages generated from the schema of the WebSocket API: valid, invalid and malformed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from functions.messages import ErrorCode
from functions.orders.order import Update
from functions.websocket import MESSAGE, MESSAGE_CHARACTERS_MAX
from tests.orders import ORDER_ID
from tests.world import World

CASES = 150
UNKNOWN = ORDER_ID
REFUSALS = {
    ErrorCode.INVALID_JSON,
    ErrorCode.INVALID_MESSAGE,
    ErrorCode.UNKNOWN_ACTION,
    ErrorCode.MESSAGE_TOO_LARGE,
}
# JSON as text, because no serializer would write some of it.
MALFORMED_VALUES = [
    *("null", "true", "false", "[]", "{}", '""', '" "', '"*"', '"**"', '"\\u0000"', '"\\ud800"'),
    *("0", "-0", "-1", "1", "11", "12", "1.0", "1e0", "0.1", "1e400", "-1e400", "NaN", "Infinity"),
    *("9" * 39, "9" * 400, "1e1000000000000000000", "1_0", "01", "+1", "0x1", '"1"', '"１"'),
    *('"__proto__"', '"constructor"', '"undefined"', '"$connect"', '"../../etc/passwd"'),
    *('"\' OR 1=1 --"', '"<script>alert(1)</script>"', '"${jndi:ldap://x}"', '"%00"', '"\\n"'),
    *('"ﷺ"', '"👩‍👩‍👧"', '"\\u202e"', '"Ω≈ç√"', f'"{"a" * 3000}"', f'"{{{UNKNOWN}}}"'),
    f'"{UNKNOWN.upper()}"',
    f'"urn:uuid:{UNKNOWN}"',
    f'"{UNKNOWN} "',
    f'["{UNKNOWN}"]',
    "[" * 1500 + "]" * 1500,
    '{"a":' * 500 + "1" + "}" * 500,
]
MALFORMED_FRAMES = [
    *("", " ", "\0", "\ufeff{}", "ping", "'ping'", "{", "}", "{}{}", "[{}]", "[1,]", "{1:2}"),
    *("{'action':'ping'}", '{"action":"ping",}', '{"action":"ping"}\0', '// {"action":"ping"}'),
    *('{"action":"ping"}{"action":"ping"}', '{"action":"ping","action":"ping"}', '"\ud800"'),
    *("[" * 100_000, '{"a":' * 100_000, "9" * 5000, "x" * (MESSAGE_CHARACTERS_MAX + 1)),
    *("<?xml version='1.0'?>", "GET / HTTP/1.1", "%7B%22action%22%3A%22ping%22%7D", "💣" * 4096),
]


def kind_of(answer: Any) -> str:
    """The kind of an answer; fails for an answer that functions/README.md does not describe."""
    match answer:
        case {"error": {"code": code, "message": message, "requestId": request_id, **more}}:
            assert (more, list(answer)) == ({}, ["error"])
            assert message.endswith(".")
            assert len(message) <= MESSAGE_CHARACTERS_MAX + 100
            assert request_id.startswith("request-")
            return str(ErrorCode(code))
        case {"type": "pong", **more}:
            assert more == {}
            return "pong"
        case {"type": "subscribed" | "unsubscribed" as kind, "orderId": order_id, **more}:
            assert more == {}
            assert order_id == "*" or len(order_id) == len(UNKNOWN)
            return str(kind)
    return str(Update.model_validate(answer).status)


class FuzzedConnection:
    """A connection without subscriptions, and an order that it can follow."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.connect("c1")
        self.order_id: str = world.submit()["orderId"]
        world.work_until_empty()

    def send(self, frame: str) -> list[str]:
        """Send a message, check that the connection works; returns the kinds of the answers."""
        received = self._world.connections.received
        received.clear()
        self._world.send("c1", frame)
        self._world.publish()
        answers = [kind_of(answer) for answer in received["c1"]]
        received.clear()
        self._world.send("c1", {"action": "ping"})
        assert [kind_of(answer) for answer in received["c1"]] == ["pong"]
        return answers


@pytest.fixture
def connection(world: World) -> FuzzedConnection:
    return FuzzedConnection(world)


def messages(mode: GenerationMode) -> st.SearchStrategy[Any]:
    """Messages that the schema allows, or messages that it forbids."""
    schema = MESSAGE.json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    document = {
        "openapi": "3.1.0",
        "info": {"title": "messages", "version": "1"},
        "components": {"schemas": schema.pop("$defs")},
        "paths": {
            "/": {
                "post": {
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": schema}},
                    },
                    "responses": {"200": {"description": "answered"}},
                }
            }
        },
    }
    (found,) = schemathesis.openapi.from_dict(document).get_all_operations()
    assert isinstance(found, Ok)
    return found.ok().as_strategy(generation_mode=mode).map(lambda case: case.body)


SETTINGS = hypothesis.settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def test_every_message_that_the_schema_allows_is_accepted(connection: FuzzedConnection) -> None:
    counts: Counter[str] = Counter()

    @SETTINGS
    @given(message=messages(GenerationMode.POSITIVE), known=st.booleans())
    def send(message: Any, known: bool) -> None:
        # In JSON Schema 1.0 is a whole number; the engine accepts only 1.
        hypothesis.assume(not isinstance(message.get("sinceSequence"), float))
        if known and message.get("orderId", "*") != "*":
            message["orderId"] = connection.order_id
        answers = connection.send(json.dumps(message))
        assert not REFUSALS & set(answers), message
        counts.update(answers)

    send()
    assert counts.keys() >= {"pong", "subscribed", "unsubscribed", "ORDER_NOT_FOUND", "confirmed"}
    assert "INTERNAL" not in counts


def test_every_message_that_the_schema_forbids_is_refused_with_the_reason(
    connection: FuzzedConnection,
) -> None:
    counts: Counter[str] = Counter()

    @SETTINGS
    @given(message=messages(GenerationMode.NEGATIVE))
    def send(message: Any) -> None:
        raw = isinstance(message, bytes)
        (answer,) = connection.send(
            message.decode(errors="replace") if raw else json.dumps(message)
        )
        assert answer in REFUSALS, message
        counts[answer] += 1

    send()
    assert counts.keys() >= {"INVALID_JSON", "INVALID_MESSAGE", "UNKNOWN_ACTION"}


def malformed_messages() -> Iterator[str]:
    """Each action with a malformed value in each field, and in an unknown field."""
    fields = ("action", "orderId", "sinceSequence", "", "order_id", "__proto__")
    for action, field, value in product(
        ("subscribe", "unsubscribe", "ping"), fields, MALFORMED_VALUES
    ):
        known = {"action": f'"{action}"'} | ({} if action == "ping" else {"orderId": '"*"'})
        named = known | {field: value}
        yield "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in named.items()) + "}"


@pytest.mark.parametrize(
    "frames", [[*MALFORMED_FRAMES, *MALFORMED_VALUES], [*malformed_messages()]]
)
def test_every_malformed_frame_gets_one_answer_of_the_documented_shape(
    connection: FuzzedConnection, frames: list[str]
) -> None:
    counts: Counter[str] = Counter()
    for frame in frames:
        (answer,) = connection.send(frame)
        counts[answer] += 1
    assert "INTERNAL" not in counts
    assert counts["INVALID_JSON"] + counts["INVALID_MESSAGE"] > len(frames) / 3


@SETTINGS
@given(
    frame=st.one_of(
        st.text(max_size=300),
        st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        ).map(json.dumps),
    )
)
def test_any_text_is_refused_in_the_documented_shape(
    connection: FuzzedConnection, frame: str
) -> None:
    (answer,) = connection.send(frame)
    assert answer in REFUSALS
