"""Orders that wait for a price: each executes at its price, and at most once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from functions import runtime, worker
from functions.contract import OPEN_SHARDS, iso, order_message, wake_key
from functions.dex.tokens import find
from functions.http import changes
from functions.orders import retries, waiting
from functions.orders.order import CHANGES_MAX, REFUSALS_MAX, UPDATES_MAX
from functions.orders.stored import request_of, stored_order
from functions.store import orders, queue
from tests.clock import START_MS, VirtualClock
from tests.events import Json, sqs_event, sqs_message
from tests.functions.waiting import price_times, quote, watch
from tests.orders import ORDER, ORDER_ID, PAIR, statuses_of
from tests.world import Context, InterruptedNetwork, World, failing_network

DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual clock that starts at a fixed time, so that the market is the same in every run."""
    monkeypatch.setattr(runtime, "clock", VirtualClock())
    watch()


@pytest.fixture
def real_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let transactions land at their slots; in the other tests the outcome is known at once."""
    monkeypatch.setattr(worker, "network", replace(worker.network, latency_scale=1))


def submit_resting(world: World, **fields: Any) -> Json:
    """Submit an order that rests, by default with a limit a tenth above the current price."""
    fields = fields or {"type": "limit", "limitPrice": price_times(world, "1.1")}
    order_id = world.submit(**fields)["orderId"]
    world.work()
    order = world.read(order_id)
    assert order["status"] == "resting", order
    return order


def wake(world: World, order: Json) -> Json:
    """Queue the order as the watcher does, and let the worker work; returns the new order."""
    queue.enqueue(order["orderId"], woken=True)
    world.work()
    return world.read(order["orderId"])


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        runtime.sleep(1)
    raise AssertionError("the market never reached the price")


# --- prices -----------------------------------------------------------------------------------


def test_a_limit_at_the_quoted_limit_price_executes_at_once(world: World) -> None:
    order_id = world.submit(type="limit", limitPrice=quote(world)["limitPrice"])["orderId"]
    world.work_until_empty()
    building = world.read(order_id)["updates"][2]
    assert (building["status"], building["trigger"]) == ("building", "limit")


def test_a_limit_above_the_market_rests_with_its_price_in_the_update(world: World) -> None:
    price = price_times(world, "1.1")
    order = submit_resting(world, type="limit", limitPrice=price)
    assert statuses_of(order) == ["pending", "routing", "resting"]
    assert order["updates"][-1]["limitPrice"] == order["limitPrice"]
    assert Decimal(order["limitPrice"]) == Decimal(price)
    assert "slippageBps" not in order
    assert order["timeInForce"] == "GTC"
    assert world.queued() == 0


def test_a_resting_order_without_an_expiry_is_in_no_index_that_is_swept(
    world: World,
) -> None:
    stored = world.item(submit_resting(world)["orderId"])
    assert not {"openShard", "idleSince", "wakeBelow"} & stored.keys()
    assert stored["wakePair"] == {"S": "SOL/USDC"}
    assert {"wakeAbove", "openOwner"} <= stored.keys()


def test_an_order_that_no_longer_rests_is_in_no_index_of_resting_orders(world: World) -> None:
    order_id = submit_resting(world)["orderId"]
    world.cancel(order_id)
    assert not {"wakePair", "wakeAbove", "wakeBelow", "openOwner"} & world.item(order_id).keys()


@pytest.mark.usefixtures("real_latency")
def test_a_limit_order_executes_when_its_price_is_reached_and_never_below_it(world: World) -> None:
    price = price_times(world, "1.0004")
    order = submit_resting(world, type="limit", limitPrice=price, amount="1")
    wait_until(lambda: Decimal(quote(world)["outAmount"]) >= Decimal(price))
    while order["status"] == "resting":
        order = wake(world, order)
        runtime.sleep(1)
    assert order["status"] == "confirmed"
    assert Decimal(order["outAmount"]) >= Decimal(price)
    least = Decimal(order["route"]["otherAmountThreshold"])
    assert Decimal(price) <= least < Decimal(price) + Decimal("0.000001")
    assert "slippageBps" not in order["route"]


def test_an_order_that_is_woken_before_its_price_gets_no_update(world: World) -> None:
    order = submit_resting(world)
    assert wake(world, order) == order
    queue.enqueue(order["orderId"])  # a message from the sweeper or from an operator
    world.work()
    assert world.read(order["orderId"]) == order


def test_an_order_is_woken_whenever_it_can_execute(world: World) -> None:
    """The wake keys enclose every price at which the order could execute."""
    limit, stop = price_times(world, "1.0004"), price_times(world, "0.9996")
    order = submit_resting(world, type="oco", limitPrice=limit, stopPrice=stop)
    stored = orders.load_order(order["orderId"])
    for _ in range(300):
        runtime.sleep(1)
        now = quote(world)
        reached = waiting.reached_trigger(stored.order, units(now["outAmount"]))
        reference = wake_key(worker.network.best_price(find("SOL"), find("USDC")))
        woken = reference >= (stored.wake.above or "") or reference <= (stored.wake.below or "")
        assert woken or not reached


def units(out_amount: str) -> int:
    return int(Decimal(out_amount) * 10**6)


def test_a_stop_order_becomes_a_market_order_at_its_price(world: World) -> None:
    price = price_times(world, "0.9999")
    order = submit_resting(world, type="stop", stopPrice=price, slippageBps=300)
    assert (order["slippageBps"], order["stopPrice"]) == (300, order["updates"][-1]["stopPrice"])
    assert wake(world, order)["status"] == "resting"
    wait_until(lambda: Decimal(quote(world)["outAmount"]) <= Decimal(price))
    order = wake(world, order)
    assert statuses_of(order)[-3:] == ["building", "submitted", "confirmed"]
    assert (order["trigger"], order["route"]["slippageBps"]) == ("stop", 300)
    assert Decimal(order["route"]["outAmount"]) <= Decimal(price)


def test_a_triggered_stop_retries_as_a_market_order_and_never_rests_again(
    world: World,
) -> None:
    price = price_times(world, "1.1")  # the price is reached at once
    order_id = world.submit(type="stop", stopPrice=price, simulate={"fault": "slippage"})["orderId"]
    world.work_until_empty()
    order = world.read(order_id)
    assert (order["status"], order["attempt"]) == ("failed", 3)
    assert "resting" not in statuses_of(order)


@pytest.mark.parametrize(
    ("limit", "stop", "trigger"), [("0.99", "0.9", "limit"), ("1.2", "1.1", "stop")]
)
def test_of_both_prices_of_an_oco_order_only_the_first_that_is_reached_executes(
    world: World, limit: str, stop: str, trigger: str
) -> None:
    fields = {"limitPrice": price_times(world, limit), "stopPrice": price_times(world, stop)}
    order_id = world.submit(type="oco", **fields)["orderId"]
    world.work_until_empty()
    order = world.read(order_id)
    assert (order["status"], order["trigger"]) == ("confirmed", trigger)
    assert statuses_of(order).count("submitted") == 1
    assert wake(world, order) == order


def test_after_a_refused_transaction_a_limit_order_rests_again_without_losing_an_attempt(
    world: World,
) -> None:
    order_id = world.submit(
        type="limit", limitPrice=price_times(world, "0.9"), simulate={"fault": "slippage"}
    )["orderId"]
    world.work_until_empty()
    for _ in range(3):
        order = world.read(order_id)
        assert order["status"] == "resting"
        order = wake(world, order)
    assert order["status"] == "confirmed"
    assert (order["attempt"], order["maxAttempts"]) == (4, 6)
    rests = [update for update in order["updates"] if update["status"] == "resting"]
    assert [update["attempt"] for update in rests] == [2, 3, 4]
    assert {update["error"]["code"] for update in rests} == {"SLIPPAGE_TOLERANCE_EXCEEDED"}
    assert len({u["txHash"] for u in order["updates"] if u["status"] == "submitted"}) == 4


def test_a_limit_order_with_too_many_refusals_fails_with_their_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "REFUSALS_MAX", 2)
    order_id = world.submit(
        type="limit", limitPrice=price_times(world, "0.9"), simulate={"fault": "slippage"}
    )["orderId"]
    world.work_until_empty()
    order = wake(world, wake(world, world.read(order_id)))
    assert statuses_of(order).count("resting") == 2
    assert (order["status"], order["error"]["code"]) == ("failed", "SLIPPAGE_TOLERANCE_EXCEEDED")


def test_no_order_has_more_updates_than_a_client_may_resume_after(world: World) -> None:
    assert CHANGES_MAX + 3 * REFUSALS_MAX + 11 + 3 <= UPDATES_MAX
    assert UPDATES_MAX >= 2 + 2 * 100 + 1


def test_dropped_transactions_use_up_the_attempts_of_a_limit_order(world: World) -> None:
    order_id = world.submit(
        type="limit",
        limitPrice=price_times(world, "0.9"),
        simulate={"fault": "dropped_transaction"},
    )["orderId"]
    world.work_until_empty()
    order = world.read(order_id)
    assert (order["status"], order["error"]["code"]) == ("failed", "FAILED_TO_LAND")
    assert order["attempt"] == order["maxAttempts"] == 3


def test_a_limit_order_whose_price_is_not_reached_in_its_retry_rests(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = world.submit(
        type="limit",
        limitPrice=price_times(world, "1.1"),
        simulate={"fault": "venue_down", "attempts": 1},
    )["orderId"]
    world.work_until_empty()
    order = world.read(order_id)
    assert statuses_of(order) == ["pending", "routing", "routing", "resting"]
    assert order["attempt"] == 2
    assert "error" not in order


@pytest.mark.parametrize("call", ["snapshots", "sign", "send"])
def test_the_next_worker_resumes_a_woken_order_whose_worker_was_killed_at_any_step(
    world: World, call: str
) -> None:
    order = submit_resting(world)
    world.change(order["orderId"], {"limitPrice": price_times(world, "0.9")})
    with failing_network(call, SystemError("killed")):
        assert world.work()
    world.work_until_empty()
    order = world.read(order["orderId"])
    assert order["status"] == "confirmed"
    assert statuses_of(order).count("submitted") == 1


def test_the_next_worker_announces_the_pair_that_a_killed_worker_did_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[str] = []

    def die(pair: str) -> bool:
        raise SystemError(pair)

    def announce(pair: str) -> bool:
        announced.append(pair)
        return True

    order_id = world.submit(type="limit", limitPrice=price_times(world, "1.1"))["orderId"]
    monkeypatch.setattr("functions.worker.resting.announce", die)
    assert len(world.work()) == 1
    assert world.read(order_id)["status"] == "resting"
    monkeypatch.setattr("functions.worker.resting.announce", announce)
    assert world.work() == []
    assert announced == ["SOL/USDC"]


@pytest.mark.parametrize("ticks", [False, True])
def test_while_no_watcher_ticks_an_order_that_has_come_to_rest_wakes_itself(
    world: World, monkeypatch: pytest.MonkeyPatch, ticks: bool
) -> None:
    runtime.sleep(180)  # the watcher has ended
    if ticks:
        watch()
    order = world.submit(type="limit", limitPrice=price_times(world, "1.1"))
    delays: list[int] = []

    def enqueue(order_id: str, *, delay_seconds: int = 0, woken: bool = False) -> None:
        assert (order_id, woken) == (order["orderId"], True)
        delays.append(delay_seconds)

    monkeypatch.setattr("functions.worker.queue.enqueue", enqueue)
    world.work()
    woken = sqs_event("order", [sqs_message(order_message(order["orderId"], woken=True))])
    worker.handler(woken, Context())
    assert delays == ([] if ticks else [1, 1])
    runtime.sleep(90)  # by now the schedule has started a watcher
    worker.handler(woken, Context())
    assert delays == ([] if ticks else [1, 1])


# --- expiry -----------------------------------------------------------------------------------


def test_an_order_expires_by_the_delayed_message_that_was_sent_when_it_began_to_rest(
    world: World,
) -> None:
    order = submit_resting(
        world, type="limit", limitPrice=price_times(world, "1.1"), expiresAt=iso(START_MS + 60_500)
    )
    assert world.work() == []  # the message is delayed
    assert world.queued() == 1
    runtime.sleep(61)
    expired = wake(world, order)
    assert (expired["status"], "error" in expired) == ("expired", False)
    assert wake(world, expired) == expired


def test_the_sweeper_queues_an_order_that_expires_later_than_a_message_can_be_delayed(
    world: World,
) -> None:
    order = submit_resting(
        world, type="limit", limitPrice=price_times(world, "1.1"), expiresAt=iso(START_MS + DAY_MS)
    )
    assert world.queued() == 0
    assert world.sweep() == 0
    assert world.queued() == 0
    runtime.sleep(DAY_MS / 1000 - 870)
    assert world.sweep() == 0  # an order whose expiry is due does not count as idle
    assert world.queued() == 1
    assert world.sweep() == 0
    assert world.queued() == 1  # queued once
    item = world.item(order["orderId"])
    assert item["openShard"]["S"] in OPEN_SHARDS  # in case the message is lost
    runtime.sleep(870 + runtime.settings.sweep_idle_seconds)
    assert world.sweep() == 0
    runtime.sleep(1)
    assert world.sweep() == 1
    world.work()
    assert world.read(order["orderId"])["status"] == "expired"


def test_no_transaction_is_signed_that_could_land_after_the_expiry(world: World) -> None:
    low = price_times(world, "0.9")
    soon = world.submit(type="limit", limitPrice=low, expiresAt=iso(START_MS + 1900))["orderId"]
    later = world.submit(type="limit", limitPrice=low, expiresAt=iso(START_MS + 30_100))["orderId"]
    world.work()
    order = world.read(soon)
    assert statuses_of(order) == ["pending", "routing", "building", "expired"]
    transaction = json.loads(stored_order(world.item(later)).transaction or "")
    assert (transaction["lastValidSlot"] + 1) * 400 <= START_MS + 30_100
    assert (transaction["lastValidSlot"] + 2) * 400 > START_MS + 30_100


@pytest.mark.usefixtures("real_latency")
def test_a_transaction_that_would_land_after_the_expiry_never_executes(world: World) -> None:
    low = price_times(world, "0.9")
    ended = set()
    for number in range(12):  # landing takes five to seven slots, and quotes take up to 400 ms
        expires_at = iso(runtime.now_ms() + 400 + 300 + 7 * 400)
        order = world.submit(f"k{number}", type="limit", limitPrice=low, expiresAt=expires_at)
        world.work()
        read = world.read(order["orderId"])
        assert "submitted" in statuses_of(read)
        if read["status"] == "routing":  # the next attempt waits
            runtime.sleep(3)
            queue.enqueue(order["orderId"])
            world.work()
            read = world.read(order["orderId"])
        ended.add(read["status"])
    assert ended == {"confirmed", "expired"}


@pytest.mark.parametrize("wait_ms", [500, 3_600_000])
def test_an_order_whose_expiry_passed_while_it_was_queued_expires(
    world: World, wait_ms: int
) -> None:
    order_id = world.submit(
        type="limit", limitPrice=price_times(world, "0.9"), expiresAt=iso(START_MS + wait_ms)
    )["orderId"]
    runtime.sleep(wait_ms / 1000)
    world.work()
    assert statuses_of(world.read(order_id)) == ["pending", "routing", "expired"]


def test_an_ioc_order_does_not_rest(world: World) -> None:
    missed = world.submit(type="limit", limitPrice=price_times(world, "1.1"), timeInForce="IOC")
    reached = world.submit(type="limit", limitPrice=price_times(world, "0.9"), timeInForce="IOC")
    refused = world.submit(
        type="limit",
        limitPrice=price_times(world, "0.9"),
        timeInForce="IOC",
        simulate={"fault": "slippage"},
    )
    world.work_until_empty()
    assert statuses_of(world.read(missed["orderId"])) == ["pending", "routing", "expired"]
    assert world.read(reached["orderId"])["status"] == "confirmed"
    ended = world.read(refused["orderId"])
    assert (ended["status"], ended["attempt"]) == ("expired", 1)
    assert ended["error"]["code"] == "SLIPPAGE_TOLERANCE_EXCEEDED"


# --- changing and cancelling ------------------------------------------------------------------


def test_a_resting_order_is_changed_by_one_update_with_its_new_terms(world: World) -> None:
    order = submit_resting(world)
    answer = world.change(
        order["orderId"], {"limitPrice": 400, "expiresAt": iso(START_MS + DAY_MS)}
    )
    assert answer.status == 200
    update = answer.json["updates"][-1]
    assert (update["status"], update["sequence"], update["limitPrice"]) == ("resting", 4, "400")
    assert update["expiresAt"] == answer.json["expiresAt"] == iso(START_MS + DAY_MS)
    world.work_until_empty()
    assert world.read(order["orderId"]) == answer.json
    repeated = world.change(order["orderId"], {"limitPrice": "400.0"})
    assert (repeated.status, repeated.json) == (200, answer.json)


def test_an_order_that_is_changed_to_a_price_that_is_reached_executes(world: World) -> None:
    order = submit_resting(world)
    world.change(order["orderId"], {"limitPrice": price_times(world, "0.9")})
    world.work_until_empty()
    assert world.read(order["orderId"])["status"] == "confirmed"


def test_a_change_replaces_the_expiry_and_null_removes_it(world: World) -> None:
    order = submit_resting(world)
    world.change(order["orderId"], {"expiresAt": iso(START_MS + 5000)})
    assert "expiresAt" not in world.change(order["orderId"], {"expiresAt": None}).json
    runtime.sleep(6)
    assert wake(world, order)["status"] == "resting"
    stored = world.item(order["orderId"])
    assert not {"openShard", "idleSince"} & stored.keys()
    world.change(order["orderId"], {"expiresAt": iso(runtime.now_ms() + 5000)})
    runtime.sleep(5)
    assert wake(world, order)["status"] == "expired"


def test_an_order_can_no_longer_be_changed_once_its_expiry_has_passed(world: World) -> None:
    order = submit_resting(
        world, type="limit", limitPrice=price_times(world, "1.1"), expiresAt=iso(START_MS + 5000)
    )
    runtime.sleep(5)
    answer = world.change(order["orderId"], {"expiresAt": None})
    assert (answer.status, answer.json["code"]) == (409, "ORDER_NOT_CHANGEABLE")
    assert wake(world, order)["status"] == "expired"


@pytest.mark.parametrize(
    ("kind", "body", "field", "rule"),
    [
        ("limit", {}, "body", "must have limitPrice, stopPrice or expiresAt"),
        ("limit", {"amount": 2}, "amount", "is not a field of this request"),
        (
            "limit",
            {"stopPrice": 1},
            "stopPrice",
            "does not apply to type limit, only to stop and oco",
        ),
        (
            "stop",
            {"limitPrice": 1},
            "limitPrice",
            "does not apply to type stop, only to limit, oco and twap",
        ),
        ("limit", {"limitPrice": 0}, "limitPrice", "must be greater than 0"),
        (
            "limit",
            {"limitPrice": None},
            "limitPrice",
            "must be a decimal number, as a number or as text",
        ),
        ("limit", {"limitPrice": ""}, "limitPrice", "must be a decimal number"),
        ("oco", {"stopPrice": "400"}, "stopPrice", "must be less than limitPrice"),
        ("oco", {"limitPrice": "1"}, "stopPrice", "must be less than limitPrice"),
        ("limit", {"expiresAt": iso(START_MS)}, "expiresAt", "must be in the future"),
        (
            "limit",
            {"expiresAt": iso(START_MS + 31 * DAY_MS)},
            "expiresAt",
            "must be at most 30 days from now",
        ),
    ],
)
def test_a_change_that_does_not_suit_the_order_is_refused(
    world: World, kind: str, body: Json, field: str, rule: str
) -> None:
    prices = {"limitPrice": price_times(world, "1.1"), "stopPrice": price_times(world, "0.9")}
    terms = {"limit": ["limitPrice"], "stop": ["stopPrice"], "oco": ["limitPrice", "stopPrice"]}
    order = submit_resting(world, type=kind, **{name: prices[name] for name in terms[kind]})
    answer = world.change(order["orderId"], body)
    assert answer.status == 400
    assert answer.json["errors"] == [{"field": field, "rule": rule}]
    assert world.read(order["orderId"]) == order


def test_only_a_resting_order_can_be_changed(world: World) -> None:
    order = world.submit(type="limit", limitPrice=price_times(world, "0.9"))
    answer = world.change(order["orderId"], {"limitPrice": 1})
    assert (answer.status, answer.json["code"]) == (409, "ORDER_NOT_CHANGEABLE")
    assert "pending" in answer.json["detail"]
    world.work_until_empty()
    assert "confirmed" in world.change(order["orderId"], {"limitPrice": 1}).json["detail"]
    assert world.change(order["orderId"], {"limitPrice": 1}, owner="other").status == 404


def test_an_order_has_a_limited_number_of_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = submit_resting(world)
    monkeypatch.setattr(changes, "CHANGES_MAX", 5)
    assert [world.change(order["orderId"], {"limitPrice": 400 + n}).status for n in range(3)] == [
        200,
        200,
        409,
    ]
    assert world.cancel(order["orderId"]).status == 200


def run_between_read_and_write(
    monkeypatch: pytest.MonkeyPatch, first: Callable[[], object]
) -> None:
    """Let the call `first` run after the API has read the order and before it writes."""
    get_order = orders.get_order

    def read_then_be_overtaken(order_id: str, owner: str) -> Any:
        found = get_order(order_id, owner)
        monkeypatch.setattr(orders, "get_order", get_order)
        first()
        return found

    monkeypatch.setattr(orders, "get_order", read_then_be_overtaken)


def run_before_the_prices(monkeypatch: pytest.MonkeyPatch, first: Callable[[], object]) -> None:
    """Let the call `first` run after the worker has read the order and before it reads prices."""
    network = worker.network

    def once() -> None:
        monkeypatch.setattr(worker, "network", network)
        first()

    monkeypatch.setattr(worker, "network", InterruptedNetwork(network, "snapshots", once))


@pytest.mark.parametrize("request_of", ["change", "cancel"])
def test_if_the_trigger_is_first_the_change_or_cancellation_is_refused_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, request_of: str
) -> None:
    order = submit_resting(world)
    world.change(order["orderId"], {"limitPrice": price_times(world, "0.9")})
    run_between_read_and_write(monkeypatch, world.work_until_empty)
    answer = (
        world.change(order["orderId"], {"limitPrice": 1})
        if request_of == "change"
        else world.cancel(order["orderId"])
    )
    assert (answer.status, "confirmed" in answer.json["detail"]) == (409, True)
    executed = world.read(order["orderId"])
    assert statuses_of(executed).count("confirmed") == 1


@pytest.mark.parametrize("request_of", ["change", "cancel"])
def test_if_the_change_or_cancellation_is_first_the_order_is_not_executed(
    world: World, monkeypatch: pytest.MonkeyPatch, request_of: str
) -> None:
    order = submit_resting(world)
    world.change(order["orderId"], {"limitPrice": price_times(world, "0.9")})
    answers: list[Any] = []

    def act() -> None:
        answers.append(
            world.change(order["orderId"], {"limitPrice": 500})
            if request_of == "change"
            else world.cancel(order["orderId"])
        )

    run_before_the_prices(monkeypatch, act)
    world.work_until_empty()
    assert [answer.status for answer in answers] == [200]
    final = world.read(order["orderId"])
    assert final["status"] == ("resting" if request_of == "change" else "cancelled")
    assert "submitted" not in statuses_of(final)


def test_a_worker_does_not_store_wake_keys_of_terms_that_were_changed_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = submit_resting(world)
    world.change(order["orderId"], {"limitPrice": price_times(world, "1.2")})

    def change_and_wake() -> None:
        world.change(order["orderId"], {"limitPrice": price_times(world, "1.05")})
        assert wake(world, order)["status"] == "resting"

    run_before_the_prices(monkeypatch, change_and_wake)
    queue.enqueue(order["orderId"], woken=True)
    world.work()
    stored = orders.load_order(order["orderId"])
    price = Fraction(stored.order.limit_price or 0)
    assert wake_key(price * Fraction(999, 1000)) < (stored.wake.above or "") <= wake_key(price)


def test_a_cancelled_order_never_executes(world: World) -> None:
    order = submit_resting(world)
    world.change(order["orderId"], {"limitPrice": price_times(world, "0.9")})
    cancelled = world.cancel(order["orderId"])
    assert cancelled.status == world.cancel(order["orderId"]).status == 200
    world.work_until_empty()
    queue.enqueue(order["orderId"], woken=True)
    world.work_until_empty()
    assert world.read(order["orderId"]) == cancelled.json


def test_a_cancellation_during_a_change_cancels_the_changed_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = submit_resting(world)
    run_between_read_and_write(
        monkeypatch, lambda: world.change(order["orderId"], {"limitPrice": 400})
    )
    assert world.cancel(order["orderId"]).json["status"] == "cancelled"


def test_a_repeated_submission_is_answered_with_its_order_as_changed_since(
    world: World,
) -> None:
    body = ORDER | {
        "type": "limit",
        "limitPrice": price_times(world, "1.1"),
        "expiresAt": iso(START_MS + 60_000),
    }
    headers = {"idempotency-key": "k"}
    first = world.http("execute_order", body=body, headers=headers).json
    world.work()
    world.change(first["orderId"], {"limitPrice": 500, "expiresAt": None})
    runtime.sleep(61)  # after the expiry in the request
    again = world.http("execute_order", body=body, headers=headers)
    assert (again.status, again.json["orderId"]) == (200, first["orderId"])
    assert again.json["limitPrice"] == "500"
    other = world.http("execute_order", body=body | {"limitPrice": 500}, headers=headers)
    assert other.status == 422


# --- bad input --------------------------------------------------------------------------------

LIMIT: Json = {"type": "limit", "limitPrice": "160"}
TWAP: Json = {"type": "twap", "slices": 3, "intervalSeconds": 60}


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"type": "iceberg"}, "type", "must be 'market', 'limit', 'stop', 'oco' or 'twap'"),
        (
            {"limitPrice": 1},
            "limitPrice",
            "does not apply to type market, only to limit, oco and twap",
        ),
        ({"type": "limit"}, "limitPrice", "is required for type limit"),
        (
            LIMIT | {"stopPrice": 1},
            "stopPrice",
            "does not apply to type limit, only to stop and oco",
        ),
        ({"type": "stop"}, "stopPrice", "is required for type stop"),
        ({"type": "oco", "limitPrice": 1}, "stopPrice", "is required for type oco"),
        ({"type": "oco", "stopPrice": 1}, "limitPrice", "is required for type oco"),
        (
            {"type": "oco", "limitPrice": 2, "stopPrice": 2},
            "stopPrice",
            "must be less than limitPrice",
        ),
        (LIMIT | {"limitPrice": 0}, "limitPrice", "must be greater than 0"),
        (LIMIT | {"limitPrice": -1}, "limitPrice", "must be greater than 0"),
        (LIMIT | {"limitPrice": "1,5"}, "limitPrice", "must be a decimal number"),
        (LIMIT | {"limitPrice": "NaN"}, "limitPrice", "must be finite"),
        (
            LIMIT | {"limitPrice": True},
            "limitPrice",
            "must be a decimal number, as a number or as text",
        ),
        (
            LIMIT | {"limitPrice": None},
            "limitPrice",
            "must be a decimal number, as a number or as text",
        ),
        (
            LIMIT | {"limitPrice": "0.0000000000000000001"},
            "limitPrice",
            "must have at most 18 decimal places",
        ),
        (
            LIMIT | {"limitPrice": "1e999999999"},
            "limitPrice",
            "is beyond what any amount of tokenOut can pay",
        ),
        (
            LIMIT | {"limitPrice": "18446744073710"},
            "limitPrice",
            "must not make the amount worth more than 18446744073709.551615 USDC",
        ),
        (
            LIMIT | {"limitPrice": "0.00000001"},
            "limitPrice",
            "must not make the amount worth less than 0.000001 USDC",
        ),
        (
            {"type": "stop", "stopPrice": "0.0000009"},
            "stopPrice",
            "must not make the amount worth less than 0.000001 USDC",
        ),
        (
            LIMIT | {"slippageBps": 5},
            "slippageBps",
            "does not apply to type limit, only to market, stop, oco and twap",
        ),
        (LIMIT | {"expiresAt": iso(START_MS)}, "expiresAt", "must be in the future"),
        (
            LIMIT | {"expiresAt": iso(START_MS + 30 * DAY_MS + 1)},
            "expiresAt",
            "must be at most 30 days from now",
        ),
        (
            LIMIT | {"expiresAt": "tomorrow"},
            "expiresAt",
            "must be a time such as 2026-01-31T12:00:00.000Z",
        ),
        (
            LIMIT | {"expiresAt": "2027-02-30T12:00:00.000Z"},
            "expiresAt",
            "must be a time such as 2026-01-31T12:00:00.000Z",
        ),
        (
            {"expiresAt": iso(START_MS + 1000)},
            "expiresAt",
            "does not apply to type market, only to limit, stop and oco",
        ),
        (
            {"timeInForce": "IOC"},
            "timeInForce",
            "does not apply to type market, only to limit, stop and oco",
        ),
        (LIMIT | {"timeInForce": "FOK"}, "timeInForce", "must be 'GTC' or 'IOC'"),
        ({"type": "twap", "intervalSeconds": 1}, "slices", "is required for type twap"),
        ({"type": "twap", "slices": 2}, "intervalSeconds", "is required for type twap"),
        ({"slices": 2}, "slices", "does not apply to type market, only to twap"),
        (TWAP | {"slices": 1}, "slices", "must be at least 2"),
        (TWAP | {"slices": 101}, "slices", "must be at most 100"),
        (TWAP | {"slices": "3"}, "slices", "must be a whole number"),
        (TWAP | {"intervalSeconds": 0}, "intervalSeconds", "must be at least 1"),
        (TWAP | {"intervalSeconds": 86_401}, "intervalSeconds", "must be at most 86400"),
        (
            TWAP | {"amount": "0.000000002"},
            "slices",
            "must be at most 2, for each slice swaps at least one base unit",
        ),
        (
            TWAP | {"expiresAt": iso(START_MS + 1000)},
            "expiresAt",
            "does not apply to type twap, only to limit, stop and oco",
        ),
        (
            TWAP | {"limitPrice": 1, "slippageBps": 1},
            "slippageBps",
            "does not apply to a twap order with a limitPrice, which sets the least it accepts",
        ),
        (
            TWAP | {"parentId": ORDER_ID},
            "parentId",
            "is not a field of this request",
        ),
    ],
)
def test_terms_that_do_not_suit_the_type_of_the_order_are_refused(
    world: World, fields: Json, field: str, rule: str
) -> None:
    answer = world.http("execute_order", body=ORDER | fields, headers={})
    assert answer.status == 400
    assert answer.json["errors"] == [{"field": field, "rule": rule}]


def test_every_invalid_field_is_named(world: World) -> None:
    body = ORDER | {"type": "twap", "stopPrice": 1}
    errors = world.http("execute_order", body=body, headers={}).json["errors"]
    assert [error["field"] for error in errors] == ["stopPrice", "slices", "intervalSeconds"]


def test_an_expiry_may_leave_out_the_milliseconds(world: World) -> None:
    order = world.submit(**LIMIT, expiresAt="2027-01-16T00:00:00Z")
    assert order["expiresAt"] == "2027-01-16T00:00:00.000Z"


def test_a_twap_amount_is_refused_only_if_one_slice_of_it_does_not_route(
    world: World,
) -> None:
    body = PAIR | {"type": "twap", "intervalSeconds": 60}
    refused = world.http("execute_order", body=body | {"amount": 200_000, "slices": 2}, headers={})
    assert refused.status == 400
    ((error),) = refused.json["errors"]
    assert error["field"] == "amount"
    assert error["rule"].startswith("of each slice must be at most")
    accepted = world.http(
        "execute_order", body=body | {"amount": 200_000, "slices": 100}, headers={}
    )
    assert accepted.status == 202


# --- dead letters, stored items and metrics ----------------------------------------------------


def test_a_dead_letter_leaves_a_resting_order_and_announces_its_pair(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = submit_resting(world)
    announced: list[str] = []
    monkeypatch.setattr("functions.dead_letters.resting.announce", announced.append)
    runtime.sleep(DAY_MS / 1000)
    answer = world.deliver_dead_letter(order_message(order["orderId"]))
    assert answer == {"batchItemFailures": []}
    assert world.read(order["orderId"]) == order
    assert announced == ["SOL/USDC"]


def test_a_dead_letter_ends_an_order_whose_expiry_has_passed(world: World) -> None:
    order = submit_resting(
        world, type="limit", limitPrice=price_times(world, "1.1"), expiresAt=iso(START_MS + 5000)
    )
    runtime.sleep(5 + runtime.settings.sweep_idle_seconds)
    world.deliver_dead_letter(order_message(order["orderId"]))
    assert world.read(order["orderId"])["status"] == "expired"


def test_a_market_order_is_stored_as_the_first_release_stored_it(world: World) -> None:
    order = world.submit()
    request = request_of(world.item(order["orderId"]))
    assert request.keys() == {"tokenIn", "tokenOut", "amount", "slippageBps"}
    world.work_until_empty()
    assert world.item(order["orderId"]).keys() == {
        "orderId",
        "owner",
        "createdAt",
        "request",
        "sequence",
        "updates",
        "followers",
        "writer",
    }


def test_the_confirmation_of_an_order_that_rested_is_not_timed(world: World) -> None:
    """Otherwise the latency alarm would go off because the market had not reached a price."""
    order = submit_resting(world)
    world.change(order["orderId"], {"limitPrice": price_times(world, "0.9")})
    with pytest.MonkeyPatch.context() as patch:
        metrics: list[str] = []
        patch.setattr("functions.telemetry.time", lambda metric, _ms: metrics.append(metric))
        world.work_until_empty()
    assert world.read(order["orderId"])["status"] == "confirmed"
    assert "TimeToConfirm" not in metrics
