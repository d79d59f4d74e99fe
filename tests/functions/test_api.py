"""The HTTP API: what functions/README.md says of its routes, and refusals of invalid requests."""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions import runtime
from functions.contract import iso, unix_ms
from functions.simulation.network import VENUES
from functions.store import queue
from tests.orders import LIFE, ORDER, ORDER_ID, PAIR, statuses_of
from tests.world import World

UNKNOWN = f"/api/orders/{ORDER_ID}"


def test_an_order_is_accepted_pending_with_its_first_update(world: World) -> None:
    answer = world.http("execute_order", body=ORDER, headers={})
    order = answer.json
    assert answer.status == 202
    assert answer.headers["Location"] == f"../orders/{order['orderId']}"
    assert order == {
        "orderId": order["orderId"],
        "type": "market",
        "tokenIn": "SOL",
        "tokenOut": "USDC",
        "amount": "1",
        "slippageBps": 50,
        "status": "pending",
        "sequence": 1,
        "attempt": 1,
        "maxAttempts": 3,
        "createdAt": order["createdAt"],
        "updatedAt": order["createdAt"],
        "updates": [
            {
                "orderId": order["orderId"],
                "sequence": 1,
                "status": "pending",
                "timestamp": order["createdAt"],
            }
        ],
    }
    assert world.queued() == 1


@pytest.mark.parametrize(
    ("amount", "stored"),
    [(1, "1"), ("1.50", "1.5"), (0.1, "0.1"), ("0.000000001", "1e-9"), ("1e2", "100")],
)
def test_an_amount_is_a_number_or_text_and_answered_as_text(
    world: World, amount: Any, stored: str
) -> None:
    assert float(world.submit(amount=amount)["amount"]) == float(stored)
    assert "e" not in world.submit(amount=amount)["amount"]


def test_an_amount_given_as_a_number_keeps_every_digit(world: World) -> None:
    body = '{"tokenIn":"SOL","tokenOut":"USDC","amount":1234.567890123}'
    assert world.http("execute_order", body=body).json["amount"] == "1234.567890123"


def test_a_token_may_be_named_by_its_mint(world: World) -> None:
    mint = "So11111111111111111111111111111111111111112"
    assert world.submit(tokenIn=mint)["tokenIn"] == "SOL"


@pytest.mark.parametrize(
    "body",
    [
        "",
        None,
        "{",
        "[]",
        "null",
        "5",
        '"text"',
        "[" * 5000,
        json.dumps([ORDER]),
        "\x00",
    ],
    ids=lambda body: repr(body)[:20],
)
def test_a_body_that_is_no_json_object_is_refused(world: World, body: str | None) -> None:
    answer = world.http("execute_order", body=body)
    assert (answer.status, answer.json["code"]) == (400, "INVALID_REQUEST")
    assert answer.json["errors"][0]["field"] == "body"


def test_a_body_that_is_not_utf_8_is_refused(world: World) -> None:
    answer = world.http("execute_order", body=base64.b64encode(b"\xff\xfe").decode(), base64=True)
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "body")


def test_a_body_in_base64_is_decoded(world: World) -> None:
    body = base64.b64encode(json.dumps(ORDER).encode()).decode()
    assert world.http("execute_order", body=body, base64=True).status == 202


def test_an_empty_object_is_refused_naming_each_missing_field(world: World) -> None:
    errors = world.http("execute_order", body={}).json["errors"]
    assert {error["field"] for error in errors} == {"tokenIn", "tokenOut", "amount"}
    assert {error["rule"] for error in errors} == {"is required"}


def test_a_body_over_10_kilobytes_is_refused(world: World) -> None:
    answer = world.http("execute_order", body={**ORDER, "note": "x" * 10_240})
    assert (answer.status, answer.json["code"]) == (400, "BODY_TOO_LARGE")


def test_a_body_of_any_content_type_is_read_as_json(world: World) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert world.http("execute_order", body=ORDER, headers=form).status == 202


def test_the_same_key_and_body_answer_the_stored_order(world: World) -> None:
    first = world.http("execute_order", body=ORDER, headers={"idempotency-key": "k"})
    again = world.http(
        "execute_order", body={**ORDER, "amount": "1.0"}, headers={"idempotency-key": "k"}
    )
    assert (first.status, again.status) == (202, 200)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json
    assert first.json["clientOrderId"] == "k"
    assert world.queued() == 1


def test_the_same_key_with_another_body_is_refused(world: World) -> None:
    world.submit(key="k")
    answer = world.http(
        "execute_order", body={**ORDER, "amount": 2}, headers={"idempotency-key": "k"}
    )
    assert (answer.status, answer.json["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_client_order_id_and_idempotency_key_are_the_same_key(world: World) -> None:
    by_header = world.submit(key="k")
    by_field = world.http("execute_order", body={**ORDER, "clientOrderId": "k"}, headers={})
    both = world.http(
        "execute_order", body={**ORDER, "clientOrderId": "k"}, headers={"idempotency-key": "other"}
    )
    assert (by_field.status, by_field.json["orderId"]) == (200, by_header["orderId"])
    assert (both.status, both.json["errors"][0]["field"]) == (400, "clientOrderId")


def test_an_order_is_accepted_though_its_message_cannot_be_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_order_id: str) -> None:
        raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "SendMessage")

    monkeypatch.setattr(queue, "enqueue", fail)
    order = world.submit()
    assert world.read(order["orderId"])["status"] == "pending"


def test_reading_an_unknown_order_is_404_and_a_malformed_id_400(world: World) -> None:
    unknown = world.http("get_order", path=UNKNOWN)
    malformed = world.http("get_order", path="/api/orders/123")
    assert (unknown.status, unknown.json["code"]) == (404, "ORDER_NOT_FOUND")
    assert (malformed.status, malformed.json["errors"][0]["field"]) == (400, "orderId")


def test_an_order_is_read_with_all_its_updates(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.work_until_empty()
    order = world.read(order_id)
    assert statuses_of(order) == LIFE
    assert [update["sequence"] for update in order["updates"]] == [1, 2, 3, 4, 5]
    assert order["status"] == "confirmed"
    assert order["confirmedAt"] == order["updatedAt"] == order["updates"][-1]["timestamp"]
    assert order["submittedAt"] == order["updates"][3]["timestamp"]
    assert order["txHash"] == order["updates"][3]["txHash"] == order["updates"][4]["txHash"]
    assert 86 <= len(order["txHash"]) <= 88
    assert order["route"] == order["updates"][2]["route"]
    assert float(order["outAmount"]) >= float(order["route"]["otherAmountThreshold"])
    assert order["executedPrice"].startswith(order["outAmount"][:6])
    assert {quote["venue"] for quote in order["route"]["quotes"]} == {*VENUES}
    assert "error" not in order


def test_orders_are_listed_newest_first_in_pages(world: World) -> None:
    ids = [world.submit()["orderId"] for _ in range(5)]
    first = world.http("list_orders", query={"limit": "3"}).json
    second = world.http("list_orders", query={"limit": "3", "cursor": first["nextCursor"]}).json
    assert [order["orderId"] for order in first["orders"]] == ids[:1:-1]
    assert [order["orderId"] for order in second["orders"]] == ids[1::-1]
    assert "nextCursor" not in second


def test_orders_are_listed_by_status_across_pages(world: World) -> None:
    confirmed = [world.submit()["orderId"] for _ in range(3)]
    world.work_until_empty()
    pending = [world.submit()["orderId"] for _ in range(3)]
    pages = list(world.pages(status="confirmed", limit=1))
    assert [order["orderId"] for page in pages for order in page] == confirmed[::-1]
    assert len(pages) == 3
    by_pending = world.http("list_orders", query={"status": "pending"}).json["orders"]
    assert [order["orderId"] for order in by_pending] == pending[::-1]


def test_open_orders_are_listed_across_pages_without_those_that_have_ended(world: World) -> None:
    for _ in range(2):
        world.submit()
    world.work_until_empty()
    pending = {world.submit(key=f"k{number}")["orderId"] for number in range(5)}
    assert world.http("execute_order", body=ORDER, owner="other").status == 202
    pages = list(world.pages(status="open", limit=2))
    listed = [order["orderId"] for page in pages for order in page]
    assert (len(listed), set(listed), len(pages)) == (5, pending, 3)
    by_key = {"clientOrderId": "k1", "status": "open"}
    assert len(world.http("list_orders", query=by_key).json["orders"]) == 1
    world.work_until_empty()
    for query in ({"status": "open"}, by_key):
        assert world.http("list_orders", query=query).json["orders"] == []


def test_an_order_is_found_by_its_client_order_id(world: World) -> None:
    order = world.submit(key="k")
    found = world.http("list_orders", query={"clientOrderId": "k"}).json["orders"]
    none = world.http("list_orders", query={"clientOrderId": "k", "status": "failed"}).json
    assert [each["orderId"] for each in found] == [order["orderId"]]
    assert none["orders"] == []


def test_a_pending_order_is_cancelled_once_and_never_executed(world: World) -> None:
    order_id = world.submit()["orderId"]
    cancelled, again = world.cancel(order_id), world.cancel(order_id)
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert again.json == cancelled.json
    world.work_until_empty()
    assert world.read(order_id) == cancelled.json


def test_an_order_that_has_begun_cannot_be_cancelled(world: World) -> None:
    order_id = world.submit()["orderId"]
    world.work_until_empty()
    answer = world.cancel(order_id)
    assert (answer.status, answer.json["code"]) == (409, "ORDER_NOT_CANCELLABLE")
    assert world.cancel(ORDER_ID).status == 404
    assert world.cancel("x").status == 400


def test_a_key_stays_in_use_after_its_order_was_cancelled(world: World) -> None:
    order = world.submit(key="k")
    world.cancel(order["orderId"])
    again = world.http("execute_order", body=ORDER, headers={"idempotency-key": "k"})
    assert (again.status, again.json["status"]) == (200, "cancelled")


def test_a_quote_is_at_least_as_good_as_each_venue_and_stores_nothing(world: World) -> None:
    answer = world.http("get_quote")
    quote = answer.json
    assert answer.status == 200
    assert (quote["tokenIn"], quote["tokenOut"], quote["inAmount"]) == ("SOL", "USDC", "1.5")
    assert quote["slippageBps"] == 30
    best = max(float(each["outAmount"]) for each in quote["quotes"])
    assert float(quote["outAmount"]) >= best
    assert sum(leg["percent"] for leg in quote["routePlan"] if leg["tokenIn"] == "SOL") == 100
    assert quote["reason"]
    assert world.http("list_orders", query={}).json["orders"] == []


def test_tokens_have_a_name_a_mint_and_decimals(world: World) -> None:
    listed = {token["symbol"]: token for token in world.http("list_tokens").json["tokens"]}
    assert set(listed) == {
        *("SOL", "USDC", "USDT", "RAY", "JUP"),
        *("BONK", "MET", "mSOL", "JitoSOL"),
    }
    assert listed["USDC"]["name"] == "USD Coin"
    assert listed["USDC"]["mint"] == "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    assert listed["BONK"]["decimals"] == 5


def test_prices_cover_the_requested_minutes_on_a_fixed_grid(world: World) -> None:
    answer = world.http("get_prices")
    prices = answer.json
    assert answer.status == 200
    assert (prices["tokenIn"], prices["tokenOut"]) == ("SOL", "USDC")
    times = [unix_ms(point["timestamp"]) for point in prices["points"]]
    assert {later - earlier for earlier, later in pairwise(times)} == {3000}
    assert len(times) == 300
    assert set(prices["points"][0]) == {"timestamp", "reference", *VENUES}
    again = {point["timestamp"]: point for point in world.http("get_prices").json["points"]}
    assert all(again.get(point["timestamp"], point) == point for point in prices["points"])


@pytest.mark.parametrize(
    ("token_in", "token_out", "venues"),
    [
        ("SOL", "USDC", {*VENUES}),
        ("USDC", "SOL", {*VENUES}),
        ("MET", "SOL", {"meteora"}),
        ("RAY", "USDC", {"raydium"}),
        ("JUP", "BONK", set()),
    ],
)
def test_prices_name_only_venues_with_a_pool_of_the_pair(
    world: World, token_in: str, token_out: str, venues: set[str]
) -> None:
    query = {"tokenIn": token_in, "tokenOut": token_out, "minutes": "1"}
    points = world.http("get_prices", query=query).json["points"]
    assert {frozenset(point) for point in points} == {
        frozenset({"timestamp", "reference", *venues}),
    }


def test_a_pair_and_its_reverse_have_reciprocal_prices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: 1_770_000_000_000)

    def price(token_in: str, token_out: str) -> float:
        query = {"tokenIn": token_in, "tokenOut": token_out, "minutes": "1"}
        return float(world.http("get_prices", query=query).json["points"][-1]["reference"])

    assert price("SOL", "USDC") * price("USDC", "SOL") == pytest.approx(1, abs=1e-6)


@pytest.mark.usefixtures("noon")
def test_prices_since_a_point_are_those_after_it(world: World) -> None:
    query = PAIR | {"minutes": "15"}
    points = world.http("get_prices", query=query).json["points"]
    since = points[-3]["timestamp"]
    later = world.http("get_prices", query={**query, "since": since}).json["points"]
    assert later == points[-2:]
    last = later[-1]["timestamp"]
    assert world.http("get_prices", query={**query, "since": last}).json["points"] == []


DAY = 86_400_000
NOON = 1_770_033_600_000


@pytest.fixture
def noon(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands at 12:00:00.250."""
    monkeypatch.setattr(runtime.clock, "now_ms", lambda: NOON + 250)


def candles_of(world: World, **query: str) -> dict[str, Any]:
    answer = world.http("get_candles", query=PAIR | query)
    assert answer.status == 200, answer.text
    return dict(answer.json)


@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(
    ("interval", "length_ms"), [("second", 1_000), ("minute", 60_000), ("hour", 3_600_000)]
)
def test_candles_end_with_the_running_one_unless_a_range_is_requested(
    world: World, interval: str, length_ms: int
) -> None:
    found = candles_of(world, interval=interval)
    assert (found["tokenIn"], found["tokenOut"], found["interval"]) == ("SOL", "USDC", interval)
    times = [unix_ms(candle["timestamp"]) for candle in found["candles"]]
    assert times == [NOON + i * length_ms for i in range(-119, 1)]
    assert set(found["candles"][0]["venues"]) == {*VENUES}
    for candle in found["candles"]:
        low, high = float(candle["low"]), float(candle["high"])
        assert low <= float(candle["open"]) <= high
        assert low <= float(candle["close"]) <= high


OTHER_PAIRS = [("USDC", "SOL"), ("RAY", "SOL")]


@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(
    "pair",
    [("SOL", "USDC"), *(pytest.param(p, marks=pytest.mark.slow) for p in OTHER_PAIRS)],
)
def test_a_candle_closes_with_the_prices_of_its_last_second(
    world: World, pair: tuple[str, str]
) -> None:
    tokens = {"tokenIn": pair[0], "tokenOut": pair[1]}
    points = world.http("get_prices", query={**tokens, "minutes": "1"}).json["points"]
    for interval in ("second", "minute", "hour"):
        last = candles_of(world, **tokens, interval=interval)["candles"][-1]
        (point,) = [point for point in points if point["timestamp"] == iso(NOON)]
        assert {"reference": last["close"], "timestamp": iso(NOON), **last["venues"]} == point


@pytest.mark.usefixtures("noon")
def test_candles_of_a_range_begin_before_its_end_and_the_first_contains_its_start(
    world: World,
) -> None:
    found = candles_of(world, **{"from": iso(NOON - 150_000), "to": iso(NOON - 60_000)})
    assert [candle["timestamp"] for candle in found["candles"]] == [
        iso(NOON - 180_000),
        iso(NOON - 120_000),
    ]
    beyond = candles_of(world, **{"from": iso(NOON), "to": iso(NOON + 3_600_000)})
    assert [candle["timestamp"] for candle in beyond["candles"]] == [iso(NOON)]


@pytest.mark.usefixtures("noon")
def test_a_range_of_a_day_is_accepted_though_its_request_took_half_a_second(world: World) -> None:
    query = {"from": iso(NOON - 500 - DAY)}
    assert len(candles_of(world, **query)["candles"]) == 1_442


@pytest.mark.usefixtures("noon")
def test_a_candle_is_the_same_in_every_range_that_contains_it(world: World) -> None:
    whole = candles_of(world, **{"from": iso(NOON - 7_200_000), "interval": "hour"})["candles"]
    part = {"from": iso(NOON - 7_000_000), "to": iso(NOON - 6_999_999)}
    assert candles_of(world, **part, interval="hour")["candles"] == whole[:1]
    minutes = candles_of(world, **{"from": iso(NOON - 7_200_000), "to": iso(NOON - 3_600_000)})
    assert len(minutes["candles"]) == 60
    assert whole[0]["high"] == max((c["high"] for c in minutes["candles"]), key=float)
    assert whole[0]["low"] == min((c["low"] for c in minutes["candles"]), key=float)


@pytest.mark.usefixtures("noon")
def test_a_browser_may_cache_a_range_only_if_all_its_candles_are_closed(world: World) -> None:
    def cache_control(to_ms: int) -> str:
        query = {"from": iso(NOON - 120_000), "to": iso(to_ms)}
        answer = world.http("get_candles", query=PAIR | query)
        return str(answer.headers["Cache-Control"])

    assert cache_control(NOON) == "private, max-age=3600"
    assert cache_control(NOON + 1) == "no-store"
    assert cache_control(NOON + 60_000) == "no-store"


@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"tokenIn": "DOGE"}, "tokenIn", "must be the symbol or mint of a listed token"),
        ({"tokenOut": "SOL"}, "tokenOut", "must differ from tokenIn"),
        ({"interval": "day"}, "interval", "must be 'second', 'minute' or 'hour'"),
        ({"from": "yesterday"}, "from", "must be a time such as 2026-01-31T12:00:00.000Z"),
        (
            {"to": "2026-13-31T12:00:00.000Z"},
            "to",
            "must be a time such as 2026-01-31T12:00:00.000Z",
        ),
        ({"to": "1969-12-31T23:59:00.000Z"}, "to", "must not be before 1970"),
        ({"from": iso(NOON), "to": iso(NOON)}, "from", "must be before to, and not after now"),
        ({"from": iso(NOON + 1_000)}, "from", "must be before to, and not after now"),
        ({"from": iso(NOON - DAY - 60_000)}, "from", "must be at most 24 hours before to"),
        (
            {"interval": "hour", "from": iso(NOON - 8 * DAY), "to": iso(NOON - DAY + 3_600_001)},
            "from",
            "must be at most 7 days before to",
        ),
        ({"limit": "5"}, "limit", "is not a parameter of this request"),
    ],
)
def test_candles_refuse_bad_input(
    world: World, change: dict[str, str], field: str, rule: str
) -> None:
    query = PAIR | change
    answer = world.http("get_candles", query=query)
    assert (answer.status, answer.json["errors"]) == (400, [{"field": field, "rule": rule}])


def test_a_quote_has_the_reference_price_beside_its_own(world: World) -> None:
    quote = world.http("get_quote", query=PAIR | {"amount": "1"})
    point = world.http("get_prices", query=PAIR).json["points"][-1]
    assert float(quote.json["referencePrice"]) == pytest.approx(float(point["reference"]), rel=0.05)
    assert float(quote.json["outAmount"]) == pytest.approx(
        float(quote.json["referencePrice"]), rel=0.05
    )


def test_me_answers_the_owner_of_the_key(world: World) -> None:
    assert world.http("get_me", owner="desk").json == {"owner": "desk"}


def test_health_has_the_version_and_whether_faults_may_be_simulated(world: World) -> None:
    health = world.http("get_health").json
    assert health == {"status": "ok", "version": "dev", "simulateAllowed": True}


def test_the_openapi_document_describes_every_route_and_its_answers(world: World) -> None:
    document = world.http("get_openapi").json
    operations = {
        (method, path): set(operation["responses"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert document["openapi"].startswith("3.1")
    assert operations == {
        ("post", "/api/orders/execute"): {"200", "202", "400", "401", "422", "429"},
        ("get", "/api/orders.csv"): {"200", "400", "401"},
        ("post", "/api/webhooks"): {"201", "400", "401", "409"},
        ("get", "/api/webhooks"): {"200", "401"},
        ("post", "/api/webhooks/{webhookId}/test"): {"202", "400", "401", "404"},
        ("delete", "/api/webhooks/{webhookId}"): {"204", "400", "401", "404"},
        ("get", "/api/orders/{orderId}"): {"200", "400", "401", "404"},
        ("get", "/api/orders"): {"200", "400", "401"},
        ("delete", "/api/orders/{orderId}"): {"200", "400", "401", "404", "409"},
        ("patch", "/api/orders/{orderId}"): {"200", "400", "401", "404", "409"},
        ("post", "/api/tickets"): {"201", "401"},
        ("get", "/api/quote"): {"200", "400", "401"},
        ("get", "/api/prices"): {"200", "400", "401"},
        ("get", "/api/candles"): {"200", "400", "401"},
        ("get", "/api/tokens"): {"200", "401"},
        ("get", "/api/me"): {"200", "401"},
        ("get", "/api/health"): {"200"},
    }


def files_named_by(text: str) -> list[str]:
    return re.findall(r'"(assets/[^"]+)"', text)


def test_the_dashboard_is_a_page_and_three_files(world: World) -> None:
    named = files_named_by(world.http("get_front_page").text)
    assert [re.sub(r"[0-9a-f]{16}", "HASH", name) for name in named] == [
        "assets/dashboard.HASH.css",
        "assets/retry.HASH.js",
        "assets/app.HASH.js",
    ]


@pytest.mark.parametrize("page", ["get_front_page", "get_docs"])
def test_a_file_that_a_page_names_may_be_cached_for_a_year(world: World, page: str) -> None:
    named = files_named_by(world.http(page).text)
    assert named
    for name in named:
        answer = world.http("get_docs", path=f"/{name}")
        assert answer.status == 200, name
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable", name


def test_a_file_under_another_hash_is_not_found(world: World) -> None:
    """A page of the earlier release requests such a file, and then reloads itself."""
    (name, *_) = files_named_by(world.http("get_front_page").text)
    other = re.sub(r"[0-9a-f]{16}", "0" * 16, name)
    assert world.http("get_docs", path=f"/{other}").status == 404


def test_a_page_is_revalidated_each_time(world: World) -> None:
    for name in ("get_front_page", "get_docs"):
        assert world.http(name).headers["Cache-Control"] == "no-cache"


def test_the_dashboard_loads_within_120_kb_compressed(world: World) -> None:
    page = world.http("get_front_page", headers=GZIP)
    files = [
        world.http("get_docs", path=f"/{name}", headers=GZIP) for name in files_named_by(page.text)
    ]
    sizes = [len(answer.body) for answer in (page, *files)]
    assert sum(sizes) < 120_000, sizes


# --- compression ------------------------------------------------------------------------------

GZIP = {"accept-encoding": "gzip, deflate, br"}


@pytest.mark.parametrize("name", ["get_front_page", "get_openapi", "get_prices"])
def test_a_long_answer_is_compressed_if_the_client_accepts_that(world: World, name: str) -> None:
    plain, packed = world.http(name), world.http(name, headers=GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.text == plain.text or name == "get_prices"  # prices change every second
    assert len(packed.body) < len(plain.body)
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in plain.headers


def test_a_short_answer_is_not_compressed(world: World) -> None:
    assert "Content-Encoding" not in world.http("get_health", headers=GZIP).headers


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br;q=1.0, gzip;q=0.5", True),
        ("deflate, gzip ; q=1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("br, deflate", False),
        ("x-gzip2", False),
        ("", False),
    ],
)
def test_an_answer_is_compressed_only_if_accept_encoding_allows_gzip(
    world: World, accepted: str, compressed: bool
) -> None:
    answer = world.http("get_docs", headers={"accept-encoding": accepted}, path="/openapi.json")
    assert ("Content-Encoding" in answer.headers) is compressed


# --- caching and unknown paths -----------------------------------------------------------------


def test_a_file_with_a_known_etag_is_not_sent_again(world: World) -> None:
    etag = world.http("get_docs").headers["ETag"]
    again = world.http("get_docs", headers={"if-none-match": etag})
    assert (again.status, again.text) == (304, "")


def test_an_unknown_path_answers_404_as_a_problem(world: World) -> None:
    answer = world.http("get_order", path="/api/nothing")
    assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND")
