"""The dashboard in a real Chromium: orders, the connection, and how the page loads."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Route, WebSocketRoute, expect

from tests.e2e.dashboard import (
    NOON,
    ROUTE,
    Dashboard,
    FakeEngine,
    Json,
    answer_as_the_engine,
    close_dialog,
    execute,
    expect_status,
    fake_order,
    new_amount,
)

STEPS_WITH_TWO_RETRIES = [
    *("Pending", "Attempt 1", "Routing", "Attempt 2", "Routing"),
    *("Attempt 3", "Routing", "Building", "Submitted", "Confirmed"),
]


# --- orders -----------------------------------------------------------------------------------


def test_an_order_goes_from_the_form_to_confirmed(dashboard: Dashboard) -> None:
    page, amount = dashboard.page, new_amount()
    dashboard.open()
    page.fill("#amount", amount)
    expect(page.locator("#quote")).to_have_attribute("data-state", "ready")
    expect(page.locator("#quote-venues li")).to_have_text(
        [re.compile("Raydium"), re.compile("Met"), re.compile("Whirlpool")]
    )
    expect(page.locator("#quote-minimum")).to_have_text(re.compile(r"^[\d.,]+ USDC$"))
    expect(page.locator("#quote-reason")).to_have_text(re.compile("beats|only"))
    row = dashboard.submit(amount)
    expect_status(row, "confirmed")
    sold = re.compile(rf"Sold {amount} SOL for [\d.,]+ USDC")
    expect(page.locator("#news")).to_contain_text(sold)
    expect(page.locator("#announcer")).to_have_text(re.compile("confirmed$"))
    expect(row.locator(".c-received")).to_have_text(re.compile(r"^[\d.,]+ USDC$"))
    expect(row.locator(".c-value")).to_have_text(re.compile(r"^\$[\d.,]+$"))
    expect(row.locator(".c-price")).to_have_text(re.compile(r"^\d{2,3}\.\d{3,4}$"))
    expect(row.locator(".c-quote")).to_have_text(re.compile(r"^([+−][\d.]+|0) bps$"))
    expect(row.locator(".c-fee")).to_have_text(re.compile(r"^\$[\d.,]+$"))
    expect(row.locator(".c-venue")).to_have_text(re.compile(r"^(Raydium|Meteora|Whirlpool)"))
    prices = r"Raydium \d.*Meteora \d.*Whirlpool \d"
    expect(page.locator("#chart-values")).to_have_text(re.compile(prices))
    expect(page.locator("#chart")).to_have_attribute("data-fills", re.compile("[1-9]"))


def test_a_limit_order_is_changed_and_cancelled_and_a_twap_order_is_confirmed(
    dashboard: Dashboard,
) -> None:
    page, amount = dashboard.page, new_amount()
    dashboard.open()
    page.get_by_role("radio", name="Limit").check()
    page.fill("#limit-price", "900")
    row = dashboard.submit(amount)
    expect_status(row, "resting")
    expect(row.locator(".live")).to_have_text(re.compile(r"limit 900\.000 \(\+\d"))
    row.get_by_role("button", name="Change order").click()
    page.fill("#change-limit", "910")
    page.click("#change-submit")
    expect(row.locator(".live")).to_have_text(re.compile(r"limit 910\.000"))
    row.get_by_role("button", name="Cancel order").click()
    expect_status(row, "cancelled")
    page.get_by_role("radio", name="TWAP").check()
    page.fill("#limit-price", "")
    page.fill("#slices", "2")
    page.fill("#interval", "1")
    sliced = new_amount()
    row = dashboard.submit(sliced)
    expect_status(row, "confirmed")
    row.get_by_role("link").click()
    expect(page.locator("#detail .legs li")).to_have_count(2)


def test_text_typed_after_the_choice_of_a_token_replaces_it(dashboard: Dashboard) -> None:
    page, keyboard, amount = dashboard.page, dashboard.page.keyboard, new_amount()
    dashboard.open()
    page.focus("#token-in")
    keyboard.type("BONK")
    keyboard.press("Enter")
    expect(page.locator("#token-in")).to_have_value("BONK")
    keyboard.type("SOL")
    keyboard.press("Tab")
    expect(page.locator("#token-in")).to_have_value("SOL")
    expect_status(dashboard.submit(amount), "confirmed")


def test_a_real_route_over_another_token_is_shown_hop_by_hop(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open()
    for field, symbol in (("#token-in", "JUP"), ("#token-out", "BONK")):
        page.fill(field, symbol)
        page.press(field, "Enter")
    page.fill("#amount", "25")
    expect(page.locator("#quote-route li .text").first).to_have_text(
        re.compile(r"JUP → \w+ (\w+ \d+ %( · )?)+, then \w+ → BONK (\w+ \d+ %( · )?)+$")
    )


def test_a_double_click_makes_one_order(
    dashboard: Dashboard, api: Callable[[str], httpx.Client]
) -> None:
    amount = new_amount()
    dashboard.open()
    dashboard.page.fill("#amount", amount)
    dashboard.page.dblclick("#submit")
    expect_status(dashboard.row(amount), "confirmed")
    listed = api(dashboard.target.api_key).get("/api/orders", params={"limit": 20}).json()["orders"]
    assert [order["amount"].startswith(amount) for order in listed].count(True) == 1


def test_a_submission_whose_answer_was_lost_is_retried_as_the_same_order(
    dashboard: Dashboard,
) -> None:
    keys: list[str | None] = []

    def lose_first_answer(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) == 1:
            route.fetch()  # the order is stored, but the answer is lost
            route.abort()
        else:
            route.continue_()

    dashboard.open()
    dashboard.page.route("**/api/orders/execute", lose_first_answer)
    row = dashboard.submit(new_amount())
    # The row comes by the WebSocket, perhaps before the second submission.
    expect(dashboard.page.locator("#form-status")).to_have_text(re.compile(r"^Order \w+ accepted"))
    expect_status(row, "confirmed")
    assert len(keys) >= 2
    assert len(set(keys)) == 1
    dashboard.ignore_problems("ERR_FAILED .*/execute")


def test_the_button_for_five_orders_places_five_and_all_are_confirmed(dashboard: Dashboard) -> None:
    amount = new_amount()
    dashboard.open()
    dashboard.page.fill("#amount", amount)
    dashboard.page.locator("#simulation summary").click()
    dashboard.page.click("#submit-five")
    expect(dashboard.row(amount)).to_have_count(5)
    confirmed = dashboard.page.locator(".row[data-status=confirmed]", has_text=f"{amount} SOL")
    expect(confirmed).to_have_count(5)
    expect(dashboard.page.locator("#form-status")).to_have_text("5 orders accepted.")


def test_a_failed_order_shows_its_reason_in_words_and_all_its_updates(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open()
    row = dashboard.submit(new_amount(), fault="slippage")
    expect_status(row, "failed")
    expect(row.locator(".c-why")).to_have_text("The price moved beyond your slippage")
    row.get_by_role("link").click()
    detail = page.get_by_role("dialog")
    expect(detail.locator(".failure")).to_contain_text("The price moved beyond your slippage")
    steps = detail.locator(".timeline b")
    attempt = ["Routing", "Building", "Submitted"]
    attempts = [step for i in (1, 2, 3) for step in (f"Attempt {i}", *attempt)]
    expect(steps).to_have_text(["Pending", *attempts, "Failed"])
    expect(detail).to_contain_text("Slippage, first 3 attempts")


def test_a_pending_order_can_be_cancelled_in_its_dialog(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page, order = dashboard.page, fake_order(1, "pending")
    engine.orders = [order]
    engine.refusals[f"DELETE {order['orderId']}"] = (200, fake_order(1, "cancelled"))
    dashboard.open()
    page.locator(".row").get_by_role("link").click()
    page.click("#detail-cancel")
    expect_status(page.locator(".row"), "cancelled")
    expect(page.locator("#detail-cancel")).to_be_hidden()
    expect(page.locator(".timeline b")).to_have_text(["Pending", "Cancelled"])


def test_a_refused_cancellation_is_reported_in_the_orders_dialog(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page, order = dashboard.page, fake_order(1, "pending")
    engine.orders = [order]
    why = "The order is routing; only a pending order can be cancelled."
    engine.refusals[f"DELETE {order['orderId']}"] = (409, {"detail": why})
    dashboard.open()
    page.locator(".row").get_by_role("link").click()
    page.click("#detail-cancel")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(f"Not cancelled. {why}")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_in_viewport()
    dashboard.ignore_problems("409")


# --- the connection ---------------------------------------------------------------------------


def test_after_a_reload_an_open_order_is_shown_once_with_all_its_updates(
    dashboard: Dashboard,
) -> None:
    dashboard.open()
    row = dashboard.submit(new_amount(), fault="quote_timeout", attempts="2")
    expect(row).to_have_count(1)
    dashboard.page.reload()
    expect_status(row, "confirmed")
    row.get_by_role("link").click()
    expect(dashboard.page.locator(".timeline b")).to_have_text(STEPS_WITH_TWO_RETRIES)


def test_over_a_lost_connection_no_update_is_lost_or_shown_twice(
    dashboard: Dashboard, api: Callable[[str], httpx.Client]
) -> None:
    page = dashboard.page
    sockets: list[WebSocketRoute] = []
    sent: list[dict[str, Any]] = []
    cut = False

    def relay(socket: WebSocketRoute) -> None:
        if cut:
            socket.close(code=1013, reason="cut")
            return
        server = socket.connect_to_server()
        sockets.append(socket)

        def forward(message: str | bytes) -> None:
            sent.append(json.loads(message))
            server.send(message)

        socket.on_message(forward)

    def relay_read(route: Route) -> None:
        if cut and route.request.method == "GET":
            route.abort()
        else:
            route.continue_()

    page.route_web_socket(re.compile("ticket="), relay)
    page.route("**/api/**", relay_read)
    dashboard.open()
    slow = dashboard.submit(new_amount(), fault="quote_timeout", attempts="2")
    expect(slow).to_have_count(1)
    cut = True
    sockets[-1].close(code=1013, reason="cut")
    expect(page.locator("#connection-text")).to_have_text(re.compile("Reconnecting"))
    client = api(dashboard.target.api_key)
    meanwhile = [new_amount() for _ in range(3)]
    for amount in meanwhile:
        execute(client, amount)
    expect(dashboard.row(meanwhile[0])).to_have_count(0)
    cut = False
    dashboard.connect_now()
    dashboard.expect_live()
    for amount in meanwhile:
        expect_status(dashboard.row(amount), "confirmed")
    expect_status(slow, "confirmed")
    assert {message["orderId"] for message in sent if "orderId" in message} == {"*"}
    dashboard.ignore_problems("ERR_FAILED")
    slow.get_by_role("link").click()
    expect(page.locator(".timeline b")).to_have_text(STEPS_WITH_TWO_RETRIES)


def test_an_order_placed_elsewhere_appears_without_a_reload(
    dashboard: Dashboard, api: Callable[[str], httpx.Client]
) -> None:
    dashboard.open()
    amounts = [new_amount() for _ in range(6)]
    client = api(dashboard.target.api_key)
    for amount in amounts:
        execute(client, amount)
    for amount in amounts:
        expect_status(dashboard.row(amount), "confirmed")


def test_a_failed_load_of_the_orders_is_reported_and_retried(
    dashboard: Dashboard, api: Callable[[str], httpx.Client]
) -> None:
    page, amount = dashboard.page, new_amount()
    execute(api(dashboard.target.api_key), amount)
    page.route(re.compile(r"/api/orders\?"), lambda route: route.fulfill(status=503, json={}))
    dashboard.open(live=False)
    expect(page.locator("#list-message")).to_have_text("The orders could not be loaded.")
    expect(page.get_by_role("button", name="Load the orders again")).to_be_visible()
    page.unroute_all()
    expect_status(dashboard.row(amount), "confirmed")
    expect(page.locator("#list-state")).not_to_have_attribute("data-state", "error")
    dashboard.ignore_problems("503")


def test_without_the_chart_library_the_page_shows_orders_and_can_load_the_chart_again(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page, lost = dashboard.page, True
    engine.orders = [fake_order(1, "confirmed")]
    page.route(
        "**/lightweight-charts.*.js",
        lambda route: route.fulfill(status=503) if lost else route.fallback(),
    )
    dashboard.open()
    expect_status(page.locator(".row"), "confirmed")
    expect(page.locator("#chart-message")).to_have_text("The chart could not be loaded.")
    lost = False
    page.get_by_role("button", name="Load the chart again").click()
    expect(page.locator("#chart canvas").first).to_be_visible()
    expect(page.locator("#chart-state")).to_be_hidden()
    dashboard.ignore_problems("503")


def test_a_subscription_whose_answer_was_lost_is_sent_again(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    """A throttling API Gateway answers with its own frame and does not invoke the function."""
    lost = {"message": "Internal server error", "connectionId": "c=", "requestId": "r="}

    def lose_the_first(socket: WebSocketRoute, message: Json) -> None:
        if len(engine.sent) == 1:
            socket.send(json.dumps(lost))
        else:
            answer_as_the_engine(socket, message)

    engine.orders = [order := fake_order(1, "pending")]
    engine.on_message = lose_the_first
    dashboard.open(live=False)
    expect_status(dashboard.page.locator(".row"), "pending")
    dashboard.expect_live()
    # A live page would not have sent the second subscription.
    assert engine.sent[:2] == [{"action": "subscribe", "orderId": "*"}] * 2
    assert len(engine.sockets) == 1
    refused = {"error": {"code": "X", "message": "x"}}
    for text in (json.dumps(lost), json.dumps(refused), "[]", "null", "7", "no JSON"):
        engine.sockets[-1].send(text)
    engine.push(order, "routing", attempt=1)
    expect_status(dashboard.page.locator(".row"), "routing")
    dashboard.expect_live()


def test_a_connection_without_answers_is_replaced_by_another(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    engine.on_message = lambda _socket, _message: None
    dashboard.page.clock.install()
    dashboard.open(live=False)
    expect(dashboard.page.locator("#main")).to_be_visible()
    for _ in range(400):
        dashboard.page.clock.run_for(1000)
        dashboard.page.wait_for_timeout(20)
        if len(engine.sockets) == 2:
            break
    assert len(engine.sockets) == 2
    engine.on_message = answer_as_the_engine
    for _ in range(20):
        dashboard.page.clock.run_for(1000)
    dashboard.expect_live()


def test_with_the_websocket_blocked_orders_are_read_by_http_and_the_page_says_so(
    dashboard: Dashboard,
) -> None:
    page, blocked = dashboard.page, True

    def relay(socket: WebSocketRoute) -> None:
        if blocked:
            socket.close(code=1013, reason="blocked")
        else:
            socket.connect_to_server()

    page.route_web_socket(re.compile("ticket="), relay)
    dashboard.open(live=False)
    expect_status(dashboard.submit(new_amount()), "confirmed")
    expect(page.locator("#connection")).to_have_attribute("data-state", "reading")
    expect(page.locator("#connection")).to_have_text("Not live: reading every few seconds")
    expect(page.locator("body")).not_to_have_attribute("data-stale", "")
    blocked = False
    dashboard.connect_now()
    dashboard.expect_live()
    expect_status(dashboard.submit(new_amount()), "confirmed")


def test_an_order_placed_elsewhere_is_read_while_the_websocket_is_blocked(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    engine.web_socket_reachable = False
    dashboard.open(live=False)
    expect(dashboard.page.locator("#connection")).to_have_attribute("data-state", "reading")
    engine.orders = [fake_order(1, "confirmed")]
    expect_status(dashboard.page.locator(".row"), "confirmed")


def test_while_offline_times_stop_and_the_page_shows_when_it_was_last_current(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    page.clock.install(time=NOON)
    engine.orders = [order := fake_order(1, "routing")]
    dashboard.open()
    row = page.locator(".row")
    step = row.locator(".live")
    before = step.text_content()
    expect(step).not_to_have_text(str(before))  # the shown time advances
    page.context.set_offline(True)
    expect(page.locator("#connection-text")).to_have_text(
        re.compile(r"^Offline, last known (Jan 31, )?\d\d:\d\d:\d\d$")
    )
    expect(row.locator(".live")).to_have_text("last known")
    stopped, state = step.text_content(), page.locator("#connection-text").text_content()
    page.wait_for_timeout(1500)
    assert step.text_content() == stopped
    assert page.locator("#connection-text").text_content() == state
    expect(row).to_have_css("filter", re.compile("grayscale"))
    engine.push(order, "building", route=ROUTE)
    page.context.set_offline(False)
    expect_status(row, "building")
    dashboard.expect_live()
    expect(row.locator(".live")).not_to_have_text("last known")


def test_while_the_engine_cannot_be_reached_orders_are_marked_as_last_known(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    engine.orders = [fake_order(1, "routing")]
    dashboard.open()
    engine.reachable = engine.web_socket_reachable = False
    engine.cut()
    expect(page.locator("#connection-text")).to_have_text(re.compile("last known"))
    expect(page.locator(".row .live")).to_have_text("last known")
    engine.reachable = engine.web_socket_reachable = True
    dashboard.connect_now()
    dashboard.expect_live()
    dashboard.ignore_problems("ERR_FAILED")


def test_orders_placed_and_ended_while_the_page_was_disconnected_are_found(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    """One of them is older than the newest known order."""
    page = dashboard.page
    page.clock.install(time=NOON + timedelta(seconds=110))
    known = [fake_order(number, "confirmed") for number in (100, 99, 97)]
    engine.orders = [*known]
    dashboard.open()
    expect(page.locator(".row")).to_have_count(3)
    engine.reachable = engine.web_socket_reachable = False
    engine.cut()
    expect(page.locator("#connection")).not_to_have_attribute("data-state", "live")
    meanwhile = [fake_order(number, "confirmed") for number in range(148, 100, -1)]
    missed = fake_order(98, "failed", error={"code": "INTERNAL", "message": "It broke."})
    engine.orders = [*meanwhile, *known[:2], missed, known[2]]
    engine.reachable = engine.web_socket_reachable = True
    dashboard.expect_live()
    expect(page.locator(".row")).to_have_count(52)
    expect_status(page.locator(f".row[data-id='{missed['orderId']}']"), "failed")
    dashboard.ignore_problems("ERR_FAILED")


def test_an_old_order_that_ended_while_the_page_was_disconnected_is_read(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    old = fake_order(1, "routing")
    newer = [fake_order(number, "confirmed") for number in range(1100, 1000, -1)]
    engine.orders = [*newer, old]
    dashboard.open()
    page.get_by_role("radio", name="Open").check()
    page.get_by_role("radio", name="All").check()
    while page.locator(".row").count() < 101:
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(50)
    expect_status(page.locator(f".row[data-id='{old['orderId']}']"), "routing")
    engine.web_socket_reachable = False
    engine.cut()
    expect(page.locator("#connection")).not_to_have_attribute("data-state", "live")
    old |= {**fake_order(1, "confirmed")}
    engine.web_socket_reachable = True
    dashboard.expect_live()
    expect_status(page.locator(f".row[data-id='{old['orderId']}']"), "confirmed")


# --- loading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [r"app\.\w+\.js", r"dashboard\.\w+\.css"])
def test_a_file_that_failed_to_load_is_requested_again(dashboard: Dashboard, name: str) -> None:
    requests: list[str] = []

    def throttled_twice(route: Route) -> None:
        requests.append(route.request.url)
        if len(requests) <= 2:
            route.fulfill(status=503, json={"message": "Service Unavailable"})
        else:
            route.continue_()

    dashboard.open()  # first, because a page that reloads itself has lost the key of its URL
    dashboard.page.route(re.compile(f"/assets/{name}"), throttled_twice)
    dashboard.page.reload()
    # A style sheet that arrives during a click moves the button.
    expect(dashboard.page.locator(".bar")).to_have_css("position", "sticky")
    dashboard.expect_live()
    expect_status(dashboard.submit(new_amount()), "confirmed")
    assert len(requests) == 3
    dashboard.ignore_problems("503")


def test_the_page_works_without_the_script_that_requests_files_again(dashboard: Dashboard) -> None:
    dashboard.page.route("**/retry.*.js", lambda route: route.fulfill(status=503))
    dashboard.open()
    dashboard.ignore_problems("503")


REQUESTS = """["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type))
    .map(({ name, startTime, responseEnd, encodedBodySize }) =>
        ({ name, startTime, responseEnd, encodedBodySize }))
    .sort((one, other) => one.startTime - other.startTime)"""


def test_the_first_render_takes_at_most_six_requests_and_120_kb(dashboard: Dashboard) -> None:
    """From an empty cache until orders are shown; a small account allows few concurrent calls."""
    page = dashboard.page
    dashboard.open()
    expect_status(dashboard.submit(new_amount()), "confirmed")
    page.context.new_cdp_session(page).send("Network.clearBrowserCache")
    page.reload()
    expect(page.locator(".row .status").first).to_be_visible()
    requests = page.evaluate(REQUESTS)
    orders = next(each for each in requests if urlsplit(each["name"]).path.endswith("/api/orders"))
    # The page requests everything else after this answer, or 1.5 s after this request.
    until = min(orders["responseEnd"], orders["startTime"] + 1400)
    requests = [each for each in requests if each["startTime"] < until]
    size = sum(each["encodedBodySize"] for each in requests)
    paths = [urlsplit(each["name"]).path for each in requests]
    print(f"{len(paths)} requests, {size} bytes: {paths}")
    assert len(requests) <= 6
    assert 20_000 < size < 120_000


# --- many -------------------------------------------------------------------------------------


# Measures the time that this browser needs on this machine for a plain table of 2,000 cells.
UNIT_MS = """() => Math.min(...Array.from({ length: 5 }, () => {
    const began = performance.now();
    const table = document.body.appendChild(document.createElement("table"));
    for (let row = 0; row < 500; row++) {
        const line = table.insertRow();
        for (let cell = 0; cell < 4; cell++) line.insertCell().textContent = `${row} ${cell}`;
    }
    table.getBoundingClientRect();
    table.remove();
    return performance.now() - began;
}))"""
# 100 ms on a machine that needs 10 ms for that table.
LONGEST_TASK_UNITS = 10


def test_a_thousand_orders_are_loaded_and_a_hundred_updates_at_once_make_no_long_task(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    """`uv run pytest -s tests/e2e/test_dashboard.py -k thousand` prints the figures."""
    page = dashboard.page
    orders = engine.orders = [fake_order(number) for number in range(1000, 0, -1)]
    dashboard.open()
    rows = page.locator("#rows > .row")
    deadline = time.monotonic() + 120
    # The page's height changes as rows become visible, so its end moves.
    while page.locator("#list-message").text_content() != "These are all.":
        assert time.monotonic() < deadline, f"{rows.count()} orders are shown"
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(20)
    expect(rows).to_have_count(len(orders))
    page.evaluate("scrollTo(0, 0)")
    unit_ms = page.evaluate(UNIT_MS)
    page.evaluate(
        """() => {
            window.longTasks = [];
            new PerformanceObserver((list) => {
                window.longTasks.push(...list.getEntries().map(({ duration }) => duration));
            }).observe({ type: "longtask" });
        }"""
    )
    error = {"code": "FAILED_TO_LAND", "message": "It never landed."}
    longest_ms: list[float] = []
    for start in range(0, 300, 100):
        burst = orders[start : start + 100]
        first = page.locator(f".row[data-id='{burst[0]['orderId']}']")
        first.evaluate("row => row.scrollIntoView()")
        page.wait_for_timeout(500)
        page.evaluate("window.longTasks = [0]")
        for order in burst:
            engine.push(order, "failed", error=error)
        expect(page.locator(".row[data-status=failed]")).to_have_count(start + 100)
        page.wait_for_timeout(500)
        longest_ms.append(max(page.evaluate("window.longTasks")))
    ids = rows.evaluate_all("rows => rows.map((row) => row.dataset.id)")
    assert ids == [order["orderId"] for order in orders]
    nodes = page.evaluate("document.querySelectorAll('*').length")
    longest = min(longest_ms)  # another process can delay a task, but hardly one in every burst
    print(
        f"{nodes} elements for {len(orders)} orders; the longest task of a burst of 100 took"
        f" {longest:.0f} ms, {longest / unit_ms:.1f} plain tables of {unit_ms:.1f} ms"
    )
    assert nodes < 15_000
    assert longest < LONGEST_TASK_UNITS * unit_ms, longest_ms


# --- the keyboard ---


def test_an_order_is_placed_and_read_with_the_keyboard_alone(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open()
    page.focus("#amount")
    keyboard, amount = page.keyboard, new_amount()
    keyboard.type(amount)
    page.locator("#amount").select_text()
    keyboard.type(amount)
    keyboard.press("Tab")
    keyboard.type("jup")
    expect(page.locator("#token-in-list [role=option]")).to_have_text([re.compile("JUP")])
    keyboard.press("Enter")
    expect(page.locator("#token-in")).to_have_value("JUP")
    expect(page.locator("#quote-rate")).to_have_text(re.compile("^1 JUP ="))
    page.focus("#amount")
    keyboard.press("Enter")
    row = page.locator(".row", has_text=f"{amount} JUP")
    expect_status(row, "confirmed")
    row.get_by_role("link").focus()
    keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Timeline")
    close_dialog(page)
    expect(row.get_by_role("link")).to_be_focused()
