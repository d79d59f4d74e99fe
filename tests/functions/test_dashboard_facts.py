"""The dashboard's modules, run by Node, agree with the engine about orders, terms and tokens."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import pytest

from functions import runtime
from functions.contract import iso
from functions.dex.tokens import TOKENS
from functions.http.bundle import bundle
from functions.http.pages import Pages
from functions.orders.failures import FAILURE_WORDS, QUOTE_ERROR_WORDS
from functions.orders.order import OrderType, Status
from functions.runtime import settings
from infra.cli.node import NODE
from tests.orders import ORDER
from tests.world import Answer, World

Json = dict[str, Any]
DAY_MS = 86_400_000
TERMS: dict[OrderType, Json] = {
    OrderType.MARKET: {},
    OrderType.LIMIT: {"limitPrice": "160"},
    OrderType.STOP: {"stopPrice": "120"},
    OrderType.OCO: {"limitPrice": "160", "stopPrice": "120"},
    OrderType.TWAP: {"slices": 2, "intervalSeconds": 1},
}
MODULES = (
    *("api", "columns", "decimal", "dollars", "dom", "orders", "pace", "pairs"),
    *("session", "stack", "storage", "terms", "words"),
)


def result_on_the_page(script: str, given: Any = None) -> Any:
    """The result of `answer(given)` in a module that imports the dashboard's modules."""
    pages = Pages(settings)
    modules = {f"{name}.js": pages.module(f"{name}.js") for name in MODULES}
    output = f"process.stdout.write(JSON.stringify(answer({json.dumps(given)})));"
    modules["test.js"] = f"{dedent(script)}\n{output}"
    page = "globalThis.addEventListener = () => {};\n" + bundle(modules, "test.js")
    ran = subprocess.run([NODE, "-"], input=page, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def work(world: World) -> None:
    """Run the worker for some seconds, because resting orders are woken each second."""
    for _ in range(8):
        world.work()
        runtime.sleep(1)


@pytest.fixture
def orders_in_two_states(world: World) -> list[list[Json]]:
    """Orders of every type and ending: each as accepted, and in its last state."""
    resting = world.submit(type="limit", limitPrice="900", clientOrderId="=1+1")
    accepted = [
        resting,
        *(world.submit(type=kind, **terms) for kind, terms in TERMS.items()),
        world.submit(simulate={"fault": "slippage", "attempts": 1}),
        world.submit(simulate={"fault": "venue_down"}),
    ]
    work(world)
    change = {"limitPrice": "800", "expiresAt": iso(runtime.now_ms() + DAY_MS)}
    assert world.change(resting["orderId"], change).status == 200
    assert world.cancel(resting["orderId"]).status == 200
    work(world)
    return [[order, world.read(order["orderId"])] for order in accepted]


def test_the_page_folds_updates_into_the_order_that_the_api_answers(
    orders_in_two_states: list[list[Json]],
) -> None:
    folded = result_on_the_page(
        """
        import { Orders } from "./orders.js";
        const answer = (pairs) => pairs.map(([first, last]) => {
          const orders = new Orders();
          orders.merge(first);
          last.updates.slice(1).forEach((update) => orders.apply(update));
          return orders.byId.get(first.orderId);
        });""",
        orders_in_two_states,
    )
    assert folded == [last for _, last in orders_in_two_states]
    ends = {last["status"] for _, last in orders_in_two_states}
    assert {"confirmed", "failed", "cancelled", "resting"} <= ends
    assert any(last["updates"][-1].get("execution") for _, last in orders_in_two_states)


def test_the_page_exports_what_the_api_exports(
    world: World, orders_in_two_states: list[list[Json]]
) -> None:
    own = result_on_the_page(
        'import { csvOf } from "./columns.js";\nconst answer = csvOf;',
        [world.read(order["orderId"]) for order, _ in orders_in_two_states],
    )
    exported = world.http("list_orders", path="/api/orders.csv", query={"limit": "1000"}).text
    rows = {row["orderId"]: row for row in csv.DictReader(own.splitlines())}
    for expected in csv.DictReader(exported.splitlines()):
        if row := rows.pop(expected["orderId"], None):  # the page was given no slices
            assert row.items() >= expected.items()
    assert rows == {}


@pytest.fixture
def an_order_in_each_status(world: World) -> list[Json]:
    limit = {"type": "limit", "limitPrice": "1"}  # it executes at once
    world.submit(**limit)
    world.submit(**limit, simulate={"fault": "venue_down"})
    world.submit(**limit | {"limitPrice": "900"})
    world.submit(**limit | {"limitPrice": "900", "timeInForce": "IOC"})
    world.submit(type="twap", slices=2, intervalSeconds=60)
    work(world)
    cancelled = world.submit(**limit)["orderId"]
    assert world.cancel(cancelled).status == 200
    for call in ("send", "sign", "ask"):
        world.order_killed_in(call, **limit)
        world.sqs.receive_message(
            QueueUrl=world.queue_url, VisibilityTimeout=600
        )  # hidden from then on
    world.submit(**limit)
    orders = [order for page in world.pages() for order in page if "parentId" not in order]
    assert sorted(order["status"] for order in orders) == sorted(Status)
    return orders


def test_the_page_offers_a_cancellation_and_a_change_where_the_api_accepts_them(
    world: World, an_order_in_each_status: list[Json]
) -> None:
    offered = result_on_the_page(
        """
        import { canCancel, canChange, isOpen } from "./orders.js";
        const can = [isOpen, canChange, canCancel];
        const answer = (orders) => orders.map((order) => can.map((is) => is(order)));""",
        [*an_order_in_each_status, {"status": "of a later release"}],
    )
    assert offered.pop() == [True, False, False]
    open_ids = world.listed_ids(status="open")
    later = {"expiresAt": iso(runtime.now_ms() + DAY_MS)}

    def accepts(order_id: str, request: Callable[..., Answer], *arguments: Json) -> bool:
        before = world.read(order_id)
        request(order_id, *arguments)
        return world.read(order_id) != before

    for order, is_offered in zip(an_order_in_each_status, offered, strict=True):
        order_id = order["orderId"]
        is_open = order_id in open_ids
        changes, cancels = (
            accepts(order_id, world.change, later),
            accepts(order_id, world.cancel),
        )
        assert is_offered == [is_open, changes, cancels], order["status"]


def test_the_page_explains_every_code_as_the_engine_does() -> None:
    explained = result_on_the_page(
        """
        import { quoteError, reason } from "./words.js";
        const answer = ([failures, quoteErrors]) =>
          [failures.map((code) => reason({ code, message: "" })), quoteErrors.map(quoteError)];""",
        [[*FAILURE_WORDS], [*QUOTE_ERROR_WORDS]],
    )
    assert explained == [[*FAILURE_WORDS.values()], [*QUOTE_ERROR_WORDS.values()]]


@pytest.mark.parametrize("kind", OrderType)
def test_the_page_has_the_terms_that_the_api_accepts_for_a_type(
    kind: OrderType, world: World
) -> None:
    (needed, accepted_terms), days_max = result_on_the_page(
        """
        import { EXPIRY_DAYS_MAX, ORDER_TYPES } from "./stack.js";
        import { termsOf } from "./terms.js";
        const answer = (kind) => [[ORDER_TYPES[kind].needed, termsOf(kind)], EXPIRY_DAYS_MAX];""",
        kind,
    )
    assert set(needed) == TERMS[kind].keys()
    last_ms = runtime.now_ms() + days_max * DAY_MS - 60_000
    values = TERMS[kind] | {
        "expiresAt": iso(last_ms),
        "timeInForce": "GTC",
        "slippageBps": 50,
    }
    given = {field: value for field, value in values.items() if field in accepted_terms}
    assert world.submit(type=kind, **given)["type"] == kind
    for field in needed:
        body = ORDER | {"type": kind, **given}
        del body[field]
        assert world.http("execute_order", body=body).status == 400


def test_the_page_knows_which_of_the_engines_tokens_are_stablecoins() -> None:
    shown = result_on_the_page(
        """
        import { isStable, pairOf } from "./pairs.js";
        const names = () => [pairOf("SOL", "USDC").name, pairOf("BONK", "SOL").name];
        const answer = (symbols) => [symbols.filter(isStable), ...names()];""",
        [*TOKENS],
    )
    assert shown == [["USDC", "USDT"], "SOL/USDC", "BONK/SOL"]
