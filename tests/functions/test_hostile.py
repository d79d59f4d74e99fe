"""Hostile input: requests that the document allows or forbids, and bodies of random bytes."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import event as hypothesis_event
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis import Response

from functions import api
from functions.orders.order import Order
from functions.store import orders, queue
from tests.events import event
from tests.functions.gateway import gateway
from tests.hostile import NAUGHTY, Case, send_generated
from tests.world import Context, World

# This many valid and as many invalid requests for each operation. Twice as many give the same
# statuses, and reach one more branch, which has its own test (coverage.py, 2026-11-29).
CASES = 100
CASES_MIN = 2000
BODIES = 2000


def test_generated_requests_are_answered_as_the_document_says_and_never_by_a_5xx(
    world: World,
) -> None:
    key = world.add_key("alice")
    document = schemathesis.openapi.from_wsgi("/openapi.json", gateway).raw_schema

    def send(case: Case) -> Response:
        return case.call(app=gateway, headers={"Authorization": f"Bearer {key}"})

    answered = send_generated(document, send, cases=CASES)
    print("\n".join(f"{count:5} {what}" for what, count in sorted(answered.items())))
    assert answered.total() >= CASES_MIN


def submit(body: bytes | None) -> dict[str, Any]:
    request = event("http_execute_order")
    request["body"] = None if body is None else base64.b64encode(body).decode()
    request["isBase64Encoded"] = body is not None
    answer: dict[str, Any] = api.handler(request, Context())
    return answer


numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.decimals(),
    st.sampled_from(["1", "1.5", "1e9", "-0", "1e-400", "9" * 400, "NaN", "Infinity"]),
)
values = st.recursive(
    st.none()
    | st.booleans()
    | numbers.map(str)
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(NAUGHTY),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
any_orders = st.fixed_dictionaries(
    {
        "tokenIn": st.sampled_from(["SOL", "USDC", "BONK", "DOGE"]) | values,
        "tokenOut": st.sampled_from(["USDC", "SOL", "JUP", "", "sol"]) | values,
        "amount": numbers.map(str) | values,
    },
    optional={"slippageBps": values, "clientOrderId": values, "simulate": values, "": values},
)
likely_orders = st.fixed_dictionaries(
    {
        "tokenIn": st.sampled_from(["SOL", "USDC"]),
        "tokenOut": st.sampled_from(["BONK", "JUP"]),
        "amount": st.decimals("-1", "100", places=3).map(str) | st.integers(-1, 100),
    },
    optional={"slippageBps": st.integers(-1, 10_001)},
)
# Numbers as JSON text: none is parsed as a float, and some do not fit a Decimal.
raw_numbers = st.sampled_from(["1", "1.5", "1e2", "50.0", "-0", "1e400", "1e-400", "9" * 5000]) | (
    st.builds("{}e{}{}".format, st.integers(-1, 1), st.sampled_from(["", "-"]), st.just(10**18))
)
depths = st.integers(1, 5000)
bodies = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    values.map(lambda value: json.dumps(value, default=str).encode()),
    any_orders.map(lambda order: json.dumps(order, default=str).encode()),
    likely_orders.map(lambda order: json.dumps(order).encode()),
    depths.map(lambda depth: b"[" * depth),
    depths.map(lambda depth: b'{"amount":' * depth + b"1" + b"}" * depth),
    st.integers(1, 12_000).map(lambda size: b'{"amount":' + b"9" * size + b"}"),
    st.tuples(raw_numbers, raw_numbers).map(
        lambda pair: '{{"tokenIn":"SOL","tokenOut":"USDC","amount":{},"slippageBps":{}}}'.format(
            *pair
        ).encode()
    ),
)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """The orders that would have been stored; there is no table."""
    created: list[Order] = []
    monkeypatch.setattr(orders, "open_order_count", lambda _owner: 0)
    monkeypatch.setattr(orders, "create_order", lambda order, _owner: created.append(order))
    monkeypatch.setattr(queue, "enqueue", lambda _order_id: None)
    return created


@hypothesis_settings(
    max_examples=BODIES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(body=bodies)
def test_any_body_becomes_the_order_that_it_requests_or_a_refusal_with_the_reason(
    stored: list[Order], body: bytes | None
) -> None:
    stored.clear()
    answer = submit(body)
    answered = json.loads(answer["body"])
    if answer["statusCode"] == 202:
        (order,) = stored
        sent = json.loads(body or b"", parse_float=Decimal)
        assert Decimal(order.amount) == Decimal(sent["amount"]) > 0
        assert {sent["tokenIn"], sent["tokenOut"]} == {order.token_in, order.token_out}
        assert order.slippage_bps == sent.get("slippageBps", 50)
        assert order.client_order_id in (sent.get("clientOrderId"), "desk-7-0001")
        hypothesis_event("an order")
    else:
        assert (answer["statusCode"], stored) == (400, [])
        assert answer["headers"]["Content-Type"] == "application/problem+json"
        assert answered["errors"] or answered["code"] == "BODY_TOO_LARGE"
        assert answered["detail"]
        hypothesis_event(answered["code"])
