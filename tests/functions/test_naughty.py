"""The Big List of Naughty Strings, in every field where the HTTP API accepts text."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from tests.hostile import NAUGHTY
from tests.orders import ORDER, PAIR
from tests.world import Answer, World


def refused_by_name(answer: Answer, field: str) -> bool:
    """Whether the answer refuses exactly this field; any other refusal fails the test."""
    if answer.status in (200, 202):
        return False
    assert answer.status == 400, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in answer.json["errors"]] == [field]
    assert re.match(r"(must|is) ", answer.json["errors"][0]["rule"])
    return True


def test_the_list_has_over_500_strings_and_the_expected_ones() -> None:
    assert len(NAUGHTY) > 500
    assert {"", "null", "1E02", "\ufeff", "../../../../../../../../../../../etc/passwd%00"} <= {
        *NAUGHTY
    }


@pytest.mark.parametrize("field", ["tokenIn", "tokenOut", "simulate.fault"])
def test_a_field_of_an_order_refuses_naughty_strings(world: World, field: str) -> None:
    for text in NAUGHTY:
        parent, _, child = field.partition(".")
        body = ORDER | {parent: {child: text} if child else text}
        assert refused_by_name(world.http("execute_order", body=body), field), text
    assert world.queued() == 0


def test_an_amount_is_accepted_exactly_where_the_document_allows_it(world: World) -> None:
    schemas = world.http("get_openapi").json["components"]["schemas"]
    _, as_text = schemas["OrderRequest"]["properties"]["amount"]["anyOf"]
    orders = 0
    for text in NAUGHTY:
        as_documented = re.search(as_text["pattern"], text) and 0 < Decimal(text) <= 1000
        as_documented = as_documented and Decimal(text) == round(Decimal(text), 9)
        answer = world.http("execute_order", body=ORDER | {"amount": text}, headers={})
        assert refused_by_name(answer, "amount") is not bool(as_documented), text
        quoted = world.http("get_quote", query=PAIR | {"amount": text})
        assert refused_by_name(quoted, "amount") is not bool(as_documented), text
        if as_documented:
            orders += 1
            assert Decimal(answer.json["amount"]) == Decimal(text)
    assert world.queued() == orders > 3


def test_an_idempotency_key_is_stored_unchanged_or_refused(world: World) -> None:
    for text in NAUGHTY:
        visible = re.fullmatch(r"[\x21-\x7e]{1,128}", text) is not None
        by_field = world.http("execute_order", body=ORDER | {"clientOrderId": text}, headers={})
        assert refused_by_name(by_field, "clientOrderId") is not visible
        query = {"clientOrderId": text}
        listed = world.http("list_orders", query=query)
        assert refused_by_name(listed, "clientOrderId") is not visible
        if visible:
            assert by_field.json["clientOrderId"] == text
            assert [order["clientOrderId"] for order in listed.json["orders"]] == [text]
        elif text:
            header = world.http("execute_order", body=ORDER, headers={"idempotency-key": text})
            assert refused_by_name(header, "Idempotency-Key")


def test_a_field_with_a_naughty_name_is_refused(world: World) -> None:
    for text in NAUGHTY:
        shown = text[:100]
        assert refused_by_name(world.http("execute_order", body=ORDER | {text: 1}), shown), text
        answer = world.http("list_tokens", query={text: "1"})
        assert refused_by_name(answer, shown), text


def test_a_naughty_body_is_refused(world: World) -> None:
    for text in NAUGHTY:
        answer = world.http("execute_order", body=text)
        assert answer.status == 400, text
        assert {error["field"] for error in answer.json["errors"]} in (
            {"body"},
            {"tokenIn", "tokenOut", "amount"},
        )


@pytest.mark.parametrize(
    ("name", "parameter", "others"),
    [
        ("list_orders", "status", {}),
        ("list_orders", "limit", {}),
        ("list_orders", "cursor", {}),
        ("get_quote", "tokenIn", {"tokenOut": "USDC", "amount": "1"}),
        ("get_quote", "slippageBps", PAIR | {"amount": "1"}),
        ("get_prices", "minutes", PAIR),
        ("get_prices", "since", PAIR),
        ("get_candles", "interval", PAIR),
        ("get_candles", "from", PAIR),
    ],
)
def test_a_parameter_refuses_naughty_strings(
    world: World, name: str, parameter: str, others: dict[str, str]
) -> None:
    accepted = {
        text
        for text in NAUGHTY
        if not refused_by_name(world.http(name, query=others | {parameter: text}), parameter)
    }
    allowed = {
        "limit": {"1"},
        "slippageBps": {"0", "1"},
        "minutes": {"1"},
        "cursor": {""},
    }
    assert accepted <= allowed.get(parameter, set())


def test_a_naughty_path_is_refused_or_not_found(world: World) -> None:
    for text in NAUGHTY:
        for folder in ("/api/orders/", "/assets/", "/"):
            if (path := folder + text) not in ("/", "/api/orders/"):
                answer: Any = world.http("get_order", path=path)
                assert answer.status in (400, 404), (path, answer.text)
