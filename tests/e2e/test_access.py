"""Access at the real gateway: keys, tickets, other owners' orders and hostile input."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from uuid import uuid4

import httpx
import pytest
import schemathesis
from websockets.exceptions import ConnectionClosed, InvalidStatus

from infra.cli.keys import create, disable
from tests.e2e.conftest import Target
from tests.hostile import Case, send_generated
from tests.stack_client import (
    MESSAGE_SECONDS_MAX,
    ORDER,
    TRY_AGAIN_SECONDS,
    Client,
    Unanswered,
    follow_all,
    receive,
    updates_of,
)

PROTECTED = ["/api/orders", f"/api/orders/{uuid4()}", "/api/tokens", "/api/nothing", "/nothing"]


async def connects(client: Client, ticket: str = "") -> bool:
    """Whether the gateway accepts a handshake: false after a 401 or 403, retried after others.

    A busy gateway may also answer 403 to a valid handshake.
    """
    async with asyncio.timeout(MESSAGE_SECONDS_MAX):
        while True:
            try:
                async with client.opened(ticket) as socket:
                    while True:
                        await socket.send('{"action":"ping"}')
                        with suppress(Unanswered):
                            return bool((await receive(socket))["type"] == "pong")
            except InvalidStatus as refused:
                if refused.response.status_code in (401, 403):
                    return False
            await asyncio.sleep(TRY_AGAIN_SECONDS)


# --- keys -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "oee_" + "x" * 43, "nonsense"])
async def test_without_a_valid_key_only_the_public_pages_are_served(
    target: Target, key: str
) -> None:
    client = target.client(key)
    for path in PROTECTED:
        answer = await client.http.get(path)
        assert answer.status_code == 401
        assert answer.headers["content-type"] in ("application/json", "application/problem+json")
        assert answer.json()
    for path in ("/api/orders/execute", "/api/tickets"):
        assert (await client.http.post(path, json=ORDER)).status_code == 401
    for path in ("/api/health", "/docs", "/openapi.json", "/assets/docs.js"):
        assert (await client.http.get(path)).status_code == 200
    assert not await connects(client)
    await client.close()


@pytest.mark.emulator
async def test_a_disabled_key_is_refused_once_it_is_no_longer_cached(target: Target) -> None:
    assert target.deployed
    name = f"leaver-{uuid4()}"
    client = target.client(create(target.deployed, name))
    assert (await client.http.get("/api/orders")).status_code == 200
    async with asyncio.timeout(MESSAGE_SECONDS_MAX):
        while not await connects(client):
            await asyncio.sleep(TRY_AGAIN_SECONDS)
    disable(target.deployed, name)
    assert not await connects(client)  # the authorizer does not cache WebSocket handshakes
    async with asyncio.timeout(MESSAGE_SECONDS_MAX):
        while (await client.http.get("/api/orders")).status_code == 200:
            await asyncio.sleep(0.2)
    assert (await client.http.get("/api/orders")).status_code == 401
    await client.close()


async def test_a_key_in_the_url_is_refused(target: Target) -> None:
    client = target.client("")
    for name in ("key", "apiKey", "token", "authorization", "ticket"):
        query = f"?{name}={target.api_key}"
        assert (await client.http.get(f"/api/orders{query}")).status_code == 401
    assert not await connects(client, ticket=target.api_key)
    await client.close()


# --- tickets ----------------------------------------------------------------------------------


async def test_a_ticket_opens_one_connection_of_its_owner(client: Client) -> None:
    async with AsyncExitStack() as opened:
        socket = None
        async with asyncio.timeout(MESSAGE_SECONDS_MAX):
            while socket is None:
                ticket = await client.ticket()
                with suppress(InvalidStatus):  # a busy gateway may refuse a valid handshake
                    socket = await opened.enter_async_context(client.opened(ticket))
        await follow_all(socket)
        order = await client.accepted()
        updates = await updates_of(socket, order["orderId"])
        assert [update["sequence"] for update in updates] == [1, 2, 3, 4, 5]
    assert not await connects(client, ticket)


async def test_of_ten_concurrent_handshakes_with_one_ticket_at_most_one_is_accepted(
    client: Client,
) -> None:
    rounds: list[int] = []
    async with asyncio.timeout(MESSAGE_SECONDS_MAX):
        while len(rounds) < 3 or not any(rounds):
            ticket = await client.ticket()
            accepted = await asyncio.gather(*(connects(client, ticket) for _ in range(10)))
            rounds.append(accepted.count(True))
            assert rounds[-1] <= 1


# --- other owners -------------------------------------------------------------------------------


async def test_no_request_and_no_message_reaches_an_order_of_another_owner(
    client: Client, other: Client
) -> None:
    key = str(uuid4())
    mine = (await client.submit(idempotency_key=key)).json()
    path = f"/api/orders/{mine['orderId']}"
    assert (await other.http.get(path)).status_code == 404
    assert (await other.http.delete(path)).status_code == 404
    found = await other.http.get("/api/orders", params={"clientOrderId": key})
    assert found.json()["orders"] == []
    theirs = await other.submit(ORDER | {"amount": 2}, idempotency_key=key)
    assert theirs.status_code == 202
    listed = (await other.http.get("/api/orders?limit=100")).json()["orders"]
    assert mine["orderId"] not in {order["orderId"] for order in listed}
    async with other.opened(await other.ticket()) as socket:
        await socket.send(json.dumps({"orderId": mine["orderId"]}))
        assert (await receive(socket))["error"]["code"] == "ORDER_NOT_FOUND"
        await follow_all(socket)
        order = await other.accepted()
        await client.follow(mine["orderId"])
        seen = await updates_of(socket, order["orderId"])
        assert {update["orderId"] for update in seen} == {order["orderId"]}


# --- hostile input ----------------------------------------------------------------------------


async def test_a_wrong_method_is_answered_with_the_allowed_one(client: Client) -> None:
    answer = await client.http.get("/api/orders/execute")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_generated_requests_are_answered_as_the_served_document_states(
    target: Target, api: Callable[[str], httpx.Client]
) -> None:
    verify = str(target.ca_bundle) if target.ca_bundle else True
    document = schemathesis.openapi.from_url(
        f"{target.http_url}/openapi.json", verify=verify
    ).raw_schema
    headers = {"Authorization": f"Bearer {target.api_key}"}

    def send(case: Case) -> schemathesis.Response:
        return case.call(base_url=target.http_url, headers=headers, verify=verify)

    try:
        answered = send_generated(document, send, cases=10)
    finally:  # a webhook without a receiver, and resting orders, would slow all later tests
        client = api(target.api_key)
        for webhook in client.get("/api/webhooks").json()["webhooks"]:
            client.delete(f"/api/webhooks/{webhook['webhookId']}")
        for order in client.get("/api/orders?status=open&limit=100").json()["orders"]:
            client.delete(f"/api/orders/{order['orderId']}")
    assert answered.total() > 100


async def test_invalid_frames_are_answered_or_close_their_connection_and_affect_no_other(
    client: Client,
) -> None:
    drawn = random.Random(5)
    frames: list[str | bytes] = [
        drawn.choice(
            (
                drawn.randbytes(drawn.randint(0, 300)),
                "".join(chr(drawn.randint(32, 0xD7FF)) for _ in range(drawn.randint(0, 100))),
                "[" * drawn.randint(1, 4000),
                '{"orderId":' * drawn.randint(1, 400),
                json.dumps({"action": drawn.choice([None, 5, [], {}, "", "$connect"])}),
                json.dumps({"orderId": drawn.choice([None, 5, [], {}, "", True])}),
                json.dumps({"orderId": "*", "sinceSequence": drawn.choice([-1, "1", 0.5])}),
            )
        )
        for _ in range(100)
    ]
    order = await client.accepted()
    async with client.socket() as other_socket:
        await other_socket.send(json.dumps({"orderId": order["orderId"]}))
        binary = [frame for frame in frames if isinstance(frame, bytes)]
        for unsupported in (["x" * 100_000], [b"\xff" * 30_000], binary):
            # AWS closes a connection after a binary frame, and after one of more than 32 KB:
            # https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-binary-media-types.html
            with suppress(ConnectionClosed):
                await send_frames(client, unsupported)
        texts = [frame for frame in frames if isinstance(frame, str)]
        for start in range(0, len(texts), 20):
            await send_frames(client, texts[start : start + 20])
        await send_frames(client, ['{"action":"ping"}'] * 100)  # a flood
        updates = await updates_of(other_socket, order["orderId"])
        assert [update["sequence"] for update in updates] == [1, 2, 3, 4, 5]


async def send_frames(client: Client, frames: Sequence[str | bytes]) -> None:
    """Send all messages at once; each must be answered."""
    async with client.socket() as socket:
        for frame in frames:
            await socket.send(frame)
        for _ in frames:
            answer = await receive(socket)
            assert "error" in answer or answer["type"] == "pong"


@pytest.mark.emulator
async def test_the_local_stack_serves_tls_with_its_own_certificate(target: Target) -> None:
    context = ssl.create_default_context()
    host, port = target.http_url.removeprefix("https://").split("/")[0].split(":")
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(host, int(port), ssl=context)
