"""Each code that clients receive is in one enumeration, and all documents list it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.dex.errors import DexError, NoRoutesFound, PoolError
from functions.messages import ProblemCode
from functions.orders.failures import (
    FAILURE_WORDS,
    FailureCode,
    QuoteErrorCode,
)
from functions.orders.order import (
    ImpossibleTransition,
    Order,
    OrderError,
    Status,
    Update,
)
from tests.orders import pending_order
from tests.world import World

README = (Path(__file__).parents[2] / "functions" / "README.md").read_text()


@pytest.fixture
def order() -> Order:
    return pending_order()


def subclasses(error: type[DexError]) -> Iterator[type[DexError]]:
    yield error
    for subclass in error.__subclasses__():
        yield from subclasses(subclass)


def test_an_update_fails_an_order_with_a_documented_code_only(order: Order) -> None:
    known = OrderError(code=FailureCode.INTERNAL, message="Something failed.")
    assert order.next_update(Status.FAILED, 1, error=known).error == known
    unknown = OrderError(code="BAD_LUCK", message="Something failed.")
    with pytest.raises(ValueError, match="BAD_LUCK"):
        order.next_update(Status.FAILED, 1, error=unknown)
    with pytest.raises(ImpossibleTransition):
        order.next_update(Status.CONFIRMED, 1, error=known)


def test_a_stored_update_with_a_code_of_another_release_is_read(order: Order) -> None:
    update = order.next_update(Status.FAILED, 1)
    stored = update.model_copy(update={"error": OrderError(code="BAD_LUCK", message="m")}).to_json()
    ended = order.apply(Update.model_validate_json(stored))
    assert ended.error
    assert ended.error.code == "BAD_LUCK"


def test_every_error_with_which_a_swap_can_fail_is_documented() -> None:
    codes = {NoRoutesFound.code} | {error.code for error in subclasses(PoolError)}
    assert codes <= {*FailureCode}


def test_every_code_has_an_explanation() -> None:
    assert all(code.words for code in (*FailureCode, *QuoteErrorCode))


def test_the_readme_explains_every_code_of_a_failed_order() -> None:
    (table,) = re.findall(r"\| Code \| Meaning \|\n\|---\|---\|\n(.*?)\n\n", README, re.DOTALL)
    rows = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in table.splitlines()]
    assert dict(rows) == FAILURE_WORDS


def test_the_readme_names_every_code_of_a_problem() -> None:
    (sentence,) = re.findall(r"The codes are (`INVALID_REQUEST`.*?)\.\n", README, re.DOTALL)
    assert re.findall(r"`(\w+)`", sentence) == [*ProblemCode]


def test_the_openapi_document_enumerates_the_codes(world: World) -> None:
    schemas = world.http("get_openapi").json["components"]["schemas"]
    assert schemas["OrderError"]["properties"]["code"]["enum"] == [*FailureCode]
    assert schemas["Quote"]["properties"]["error"]["enum"] == [*QuoteErrorCode]
    assert schemas["ProblemCode"]["enum"] == [*ProblemCode]


@pytest.mark.parametrize(
    "fault", ["venue_down", "quote_timeout", "dropped_transaction", "slippage"]
)
def test_a_failed_order_has_documented_codes_and_whole_sentences(world: World, fault: str) -> None:
    order_id = world.submit(simulate={"fault": fault})["orderId"]
    world.work_until_empty()
    ended = world.read(order_id)
    assert ended["status"] == "failed"
    for update in ended["updates"]:
        if "error" in update:
            assert update["error"]["code"] in {*FailureCode}
            assert re.fullmatch(r"\S.*\.", update["error"]["message"])


@pytest.mark.parametrize(
    ("token_in", "token_out", "amount", "errors"),
    [
        ("JitoSOL", "SOL", "10", {"raydium": "NO_POOL", "whirlpool": "NO_POOL"}),
        ("SOL", "USDC", "5000", {"meteora": "INSUFFICIENT_LIQUIDITY"}),
        (
            *("USDT", "SOL", "0.000002"),
            {"meteora": "AMOUNT_TOO_SMALL", "whirlpool": "AMOUNT_TOO_SMALL"},
        ),
    ],
)
def test_a_venue_without_a_quote_says_why_by_a_documented_code(
    world: World, token_in: str, token_out: str, amount: str, errors: dict[str, str]
) -> None:
    query = {"tokenIn": token_in, "tokenOut": token_out, "amount": amount}
    quotes = world.http("get_quote", query=query).json["quotes"]
    found = {quote["venue"]: quote["error"] for quote in quotes if "outAmount" not in quote}
    assert found.items() >= errors.items()
    assert set(found.values()) <= {*QuoteErrorCode}


def test_a_simulated_slippage_with_a_threshold_of_0_names_the_simulation_as_its_reason(
    world: World,
) -> None:
    order_id = world.submit(simulate={"fault": "slippage"}, slippageBps=10_000)["orderId"]
    world.work_until_empty()
    message = world.read(order_id)["error"]["message"]
    assert message.endswith(": the order asked for simulated slippage.")
