"""The client against a server that loses, repeats and refuses connections, frames and requests."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from functions.client import (
    AsyncClient,
    Client,
    KeyRefused,
    NoAnswer,
    NotUnderstood,
    OrderType,
    OrderUnknown,
    ProblemCode,
    Refused,
    Status,
    Timeouts,
    Update,
)
from functions.client.internet import Internet
from functions.client.transport import Lost
from functions.contract import API_KEY
from tests.engine import KEY, Engine
from tests.eventually import eventually, eventually_async
from tests.orders import LIFE

QUICK = Timeouts(call=30, lost=30, answer=10, renew=0.3, backoff=0.01, backoff_max=0.05)
IMPATIENT = Timeouts(call=0.3, lost=0.3, answer=0.05, renew=0.3, backoff=0.01, backoff_max=0.05)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.stop()


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[AsyncClient]:
    async with new_client(engine) as client:
        yield client


def new_client(engine: Engine, timeouts: Timeouts = QUICK, **more: Any) -> AsyncClient:
    given = {"key": KEY, **more}
    return AsyncClient(engine.http_url, timeouts=timeouts, trust_env=False, **given)


def statuses(updates: list[Update]) -> list[str]:
    assert [update.sequence for update in updates] == list(range(1, len(updates) + 1))
    return [update.status.value for update in updates]


# --- calls


async def test_each_order_is_submitted_with_its_own_idempotency_key(
    engine: Engine, client: AsyncClient
) -> None:
    first = await client.submit("SOL", "USDC", "1.5", slippage_bps=30)
    second = await client.submit("SOL", "USDC", "1.5", slippage_bps=30)
    assert first.order_id != second.order_id
    assert (first.status, first.amount, first.slippage_bps) == (Status.PENDING, "1.5", 30)
    assert len(engine.orders) == 2


async def test_a_limit_order_is_submitted_and_changed(engine: Engine, client: AsyncClient) -> None:
    until = datetime(2026, 2, 1, 12, tzinfo=UTC)
    order = await client.submit(
        "SOL", "USDC", Decimal(1), type=OrderType.LIMIT, limit_price=160, expires_at=until
    )
    assert (order.type, order.limit_price) == (OrderType.LIMIT, "160")
    assert order.expires_at == "2026-02-01T12:00:00.000Z"
    with pytest.raises(Refused, match="ORDER_NOT_CHANGEABLE"):
        await client.change(order.order_id, limit_price=Decimal("161.5"))
    engine.update(order.order_id, "resting")
    assert (await client.change(order.order_id, limit_price=Decimal("161.5"))).limit_price == (
        "161.5"
    )


@pytest.mark.parametrize("fault", ["lost before", "lost after", 500, 503, 429])
async def test_a_call_is_retried_until_it_is_answered_and_submits_one_order(
    engine: Engine, client: AsyncClient, fault: Any
) -> None:
    engine.http_faults = [fault, fault]
    order = await client.submit("SOL", "USDC", 1)
    assert list(engine.orders) == [order.order_id]
    assert engine.requests == ["/api/orders/execute"] * 3
    engine.http_faults = [fault]
    assert (await client.order(order.order_id)).order_id == order.order_id
    engine.http_faults = [fault]
    assert (await client.cancel(order.order_id)).status is Status.CANCELLED


async def test_a_refusal_has_a_code_and_its_fields_and_is_not_retried(
    engine: Engine, client: AsyncClient
) -> None:
    with pytest.raises(Refused) as refused:
        await client.submit("SOL", "SOL", 1)
    assert refused.value.code == ProblemCode.CIRCULAR_ARBITRAGE_IS_DISABLED
    assert refused.value.status == 400
    assert [(error.field, error.rule) for error in refused.value.errors] == [("a", "b")]
    await client.submit("SOL", "USDC", 1, key="k")
    with pytest.raises(Refused) as refused:
        await client.submit("SOL", "USDC", 2, key="k")
    assert refused.value.code == ProblemCode.IDEMPOTENCY_KEY_REUSED
    with pytest.raises(OrderUnknown):
        await client.order(str(uuid4()))
    with pytest.raises(Refused, match="ORDER_NOT_CANCELLABLE"):
        await client.cancel(engine.new_order(*LIFE))
    assert len(engine.requests) == 5


async def test_a_call_without_an_answer_fails_after_its_timeout(engine: Engine) -> None:
    async with new_client(engine, IMPATIENT) as client:
        for fault in ("lost before", 503, 429):
            engine.http_faults = [fault] * 1000
            with pytest.raises(NoAnswer):
                await client.submit("SOL", "USDC", 1)


async def test_an_invalid_key_is_refused_at_once_and_a_replaced_one_is_read_again(
    engine: Engine,
) -> None:
    invalid = API_KEY.new()
    async with new_client(engine, key=invalid) as client:
        with pytest.raises(KeyRefused):
            await client.me()
        with pytest.raises(KeyRefused):
            await anext(client.follow(engine.new_order(*LIFE)))
    keys = iter([invalid, invalid, KEY, KEY])
    async with new_client(engine, key=lambda: next(keys)) as client:
        with pytest.raises(KeyRefused):
            await client.me()
    keys = iter([invalid, KEY, KEY, KEY])
    async with new_client(engine, key=lambda: next(keys)) as client:
        assert await client.me() == "desk"


async def test_orders_are_listed_over_pages_back_to_a_time(
    engine: Engine, client: AsyncClient
) -> None:
    old = engine.new_order("pending", age_s=100)
    ended = [engine.new_order(*LIFE) for _ in range(4)]
    since = engine.orders[ended[0]][0]["timestamp"]
    assert len([order async for order in client.orders()]) == 5
    assert {order.order_id async for order in client.orders(since=since)} == {*ended}
    assert [order.order_id async for order in client.orders(status="open")] == [old]


async def test_the_filters_of_a_list_are_sent_as_the_api_names_them(
    engine: Engine, client: AsyncClient
) -> None:
    filters = {"type": "twap", "token_in": "SOL", "token_out": "USDC", "parent_id": "p"}
    assert [order async for order in client.orders(**filters, status="failed")] == []
    (path,) = [path for path in engine.requests if path.startswith("/api/orders?")]
    query = dict(parse_qsl(urlsplit(path).query))
    assert query == {
        "type": "twap",
        "tokenIn": "SOL",
        "tokenOut": "USDC",
        "parentId": "p",
        "status": "failed",
        "limit": query["limit"],
    }


async def test_an_answer_that_cannot_be_parsed_raises_not_understood(
    engine: Engine, client: AsyncClient
) -> None:
    order_id = engine.new_order("pending", "of a newer release")
    with pytest.raises(NotUnderstood):
        await client.order(order_id)
    with pytest.raises(NotUnderstood):
        [update async for update in client.follow(order_id)]


async def test_fields_of_a_newer_release_are_kept(engine: Engine, client: AsyncClient) -> None:
    order_id = engine.new_order(*LIFE)
    engine.orders[order_id][1]["release"] = "next"
    (_, routing, *_) = [update async for update in client.follow(order_id)]
    assert routing.model_extra == {"release": "next"}
    assert (await client.order(order_id)).updates[1].model_extra == {"release": "next"}


# --- one order


async def test_an_order_is_followed_to_its_end_over_lost_connections(
    engine: Engine, client: AsyncClient
) -> None:
    order = await client.submit("SOL", "USDC", 1)
    received: list[Update] = []
    async for update in client.follow(order):
        received.append(update)
        if update.sequence < len(LIFE):
            await eventually_async(lambda: engine.followed(order.order_id))
            await asyncio.to_thread(engine.cut, abruptly=update.sequence % 2 == 0)
            engine.update(order.order_id, LIFE[update.sequence])  # while disconnected
    assert statuses(received) == LIFE
    resumed = [m["sinceSequence"] for m in engine.sent(orderId=order.order_id)]
    assert resumed == sorted(resumed)
    assert resumed[-1] > 0  # it continues after the last update


async def test_a_follower_resumes_after_the_given_sequence(
    engine: Engine, client: AsyncClient
) -> None:
    order_id = engine.new_order(*LIFE)
    assert [u.sequence async for u in client.follow(order_id, since=3)] == [4, 5]
    assert [u.sequence async for u in client.follow(order_id, since=5)] == []


async def test_an_update_that_is_pushed_twice_or_lost_is_returned_once(
    engine: Engine, client: AsyncClient
) -> None:
    """The last update is lost too, so no later update reveals the gap."""
    order_id = engine.new_order("pending")
    following = asyncio.create_task(collected(client.follow(order_id)))
    await eventually_async(lambda: engine.followed(order_id))
    with engine.lock:
        (connection,) = engine.connections
        engine.push(connection, engine.orders[order_id][0])
    losses = iter([True, False, True, True])
    engine.loses_push = lambda: next(losses, False)
    with engine.lock:  # so that no answer to a subscription has only some of the updates
        for status in LIFE[1:]:
            engine.update(order_id, status)
    assert statuses(await following) == LIFE
    assert engine.connects == 1


async def test_a_quiet_connection_is_kept_open_by_subscribing_again(
    engine: Engine, client: AsyncClient
) -> None:
    order_id = engine.new_order("pending")
    following = asyncio.create_task(collected(client.follow(order_id)))
    await eventually_async(lambda: len(engine.sent(orderId=order_id)) >= 4)
    engine.update(order_id, "cancelled")
    assert statuses(await following) == ["pending", "cancelled"]
    assert engine.connects == 1


async def test_following_fails_without_an_answer_to_any_subscription(engine: Engine) -> None:
    engine.answers_instead = [None] * 10_000
    async with new_client(engine, IMPATIENT) as client:
        with pytest.raises(NoAnswer, match="subscriptions are not answered"):
            await collected(client.follow(engine.new_order("pending")))


async def test_following_an_unknown_order_or_one_with_too_many_followers_is_an_error(
    engine: Engine, client: AsyncClient
) -> None:
    with pytest.raises(OrderUnknown):
        await collected(client.follow(str(uuid4())))
    refusal = {"error": {"code": "TOO_MANY_FOLLOWERS", "message": "No more."}}
    engine.answers_instead = [refusal] * 100
    with pytest.raises(Refused, match=r"No more\."):
        await collected(client.follow(engine.new_order("pending")))


# --- all orders


def _has(received: list[tuple[str, int]], count: int) -> bool:
    return len(received) >= count


async def collected(updates: AsyncIterator[Update]) -> list[Update]:
    return [update async for update in updates]


async def test_all_orders_are_followed_from_now_on_or_from_a_time(
    engine: Engine, client: AsyncClient
) -> None:
    engine.new_order(*LIFE)
    old = engine.new_order("pending", "routing", age_s=7200)
    recent = engine.new_order("pending", age_s=60)
    since = datetime.now(UTC) - timedelta(seconds=90)
    for moment, wanted in (
        (None, [(old, 3), (recent, 2)]),
        (since, [(old, 4), (recent, 1), (recent, 2), (recent, 3)]),
    ):
        received: list[tuple[str, int]] = []

        async def follow(
            moment: datetime | None = moment, received: list[tuple[str, int]] = received
        ) -> None:
            async for update in client.follow_all(since=moment):
                if update.order_id in (old, recent):
                    received.append((update.order_id, update.sequence))

        following = asyncio.create_task(follow())
        await eventually_async(lambda: engine.followed("*"))
        await asyncio.to_thread(engine.cut)
        engine.update(old, "building")  # while disconnected; the client does not know the order
        engine.update(recent, "routing")
        await eventually_async(partial(_has, received, len(wanted)))
        assert sorted(received) == sorted(wanted)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        await asyncio.to_thread(engine.cut)


async def test_leaving_the_iteration_closes_the_connection(
    engine: Engine, client: AsyncClient
) -> None:
    async with aclosing(client.follow(engine.new_order(*LIFE))) as updates:  # type: ignore[type-var]
        async for _update in updates:
            break
    await eventually_async(lambda: not engine.connections)


# --- without asyncio


def test_the_client_without_asyncio_has_the_same_calls(engine: Engine) -> None:
    with Client(engine.http_url, KEY, timeouts=QUICK, trust_env=False) as client:
        order = client.submit("SOL", "USDC", "2", key="k")
        assert client.order(order.order_id).amount == "2"
        for status in LIFE[1:]:
            engine.update(order.order_id, status)
        assert statuses(list(client.follow(order))) == LIFE
        for _update in client.follow_all(since=datetime.now(UTC) - timedelta(hours=1)):
            break
        assert [each.order_id for each in client.orders()] == [order.order_id]
        with pytest.raises(OrderUnknown):
            client.order(str(uuid4()))


@pytest.fixture
def interrupting() -> Iterator[threading.Event]:
    """An event; once set, SIGINT interrupts the main thread when it waits for another thread."""
    main, wanted, over = threading.main_thread().ident, threading.Event(), threading.Event()
    assert main

    def waits() -> bool:
        return sys._current_frames()[main].f_code is threading.Condition.wait.__code__

    def interrupt() -> None:
        wanted.wait()
        eventually(lambda: over.is_set() or waits())
        if not over.is_set():
            signal.pthread_kill(main, signal.SIGINT)

    # Python's handler of Ctrl-C; a process of pytest-xdist does not have it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    yield wanted
    over.set()
    wanted.set()
    thread.join()
    signal.signal(signal.SIGINT, before)


def test_a_follower_without_asyncio_can_be_interrupted(
    engine: Engine, interrupting: threading.Event
) -> None:
    with Client(engine.http_url, KEY, timeouts=QUICK, trust_env=False) as client:
        updates = client.follow(engine.new_order("pending"))
        next(updates)
        interrupting.set()
        with pytest.raises(KeyboardInterrupt):
            next(updates)
        eventually(lambda: not engine.connections)


def test_the_client_needs_neither_boto3_nor_powertools() -> None:
    code = (
        "import sys, functions.client; "
        "print({m for m in ('boto3', 'botocore', 'aws_lambda_powertools') if m in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


async def test_a_secure_websocket_needs_no_certificates_of_the_caller() -> None:
    """Nothing listens there, so a lost connection shows that the client tried to connect."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Lost):
        await Internet("https://x", trust_env=False).connect(f"wss://127.0.0.1:{port}", {})
