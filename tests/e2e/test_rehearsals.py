"""An operator's work on a running stack: rotate keys, upgrade, roll back, redrive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from functions.contract import order_id_of
from infra.cli.keys import create, disable
from infra.cli.local import EMULATOR_LOG, ROOT, Stack, running_stack
from infra.cli.ops.backlog import counts
from infra.cli.ops.redrive import ORDERS as ORDERS_QUEUES
from infra.cli.ops.redrive import redrive
from tests.e2e.actions import stopped
from tests.e2e.conftest import CONTEXT, ENFORCED
from tests.e2e.releases import impatient, no_sweeps, release, sweep
from tests.eventually import eventually_async
from tests.orders import TERMINAL, is_complete
from tests.stack_client import Client, Json, Unanswered, follow_all, receive, updates_of

pytestmark = pytest.mark.emulator

# An order takes as long as in AWS, so that a deployment finds orders under way. Few workers run at
# the same time, because a deployment restarts all of them.
SLOWER = CONTEXT | {"latencyScale": "1", "maxConcurrency": "5"}
ORDERS, BEFORE, AFTER = 100, 20, 10
APART_SECONDS = 0.1
FOLLOWED_ALONE = 10  # one order in this many has its own follower
POISONED = 20
SILENT_SECONDS = 5  # after this time without an update the sweeper runs, and a follower reconnects
SETTLED_SECONDS_MAX = 480  # long enough for a slow machine

# The next release writes its name into each update, in a field that this release does not know.
MODEL = "functions/orders/order.py"
FIELD = "    next_slice_at: Timestamp | None = None\n\n    @cached_property\n"
NEXT = (
    (MODEL, FIELD, f"    release: str | None = None\n{FIELD}"),
    (MODEL, "timestamp=iso(now_ms)", 'timestamp=iso(now_ms), release="next"'),
)
# The poisoned release fails every routed order and every dead letter.
POISON = 'raise RuntimeError("poisoned")'
LOAD = "order, owner, transaction, _ = orders.load_order(order_id)"
BAD = (
    (
        "functions/worker.py",
        "signed = network.sign(order, routes.from_client(order.route))",
        POISON,
    ),
    ("functions/dead_letters.py", LOAD, POISON),
)

Updates = dict[str, list[Json]]  # by order id


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rehearsals")


@pytest.fixture(scope="module")
def stack(work: Path) -> Iterator[Stack]:
    """A stack that no other test uses."""
    with running_stack(context=SLOWER, environment=ENFORCED, work=work) as stack:
        yield stack


@pytest.fixture(scope="module")
def next_release(work: Path) -> Path:
    return release(work / "next", *NEXT)


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    client = client_of(stack, stack.api_key)
    yield client
    await client.close()


def client_of(stack: Stack, api_key: str) -> Client:
    return Client(stack.http_url, stack.web_socket_url, api_key, stack.ca_bundle)


# --- keys -------------------------------------------------------------------------------------


async def test_a_key_is_rotated_without_a_refusal_or_a_missed_update(stack: Stack) -> None:
    first, second = (client_of(stack, create(stack, name, "desk")) for name in ("old", "new"))
    using, answers = [first], list[int]()

    async def keep_requesting() -> None:
        while True:
            answers.append((await using[-1].http.get("/api/orders?limit=1")).status_code)

    requesting = asyncio.create_task(keep_requesting())
    async with asyncio.timeout(SETTLED_SECONDS_MAX), first.socket() as staying:
        await follow_all(staying)
        async with first.socket() as leaving:
            cut = (await first.accepted())["orderId"]
            await leaving.send(json.dumps({"orderId": cut}))
            seen = [await receive(leaving)]
        await several(answers)
        using.append(second)
        await several(answers)  # now all requests with the first key are answered
        disable(stack, "old")
        assert is_complete(seen + await second.follow(cut, since=seen[-1]["sequence"]))
        assert is_complete(await updates_of(staying, cut))
        late = (await second.accepted())["orderId"]
        assert is_complete(await updates_of(staying, late))
        with pytest.raises(InvalidStatus):
            async with first.opened():
                pass
        while (await first.http.get("/api/orders?limit=1")).status_code == 200:
            await asyncio.sleep(0.2)
        assert (await first.http.get("/api/orders?limit=1")).status_code == 401
        await several(answers)
    requesting.cancel()
    assert set(answers) == {200}
    await first.close()
    await second.close()


async def several(answers: list[int]) -> None:
    """Wait until some more answers have arrived."""
    enough = len(answers) + 5
    while len(answers) < enough:
        await asyncio.sleep(0.05)


# --- releases ---------------------------------------------------------------------------------


async def test_an_upgrade_during_a_hundred_orders_loses_and_repeats_no_update(
    stack: Stack, client: Client, next_release: Path
) -> None:
    updates = await updates_over_a_deployment(stack, client, next_release)
    assert continued(updates, None, "next")
    assert await stored_updates(client, updates) == updates


async def test_a_rollback_continues_the_orders_of_the_newer_release(
    stack: Stack, client: Client, next_release: Path
) -> None:
    """The earlier release ignores the field that the newer one stored."""
    await asyncio.to_thread(stack.deploy, next_release)
    updates = await updates_over_a_deployment(stack, client, ROOT)
    assert continued(updates, "next", None)
    known = {order_id: [without_release(u) for u in each] for order_id, each in updates.items()}
    assert await stored_updates(client, updates) == known


async def test_after_a_faulty_release_a_redrive_completes_every_order(
    stack: Stack, client: Client, work: Path
) -> None:
    """The sweeper is off, and the dead-letter function would fail the orders."""
    await asyncio.to_thread(stack.deploy, release(work / "bad", *BAD))
    with no_sweeps(stack), ExitStack() as kept:
        with impatient(stack):
            ids = [await placed(client) for _ in range(POISONED)]
            await eventually_async(lambda: dead_letters(stack) == POISONED)
            await eventually_async(
                lambda: "dead letter not treated" in (work / EMULATOR_LOG).read_text()
            )
            kept.enter_context(stopped(stack, "DeadLetterQueueUrl"))
            async with asyncio.timeout(SETTLED_SECONDS_MAX):
                while {(await client.read(order_id))["status"] for order_id in ids} != {"building"}:
                    await asyncio.sleep(APART_SECONDS)
        await asyncio.to_thread(stack.deploy, ROOT)
        moved: list[str] = []
        async with asyncio.timeout(SETTLED_SECONDS_MAX):
            while len(moved) < POISONED:  # a dead letter may still be hidden after its last receive
                moved += await asyncio.to_thread(list, redrive(stack, *ORDERS_QUEUES))
            updates = [await followed(client, order_id) for order_id in ids]
    assert {order_id_of(body) for body in moved} == set(ids)
    assert [each for each in updates if not is_complete(each)] == []
    assert dead_letters(stack) == 0


def dead_letters(stack: Stack) -> int:
    """The number of dead letters, visible or in flight."""
    return sum(counts(stack, "deadLetters").values())


async def updates_over_a_deployment(stack: Stack, client: Client, project: Path) -> Updates:
    """Post orders before, during and after a deployment, all confirmed; returns their updates.

    One follower receives all of them, and some orders have their own follower too.
    """
    updates: Updates = {}
    followers: list[asyncio.Task[list[Json]]] = []

    async def post() -> list[str]:
        ids: list[str] = []

        async def one_more() -> None:
            ids.append(await placed(client))
            if len(ids) % FOLLOWED_ALONE == 0:
                followers.append(asyncio.create_task(followed(client, ids[-1])))
            await asyncio.sleep(APART_SECONDS)

        while len(ids) < BEFORE:
            await one_more()
        deploying = asyncio.create_task(asyncio.to_thread(stack.deploy, project))
        while not deploying.done() or len(ids) < ORDERS - AFTER:
            await one_more()
        await deploying
        for _ in range(AFTER):
            await one_more()
        return ids

    async with asyncio.timeout(SETTLED_SECONDS_MAX), client.socket() as socket:
        await follow_all(socket)
        posting = asyncio.create_task(post())
        while not posting.done() or any(under_way(updates.get(i)) for i in posting.result()):
            try:
                message = await receive(socket, SILENT_SECONDS)
                add(updates.setdefault(message["orderId"], []), message)
            except TimeoutError:
                await asyncio.to_thread(sweep, stack)
        of_followers = await asyncio.gather(*followers)
    assert set(updates) == set(posting.result())
    assert [each for each in updates.values() if not is_complete(each)] == []
    assert all(each == updates[each[0]["orderId"]] for each in of_followers)
    return updates


async def placed(client: Client) -> str:
    """Submit an order, with retries; returns its id.

    The emulator stops the running invocations of a function that is updated; Lambda does not.
    """
    return str((await client.accepted())["orderId"])


async def followed(client: Client, order_id: str) -> list[Json]:
    """Follow the order to its end; reconnects after a lost connection and after a silence."""
    updates: list[Json] = []
    while under_way(updates):
        with suppress(ConnectionClosed, TimeoutError, Unanswered):
            async with client.socket() as socket:
                await socket.send(json.dumps({"orderId": order_id, "sinceSequence": len(updates)}))
                while under_way(updates):
                    add(updates, await receive(socket, SILENT_SECONDS))
    return updates


def add(updates: list[Json], message: Json) -> None:
    """Add the next update; a repeated update must be unchanged."""
    update = {name: value for name, value in message.items() if name != "_received"}
    if update["sequence"] == len(updates) + 1:
        updates.append(update)
    found = updates[update["sequence"] - 1 : update["sequence"]]
    assert found == [update], "an update was skipped or changed"


def under_way(updates: list[Json] | None) -> bool:
    return not updates or updates[-1]["status"] not in TERMINAL


def continued(updates: Updates, earlier: str | None, later: str | None) -> list[str]:
    """The ids of orders that the `earlier` release advanced and the `later` one ended."""
    return [
        order_id
        for order_id, each in updates.items()
        if each[-1].get("release") == later and earlier in [u.get("release") for u in each]
    ]


async def stored_updates(client: Client, updates: Updates) -> Updates:
    """The updates of the same orders, by GET."""
    return {order_id: (await client.read(order_id))["updates"] for order_id in updates}


def without_release(update: Json) -> Json:
    return {name: value for name, value in update.items() if name != "release"}
