"""The edges of the HTTP API: it accepts exactly what its document allows."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any
from urllib.parse import urljoin

import pytest

from functions import runtime
from functions.simulation.network import VENUES
from tests.orders import ORDER, ORDER_ID, PAIR
from tests.world import Answer, World


def errors_of(answer: Answer) -> list[tuple[str, str]]:
    """The field and the rule of each error of an answer of 400."""
    assert answer.status == 400, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    return [(error["field"], error["rule"]) for error in answer.json["errors"]]


def body(**values: str) -> str:
    """The JSON of ORDER; the given values are written without quotes."""
    written = {name: json.dumps(value) for name, value in ORDER.items()} | values
    return "{" + ",".join(f'"{name}":{value}' for name, value in written.items()) + "}"


# --- numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "rule"),
    [
        ("1e1000000000000000000", "must be at most"),
        ("-1e1000000000000000000", "must be greater than 0"),
        ("1e-1000000000000000000", "must have at most 9 decimal places"),
        ("0e1000000000000000000", "must be greater than 0"),
        ("1" + "0" * 5000, "must be at most"),
        ("1." + "0" * 5000 + "1", "must have at most 9 decimal places"),
    ],
)
def test_an_amount_that_is_too_large_too_small_or_too_precise_is_refused(
    world: World, number: str, rule: str
) -> None:
    ((field, found_rule),) = errors_of(world.http("execute_order", body=body(amount=number)))
    assert field == "amount"
    assert found_rule.startswith(rule)


@pytest.mark.parametrize(
    "number", ["1e1000000000000000000", "1e-1000000000000000000", "1" + "0" * 5000, "50.5", "50.0"]
)
def test_a_number_that_is_too_large_or_not_whole_is_refused_as_slippage(
    world: World, number: str
) -> None:
    ((field, _),) = errors_of(world.http("execute_order", body=body(slippageBps=number)))
    assert field == "slippageBps"


# --- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("simulate", "expected"),
    [
        ('{"fault":"slippage","often":1}', "simulate.often is not a field of this request"),
        ('{"fault":"slippage","attempts":"1"}', "simulate.attempts must be a whole number"),
        ('{"fault":"slippage","attempts":true}', "simulate.attempts must be a whole number"),
        ('{"fault":"slippage","attempts":1.5}', "simulate.attempts must be a whole number"),
        ('{"fault":"slippage","attempts":0}', "simulate.attempts must be at least 1"),
        ('{"fault":"slippage","attempts":4}', "simulate.attempts must be at most 3"),
        ('{"attempts":1}', "simulate.fault is required"),
        (
            '{"fault":"venue_down","venue":"orca"}',
            f"simulate.venue must be {', '.join(map(repr, VENUES[:-1]))} or {VENUES[-1]!r}",
        ),
        ('"slippage"', "simulate must be a JSON object"),
        ("[]", "simulate must be a JSON object"),
        (
            '{"fault":"slippage","venue":"meteora"}',
            "simulate.venue applies only to the faults venue_down and quote_timeout",
        ),
        (
            '{"fault":"dropped_transaction","venue":"raydium"}',
            "simulate.venue applies only to the faults venue_down and quote_timeout",
        ),
    ],
)
def test_a_simulated_fault_is_refused_unless_it_is_as_documented(
    world: World, simulate: str, expected: str
) -> None:
    answer = world.http("execute_order", body=body(simulate=simulate))
    assert [f"{field} {rule}" for field, rule in errors_of(answer)] == [expected]
    assert world.queued() == 0


def test_a_fault_of_one_venue_is_accepted_where_venues_answer(world: World) -> None:
    for fault in ("venue_down", "quote_timeout"):
        order = world.submit(simulate={"fault": fault, "venue": "meteora", "attempts": 1})
        assert order["simulate"] == {"fault": fault, "venue": "meteora", "attempts": 1}


@pytest.mark.parametrize("name", ["token_in", "token_out", "slippage_bps", "client_order_id"])
def test_a_field_is_accepted_only_under_its_documented_name(world: World, name: str) -> None:
    camel = {"token_in": "tokenIn", "token_out": "tokenOut"}.get(name, "")
    fields_given = {key: value for key, value in ORDER.items() if key != camel} | {name: "SOL"}
    found = dict(errors_of(world.http("execute_order", body=fields_given)))
    assert found[name] == "is not a field of this request"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"tokenIn":"SOL","tokenOut":"USDC","amount":1,"amount":2}', "amount"),
        ('{"tokenIn":"SOL","tokenOut":"USDC","amount":1,"amount":1}', "amount"),
        ('{"x":{"deep":1,"deep":1},"amount":1}', "deep"),
        ('{"":1,"":1}', ""),
    ],
)
def test_a_key_that_is_given_twice_is_refused_and_named(world: World, text: str, name: str) -> None:
    assert errors_of(world.http("execute_order", body=text)) == [(name, "is given twice")]
    assert world.queued() == 0


@pytest.mark.parametrize(
    "text",
    [
        r'{"\ud800":1}',
        r'{"\ud800":1,"\ud800":1}',
        r'{"tokenIn":"\ud800","tokenOut":"USDC","amount":1}',
        r'{"tokenIn":"SOL","tokenOut":"USDC","amount":"\udfff"}',
        r'{"tokenIn":"SOL","tokenOut":"USDC","amount":1,"clientOrderId":"\ud800"}',
        r'{"tokenIn":"SOL","tokenOut":"USDC","amount":1,"simulate":{"fault":"\ud800"}}',
    ],
)
def test_a_lone_surrogate_is_refused(world: World, text: str) -> None:
    assert errors_of(world.http("execute_order", body=text))


# --- parameters -------------------------------------------------------------------------------

LENIENT_INTEGERS = ["-0", "1_0", "5.0", " 5", "5 ", "+5", "05", "5e0", "٥", "0x5", "", "5,6", "１"]


@pytest.mark.parametrize("value", LENIENT_INTEGERS)
def test_a_whole_number_in_a_query_has_one_spelling(world: World, value: str) -> None:
    for name, event, others in (
        ("limit", "list_orders", {}),
        ("minutes", "get_prices", PAIR),
        ("slippageBps", "get_quote", PAIR | {"amount": "1"}),
    ):
        answer = world.http(event, query=others | {name: value})
        assert errors_of(answer) == [(name, "must be a whole number")]


@pytest.mark.parametrize(
    "order_id",
    [
        ORDER_ID.replace("-", ""),
        f"{{{ORDER_ID}}}",
        f"urn:uuid:{ORDER_ID}",
        ORDER_ID[:-1],
        f"{ORDER_ID}0",
        f"{ORDER_ID[:-1]}g",
    ],
)
def test_an_order_id_is_refused_unless_it_is_a_uuid_with_hyphens(
    world: World, order_id: str
) -> None:
    for event in ("get_order", "cancel_order"):
        answer = world.http(event, path=f"/api/orders/{order_id}")
        assert errors_of(answer) == [("orderId", "must be a UUID")]


def test_an_order_id_may_be_in_upper_case(world: World) -> None:
    order = world.submit()
    answer = world.http("get_order", path=f"/api/orders/{order['orderId'].upper()}")
    assert answer.json["orderId"] == order["orderId"]


def test_a_parameter_given_twice_is_refused(world: World) -> None:
    answer = world.http("list_orders", raw_query="limit=5&limit=5")
    assert errors_of(answer) == [("limit", "is given twice")]
    answer = world.http("list_orders", raw_query="clientOrderId=a&clientOrderId=b")
    assert errors_of(answer) == [("clientOrderId", "is given twice")]


# --- messages ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields_given", "detail"),
    [
        ({"simulate": "x"}, "simulate must be a JSON object"),
        ({"amount": True}, "amount must be a decimal number, as a number or as text"),
        ({"amount": []}, "amount must be a decimal number, as a number or as text"),
        ({"tokenIn": 5}, "tokenIn must be a string"),
        ({"tokenIn": "x" * 65}, "tokenIn must have at most 64 characters"),
        (
            {"clientOrderId": "two words"},
            "clientOrderId must be 1 to 128 visible ASCII characters without spaces",
        ),
        ({"clientOrderId": 5}, "clientOrderId must be a string"),
        ({"slippageBps": "50"}, "slippageBps must be a whole number"),
        ({"slippageBps": None}, "slippageBps must be a whole number"),
        ({"slippageBps": -1}, "slippageBps must be at least 0"),
        ({"slippageBps": 10_001}, "slippageBps must be at most 10000"),
        (
            {"simulate": {"fault": "fire"}},
            "simulate.fault must be 'venue_down', 'quote_timeout', 'dropped_transaction' or"
            " 'slippage'",
        ),
        ({"side": "buy"}, "side is not a field of this request"),
    ],
)
def test_a_refused_field_is_explained_in_a_sentence(
    world: World, fields_given: dict[str, Any], detail: str
) -> None:
    assert world.http("execute_order", body=ORDER | fields_given).json["detail"] == detail


@pytest.mark.parametrize(
    ("event", "query", "detail"),
    [
        ("list_orders", {"status": "lost"}, "status must be 'pending', 'routing', "),
        ("list_orders", {"limit": "0"}, "limit must be at least 1"),
        ("list_orders", {"clientOrderId": "a b"}, "clientOrderId must be 1 to 128 visible ASCII"),
        ("list_orders", {"cursor": "x" * 201}, "cursor must have at most 200 characters"),
        ("get_prices", PAIR | {"since": "yesterday"}, "since must be a time such as 20"),
        ("get_quote", PAIR, "amount is required"),
        ("get_quote", PAIR | {"amount": "1", "x": "1"}, "x is not a parameter of this request"),
    ],
)
def test_a_refused_parameter_is_explained_in_a_sentence(
    world: World, event: str, query: dict[str, str], detail: str
) -> None:
    assert world.http(event, query=query).json["detail"].startswith(detail)


def test_the_refusal_of_an_idempotency_key_names_its_header(world: World) -> None:
    answer = world.http("execute_order", body=ORDER, headers={"idempotency-key": "two words"})
    rule = "must be 1 to 128 visible ASCII characters without spaces"
    assert errors_of(answer) == [("Idempotency-Key", rule)]


# --- methods and headers ----------------------------------------------------------------------

GETS = [
    "list_orders",
    "list_tokens",
    "get_quote",
    "get_prices",
    "get_candles",
    "get_health",
    "get_me",
]
PAGES = ["get_front_page", "get_docs", "get_openapi"]


@pytest.mark.parametrize("name", [*GETS, *PAGES])
def test_head_answers_what_get_does_without_the_body(world: World, name: str) -> None:
    got, head = world.http(name), world.http(name, method="HEAD")
    assert (head.status, head.text) == (got.status, "")
    assert head.headers == got.headers


def test_head_of_an_order_answers_whether_it_exists(world: World) -> None:
    path = f"/api/orders/{world.submit()['orderId']}"
    assert world.http("get_order", method="HEAD", path=path).status == 200
    unknown = world.http("get_order", method="HEAD", path=f"/api/orders/{ORDER_ID}")
    assert (unknown.status, unknown.text) == (404, "")


def test_head_is_refused_where_get_is_refused(world: World) -> None:
    answer = world.http("execute_order", method="HEAD", path="/api/tickets")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    other = world.http("get_order", method="PATCH", path="/api/tokens")
    assert (other.status, other.headers["Allow"]) == (405, "GET, HEAD")


def test_every_answer_has_cache_control_and_nosniff(world: World) -> None:
    order_id = world.submit(key="k")["orderId"]
    answers = [
        *(world.http(name) for name in (*GETS, *PAGES)),
        world.http("create_ticket"),
        world.http("execute_order", body=ORDER),
        world.http("execute_order", body=""),
        world.http("execute_order", body="x" * 20_000),
        world.http("execute_order", body={**ORDER, "amount": 2}, headers={"idempotency-key": "k"}),
        world.http("get_order", path=f"/api/orders/{order_id}"),
        world.http("get_order", path=f"/api/orders/{ORDER_ID}"),
        world.http("get_order", path="/api/nothing"),
        world.http("get_order", path="/api/orders/x"),
        world.http("get_docs", path="/assets/nothing.js"),
        world.http("get_docs", headers={"if-none-match": world.http("get_docs").headers["ETag"]}),
        world.http("list_orders", owner=""),
        world.http("list_orders", method="PATCH"),
        world.http("cancel_order", path=f"/api/orders/{order_id}"),
    ]
    assert {answer.status for answer in answers} == {200, 201, 202, 304, 400, 401, 404, 405, 422}
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"]
        if answer.headers.get("Content-Type", "").startswith("application/problem"):
            assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", PAGES)
def test_an_unknown_parameter_does_not_break_a_page(world: World, name: str) -> None:
    assert world.http(name, query={"utm_source": "mail"}).status == 200


def test_an_unknown_parameter_does_not_break_a_file_of_a_page(world: World) -> None:
    path = "/assets/swagger-ui.min.css"
    assert world.http("get_docs", path=path, query={"v": "1"}).status == 200


@pytest.mark.parametrize("base", ["https://api.example.com", "http://127.0.0.1:4566/_aws/x/c0ffee"])
def test_the_location_of_an_order_is_relative_to_the_url_of_the_request(
    world: World, base: str
) -> None:
    answer = world.http("execute_order", body=ORDER)
    found = urljoin(f"{base}/api/orders/execute", answer.headers["Location"])
    assert found == f"{base}/api/orders/{answer.json['orderId']}"


# --- amounts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token_in", "token_out"),
    [
        ("MET", "RAY"),
        pytest.param("SOL", "USDC", marks=pytest.mark.slow),
        pytest.param("USDC", "JitoSOL", marks=pytest.mark.slow),
        pytest.param("BONK", "JUP", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "amount", ["9e11", *(pytest.param(most, marks=pytest.mark.slow) for most in ("1e30", "1e400"))]
)
def test_the_refusal_of_a_too_large_amount_names_the_largest_that_routes_now(
    world: World, monkeypatch: pytest.MonkeyPatch, token_in: str, token_out: str, amount: str
) -> None:
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_790_000_000_000)
    fields_given = {"tokenIn": token_in, "tokenOut": token_out, "amount": amount}
    ((field, rule),) = errors_of(world.http("execute_order", body=fields_given))
    found = re.fullmatch(r"must be at most ([0-9.]+), the most that routes now", rule)
    assert field == "amount"
    assert found
    most = found[1]
    quote = world.http("get_quote", query=fields_given | {"amount": most})
    assert (quote.status, quote.json["inAmount"]) == (200, most)
    assert world.submit(**fields_given | {"amount": most})["amount"] == most
    above = str(Decimal(most) + Decimal("0.00001"))
    for answer in (
        world.http("get_quote", query=fields_given | {"amount": above}),
        world.http("execute_order", body=fields_given | {"amount": above}),
    ):
        assert errors_of(answer) == [("amount", rule)]
