"""Webhooks: their management by owners, their messages, and failed deliveries."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import pytest

from functions import delivery, notifier, runtime
from functions.contract import WEBHOOK_RECEIVES_MAX
from functions.http import webhooks as http_webhooks
from functions.runtime import settings
from functions.store import clients, notices, webhooks
from tests.events import Json, sqs_event, sqs_message
from tests.receiver import (
    Receiver,
    answer_with,
    close_early,
    no_answer_until,
    receiving,
    trickle_until,
)
from tests.world import Answer, Context, World

OWNER = "desk-7"  # the owner in events/http_execute_order.json


def request(world: World, method: str, path: str, body: Any = None, **changes: Any) -> Answer:
    return world.http("execute_order", method=method, path=path, body=body, headers={}, **changes)


def listed(world: World, **changes: Any) -> list[Json]:
    answer = request(world, "GET", "/api/webhooks", **changes)
    assert answer.status == 200, answer.text
    found: list[Json] = answer.json["webhooks"]
    return found


def expire_look_ups() -> None:
    """Sleep until the publisher's cache of an owner's followers and webhooks has expired."""
    runtime.clock.sleep(1)


# --- management -------------------------------------------------------------------------------


def test_the_secret_is_answered_once(world: World, receiver: Receiver) -> None:
    webhook = world.create_webhook(receiver.url, "confirmed", "failed")
    assert webhook["secret"].startswith("whsec_")
    (again,) = listed(world)
    assert again == {name: value for name, value in webhook.items() if name != "secret"}
    assert again["statuses"] == ["confirmed", "failed"]
    assert again["enabled"] is True


def test_a_deleted_webhook_receives_no_further_message(world: World, receiver: Receiver) -> None:
    webhook = world.create_webhook(receiver.url)
    expire_look_ups()
    world.submit()
    world.publish()
    path = f"/api/webhooks/{webhook['webhookId']}"
    assert request(world, "DELETE", path).status == 204
    assert world.notify() == []
    assert (receiver.received, listed(world)) == ([], [])
    assert request(world, "DELETE", path).json["code"] == "WEBHOOK_NOT_FOUND"


def test_another_owner_can_neither_list_test_nor_delete_a_webhook(
    world: World, receiver: Receiver
) -> None:
    webhook = world.create_webhook(receiver.url)
    path = f"/api/webhooks/{webhook['webhookId']}"
    assert listed(world, owner="other") == []
    assert request(world, "POST", f"{path}/test", owner="other").status == 404
    assert request(world, "DELETE", path, owner="other").status == 404
    assert len(listed(world)) == 1


def test_an_owner_has_at_most_ten_webhooks(world: World, receiver: Receiver) -> None:
    for _ in range(http_webhooks.WEBHOOKS_MAX):
        world.create_webhook(receiver.url)
    answer = request(world, "POST", "/api/webhooks", {"url": receiver.url})
    assert (answer.status, answer.json["code"]) == (409, "TOO_MANY_WEBHOOKS")
    world.create_webhook(receiver.url, owner="other")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": 1}, "url"),
        ({"url": "https://x.example/" + "a" * 2000}, "url"),
        ({"url": "https://x.example", "statuses": ["done"]}, "statuses.0"),
        ({"url": "https://x.example", "secret": "mine"}, "secret"),
    ],
)
def test_invalid_input_is_refused_and_the_field_named(world: World, body: Json, field: str) -> None:
    answer = request(world, "POST", "/api/webhooks", body)
    assert answer.status == 400
    assert [error["field"] for error in answer.json["errors"]] == [field]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "desk.example/orders",
        "ftp://desk.example",
        "http://desk.example",
        "https://",
        "https://desk.example:0",
        "https://desk.example:99999",
        "https://user:word@desk.example",
        "https://desk.example/#top",
        "https://desk.example/ä",
        "https://desk.example/a b",
        "https://desk.example/\r\nX: 1",
        "https://127.0.0.1",
        "https://[::1]",
        "https://10.0.0.1",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]",
        "https://[::ffff:10.0.0.1]",
        "https://[64:ff9b::a00:1]",
        "https://[2002:a00:1::]",
        "https://224.0.0.1",
        "https://0.0.0.0",
        "https://100.64.0.1",
    ],
)
def test_a_url_that_is_not_public_https_is_refused(url: str) -> None:
    with pytest.raises(delivery.InvalidUrl, match="must"):
        delivery.check_url(url, loopback=False)


def test_a_refused_url_is_explained_and_not_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = dataclasses.replace(settings, webhook_loopback_allowed=False)
    monkeypatch.setattr(http_webhooks, "settings", strict)
    answer = request(world, "POST", "/api/webhooks", {"url": "https://10.0.0.1/"})
    assert (answer.status, answer.json["detail"]) == (400, "url must lead to a public address")
    assert listed(world) == []


# --- messages ---------------------------------------------------------------------------------


def test_every_update_of_every_order_is_delivered_with_a_signature(
    world: World, receiver: Receiver
) -> None:
    secret = world.create_webhook(receiver.url)["secret"]
    expire_look_ups()
    order_id = world.submit()["orderId"]
    world.work_until_empty()
    world.publish()
    assert world.notify() == []
    messages = [received.verified(secret) for received in receiver.received]
    messages.sort(key=lambda message: message["data"]["sequence"])
    assert [message["data"] for message in messages] == world.read(order_id)["updates"]
    assert [message["type"] for message in messages] == [
        f"order.{message['data']['status']}" for message in messages
    ]
    assert {received.path for received in receiver.received} == {"/orders?desk=1"}
    assert {received.headers["host"] for received in receiver.received} == {
        f"127.0.0.1:{receiver.port}"
    }


def test_only_the_requested_statuses_are_delivered(world: World, receiver: Receiver) -> None:
    world.create_webhook(receiver.url, "confirmed", "failed", "cancelled")
    expire_look_ups()
    world.submit(slippageBps=1000)
    world.work_until_empty()
    world.publish()
    world.notify()
    assert [received.json["type"] for received in receiver.received] == ["order.confirmed"]


def test_a_redelivered_stream_batch_repeats_the_message_ids(
    world: World, receiver: Receiver
) -> None:
    world.create_webhook(receiver.url)
    expire_look_ups()
    world.submit()
    records = world.stream()
    world.publish(records)
    world.publish(records)
    world.notify()
    first, second = receiver.received
    assert first.id == second.id
    assert first.body == second.body


def test_a_batch_whose_notices_sqs_refuses_fails_and_is_redelivered(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create_webhook(receiver.url)
    world.connect("follower")
    world.send("follower", {"orderId": "*"})
    expire_look_ups()
    world.submit()
    records = world.stream()
    refusal = {"Failed": [{"Id": "0", "Code": "InternalError"}]}
    with monkeypatch.context() as broken:
        broken.setattr(clients.sqs(), "send_message_batch", lambda **_: refusal)
        with pytest.raises(notices.NoticesRefused):
            world.publish(records)
    assert "pending" in [m.get("status") for m in world.connections.received["follower"]]
    world.publish(records)
    world.notify()
    assert [received.json["type"] for received in receiver.received] == ["order.pending"]


def test_without_webhooks_no_notice_is_sent(world: World) -> None:
    world.submit()
    world.work_until_empty()
    count = world.sqs.get_queue_attributes(
        QueueUrl=settings.webhook_queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )["Attributes"]
    assert count == {"ApproximateNumberOfMessages": "0"}


def test_a_test_message_is_sent_once_and_its_failure_is_shown(
    world: World, receiver: Receiver
) -> None:
    webhook = world.create_webhook(receiver.url)
    path = f"/api/webhooks/{webhook['webhookId']}/test"
    assert request(world, "POST", path).status == 202
    assert world.notify() == []
    (received,) = receiver.received
    assert received.verified(webhook["secret"])["type"] == "webhook.test"
    receiver.handle = answer_with(500)
    assert request(world, "POST", path).status == 202
    assert world.notify() == []
    (webhook,) = listed(world)
    assert webhook["lastError"] == "the receiver answered 500"


# --- failed deliveries ------------------------------------------------------------------------


@pytest.fixture
def queued(world: World, receiver: Receiver) -> Json:
    """A webhook with one notice in its queue."""
    webhook = world.create_webhook(receiver.url)
    expire_look_ups()
    world.submit()
    world.publish()
    return webhook


def test_a_failed_delivery_is_retried_under_the_same_id(
    world: World, receiver: Receiver, queued: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "FIRST_RETRY_SECONDS", 0)
    receiver.handle = answer_with(503)
    assert len(world.notify()) == 1
    (webhook,) = listed(world)
    assert webhook["lastError"] == "the receiver answered 503"
    assert webhook["failingSince"]
    receiver.handle = answer_with(200)
    assert world.notify() == []
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    assert second.verified(queued["secret"])
    (webhook,) = listed(world)
    assert "failingSince" not in webhook
    assert "lastError" not in webhook


def test_retries_wait_longer_each_time_and_last_a_day() -> None:
    waits = [notifier.retry_seconds(number) for number in range(1, WEBHOOK_RECEIVES_MAX)]
    assert waits[:4] == [5, 10, 20, 40]
    assert waits == sorted(waits)
    assert max(waits) == 3600
    assert 23 * 3600 <= sum(waits) <= 25 * 3600


@pytest.mark.parametrize("location", ["http://169.254.169.254/", "https://desk.example/"])
def test_no_redirect_is_followed(
    world: World, receiver: Receiver, queued: Json, location: str
) -> None:
    receiver.handle = answer_with(302, Location=location)
    assert len(world.notify()) == 1
    (webhook,) = listed(world)
    assert webhook["lastError"] == "the receiver answered 302"
    assert len(receiver.received) == 1


def test_a_delivery_fails_if_the_receiver_closes_the_connection_midway(
    world: World, receiver: Receiver, queued: Json
) -> None:
    receiver.handle = close_early
    assert len(world.notify()) == 1
    (webhook,) = listed(world)
    assert webhook["lastError"] == "the connection failed"


@pytest.mark.parametrize("slow", [no_answer_until, trickle_until])
def test_a_slow_receiver_delays_no_other(
    world: World, receiver: Receiver, queued: Json, monkeypatch: pytest.MonkeyPatch, slow: Any
) -> None:
    def until_one_is_done(calls: Sequence[Callable[[], Any]], seconds: float) -> list[Any]:
        """End the time for all deliveries once one is done, which can only be the quick one."""
        assert seconds == notifier.DELIVERY_SECONDS_MAX
        pool = ThreadPoolExecutor()
        deliveries = [pool.submit(call) for call in calls]
        done, _ = wait(deliveries, return_when=FIRST_COMPLETED)
        return [each.result() if each in done else None for each in deliveries]

    released = threading.Event()
    receiver.handle = slow(released)
    try:
        with receiving() as other:
            quick = world.create_webhook(other.url)
            assert request(world, "POST", f"/api/webhooks/{quick['webhookId']}/test").status == 202
            with monkeypatch.context() as hurried:
                hurried.setattr(runtime, "at_once", until_one_is_done)
                assert len(world.notify()) == 1
            assert len(other.received) == 1
    finally:
        released.set()
    by_id = {webhook["webhookId"]: webhook for webhook in listed(world)}
    assert by_id[queued["webhookId"]]["lastError"] == "no answer in time"
    assert "lastError" not in by_id[quick["webhookId"]]


def test_a_webhook_that_has_failed_for_a_day_is_disabled_and_shows_why(
    world: World, receiver: Receiver, queued: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "FIRST_RETRY_SECONDS", 0)
    receiver.handle = answer_with(500)
    assert len(world.notify()) == 1
    runtime.clock.sleep(24 * 3600)
    assert world.notify() == []
    (webhook,) = listed(world)
    assert webhook["enabled"] is False
    assert webhook["lastError"] == "the receiver answered 500"
    world.submit()
    world.publish()
    world.notify()
    assert len(receiver.received) == 2


def test_a_receiver_that_answers_gone_is_disabled_at_once(
    world: World, receiver: Receiver, queued: Json
) -> None:
    receiver.handle = answer_with(410)
    assert world.notify() == []
    (webhook,) = listed(world)
    assert webhook["enabled"] is False


def test_a_malformed_notice_is_acknowledged(world: World) -> None:
    answer = notifier.handler(sqs_event("webhook", [sqs_message("{}")]), Context())
    assert answer == {"batchItemFailures": []}


# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.1.2.3"],
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["fe80::1"],
        ["::ffff:192.168.0.1"],
        ["93.184.215.14", "10.0.0.1"],
        [],
    ],
)
def test_a_host_with_a_private_address_is_not_called(addresses: list[str]) -> None:
    with pytest.raises(delivery.Undeliverable, match="not public"):
        delivery.post(
            "https://desk.example",
            b"{}",
            {},
            loopback=False,
            resolve=lambda _host, _port: addresses,
        )


def test_the_request_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    """If the connection resolved the name again, it could get another address."""
    connected = []

    def resolve(host: str, port: int) -> list[str]:
        connected.append((host, port))
        return ["127.0.0.1"]

    url = f"http://no-such-name.example:{receiver.port}/x"
    assert delivery.post(url, b"{}", {}, loopback=True, resolve=resolve) == 204
    assert connected == [("no-such-name.example", receiver.port)]
    (received,) = receiver.received
    assert received.headers["host"] == f"no-such-name.example:{receiver.port}"


def test_a_delivery_fails_if_its_host_has_no_address() -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(delivery.Undeliverable, match="no address"):
        delivery.post("https://desk.example", b"{}", {}, loopback=False, resolve=resolve)


def test_a_delivery_fails_without_a_valid_certificate(receiver: Receiver) -> None:
    """Here the receiver does not use TLS at all."""
    url = f"https://desk.example:{receiver.port}"
    with pytest.raises(delivery.Undeliverable):
        delivery.post(url, b"{}", {}, loopback=True, resolve=lambda _h, _p: ["127.0.0.1"])
    assert receiver.received == []


def test_no_log_line_holds_a_secret_or_the_url(
    world: World, receiver: Receiver, queued: Json, log: io.StringIO
) -> None:
    receiver.handle = answer_with(500)
    world.notify()
    logged = log.getvalue()
    assert "webhook not delivered" in logged
    assert queued["secret"] not in logged
    assert receiver.url not in logged


def test_a_secret_is_stored_only_with_its_webhook(
    world: World, receiver: Receiver, queued: Json
) -> None:
    messages = world.sqs.receive_message(QueueUrl=settings.webhook_queue_url)["Messages"]
    assert queued["secret"] not in json.dumps(messages)
    assert webhooks.load(OWNER, queued["webhookId"]).secret == queued["secret"]
