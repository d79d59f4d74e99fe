"""Orders on the deployed stack, over real HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any
from uuid import uuid4

import pytest

from tests.orders import LIFE, is_complete
from tests.stack_client import ORDER, Client, Json, follow_all, receive, updates_of

INDEXED_SECONDS_MAX = 30  # DynamoDB's indexes lag their table by a moment


async def test_an_order_goes_from_https_to_a_confirmed_swap(client: Client) -> None:
    order = await client.accepted(amount="1.5")
    updates = await client.follow(order["orderId"])
    assert is_complete(updates), updates
    stored = await client.read(order["orderId"])
    assert stored["status"] == "confirmed"
    assert stored["updates"] == [
        {name: value for name, value in update.items() if name != "_received"} for update in updates
    ]
    assert stored["txHash"] == updates[4]["txHash"]
    assert stored["route"]["routePlan"]


async def test_of_a_hundred_orders_at_once_each_subscriber_receives_every_update_once(
    client: Client,
) -> None:
    """They subscribe before the order is submitted, while it executes, and after its end."""
    moments = random.Random(7)

    async def before() -> list[Json]:
        async with client.socket() as socket:
            await follow_all(socket)
            order = await client.accepted()
            return await updates_of(socket, order["orderId"])

    async def later(delay: float) -> list[Json]:
        order = await client.accepted()
        await asyncio.sleep(delay)
        return await client.follow(order["orderId"])

    async def after() -> list[Json]:
        order = await client.accepted()
        while (await client.read(order["orderId"]))["status"] != "confirmed":
            await asyncio.sleep(0.5)
        return await client.follow(order["orderId"])

    seen = await asyncio.gather(
        *(before() for _ in range(5)),
        *(later(moments.uniform(0, 3)) for _ in range(85)),
        *(after() for _ in range(10)),
    )
    assert len(seen) == 100
    assert [updates for updates in seen if not is_complete(updates)] == []


async def test_a_reconnected_subscriber_resumes_and_misses_nothing(client: Client) -> None:
    order = await client.accepted()
    async with client.socket() as socket:
        await socket.send(json.dumps({"orderId": order["orderId"]}))
        first = [await receive(socket), await receive(socket)]
    rest = await client.follow(order["orderId"], since=first[-1]["sequence"])
    assert is_complete(first + rest)


async def test_a_slow_subscriber_receives_the_terminal_status_too(client: Client) -> None:
    order = await client.accepted()
    async with client.socket() as socket:
        await socket.send(json.dumps({"orderId": order["orderId"]}))
        while (await client.read(order["orderId"]))["status"] != "confirmed":
            await asyncio.sleep(0.5)  # this subscriber reads nothing until the order has ended
        assert is_complete(await updates_of(socket, order["orderId"]))


async def test_fifty_concurrent_posts_with_one_key_make_one_order(client: Client) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(*(client.submit(idempotency_key=key) for _ in range(50)))
    assert sorted({answer.status_code for answer in answers}) == [200, 202]
    assert [answer.status_code for answer in answers].count(202) == 1
    (order_id,) = {answer.json()["orderId"] for answer in answers}
    other = await client.submit(ORDER | {"amount": 2}, idempotency_key=key)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert is_complete(await client.follow(order_id))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"tokenIn":"SOL","tokenOut":"USDC","amount":-5}', "INVALID_AMOUNT"),
        (b"", "INVALID_REQUEST"),
        (b"{", "INVALID_REQUEST"),
        (b"\xff\xfe", "INVALID_REQUEST"),
        (b'{"tokenIn":"SOL","tokenOut":"DOGE","amount":1}', "TOKEN_NOT_TRADABLE"),
        (b'{"pad":"' + b"x" * 10_240 + b'"}', "BODY_TOO_LARGE"),
    ],
    ids=["negative", "empty", "half", "binary", "token", "large"],
)
async def test_invalid_input_is_a_400_with_its_code(client: Client, body: bytes, code: str) -> None:
    answer = await client.http.post("/api/orders/execute", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/api/health", "application/json"),
        ("/api/tokens", "application/json"),
        ("/api/quote?tokenIn=SOL&tokenOut=USDC&amount=1", "application/json"),
        ("/api/orders?limit=1", "application/json"),
        ("/openapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
        ("/assets/swagger-ui-bundle.min.js", "text/javascript; charset=utf-8"),
    ],
)
async def test_every_page_and_list_is_served(client: Client, path: str, type_: str) -> None:
    answer = await client.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, type_)


async def test_the_root_url_serves_a_page(client: Client) -> None:
    answer = await client.http.get("/", follow_redirects=True)
    assert answer.status_code == 200
    assert "<title>" in answer.text


async def test_a_cancelled_order_stays_cancelled(client: Client) -> None:
    """If the worker is first, the cancellation is refused and the order is confirmed."""
    order = await client.accepted()
    answer = await client.http.delete(f"/api/orders/{order['orderId']}")
    updates = await client.follow(order["orderId"])
    if answer.status_code == 200:
        assert [update["status"] for update in updates] == ["pending", "cancelled"]
    else:
        assert (answer.status_code, answer.json()["code"]) == (409, "ORDER_NOT_CANCELLABLE")
        assert is_complete(updates)


async def test_orders_are_paged_newest_first(client: Client) -> None:
    made = [(await client.accepted())["orderId"] for _ in range(3)]
    first: Json = {"orders": []}
    async with asyncio.timeout(INDEXED_SECONDS_MAX):
        while [order["orderId"] for order in first["orders"]] != made[:0:-1]:
            first = (await client.http.get("/api/orders", params={"limit": 2})).json()
    rest = await client.http.get("/api/orders", params={"limit": 1, "cursor": first["nextCursor"]})
    listed = [order["orderId"] for order in first["orders"] + rest.json()["orders"]]
    assert listed == made[::-1]


async def test_an_unknown_order_is_an_error_and_the_connection_stays_open(client: Client) -> None:
    async with client.socket() as socket:
        await socket.send(json.dumps({"orderId": str(uuid4())}))
        assert (await receive(socket))["error"]["code"] == "ORDER_NOT_FOUND"
        await socket.send("not json")
        assert (await receive(socket))["error"]["code"] == "INVALID_JSON"
        await socket.send('{"action":"ping"}')
        assert (await receive(socket))["type"] == "pong"


async def test_an_order_of_two_hops_is_confirmed(client: Client) -> None:
    order = await client.accepted(tokenIn="JUP", tokenOut="BONK", amount=100)
    assert is_complete(await client.follow(order["orderId"]))
    route = (await client.read(order["orderId"]))["route"]
    hops = {(leg["tokenIn"], leg["tokenOut"]) for leg in route["routePlan"]}
    assert len(hops) == 2


async def simulated(client: Client, fault: str, **simulate: Any) -> list[Json]:
    order = await client.accepted(simulate={"fault": fault, **simulate})
    return await client.follow(order["orderId"])


async def test_an_order_is_routed_over_the_other_venues_if_one_is_down(client: Client) -> None:
    updates = await simulated(client, "venue_down", venue="meteora")
    assert is_complete(updates)
    assert "meteora" not in {leg["venue"] for leg in updates[2]["route"]["routePlan"]}


@pytest.mark.parametrize("fault", ["venue_down", "quote_timeout"])
async def test_without_quotes_an_order_fails_after_its_last_attempt(
    client: Client, fault: str
) -> None:
    updates = await simulated(client, fault)
    assert [u["status"] for u in updates] == ["pending", "routing", "routing", "routing", "failed"]
    assert updates[-1]["error"]["code"] == "QUOTES_UNAVAILABLE"


async def test_an_order_with_a_fault_in_its_first_attempt_is_retried_and_confirmed(
    client: Client,
) -> None:
    updates = await simulated(client, "quote_timeout", attempts=1)
    assert [u["status"] for u in updates] == ["pending", "routing", *LIFE[1:]]
    assert updates[2]["attempt"] == 2
    assert updates[2]["nextRetryAt"] >= updates[2]["timestamp"]


async def test_slippage_reverts_each_attempt_and_then_fails_the_order(client: Client) -> None:
    updates = await simulated(client, "slippage")
    assert updates[-1]["error"]["code"] == "SLIPPAGE_TOLERANCE_EXCEEDED"
    assert len({u["txHash"] for u in updates if u["status"] == "submitted"}) == 3


async def test_after_a_dropped_transaction_has_expired_another_one_is_sent(client: Client) -> None:
    updates = await simulated(client, "dropped_transaction", attempts=1)
    assert updates[4]["error"]["code"] == "FAILED_TO_LAND"
    assert updates[-1]["status"] == "confirmed"
