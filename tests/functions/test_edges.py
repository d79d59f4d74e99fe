"""The edges of the HTTP API: it accepts exactly what its document allows."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urljoin

import pytest

from functions import runtime
from functions.orders.order import Status
from functions.simulation.network import VENUES
from tests.events import Json
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


def listed(values: Sequence[str]) -> str:
    """The values as a rule lists them."""
    *first, last = (f"'{value}'" for value in values)
    return f"{', '.join(first)} or {last}"


# --- refusals ---------------------------------------------------------------------------------

KEY_RULE = "must be 1 to 128 visible ASCII characters without spaces"
NO_NUMBER = "must be a decimal number, as a number or as text"
MOST = "must be at most N, the most that routes now"
UNLISTED = "must be the symbol or mint of a listed token"
OF_ONE_VENUE = "applies only to the faults venue_down and quote_timeout"
HUGE, TINY, LONG = "1e1000000000000000000", "1e-1000000000000000000", "1" + "0" * 5000
# For each problem: the fields, or the JSON, of submissions that have it.
SUBMISSIONS: dict[str, list[Json | str]] = {
    "INVALID_AMOUNT: amount must be greater than 0": [
        *({"amount": -5}, {"amount": 0}, {"amount": "-0.0"}),
        *(body(amount=f"-{HUGE}"), body(amount="0e1000000000000000000")),
    ],
    "INVALID_AMOUNT: amount must be finite": [
        *({"amount": "NaN"}, {"amount": float("inf")}, {"amount": float("nan")})
    ],
    "INVALID_AMOUNT: amount must have at most 9 decimal places": [
        {"amount": "1.0000000001"},
        *(body(amount=TINY), body(amount="1." + "0" * 5000 + "1")),
    ],
    f"INVALID_AMOUNT: amount {MOST}": [
        *({"amount": "1e999999999"}, {"amount": "9" * 5000}, {"amount": 10**12}),
        *(body(amount=HUGE), body(amount=LONG)),
    ],
    "INVALID_AMOUNT: amount must be a decimal number": [{"amount": "ten"}, {"amount": ""}],
    f"INVALID_REQUEST: amount {NO_NUMBER}": [
        *({"amount": True}, {"amount": None}, {"amount": [1]}, {"amount": []})
    ],
    f"TOKEN_NOT_TRADABLE: tokenIn {UNLISTED}": [{"tokenIn": "DOGE"}],
    f"TOKEN_NOT_TRADABLE: tokenOut {UNLISTED}": [{"tokenOut": "DOGE"}],
    "CIRCULAR_ARBITRAGE_IS_DISABLED: tokenOut must differ from tokenIn": [{"tokenOut": "SOL"}],
    "INVALID_REQUEST: tokenIn must be a string": [{"tokenIn": 5}],
    "INVALID_REQUEST: tokenIn must have at most 64 characters": [{"tokenIn": "x" * 65}],
    "INVALID_REQUEST: slippageBps must be at least 0": [{"slippageBps": -1}],
    "INVALID_REQUEST: slippageBps must be at most 10000": [{"slippageBps": 10_001}],
    "INVALID_REQUEST: slippageBps must be a whole number": [
        *({"slippageBps": "50"}, {"slippageBps": 0.5}, {"slippageBps": None}),
        *(body(slippageBps=number) for number in (HUGE, TINY, LONG, "50.5", "50.0")),
    ],
    "INVALID_REQUEST: side is not a field of this request": [{"side": "buy"}],
    f"INVALID_REQUEST: clientOrderId {KEY_RULE}": [
        *({"clientOrderId": "two words"}, {"clientOrderId": "x" * 129})
    ],
    "INVALID_REQUEST: clientOrderId must be a string": [{"clientOrderId": 5}],
    "INVALID_REQUEST: simulate must be a JSON object": [
        *({"simulate": "slippage"}, {"simulate": []})
    ],
    "INVALID_REQUEST: simulate.fault must be 'venue_down', 'quote_timeout', 'dropped_transaction'"
    " or 'slippage'": [{"simulate": {"fault": "fire"}}],
    "INVALID_REQUEST: simulate.fault is required": [{"simulate": {"attempts": 1}}],
    "INVALID_REQUEST: simulate.often is not a field of this request": [
        {"simulate": {"fault": "slippage", "often": 1}}
    ],
    "INVALID_REQUEST: simulate.attempts must be a whole number": [
        {"simulate": {"fault": "slippage", "attempts": attempts}} for attempts in ("1", True, 1.5)
    ],
    "INVALID_REQUEST: simulate.attempts must be at least 1": [
        {"simulate": {"fault": "slippage", "attempts": 0}}
    ],
    "INVALID_REQUEST: simulate.attempts must be at most 3": [
        {"simulate": {"fault": "slippage", "attempts": 4}}
    ],
    f"INVALID_REQUEST: simulate.venue must be {listed(VENUES)}": [
        {"simulate": {"fault": "venue_down", "venue": "orca"}}
    ],
    f"INVALID_REQUEST: simulate.venue {OF_ONE_VENUE}": [
        {"simulate": {"fault": "slippage", "venue": "meteora"}},
        {"simulate": {"fault": "dropped_transaction", "venue": "raydium"}},
    ],
}
NO_CURSOR = "INVALID_CURSOR: cursor must be a nextCursor of this list"
NO_TIME = "INVALID_REQUEST: since must be a time such as 2026-01-31T12:00:00.000Z"
# For each problem: the requests that have it, by the name of the event, and their parameters.
QUERIES: dict[str, list[tuple[str, dict[str, str]]]] = {
    NO_CURSOR: [("list_orders", {"cursor": text}) for text in ("nonsense", "AAAA", "é")],
    "INVALID_REQUEST: cursor must have at most 200 characters": [
        ("list_orders", {"cursor": "x" * 201})
    ],
    "INVALID_REQUEST: limit must be at least 1": [("list_orders", {"limit": "0"})],
    "INVALID_REQUEST: limit must be at most 100": [("list_orders", {"limit": "101"})],
    "INVALID_REQUEST: limit must be a whole number": [("list_orders", {"limit": "many"})],
    f"INVALID_REQUEST: status must be {listed([*Status, 'open'])}": [
        ("list_orders", {"status": "lost"})
    ],
    f"INVALID_REQUEST: clientOrderId {KEY_RULE}": [("list_orders", {"clientOrderId": "a b"})],
    "INVALID_REQUEST: state is not a parameter of this request": [
        ("list_orders", {"state": "pending"})
    ],
    f"TOKEN_NOT_TRADABLE: tokenIn {UNLISTED}": [
        ("list_orders", {"tokenIn": "DOGE"}),
        ("get_prices", PAIR | {"tokenIn": "DOGE"}),
        ("get_quote", PAIR | {"amount": "1", "tokenIn": "DOGE"}),
    ],
    "CIRCULAR_ARBITRAGE_IS_DISABLED: tokenOut must differ from tokenIn": [
        ("get_prices", PAIR | {"tokenOut": "SOL"}),
        ("get_quote", PAIR | {"amount": "1", "tokenOut": "SOL"}),
    ],
    "INVALID_REQUEST: minutes must be at least 1": [("get_prices", PAIR | {"minutes": "0"})],
    "INVALID_REQUEST: minutes must be at most 60": [("get_prices", PAIR | {"minutes": "61"})],
    "INVALID_REQUEST: minutes must be a whole number": [("get_prices", PAIR | {"minutes": "x"})],
    NO_TIME: [
        ("get_prices", PAIR | {"since": text}) for text in ("yesterday", "2026-01-31T12:00:00Z")
    ],
    "INVALID_REQUEST: venue is not a parameter of this request": [
        ("get_prices", PAIR | {"venue": "orca"}),
        ("get_quote", PAIR | {"amount": "1", "venue": "orca"}),
    ],
    "INVALID_REQUEST: amount is required": [("get_quote", PAIR)],
    "INVALID_AMOUNT: amount must be greater than 0": [("get_quote", PAIR | {"amount": "-1"})],
    f"INVALID_AMOUNT: amount {MOST}": [("get_quote", PAIR | {"amount": "1e12"})],
    "INVALID_REQUEST: slippageBps must be a whole number": [
        ("get_quote", PAIR | {"amount": "1", "slippageBps": "x"})
    ],
}


def cases(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(problem, request, id=f"{request}"[:60])
        for problem, requests in table.items()
        for request in requests
    ]


def assert_refused(answer: Answer, problem: str) -> None:
    """The answer is exactly this problem: its code, its field and its rule."""
    code, _, detail = problem.partition(": ")
    ((field, rule),) = errors_of(answer)
    assert re.sub(r"[\d.]+(?=, the most that routes now)", "N", f"{field} {rule}") == detail
    found = answer.json
    assert (found["status"], found["title"], found["code"]) == (400, "Bad Request", code)
    assert found["detail"] == f"{field} {rule}"


@pytest.mark.parametrize(("problem", "given"), cases(SUBMISSIONS))
def test_a_submission_is_refused_with_the_field_and_the_rule(
    world: World, problem: str, given: Json | str
) -> None:
    text = given if isinstance(given, str) else json.dumps(ORDER | given)
    assert_refused(world.http("execute_order", body=text), problem)
    assert world.queued() == 0


@pytest.mark.parametrize(("problem", "given"), cases(QUERIES))
def test_a_query_is_refused_with_the_field_and_the_rule(
    world: World, problem: str, given: tuple[str, dict[str, str]]
) -> None:
    event, query = given
    assert_refused(world.http(event, query=query), problem)


# --- bodies -----------------------------------------------------------------------------------


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


def test_the_refusal_of_an_idempotency_key_names_its_header(world: World) -> None:
    answer = world.http("execute_order", body=ORDER, headers={"idempotency-key": "two words"})
    assert errors_of(answer) == [("Idempotency-Key", KEY_RULE)]


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
        world.cancel(order_id),
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
