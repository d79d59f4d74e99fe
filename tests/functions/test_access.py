"""Only the owner has access: keys, tickets, separation of owners, and limits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from functions import api, runtime, websocket
from functions.contract import API_KEY, TICKET
from functions.http import submission
from functions.runtime import settings
from functions.store import access, connections, orders
from tests.events import event
from tests.orders import ORDER, ORDER_ID
from tests.world import Context, World

PROTECTED = [
    ("POST", "/api/orders/execute"),
    ("GET", "/api/orders"),
    ("GET", f"/api/orders/{ORDER_ID}"),
    ("DELETE", f"/api/orders/{ORDER_ID}"),
    ("GET", "/api/quote"),
    ("GET", "/api/tokens"),
    ("POST", "/api/tickets"),
    ("GET", "/api/nothing"),
    ("GET", "/api/health/"),
    ("GET", "/nothing"),
    ("GET", "/docs/x"),
    ("GET", "//api/orders"),
]


def call_api(method: str, path: str, context: Any) -> dict[str, Any]:
    request = event("http_get_order")
    request["rawPath"] = request["requestContext"]["http"]["path"] = path
    request["requestContext"]["http"]["method"] = method
    request["requestContext"]["authorizer"] = context
    if context is None:
        del request["requestContext"]["authorizer"]
    answer: dict[str, Any] = api.handler(request, Context())
    return answer


# --- keys -------------------------------------------------------------------------------------


def test_a_key_has_256_bits_and_a_prefix_that_scanners_know() -> None:
    made = {API_KEY.new() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"oee_[\w-]{43}", key) for key in made)  # 43 × 6 bits ≥ 256


def test_a_key_identifies_its_owner_at_both_apis(world: World) -> None:
    bearer = f"Bearer {world.add_key('alice')}"
    for name in ("authorization", "Authorization", "AUTHORIZATION"):
        assert world.authorize_http(**{name: bearer}) == "alice"
        assert world.authorize_websocket(**{name: bearer}) == "alice"
    assert world.authorize_http(authorization=bearer.replace("Bearer", "bearer")) == "alice"


@pytest.mark.parametrize(
    "header_of",
    [
        lambda _key: "",
        lambda key: key,
        lambda key: f"Basic {key}",
        lambda _key: "Bearer",
        lambda _key: "Bearer ",
        lambda key: f"Bearer {key}x",
        lambda key: f"Bearer {key[:-1]}",
        lambda key: f"Bearer {key.swapcase()}",
        lambda _key: f"Bearer {API_KEY.new()}",
        lambda key: f"Bearer {API_KEY.item_id(key)}",
        lambda key: f"Bearer {key}, Bearer {key}",
        lambda key: f"Bearer key#{key}",
        lambda _key: "Bearer " + "é" * 47,
        lambda _key: "Bearer oee_" + "x" * 100_000,
    ],
)
def test_an_invalid_authorization_header_identifies_no_owner(
    world: World, header_of: Callable[[str], str]
) -> None:
    header = header_of(world.add_key("alice"))
    assert world.authorize_http(authorization=header) is None
    assert world.authorize_websocket(Authorization=header) is None


def test_a_disabled_key_identifies_no_owner(world: World) -> None:
    key = world.add_key("alice", disabledAt="2026-03-12T20:58:41Z")
    assert world.authorize_http(authorization=f"Bearer {key}") is None
    assert world.authorize_websocket(Authorization=f"Bearer {key}") is None


def test_an_authorizer_that_cannot_read_its_table_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = world.add_key("alice")
    monkeypatch.setattr(access, "settings", replace(settings, access_table="gone"))
    with pytest.raises(Exception, match="ResourceNotFoundException"):
        world.authorize_http(authorization=f"Bearer {key}")


# --- routes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize(
    "context",
    [None, {}, {"lambda": None}, {"lambda": {}}, {"lambda": {"owner": ""}}, {"owner": "alice"}],
    ids=repr,
)
def test_without_an_owner_every_protected_route_answers_401(
    method: str, path: str, context: Any
) -> None:
    answer = call_api(method, path, context)
    assert answer["statusCode"] == 401
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert answer["headers"]["WWW-Authenticate"] == "Bearer"
    assert '"code":"UNAUTHORIZED"' in answer["body"]


@pytest.mark.parametrize(
    "path", ["/api/health", "/docs", "/openapi.json", "/assets/docs.js", "/assets/nothing"]
)
def test_health_and_documentation_need_no_key(path: str) -> None:
    assert call_api("GET", path, None)["statusCode"] == (404 if "nothing" in path else 200)


@pytest.mark.parametrize(
    "path", ["/assets/../api/orders", "/assets/%2e%2e/api/orders", "/assets//api/orders"]
)
def test_no_path_through_the_public_folder_reaches_the_api(path: str) -> None:
    assert call_api("GET", path, None)["statusCode"] == 404


def test_every_route_of_the_document_but_health_needs_a_key() -> None:
    document = json.loads(call_api("GET", "/openapi.json", None)["body"])
    assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    assert document["security"] == [{"apiKey": []}]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            status = call_api(method.upper(), path.replace("{orderId}", "x"), None)["statusCode"]
            if operation.get("security") == []:
                assert (path, status) == ("/api/health", 200)
            else:
                assert (status, "401" in operation["responses"]) == (401, True)


@pytest.mark.parametrize("route", ["connect", "subscribe", "ping", "unsubscribe", "disconnect"])
@pytest.mark.parametrize("context", [None, {}, {"owner": ""}, {"principalId": "x"}], ids=repr)
def test_a_connection_without_an_owner_is_refused_and_receives_nothing(
    world: World, route: str, context: Any
) -> None:
    request = event(f"websocket_{route}")
    request["requestContext"]["authorizer"] = context
    assert websocket.handler(request, Context()) == {"statusCode": 401}
    assert world.connections.received == {}
    assert world.dynamodb.scan(TableName="connections")["Items"] == []


@pytest.mark.parametrize("route", ["$connect", "$disconnect"])
def test_an_action_with_the_name_of_a_gateway_route_is_unknown(world: World, route: str) -> None:
    world.connect("c1")
    request = event("websocket_ping")
    request["requestContext"] |= {"routeKey": route, "connectionId": "c1"}
    request["body"] = json.dumps({"action": route})
    assert websocket.handler(request, Context()) == {"statusCode": 200}
    (answer,) = world.connections.received["c1"]
    assert answer["error"]["code"] == "UNKNOWN_ACTION"
    assert len(world.dynamodb.scan(TableName="connections")["Items"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/orders/execute", "POST"),
        ("DELETE", "/api/orders/execute", "POST"),
        ("POST", "/api/orders", "GET, HEAD"),
        ("PUT", f"/api/orders/{ORDER_ID}", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/api/tickets", "POST"),
        ("POST", "/api/health", "GET, HEAD"),
        ("PUT", "/docs", "GET, HEAD"),
        ("POST", "/assets/docs.js", "GET, HEAD"),
    ],
)
def test_a_wrong_method_answers_405_with_the_allowed_ones(
    method: str, path: str, allowed: str
) -> None:
    answer = call_api(method, path, {"lambda": {"owner": "alice"}})
    assert (answer["statusCode"], answer["headers"]["Allow"]) == (405, allowed)


def test_answers_to_an_owner_are_never_cached(world: World) -> None:
    ok = world.http("list_orders", query={})
    refused = world.http("get_order", path="/api/orders/x")
    assert ok.headers["Cache-Control"] == refused.headers["Cache-Control"] == "no-store"


def test_pages_and_files_load_and_run_only_files_of_their_own_origin() -> None:
    for path in ("/", "/docs", "/assets/docs.js", "/assets/swagger-ui.min.css"):
        answer = call_api("GET", path, None)
        headers = answer["headers"]
        assert answer["statusCode"] == 200
        rules = dict(
            rule.split(maxsplit=1) for rule in headers["Content-Security-Policy"].split(";")
        )
        assert rules.pop("connect-src").split() == ["'self'", "wss://ws.example.com"]
        assert rules.pop("img-src").split() == ["'self'", "data:"]
        assert {rules.pop("script-src"), rules.pop("style-src")} == {"'self'"}
        assert set(rules) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
        assert set(rules.values()) == {"'none'"}
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "max-age" in headers["Strict-Transport-Security"]
        if path in ("/", "/docs"):
            assert headers["Content-Type"].startswith("text/html")
            assert not re.search(r"http|style=|<style|<script(?! src)", answer["body"])


# --- tickets ----------------------------------------------------------------------------------


def test_a_ticket_opens_one_connection_of_its_owner(world: World) -> None:
    ticket = world.ticket(owner="alice")
    assert world.authorize_websocket(ticket) == "alice"
    assert world.authorize_websocket(ticket) is None


def test_of_many_handshakes_with_one_ticket_at_once_one_is_accepted(world: World) -> None:
    for _ in range(10):
        ticket = world.ticket(owner="alice")
        with ThreadPoolExecutor(8) as pool:
            accepted = list(pool.map(world.authorize_websocket, [ticket] * 8))
        assert sorted(map(str, accepted)) == ["None"] * 7 + ["alice"]


def test_a_ticket_expires_after_a_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_800_000_000_000)
    answer = world.http("create_ticket").json
    late = world.ticket()
    assert answer["expiresAt"] == "2027-01-15T08:01:00.000Z"
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_800_000_059_999)
    assert world.authorize_websocket(answer["ticket"]) == "desk-7"
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_800_000_060_000)
    assert world.authorize_websocket(late) is None


@pytest.mark.parametrize("ticket", ["", "x", "oet_", "oet_" + "x" * 43, "é" * 47, "x" * 100_000])
def test_an_invalid_ticket_is_refused(world: World, ticket: str) -> None:
    assert world.authorize_websocket(ticket) is None


def test_a_ticket_is_valid_for_handshakes_only_and_a_key_is_no_ticket(world: World) -> None:
    ticket, key = world.ticket(), world.add_key("alice")
    assert world.authorize_http(authorization=f"Bearer {ticket}") is None
    assert world.authorize_websocket(Authorization=f"Bearer {ticket}") is None
    assert world.authorize_websocket(key) is None


def test_a_handshake_with_a_valid_key_leaves_the_ticket_unused(world: World) -> None:
    ticket, bearer = world.ticket(owner="alice"), f"Bearer {world.add_key('bob')}"
    assert world.authorize_websocket(ticket, Authorization=bearer) == "bob"
    assert world.authorize_websocket(ticket) == "alice"


def test_no_secret_is_stored(world: World) -> None:
    ticket, key = world.ticket(), world.add_key("alice")
    stored = str(world.dynamodb.scan(TableName="access")["Items"])
    assert ticket not in stored
    assert key not in stored
    assert TICKET.item_id(ticket) in stored
    assert API_KEY.item_id(key) in stored


# --- other owners -----------------------------------------------------------------------------


def test_no_route_finds_an_order_of_another_owner(world: World) -> None:
    path = f"/api/orders/{world.submit(key='k')['orderId']}"
    unknown = f"/api/orders/{ORDER_ID}"
    for name in ("get_order", "cancel_order"):
        theirs, none = (world.http(name, path=p, owner="other") for p in (path, unknown))
        assert theirs.status == none.status == 404
        # An order of another owner is answered like one that does not exist, apart from the id.
        assert theirs.json | {"detail": ""} == none.json | {"detail": ""}
        assert theirs.headers == none.headers
    assert world.read(path.rpartition("/")[2])["status"] == "pending"


def test_an_order_of_another_owner_is_neither_listed_nor_found_by_its_key(world: World) -> None:
    world.submit(key="k")
    for query in ({}, {"status": "pending"}, {"clientOrderId": "k"}, {"limit": "100"}):
        assert world.http("list_orders", query=query, owner="other").json["orders"] == []


def test_two_owners_may_use_the_same_idempotency_key(world: World) -> None:
    mine = world.submit(key="k")
    theirs = world.http(
        "execute_order",
        body={**ORDER, "amount": 2},
        headers={"idempotency-key": "k"},
        owner="other",
    )
    assert theirs.status == 202  # neither answered with the other order nor refused as reused
    assert theirs.json["orderId"] != mine["orderId"]


def test_an_order_of_another_owner_cannot_be_followed(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.connect("spy", owner="other")
    world.send("spy", {"orderId": order_id}, owner="other")
    (answer,) = world.connections.received.pop("spy")
    assert answer["error"]["code"] == "ORDER_NOT_FOUND"
    world.send("spy", {"orderId": "*"}, owner="other")
    world.work_until_empty()
    assert world.connections.received["spy"] == [{"type": "subscribed", "orderId": "*"}]


def test_a_follower_of_all_orders_receives_only_those_of_its_owner(world: World) -> None:
    for owner in ("desk-7", "other"):
        world.connect(owner, owner=owner)
        world.send(owner, {"orderId": "*"}, owner=owner)
    mine = world.submit()["orderId"]
    theirs = world.http("execute_order", body=ORDER, headers={}, owner="other").json["orderId"]
    world.work_until_empty()
    received = {
        owner: {m["orderId"] for m in world.connections.received[owner] if "status" in m}
        for owner in ("desk-7", "other")
    }
    assert received == {"desk-7": {mine}, "other": {theirs}}


def test_a_cursor_of_another_owner_lists_only_own_orders(world: World) -> None:
    for _ in range(3):
        for owner in ("desk-7", "other"):
            runtime.sleep(1)
            world.http("execute_order", body=ORDER, headers={}, owner=owner)
    mine = world.listed_ids()
    cursor = world.http("list_orders", query={"limit": "2"}, owner="other").json["nextCursor"]
    listed = world.http("list_orders", query={"cursor": cursor}).json["orders"]
    assert [order["orderId"] for order in listed] == mine[1:]


def test_an_unsubscription_ends_no_subscription_of_another_owner(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.send(world.connect("mine"), {"orderId": order_id})
    world.connect("spy", owner="other")
    world.send("spy", {"action": "unsubscribe", "orderId": order_id}, owner="other")
    world.send("spy", {"action": "unsubscribe", "orderId": "*"}, owner="other")
    world.work_until_empty()
    statuses = [message["status"] for message in world.connections.received["mine"]]
    assert statuses[-1] == "confirmed"


# --- limits -----------------------------------------------------------------------------------


@pytest.fixture
def three_open_orders_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "settings", replace(settings, max_open_orders=3))


@pytest.mark.usefixtures("three_open_orders_at_most")
def test_an_owner_has_a_limited_number_of_open_orders(world: World) -> None:
    first = world.submit(key="first")
    world.submit()
    world.submit()
    refused = world.http("execute_order", body=ORDER, headers={})
    assert (refused.status, refused.json["code"]) == (429, "TOO_MANY_OPEN_ORDERS")
    assert int(refused.headers["Retry-After"]) > 0
    assert world.queued() == 3
    others = world.http("execute_order", body=ORDER, headers={}, owner="other")
    assert others.status == 202  # each owner has a limit of its own
    world.cancel(first["orderId"])
    assert world.http("execute_order", body=ORDER, headers={}).status == 202


@pytest.mark.usefixtures("three_open_orders_at_most")
def test_at_the_limit_a_repeated_submission_is_still_answered(world: World) -> None:
    orders = [world.submit(key=key) for key in ("a", "b", "c")]
    again = world.http("execute_order", body=ORDER, headers={"idempotency-key": "b"})
    assert (again.status, again.json["orderId"]) == (200, orders[1]["orderId"])
    reused = world.http(
        "execute_order", body={**ORDER, "amount": 2}, headers={"idempotency-key": "b"}
    )
    assert reused.status == 422


@pytest.mark.usefixtures("three_open_orders_at_most")
def test_ended_orders_do_not_count_towards_the_limit(world: World) -> None:
    for _ in range(4):
        for _ in range(3):
            world.submit()
        assert world.http("execute_order", body=ORDER, headers={}).status == 429
        world.work_until_empty()


def test_the_default_limit_is_1000_and_needs_few_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a count an environment accepts only a part of the free orders, to keep the limit."""
    accepted, counts = 0, 0

    def count(_owner: str) -> int:
        nonlocal counts
        counts += 1
        return accepted

    monkeypatch.setattr(orders, "open_order_count", count)
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_800_000_000_000)
    while submission.has_room("alice"):
        accepted += 1
    assert settings.max_open_orders == accepted == 1000
    assert counts < 150


def test_a_count_of_open_orders_is_used_for_less_than_a_second(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another environment may have reached the limit since then."""
    free = settings.max_open_orders
    monkeypatch.setattr(orders, "open_order_count", lambda _owner: settings.max_open_orders - free)
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_800_000_000_000)
    assert submission.has_room("alice")
    free = 0
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_800_000_000_999)
    assert submission.has_room("alice")
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_800_000_001_000)
    assert not submission.has_room("alice")


def test_an_owner_has_a_limited_number_of_connections(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    world.connect("c1")
    world.connect("c2")
    world.connect("c3", status=429)
    world.connect("c4", owner="other")
    world.disconnect("c1")
    world.connect("c3")


def test_a_message_has_a_limited_number_of_characters(world: World) -> None:
    client = world.connect("c1")
    fits = '{"action":"ping"}'.ljust(websocket.MESSAGE_CHARACTERS_MAX)
    world.send(client, fits)
    world.send(client, fits + " ")
    pong, error = world.connections.received[client]
    assert (pong, error["error"]["code"]) == ({"type": "pong"}, "MESSAGE_TOO_LARGE")
