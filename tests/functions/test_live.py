"""WebSocket and publisher: every update reaches every follower, in order, exactly once."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from functions import publisher, websocket
from functions.contract import unix_ms
from functions.runtime import settings
from functions.store import connections, orders
from tests.events import event
from tests.functions.world import World

LIFE = ["pending", "routing", "building", "submitted", "confirmed"]
UNKNOWN = "0a4b1c2d-3e4f-5a6b-8c7d-9e0f1a2b3c4d"


def statuses(world: World, connection_id: str) -> list[str]:
    received = world.connections.received[connection_id]
    return [message["status"] for message in received if "status" in message]


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_follower_sees_the_whole_life_whenever_it_subscribes(world: World, when: str) -> None:
    order_id = world.submit()["orderId"]
    client = world.connect("c1")
    if when == "before":
        world.send(client, {"orderId": order_id})
        world.publish()
    if when == "during":
        world.publish()
        world.work()
        world.send(client, {"orderId": order_id})
    world.settle()
    if when == "after":
        world.send(client, {"orderId": order_id})
        world.publish()
    received = world.connections.received[client]
    assert statuses(world, client) == LIFE
    assert [message["sequence"] for message in received] == [1, 2, 3, 4, 5]
    assert received == world.read(order_id)["updates"]


def test_updates_carry_the_details_of_their_step(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.send(world.connect("c1"), {"orderId": order_id})
    world.settle()
    pending, routing, building, submitted, confirmed = world.connections.received["c1"]
    common = {"orderId", "sequence", "status", "timestamp"}
    assert set(pending) == set(routing) == common
    assert set(building) == common | {"route"}
    assert set(submitted) == common | {"txHash"}
    assert set(confirmed) == common | {"txHash", "outAmount", "executedPrice"}


def test_a_subscriber_resumes_after_the_sequence_that_it_has(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.settle()
    world.send(
        world.connect("c1"), {"action": "subscribe", "orderId": order_id, "sinceSequence": 3}
    )
    world.publish()
    assert statuses(world, "c1") == LIFE[3:]


def test_a_repeated_subscription_replays_again(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.settle()
    for _ in range(2):
        world.send(world.connect("c1"), {"orderId": order_id})
        world.publish()
    assert statuses(world, "c1") == LIFE * 2


def test_all_orders_of_the_owner_are_followed_from_now_on(world: World) -> None:
    earlier = world.submit()["orderId"]
    world.settle()
    world.send(world.connect("c1"), {"orderId": "*"})
    ids = [world.submit()["orderId"] for _ in range(3)]
    world.settle()
    subscribed, *updates = world.connections.received["c1"]
    assert subscribed == {"type": "subscribed", "orderId": "*"}
    assert earlier not in {update["orderId"] for update in updates}
    for order_id in ids:
        assert [u["status"] for u in updates if u["orderId"] == order_id] == LIFE


def test_a_look_up_of_followers_serves_a_while_and_none_outlives_the_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1_000_000)
    look_ups: list[str] = []
    look_up = connections.followers_of_all

    def counted(owner: str) -> list[str]:
        look_ups.append(owner)
        return look_up(owner)

    def pass_by(seconds: float) -> None:
        world.publish()  # while the client waits for its answer, an old look-up may serve
        clock.now += round(seconds * 1000)

    monkeypatch.setattr(connections, "followers_of_all", counted)
    monkeypatch.setattr(publisher, "now_ms", lambda: clock.now)
    monkeypatch.setattr(websocket, "time", SimpleNamespace(sleep=pass_by))
    world.submit()
    world.settle()
    assert len(look_ups) == 1
    world.submit()
    world.send(world.connect("c1"), {"orderId": "*"})
    assert len(look_ups) == 1
    assert world.connections.received["c1"] == [{"type": "subscribed", "orderId": "*"}]
    world.settle()
    assert statuses(world, "c1") == LIFE[1:]
    clock.now -= 10_000  # a clock that was put back
    world.submit()
    world.settle()
    assert len(look_ups) == 3


def test_following_one_order_and_all_orders_gives_each_update_once(world: World) -> None:
    client = world.connect("c1")
    order_id = world.submit()["orderId"]
    world.send(client, {"orderId": order_id})
    world.publish()
    world.send(client, {"orderId": "*"})
    world.settle()
    updates = [m for m in world.connections.received[client] if "status" in m]
    assert [update["sequence"] for update in updates] == [1, 2, 3, 4, 5]


def test_unsubscribing_ends_the_pushes(world: World) -> None:
    client = world.connect("c1")
    order_id = world.submit()["orderId"]
    world.send(client, {"orderId": order_id})
    world.publish()
    world.send(client, {"orderId": "*"})
    world.send(client, {"action": "unsubscribe", "orderId": order_id})
    world.send(client, {"action": "unsubscribe", "orderId": "*"})
    world.settle()
    assert world.connections.received[client][-1] == {"type": "unsubscribed", "orderId": "*"}
    assert [m["status"] for m in world.connections.received[client] if "status" in m] == ["pending"]


def test_a_ping_is_answered(world: World) -> None:
    world.send(world.connect("c1"), {"action": "ping"})
    assert world.connections.received["c1"] == [{"type": "pong"}]


@pytest.mark.parametrize(
    ("message", "code", "names"),
    [
        ({"orderId": UNKNOWN}, "ORDER_NOT_FOUND", UNKNOWN),
        ("not json", "INVALID_JSON", "JSON"),
        ("", "INVALID_JSON", "JSON"),
        ("[1]", "INVALID_JSON", "object"),
        ("[" * 4000, "INVALID_JSON", "JSON"),
        ({"action": "dance"}, "UNKNOWN_ACTION", "action"),
        ({"action": ["ping"]}, "UNKNOWN_ACTION", "action"),
        ({}, "INVALID_MESSAGE", "orderId"),
        ({"orderId": 5}, "INVALID_MESSAGE", "orderId"),
        ({"orderId": "5"}, "INVALID_MESSAGE", "orderId"),
        ({"action": "unsubscribe"}, "INVALID_MESSAGE", "orderId"),
        ({"orderId": UNKNOWN, "sinceSequence": -1}, "INVALID_MESSAGE", "sinceSequence"),
        ({"orderId": UNKNOWN, "sinceSequence": "1"}, "INVALID_MESSAGE", "sinceSequence"),
        ({"orderId": UNKNOWN, "depth": 1}, "INVALID_MESSAGE", "depth"),
    ],
)
def test_a_bad_message_is_answered_with_an_error_and_the_connection_stays(
    world: World, message: Any, code: str, names: str
) -> None:
    client = world.connect("c1")
    world.send(client, message)
    world.send(client, {"action": "ping"})
    error, pong = world.connections.received[client]
    assert error["error"]["code"] == code
    assert names in error["error"]["message"]
    assert pong == {"type": "pong"}


def test_an_order_has_at_most_100_followers(world: World) -> None:
    order_id = world.submit()["orderId"]
    for number in range(101):
        world.send(world.connect(f"c{number}"), {"orderId": order_id})
    assert world.connections.received["c100"][0]["error"]["code"] == "TOO_MANY_FOLLOWERS"
    world.disconnect("c0")
    world.send("c100", {"orderId": order_id})
    world.settle()
    assert statuses(world, "c99") == LIFE
    assert [m["status"] for m in world.connections.received["c100"] if "status" in m] == LIFE


def test_a_gone_connection_is_forgotten_and_the_others_are_served(world: World) -> None:
    order_id = world.submit()["orderId"]
    for client in ("gone", "here"):
        world.send(world.connect(client), {"orderId": order_id})
    world.connections.gone.add("gone")
    world.settle()
    assert statuses(world, "here") == LIFE
    followers = world.dynamodb.get_item(TableName="orders", Key={"orderId": {"S": order_id}})[
        "Item"
    ]["followers"]["M"]
    assert set(followers) == {"here"}
    connections = world.dynamodb.scan(TableName="connections")["Items"]
    assert [item["connectionId"]["S"] for item in connections] == ["here"]


def test_a_record_that_comes_again_repeats_its_updates_under_their_sequence(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.send(world.connect("c1"), {"orderId": order_id})
    records = world.stream()
    world.publish(records)
    world.publish(records)
    assert world.connections.received["c1"][0] == world.connections.received["c1"][1]


def test_a_push_that_fails_brings_the_batch_again(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.send(world.connect("c1"), {"orderId": order_id})
    records = world.stream()

    def throttled(_connection_id: str) -> None:
        raise TimeoutError

    world.connections.before_post = throttled
    with pytest.raises(TimeoutError):
        world.publish(records)
    world.connections.before_post = lambda _connection_id: None
    world.publish(records)
    assert statuses(world, "c1") == ["pending"]


def test_a_message_after_the_end_of_its_connection_leaves_nothing_behind(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.connect("c1")
    world.disconnect("c1")
    world.send("c1", {"orderId": order_id})
    world.send("c1", {"orderId": "*"})
    world.settle()
    assert world.connections.received["c1"] == []
    assert world.dynamodb.scan(TableName="connections")["Items"] == []


def test_the_expiry_of_an_order_is_no_update(world: World) -> None:
    record = event("stream_order")["Records"][0]
    del record["dynamodb"]["NewImage"]
    world.publish([record])
    assert world.connections.received == {}


def test_the_recorded_stream_event_is_pushed_to_its_follower(world: World) -> None:
    world.publish(event("stream_order")["Records"])
    (update,) = world.connections.received["UrZ6idTPliACEvA="]
    assert (update["status"], update["sequence"]) == ("routing", 2)


def test_an_order_expires_only_where_that_is_asked_for_and_only_once_it_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expiry(order_id: str) -> str | None:
        item = world.dynamodb.get_item(TableName="orders", Key={"orderId": {"S": order_id}})["Item"]
        return item.get("expiresAt", {}).get("N")

    kept = world.submit()["orderId"]
    world.settle()
    assert expiry(kept) is None
    monkeypatch.setattr(orders, "settings", replace(settings, order_expiry_days=30))
    order = world.submit()
    assert expiry(order["orderId"]) is None
    world.settle()
    ended = world.read(order["orderId"])["confirmedAt"]
    assert expiry(order["orderId"]) == str(unix_ms(ended) // 1000 + 30 * 86_400)


def test_connections_age_out(world: World) -> None:
    world.connect("c1")
    (item,) = world.dynamodb.scan(TableName="connections")["Items"]
    assert int(item["expiresAt"]["N"]) > connections.TTL_SECONDS
