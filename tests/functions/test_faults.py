"""Faults in one handler at a time; tests/faults combines all handlers."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions import dead_letters, push
from functions.contract import order_message
from functions.orders.order import Status
from functions.runtime import now_ms, settings, sleep
from functions.simulation.network import Network
from functions.store import clients, connections, orders
from tests.events import event
from tests.orders import LIFE
from tests.world import World

REFUSED = ClientError({"Error": {"Code": "LimitExceededException"}}, "PostToConnection")


def submitted(world: World, **fields: Any) -> dict[str, Any]:
    """An order whose worker was killed just after it had stored the transaction."""
    order = world.order_killed_in("send", **fields)
    assert order["status"] == "submitted"
    return order


def end_by_dead_letter(world: World, order: dict[str, Any]) -> Any:
    """Deliver the dead letter once the order is idle and its transaction's outcome is known."""
    sleep(settings.sweep_idle_seconds)
    answer = world.deliver_dead_letter(order_message(order["orderId"]))
    assert answer == {"batchItemFailures": []}
    return world.read(order["orderId"])


def test_a_dead_letter_confirms_an_order_whose_transaction_landed(world: World) -> None:
    order = submitted(world)
    ended = end_by_dead_letter(world, order)
    assert (ended["status"], ended["txHash"]) == ("confirmed", order["txHash"])
    assert ended["outAmount"]
    assert ended["executedPrice"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [("slippage", "SLIPPAGE_TOLERANCE_EXCEEDED"), ("dropped_transaction", "FAILED_TO_LAND")],
)
def test_a_dead_letter_fails_an_order_whose_transaction_can_no_longer_land(
    world: World, fault: str, code: str
) -> None:
    order = submitted(world, simulate={"fault": fault})
    ended = end_by_dead_letter(world, order)
    assert (ended["status"], ended["error"]["code"]) == ("failed", code)


def test_a_dead_letter_stays_in_its_queue_while_the_transaction_may_land(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = submitted(world, simulate={"fault": "dropped_transaction"})
    monkeypatch.setattr(dead_letters, "settings", replace(settings, sweep_idle_seconds=0))
    slow = Network.of(replace(settings, latency_scale=1), now_ms, sleep)
    monkeypatch.setattr(dead_letters, "network", slow)
    answer = world.deliver_dead_letter(order_message(order["orderId"]))
    failures = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert failures == ["dead"]
    assert world.read(order["orderId"]) == order


def test_a_dead_letter_ends_an_order_whose_transaction_was_dropped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of the tests have no latency, so the network knows it at once."""
    order = submitted(world, simulate={"fault": "dropped_transaction"})
    monkeypatch.setattr(dead_letters, "settings", replace(settings, sweep_idle_seconds=0))
    assert world.deliver_dead_letter(order_message(order["orderId"]))["batchItemFailures"] == []
    ended = world.read(order["orderId"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "FAILED_TO_LAND")


def test_a_repeat_of_a_write_whose_answer_was_lost_succeeds(world: World) -> None:
    order = orders.load_order(world.submit()["orderId"]).order
    update = order.next_update(Status.ROUTING, 1)
    assert orders.append_update(order, "desk-7", update) == orders.append_update(
        order, "desk-7", update
    )
    with pytest.raises(orders.StaleOrder):
        orders.append_update(order, "desk-7", order.next_update(Status.ROUTING, 2))


def test_an_order_whose_put_is_repeated_after_a_lost_answer_is_accepted_as_new(
    world: World,
) -> None:
    waits = iter([0])  # the seconds after which botocore repeats the request
    events: Any = clients.dynamodb().meta.events
    name = "needs-retry.dynamodb.PutItem"

    def lose_the_answer(**_: Any) -> int | None:
        return next(waits, None)

    events.register_first(name, lose_the_answer)
    try:
        order = world.submit("a-key")  # 202, not the 200 of an order that was stored before
    finally:
        events.unregister(name, lose_the_answer)
    assert list(waits) == []
    assert world.read(order["orderId"])["status"] == "pending"


def test_an_equal_update_with_another_transaction_is_not_taken_for_a_repeat(
    world: World,
) -> None:
    order = orders.load_order(world.submit()["orderId"]).order
    for status in (Status.ROUTING, Status.BUILDING):
        order = orders.append_update(order, "desk-7", order.next_update(status, 1))
    update = order.next_update(Status.SUBMITTED, 1, tx_hash="1")
    submitted = orders.append_update(order, "desk-7", update, transaction='{"seed":"a"}')
    assert orders.append_update(order, "desk-7", update, transaction='{"seed":"a"}') == submitted
    with pytest.raises(orders.StaleOrder):
        orders.append_update(order, "desk-7", update, transaction='{"seed":"b"}')


def test_a_malformed_stream_record_is_logged_and_skipped(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    (good,) = event("stream_order")["Records"]
    bad: list[dict[str, Any]] = [{"eventID": "bad-0"}, {"eventID": "bad-1", "dynamodb": 1}]
    for number, field in enumerate(("owner", "orderId", "updates"), start=2):
        broken = copy.deepcopy(good) | {"eventID": f"bad-{number}"}
        del broken["dynamodb"]["NewImage"][field]
        bad.append(broken)
    world.publish([*bad, good])
    assert [len(messages) for messages in world.connections.received.values()] == [1]
    logged = [getattr(record, "event_id", None) for record in caplog.records]
    assert logged == [record["eventID"] for record in bad]


def test_a_connection_that_refuses_pushes_is_closed_and_the_others_are_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = world.submit()["orderId"]
    for client in ("stuck", "here"):
        world.send(world.connect(client), {"orderId": order_id})
    closed: list[str] = []

    def refuse(connection_id: str) -> None:
        if connection_id == "stuck":
            raise REFUSED

    def close(connection_id: str) -> None:
        closed.append(connection_id)
        world.connections.gone.add(connection_id)

    world.connections.before_post = refuse
    monkeypatch.setattr("functions.publisher.close", close)
    world.work_until_empty()
    assert closed == ["stuck"]
    assert world.connections.statuses("here") == LIFE
    world.connections.before_post = lambda _connection_id: None
    world.send(world.connect("back"), {"orderId": order_id, "sinceSequence": 1})
    world.work_until_empty()
    assert world.connections.statuses("back") == LIFE[1:]


def test_a_connection_that_is_too_slow_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = world.submit()["orderId"]
    world.send(world.connect("slow"), {"orderId": order_id})
    world.work()
    world.connections.before_post = lambda _connection_id: sleep(10)  # a slow push
    closed: list[str] = []
    monkeypatch.setattr("functions.publisher.close", closed.append)
    world.publish()
    assert (closed, world.connections.statuses("slow")) == (["slow"], ["pending", "routing"])


def test_a_batch_fails_if_a_connection_can_be_neither_pushed_to_nor_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = world.submit()["orderId"]
    world.send(world.connect("c1"), {"orderId": order_id})
    records = world.stream()

    def refuse(_connection_id: str) -> None:
        raise REFUSED

    monkeypatch.setattr("functions.publisher.close", refuse)
    world.connections.before_post = refuse
    with pytest.raises(ClientError):
        world.publish(records)
    world.connections.before_post = lambda _connection_id: None
    world.publish(records)
    assert world.connections.statuses("c1") == ["pending"]


def test_closing_a_gone_connection_is_no_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(**_: str) -> None:
        raise world.connections.GoneException

    monkeypatch.setattr(world.connections, "delete_connection", gone, raising=False)
    push.close("c1")


def test_expired_followers_without_a_disconnect_make_room_for_new_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "MAX_FOLLOWERS", 5)
    order_id = world.submit()["orderId"]
    for number in range(orders.MAX_FOLLOWERS):
        world.send(world.connect(f"c{number}"), {"orderId": order_id})
    world.connect("late")
    world.send("late", {"orderId": order_id})
    (refusal,) = world.connections.received["late"]
    assert refusal["error"]["code"] == "TOO_MANY_FOLLOWERS"
    now = now_ms() + (connections.TTL_SECONDS + 1) * 1000
    monkeypatch.setattr("functions.websocket.now_ms", lambda: now)
    world.send(world.connect("later"), {"orderId": order_id})
    world.publish()
    assert world.connections.statuses("later") == ["pending"]
