"""WebSocket and publisher: every update reaches every follower, in order, exactly once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions import runtime
from functions.contract import unix_ms
from functions.orders.order import UPDATES_MAX
from functions.runtime import settings
from functions.store import connections, orders
from tests.clock import START_MS
from tests.events import event
from tests.orders import LIFE, ORDER_ID
from tests.world import World

UNKNOWN = ORDER_ID


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_follower_receives_every_update_whenever_it_subscribes(world: World, when: str) -> None:
    order_id = world.submit()["orderId"]
    client = world.connect("c1")
    if when == "before":
        world.send(client, {"orderId": order_id})
        world.publish()
    if when == "during":
        world.publish()
        world.work()
        world.send(client, {"orderId": order_id})
    world.work_until_empty()
    if when == "after":
        world.send(client, {"orderId": order_id})
        world.publish()
    received = world.connections.received[client]
    assert world.connections.statuses(client) == LIFE
    assert [message["sequence"] for message in received] == [1, 2, 3, 4, 5]
    assert received == world.read(order_id)["updates"]


def test_updates_have_the_details_of_their_status(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.send(world.connect("c1"), {"orderId": order_id})
    world.work_until_empty()
    pending, routing, building, submitted, confirmed = world.connections.received["c1"]
    common = {"orderId", "sequence", "status", "timestamp"}
    assert set(pending) == set(routing) == common
    assert set(building) == common | {"route"}
    assert set(submitted) == common | {"txHash"}
    assert set(confirmed) == common | {"txHash", "outAmount", "executedPrice", "execution"}


def test_a_subscriber_resumes_after_the_sequence_that_it_has(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.work_until_empty()
    world.send(
        world.connect("c1"), {"action": "subscribe", "orderId": order_id, "sinceSequence": 3}
    )
    world.publish()
    assert world.connections.statuses("c1") == LIFE[3:]


def test_a_repeated_subscription_replays_again(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.work_until_empty()
    for _ in range(2):
        world.send(world.connect("c1"), {"orderId": order_id})
        world.publish()
    assert world.connections.statuses("c1") == LIFE * 2


def test_all_orders_of_the_owner_are_followed_from_the_subscription_on(world: World) -> None:
    earlier = world.submit()["orderId"]
    world.work_until_empty()
    world.send(world.connect("c1"), {"orderId": "*"})
    ids = [world.submit()["orderId"] for _ in range(3)]
    world.work_until_empty()
    subscribed, *updates = world.connections.received["c1"]
    assert subscribed == {"type": "subscribed", "orderId": "*"}
    assert earlier not in {update["orderId"] for update in updates}
    for order_id in ids:
        assert [u["status"] for u in updates if u["orderId"] == order_id] == LIFE


class DriftingClocks:
    """A wall clock and a monotonic clock that run at different rates while a handler sleeps."""

    def __init__(self, world: World, wall_rate: float = 1, monotonic_rate: float = 1) -> None:
        self._world, self._rates = world, (wall_rate, monotonic_rate)
        self._now_ms, self._seconds = START_MS, 1000.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        self._world.publish()  # before the answer, the publisher may use an old look-up
        wall_rate, monotonic_rate = self._rates
        self._now_ms += round(seconds * wall_rate * 1000)
        self._seconds += seconds * monotonic_rate


@pytest.mark.parametrize(
    ("wall_rate", "monotonic_rate"),
    [(1, 1), (0, 1), (-0.5, 1), (1, 0), (0.7, 0.7)],
    ids=["both", "wall clock stopped", "wall clock set back", "environment frozen", "both slow"],
)
def test_from_the_answer_on_no_update_is_missed_whatever_the_clocks_do(
    world: World, monkeypatch: pytest.MonkeyPatch, wall_rate: float, monotonic_rate: float
) -> None:
    monkeypatch.setattr(runtime, "clock", DriftingClocks(world, wall_rate, monotonic_rate))
    world.submit()
    world.work_until_empty()  # the publisher has read the owner's followers
    world.send(world.connect("c1"), {"orderId": "*"})
    assert world.connections.received["c1"] == [{"type": "subscribed", "orderId": "*"}]
    world.submit()
    world.work_until_empty()
    assert world.connections.statuses("c1") == LIFE


def test_a_look_up_of_followers_is_used_for_a_second(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_ups: list[str] = []
    look_up = connections.followers_of_all

    def counted(owner: str) -> dict[str, frozenset[str]]:
        look_ups.append(owner)
        return look_up(owner)

    clock = DriftingClocks(world)
    monkeypatch.setattr(runtime, "clock", clock)
    monkeypatch.setattr(connections, "followers_of_all", counted)
    for _ in range(2):
        world.submit()
        world.work_until_empty()
    clock.sleep(0.9)
    world.submit()
    world.work_until_empty()
    assert len(look_ups) == 1
    clock.sleep(0.2)
    world.submit()
    world.work_until_empty()
    assert len(look_ups) == 2


def test_the_age_of_a_look_up_counts_from_before_its_query(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_ups: list[str] = []
    look_up = connections.followers_of_all

    def slow(owner: str) -> Any:
        look_ups.append(owner)
        found = look_up(owner)
        runtime.sleep(connections.LOOKUP_SECONDS)  # the query takes this long
        return found

    monkeypatch.setattr(connections, "followers_of_all", slow)
    world.submit()
    world.publish()
    before = len(look_ups)
    world.submit()
    world.publish()
    assert len(look_ups) > before


def test_following_one_order_and_all_orders_gives_each_update_once(world: World) -> None:
    client = world.connect("c1")
    order_id = world.submit()["orderId"]
    world.send(client, {"orderId": order_id})
    world.publish()
    world.send(client, {"orderId": "*"})
    world.work_until_empty()
    updates = [m for m in world.connections.received[client] if "status" in m]
    assert [update["sequence"] for update in updates] == [1, 2, 3, 4, 5]


def test_after_an_unsubscription_no_update_is_pushed(world: World) -> None:
    client = world.connect("c1")
    order_id = world.submit()["orderId"]
    world.send(client, {"orderId": order_id})
    world.publish()
    world.send(client, {"orderId": "*"})
    world.send(client, {"action": "unsubscribe", "orderId": order_id})
    world.send(client, {"action": "unsubscribe", "orderId": "*"})
    world.work_until_empty()
    assert world.connections.received[client][-1] == {"type": "unsubscribed", "orderId": "*"}
    assert world.connections.statuses(client) == ["pending"]


def test_a_late_repeat_of_the_write_that_stored_a_connection_leaves_it_a_follower(
    world: World,
) -> None:
    """botocore repeats a write without an answer, and the first request may arrive later."""
    world.connect("c1")
    (stored,) = world.dynamodb.scan(TableName="connections")["Items"]
    world.send("c1", {"orderId": "*"})
    connections.connect(stored["owner"]["S"], "c1", runtime.now_ms())
    world.submit()
    world.work_until_empty()
    assert world.connections.statuses("c1") == LIFE


def test_unsubscribing_from_an_order_that_has_expired_leaves_nothing_behind(world: World) -> None:
    client = world.connect("c1")
    order_id = world.submit()["orderId"]
    world.dynamodb.delete_item(TableName="orders", Key={"orderId": {"S": order_id}})
    world.send(client, {"action": "unsubscribe", "orderId": order_id})
    assert world.connections.received[client] == [{"type": "unsubscribed", "orderId": order_id}]
    assert world.dynamodb.scan(TableName="orders")["Items"] == []


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
        ({"action": "unknown"}, "UNKNOWN_ACTION", "action"),
        ({"action": ["ping"]}, "UNKNOWN_ACTION", "action"),
        ({}, "INVALID_MESSAGE", "orderId"),
        ({"orderId": 5}, "INVALID_MESSAGE", "orderId"),
        ({"orderId": "5"}, "INVALID_MESSAGE", "orderId"),
        ({"action": "unsubscribe"}, "INVALID_MESSAGE", "orderId"),
        ({"orderId": UNKNOWN, "sinceSequence": -1}, "INVALID_MESSAGE", "sinceSequence"),
        ({"orderId": UNKNOWN, "sinceSequence": "1"}, "INVALID_MESSAGE", "sinceSequence"),
        ({"orderId": UNKNOWN, "sinceSequence": UPDATES_MAX + 1}, "INVALID_MESSAGE", "from 0 to"),
        ({"orderId": UNKNOWN, "sinceSequence": int("9" * 39)}, "INVALID_MESSAGE", "sinceSequence"),
        ({"order_id": UNKNOWN}, "INVALID_MESSAGE", "orderId"),
        ({"orderId": "*", "ping": 1}, "INVALID_MESSAGE", "ping"),
        ('{"orderId":"*","orderId":"*"}', "INVALID_MESSAGE", "orderId must occur only once"),
        ({"orderId": UNKNOWN, "depth": 1}, "INVALID_MESSAGE", "depth"),
    ],
)
def test_a_bad_message_is_answered_with_an_error_and_the_connection_stays_open(
    world: World, message: Any, code: str, names: str
) -> None:
    client = world.connect("c1")
    world.send(client, message)
    world.send(client, {"action": "ping"})
    error, pong = world.connections.received[client]
    assert error["error"]["code"] == code
    assert names in error["error"]["message"]
    assert error["error"].keys() == {"code", "message", "requestId"}
    assert pong == {"type": "pong"}


def test_a_client_may_resume_after_the_greatest_possible_sequence(world: World) -> None:
    order_id = world.submit(simulate={"fault": "slippage"})["orderId"]
    world.work_until_empty()
    assert world.read(order_id)["updates"][-1]["sequence"] == 11
    world.send(world.connect("c1"), {"orderId": order_id, "sinceSequence": UPDATES_MAX})
    world.publish()
    assert world.connections.received["c1"] == []


@pytest.mark.parametrize(
    ("message", "broken"),
    [
        ({"orderId": UNKNOWN}, "orders.follow"),
        ({"orderId": "*"}, "connections.follow_all"),
        ({"action": "unsubscribe", "orderId": UNKNOWN}, "orders.unfollow"),
        ({"action": "unsubscribe", "orderId": "*"}, "connections.unfollow_all"),
    ],
)
def test_an_unexpected_failure_is_answered_without_details_and_logged_under_the_same_id(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    message: Any,
    broken: str,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ArithmeticError("a secret")

    monkeypatch.setattr(f"functions.store.{broken}", fail)
    world.send(world.connect("c1"), message, status=500)
    (answer,) = world.connections.received["c1"]
    assert answer["error"]["code"] == "INTERNAL"
    assert answer["error"].keys() == {"code", "message", "requestId"}
    assert "secret" not in str(answer)
    (logged,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert vars(logged)["request_id"] == answer["error"]["requestId"]
    assert logged.exc_info


def test_a_connect_that_fails_answers_500_and_is_logged_with_its_request_id(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise ArithmeticError

    monkeypatch.setattr(connections, "connect", fail)
    world.connect("c1", status=500)
    (logged,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert vars(logged)["request_id"] == "request-1"


def test_an_answer_that_cannot_be_pushed_is_logged_and_raises_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_connection_id: str) -> None:
        raise TimeoutError

    world.connect("c1")
    world.connections.before_post = refuse
    world.send("c1", {"action": "ping"}, status=500)
    (logged,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert vars(logged)["request_id"] == "request-2"


def test_expired_connections_are_not_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """$disconnect is best effort, and DynamoDB deletes an expired item within a few days.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
    """
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    for number in range(2):
        world.connect(f"c{number}")
    world.connect("too-many", status=429)
    runtime.sleep(connections.TTL_SECONDS + 1)
    world.connect("later")


def test_an_order_has_at_most_100_followers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert orders.MAX_FOLLOWERS == 100
    monkeypatch.setattr(orders, "MAX_FOLLOWERS", 9)  # moto takes long for 100
    order_id = world.submit()["orderId"]
    for number in range(10):
        world.send(world.connect(f"c{number}"), {"orderId": order_id})
    assert world.connections.received["c9"][0]["error"]["code"] == "TOO_MANY_FOLLOWERS"
    world.send("c1", {"orderId": order_id})  # a present follower may subscribe again
    assert world.connections.received["c1"] == []
    world.disconnect("c0")
    world.send("c9", {"orderId": order_id})
    world.work_until_empty()
    assert world.connections.statuses("c8") == LIFE
    assert world.connections.statuses("c9") == LIFE


def test_a_gone_connection_is_removed_and_the_others_are_served(world: World) -> None:
    order_id = world.submit()["orderId"]
    for client in ("gone", "here"):
        world.send(world.connect(client), {"orderId": order_id})
    world.connections.gone.add("gone")
    world.work_until_empty()
    assert world.connections.statuses("here") == LIFE
    assert set(world.item(order_id)["followers"]["M"]) == {"here"}
    connections = world.dynamodb.scan(TableName="connections")["Items"]
    assert [item["connectionId"]["S"] for item in connections] == ["here"]


def test_a_redelivered_record_repeats_its_updates_with_their_sequence(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.send(world.connect("c1"), {"orderId": order_id})
    records = world.stream()
    world.publish(records)
    world.publish(records)
    assert world.connections.received["c1"][0] == world.connections.received["c1"][1]


def test_a_push_that_fails_closes_its_connection_and_fails_no_batch(
    world: World,
) -> None:
    """So no connection can block the stream, however long Lambda retries."""
    order_id = world.submit()["orderId"]
    for client in ("broken", "here"):
        world.send(world.connect(client), {"orderId": order_id})

    def broken(connection_id: str) -> None:
        if connection_id == "broken":
            raise ArithmeticError

    world.connections.before_post = broken
    world.work_until_empty()
    assert world.connections.gone == {"broken"}
    assert world.connections.statuses("here") == LIFE


def test_a_client_that_reconnects_as_documented_gets_the_updates_that_the_stream_dropped(
    world: World,
) -> None:
    """The stream keeps a record for 24 hours, and a connection ends after two."""
    followed = world.submit()["orderId"]
    world.send(world.connect("one"), {"orderId": followed})
    world.send(world.connect("all"), {"orderId": "*"})
    world.publish()
    listed_ms = runtime.now_ms()
    unseen = world.submit()["orderId"]
    while world.queued():
        world.work()
    assert world.stream()  # Lambda dropped these records
    later = world.submit()["orderId"]
    world.work_until_empty()
    assert world.connections.statuses("one") == LIFE[:1]
    # One update of the followed order, and all updates of the later one.
    assert world.connections.statuses("all") == [*LIFE[:1], *LIFE]
    runtime.sleep(2 * 3600)
    for connection_id in ("one", "all"):
        world.disconnect(connection_id)
    world.send(world.connect("one again"), {"orderId": followed, "sinceSequence": 1})
    world.send(world.connect("all again"), {"orderId": "*"})
    world.work_until_empty()
    assert world.connections.statuses("one again") == LIFE[1:]
    listed = world.http("list_orders", query={"limit": "100"}).json["orders"]
    found = {o["orderId"]: o for o in listed if unix_ms(o["createdAt"]) > listed_ms - 60_000}
    assert found.keys() >= {unseen, later}
    assert [update["status"] for update in found[unseen]["updates"]] == LIFE


def test_a_message_after_the_end_of_its_connection_leaves_nothing_behind(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.connect("c1")
    world.disconnect("c1")
    world.send("c1", {"orderId": order_id})
    world.send("c1", {"orderId": "*"})
    assert world.dynamodb.scan(TableName="connections")["Items"] == []
    world.work_until_empty()
    assert world.connections.received["c1"] == []
    assert world.dynamodb.scan(TableName="connections")["Items"] == []


def test_the_deletion_of_an_expired_order_is_not_pushed(world: World) -> None:
    record = event("stream_order")["Records"][0]
    del record["dynamodb"]["NewImage"]
    world.publish([record])
    assert world.connections.received == {}


def test_the_recorded_stream_event_is_pushed_to_its_follower(world: World) -> None:
    world.publish(event("stream_order")["Records"])
    (update,) = world.connections.received["UrZ6idTPliACEvA="]
    assert (update["status"], update["sequence"]) == ("routing", 2)


def test_an_order_expires_only_with_the_setting_and_only_after_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expiry(order_id: str) -> str | None:
        expires_at: str | None = world.item(order_id).get("expiresAt", {}).get("N")
        return expires_at

    kept = world.submit()["orderId"]
    world.work_until_empty()
    assert expiry(kept) is None
    monkeypatch.setattr(orders, "settings", replace(settings, order_expiry_days=30))
    order = world.submit()
    assert expiry(order["orderId"]) is None
    world.work_until_empty()
    ended = world.read(order["orderId"])["confirmedAt"]
    assert expiry(order["orderId"]) == str(unix_ms(ended) // 1000 + 30 * 86_400)


def test_a_connection_expires_after_three_hours(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: START_MS + 999)
    world.connect("c1")
    (item,) = world.dynamodb.scan(TableName="connections")["Items"]
    assert item["expiresAt"]["N"] == str(START_MS // 1000 + 3 * 3600)
