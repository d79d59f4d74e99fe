"""Orders in slices: one slice at a time, none twice, none lost, and exact sums."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from functions import runtime, worker
from functions.contract import iso, order_message, unix_ms
from functions.orders import slices
from functions.orders.order import Order, OrderError, Status, Update, order_of
from functions.store import orders, queue
from tests.clock import START_MS, VirtualClock
from tests.events import Json
from tests.functions.waiting import price_times, watch
from tests.orders import ORDER_ID, REQUEST, advanced, pending_order, statuses_of
from tests.world import World


@pytest.fixture(autouse=True)
def clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "clock", VirtualClock())
    watch()


def submit(world: World, **fields: Any) -> Json:
    """A twap order of three slices a minute apart, unless the fields say otherwise."""
    twap: Json = {"type": "twap", "slices": 3, "intervalSeconds": 60}
    return world.submit(**(twap | fields))


def work_until_idle(world: World, order: Json, seconds: float = 0) -> Json:
    """Let time pass, queue the order, and work until no message is visible."""
    runtime.sleep(seconds)
    queue.enqueue(order["orderId"], woken=True)
    for _ in range(30):
        if not world.work() and not visible_messages(world):
            return world.read(order["orderId"])
    raise AssertionError("the queue is never empty")


def visible_messages(world: World) -> int:
    attributes = world.sqs.get_queue_attributes(
        QueueUrl=world.queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


def children(world: World, order: Json, **query: Any) -> list[Json]:
    """The order's slices, the first one first."""
    answer = world.http("list_orders", query={"parentId": order["orderId"], "limit": 100, **query})
    assert answer.status == 200, answer.text
    return list(reversed(answer.json["orders"]))


def total(found: list[Json], field: str) -> Decimal:
    return sum((Decimal(each[field]) for each in found if field in each), Decimal(0))


def test_a_twap_order_executes_its_slices_in_turn_and_adds_them_up(world: World) -> None:
    order = submit(world, amount="1.000000001")
    first = work_until_idle(world, order)
    assert statuses_of(first) == ["pending", "routing", "working", "working"]
    assert (first["slice"], first["slicesDone"], first["filledAmount"]) == (1, 1, "0.333333333")
    assert first["nextSliceAt"] == iso(START_MS + 60_000)
    assert work_until_idle(world, order) == first
    second = work_until_idle(world, order, 60)
    assert (second["slice"], second["slicesDone"]) == (2, 2)
    done = work_until_idle(world, order, 60)
    found = children(world, done)
    assert [child["amount"] for child in found] == ["0.333333333", "0.333333334", "0.333333334"]
    assert {child["status"] for child in found} == {"confirmed"}
    assert {child["parentId"] for child in found} == {order["orderId"]}
    assert {child["type"] for child in found} == {"market"}
    assert (done["status"], done["slicesDone"]) == ("confirmed", 3)
    assert done["filledAmount"] == done["amount"] == "1.000000001"
    assert Decimal(done["outAmount"]) == total(found, "outAmount")
    average = Decimal(done["outAmount"]) / Decimal(done["filledAmount"])
    assert abs(Decimal(done["executedPrice"]) - average) < Decimal("0.000001")
    assert done["networkFeeLamports"] == total(found, "networkFeeLamports") > 0
    assert "nextSliceAt" not in done


def test_each_slice_is_due_a_multiple_of_the_interval_after_the_first(world: World) -> None:
    order = submit(world)
    work_until_idle(world, order)
    work_until_idle(world, order, 75)  # late
    work_until_idle(world, order, 45)  # on time
    begun = [u["timestamp"] for u in world.read(order["orderId"])["updates"] if "sliceAmount" in u]
    assert begun == [iso(START_MS + after) for after in (0, 75_000, 120_000)]


@pytest.mark.parametrize("limit", [{}, {"limitPrice": "1"}], ids=["market", "limit"])
def test_an_order_with_a_long_slice_has_no_message_in_the_queue_until_the_slice_ends(
    world: World, limit: Json
) -> None:
    order = submit(world, **limit)
    world.work()
    world.sqs.purge_queue(QueueUrl=world.queue_url)  # the message of the slice
    runtime.sleep(90)  # the next slice is due
    queue.enqueue(order["orderId"], woken=True)
    world.work()
    assert world.read(order["orderId"])["slicesDone"] == 0
    assert world.queued() == 0


def test_several_messages_of_a_twap_order_begin_no_slice_twice(world: World) -> None:
    order = submit(world)
    for _ in range(3):
        queue.enqueue(order["orderId"])
    work_until_idle(world, order)
    work_until_idle(world, order)
    assert len(children(world, order)) == 1


def test_the_next_worker_stores_the_slice_that_a_killed_worker_did_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = submit(world)

    def die(*_: Any) -> None:
        raise SystemError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(orders, "create_order", die)
        assert world.work()
    assert world.read(order["orderId"])["slice"] == 1
    assert children(world, order) == []
    assert work_until_idle(world, order)["slicesDone"] == 1
    (child,) = children(world, order)
    assert child["createdAt"] == iso(START_MS)


def test_the_sweeper_finds_the_end_of_a_slice_whose_message_was_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = submit(world)
    with monkeypatch.context() as patch:
        patch.setattr(queue, "requeue_parent", lambda _order: None)
        world.work()
        world.work()
    (child,) = children(world, order)
    assert (child["status"], world.read(order["orderId"])["slicesDone"]) == ("confirmed", 0)
    runtime.sleep(runtime.settings.sweep_idle_seconds + 11)
    assert world.sweep() == 1
    world.work_until_empty()
    assert world.read(order["orderId"])["slicesDone"] == 3  # all slices were late


def test_the_sweeper_queues_a_slice_that_is_due_later_than_a_message_can_be_delayed(
    world: World,
) -> None:
    order = submit(world, intervalSeconds=86_400)
    work_until_idle(world, order)
    assert world.item(order["orderId"])["openShard"]["S"].startswith("due")
    assert world.queued() == 0
    assert world.sweep() == 0
    assert world.queued() == 0
    runtime.sleep(86_400 - 600)
    assert world.sweep() == 0
    assert world.queued() == 1


def test_a_limit_slice_rests_until_the_next_is_due_and_leaves_its_amount_to_that_one(
    world: World,
) -> None:
    order = submit(world, amount="0.9", limitPrice=price_times(world, "1.1"))
    waiting = work_until_idle(world, order)
    (first,) = children(world, order)
    assert (first["status"], first["type"], first["amount"]) == ("resting", "limit", "0.3")
    assert first["limitPrice"] == order["limitPrice"]
    assert first["expiresAt"] == waiting["nextSliceAt"] == iso(START_MS + 60_000)
    queue.enqueue(first["orderId"], woken=True)
    work_until_idle(world, order, 60)
    first, second = children(world, order)
    assert (first["status"], second["amount"]) == ("expired", "0.6")
    queue.enqueue(second["orderId"], woken=True)
    work_until_idle(world, order, 60)
    third = children(world, order)[2]
    assert third["amount"] == "0.9"
    queue.enqueue(third["orderId"], woken=True)
    ended = work_until_idle(world, order, 60)
    assert (ended["status"], ended["slicesDone"]) == ("expired", 3)
    assert not {"filledAmount", "outAmount", "executedPrice"} & ended.keys()


def test_a_limit_slice_whose_price_is_reached_executes_at_it_or_better(world: World) -> None:
    price = price_times(world, "0.99")
    order = submit(world, limitPrice=price)
    work_until_idle(world, order)
    (first,) = children(world, order)
    assert first["status"] == "confirmed"
    assert Decimal(first["executedPrice"]) >= Decimal(price)


def test_a_limit_slice_has_ten_seconds_to_land_though_the_next_is_due_after_one(
    world: World,
) -> None:
    order = submit(world, intervalSeconds=1, limitPrice=price_times(world, "1.1"))
    work_until_idle(world, order)
    (first,) = children(world, order)
    assert first["expiresAt"] == iso(START_MS + 10_000)


def test_the_amount_of_a_failed_slice_goes_to_the_next_and_that_of_the_last_is_not_swapped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = submit(world, amount="0.9", simulate={"fault": "venue_down"})
    work_until_idle(world, order)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "network", replace(worker.network, simulate_allowed=False))
        work_until_idle(world, order, 60)
    done = work_until_idle(world, order, 60)
    assert [(c["status"], c["amount"]) for c in children(world, order)] == [
        ("failed", "0.3"),
        ("confirmed", "0.6"),
        ("failed", "0.3"),
    ]
    assert (done["status"], done["filledAmount"], done["slicesDone"]) == ("confirmed", "0.6", 3)
    assert "error" not in done


def test_a_twap_order_without_an_executed_slice_fails_with_the_error_of_the_last_one(
    world: World,
) -> None:
    order = submit(world, slices=2, simulate={"fault": "slippage"})
    work_until_idle(world, order)
    ended = work_until_idle(world, order, 60)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "SLIPPAGE_TOLERANCE_EXCEEDED")
    fees = total(children(world, order), "networkFeeLamports")
    assert ended["networkFeeLamports"] == fees > ended["error"]["networkFeeLamports"] > 0


# --- cancelling -------------------------------------------------------------------------------


def test_between_two_slices_the_rest_of_a_twap_order_is_cancelled(world: World) -> None:
    order = submit(world, amount="0.9")
    work_until_idle(world, order)
    answer = world.cancel(order["orderId"])
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    assert (answer.json["slicesDone"], answer.json["filledAmount"]) == (1, "0.3")
    assert work_until_idle(world, order, 60) == answer.json == world.cancel(order["orderId"]).json
    assert len(children(world, order)) == 1


def test_a_resting_slice_is_cancelled_with_its_order(world: World) -> None:
    order = submit(world, limitPrice=price_times(world, "1.1"))
    work_until_idle(world, order)
    answer = world.cancel(order["orderId"])
    assert (answer.json["status"], answer.json["slicesDone"]) == ("cancelled", 1)
    assert work_until_idle(world, order, 60) == answer.json
    assert [child["status"] for child in children(world, order)] == ["cancelled"]


def test_while_a_slice_executes_a_cancellation_of_its_order_is_refused_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "settings", replace(runtime.settings, retry_base_ms=10**11))
    order = submit(world, simulate={"fault": "venue_down", "attempts": 1})
    work_until_idle(world, order)
    (child,) = children(world, order)
    answer = world.cancel(order["orderId"])
    assert (answer.status, answer.json["code"]) == (409, "ORDER_NOT_CANCELLABLE")
    assert f"{child['orderId']} is routing" in answer.json["detail"]


def test_a_cancellation_is_refused_while_the_slice_is_not_yet_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = submit(world)
    with monkeypatch.context() as patch:
        patch.setattr(orders, "create_order", lambda *_: 1 / 0)
        world.work()
    assert world.cancel(order["orderId"]).status == 409
    assert work_until_idle(world, order)["slicesDone"] == 1


def test_after_a_cancelled_slice_its_order_continues(world: World) -> None:
    order = submit(world, amount="0.9", limitPrice=price_times(world, "1.1"))
    work_until_idle(world, order)
    (child,) = children(world, order)
    assert world.cancel(child["orderId"]).status == 200
    assert work_until_idle(world, order)["slicesDone"] == 1
    work_until_idle(world, order, 60)
    assert children(world, order)[1]["amount"] == "0.6"


def test_a_change_of_a_slice_is_refused(world: World) -> None:
    order = submit(world, limitPrice=price_times(world, "1.1"))
    work_until_idle(world, order)
    (child,) = children(world, order)
    assert world.change(child["orderId"], {"limitPrice": 1}).status == 409
    assert "working" in world.change(order["orderId"], {"limitPrice": 1}).json["detail"]


def test_after_the_dead_letter_of_a_slice_its_order_continues(world: World) -> None:
    order = submit(world)
    world.work()
    (child,) = children(world, order)
    world.sqs.purge_queue(QueueUrl=world.queue_url)
    runtime.sleep(runtime.settings.sweep_idle_seconds)
    world.deliver_dead_letter(order_message(child["orderId"]))
    world.work_until_empty()
    assert world.read(child["orderId"])["status"] == "failed"
    assert world.read(order["orderId"])["slicesDone"] >= 1


# --- lists ------------------------------------------------------------------------------------


def test_the_slices_of_an_order_are_listed_in_pages_the_latest_first(world: World) -> None:
    order = submit(world, slices=5, intervalSeconds=1)
    for _ in range(5):
        work_until_idle(world, order, 1)
    found = world.listed_ids(parentId=order["orderId"], limit=2)
    assert found == slices.ids(orders.get_order(order["orderId"], "desk-7"))
    assert len(set(found)) == 5


def test_slices_are_listed_only_of_a_twap_order_of_the_owner(world: World) -> None:
    twap, market = submit(world), world.submit()
    rule = {"field": "parentId", "rule": "must be the id of a twap order of yours"}
    for changes in (
        {"query": {"parentId": market["orderId"]}},
        {"query": {"parentId": ORDER_ID}},
        {"query": {"parentId": twap["orderId"]}, "owner": "other"},
    ):
        answer = world.http("list_orders", **changes)
        assert (answer.status, answer.json["errors"]) == (400, [rule])
    bad = world.http("list_orders", query={"parentId": "x"})
    assert bad.json["errors"] == [{"field": "parentId", "rule": "must be a UUID"}]


# --- arithmetic -------------------------------------------------------------------------------


@hypothesis_settings(deadline=None)  # the machine may be busy
@given(
    units=st.integers(2, 10**12),
    count=st.integers(2, 100),
    fills=st.lists(st.booleans(), min_size=100, max_size=100),
)
def test_the_amounts_of_all_slices_add_up_exactly(
    units: int, count: int, fills: list[bool]
) -> None:
    count = min(count, units)
    amount = f"{Decimal(units) / 10**9:.9f}"
    order = pending_order(type="twap", amount=amount, slices=count, interval_seconds=1)
    order = advanced(order, Status.ROUTING)
    order = order.apply(slices.begin_slice(order, 0))
    filled = Decimal(0)
    for number in range(1, count + 1):
        child = slices.slice_order(order)
        assert Decimal(child.amount) > 0
        if fills[number - 1]:
            filled += Decimal(child.amount)
        child = ended(child, executed=fills[number - 1])
        order = order.apply(slices.update_after_slice(order, child, 10**9))
    assert order.status.terminal
    assert Decimal(order.filled_amount or 0) == filled
    if fills[count - 1]:  # no amount was left
        assert filled == Decimal(amount)
    assert len({each.slice for each in order.updates if each.slice}) == count


def ended(child: Order, *, executed: bool) -> Order:
    child = advanced(child, Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
    if executed:
        return child.apply(child.next_update(Status.CONFIRMED, 0, out_amount="1.5"))
    error = OrderError(code="FAILED_TO_LAND", message="It was dropped.")
    return child.apply(child.next_update(Status.FAILED, 0, error=error))


def test_a_slice_can_be_derived_from_the_stored_order_alone() -> None:
    terms: Json = {"type": "twap", "slices": 2, "interval_seconds": 60, "limit_price": "160"}
    terms |= {"slippageBps": None}
    order = pending_order(at_ms=START_MS, **terms)
    order = advanced(order, Status.ROUTING, at_ms=START_MS)
    order = order.apply(slices.begin_slice(order, START_MS))
    updates = [Update.model_validate_json(update.to_json()) for update in order.updates]
    stored = order_of(REQUEST | terms, updates)
    assert slices.slice_order(stored) == slices.slice_order(order)
    assert unix_ms(slices.slice_order(order).expires_at or "") == START_MS + 60_000
