"""The dashboard in a real Chromium, against the deployed stack."""

from __future__ import annotations

import json
import random
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Route,
    WebSocketRoute,
    expect,
)

from tests.e2e.browser import axe_source, launched
from tests.e2e.conftest import Target

expect.set_options(timeout=30_000)
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1440, "height": 900}
_run, _amounts = random.randint(2, 99), count(1)


def new_amount() -> str:
    """An amount that no other order of this run has, as rows show it."""
    return f"{_run}.{next(_amounts):03}1"


class Dashboard:
    """One tab with the dashboard, and what went wrong in it."""

    def __init__(self, page: Page, target: Target) -> None:
        self.page, self.target = page, target
        self.problems: list[str] = []
        own = {urlsplit(url).netloc for url in (target.http_url, target.web_socket_url)}

        def asked(url: str) -> None:
            if urlsplit(url).netloc not in own:
                self.problems.append(f"asked another host: {url}")

        page.on("request", lambda request: asked(request.url))
        page.on("websocket", lambda socket: asked(socket.url))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.text} {message.location.get('url')}")

    def open(self, key: str | None = None, *, live: bool = True) -> None:
        fragment = f"#key={key or self.target.api_key}"
        self.page.goto(f"{self.target.http_url}/{fragment}")
        if live:
            self.is_live()

    def is_live(self) -> None:
        expect(self.page.locator("#connection")).to_have_attribute("data-state", "live")

    def row(self, amount: str) -> Locator:
        return self.page.locator(".row", has_text=re.compile(rf"^{re.escape(amount)} "))

    def submit(self, amount: str, *, fault: str = "", attempts: str = "3") -> Locator:
        """Fill in the form and submit it; the order's row."""
        self.page.fill("#amount", amount)
        if fault:
            self.page.locator("#faults").evaluate("details => { details.open = true }")
            self.page.select_option("#fault", fault)
            self.page.select_option("#fault-attempts", attempts)
        self.page.click("#submit")
        return self.row(amount)

    def forgive(self, pattern: str) -> None:
        """Problems that a test means to make."""
        self.problems = [each for each in self.problems if not re.search(pattern, each)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@contextmanager
def tab(browser: Browser, target: Target, **options: Any) -> Iterator[Dashboard]:
    """A tab of a fresh profile; in the end nothing may have gone wrong in it."""
    common = {"viewport": DESKTOP, "ignore_https_errors": True, "locale": "en-US"}
    options = {**common, **options}
    context = browser.new_context(**options)
    dashboard = Dashboard(context.new_page(), target)
    yield dashboard
    context.close()
    assert dashboard.problems == []


@pytest.fixture
def dashboard(browser: Browser, target: Target) -> Iterator[Dashboard]:
    with tab(browser, target) as dashboard:
        yield dashboard


@pytest.fixture
def api(target: Target) -> Iterator[Callable[[str], httpx.Client]]:
    """HTTP clients by key, beside the browser."""
    clients: list[httpx.Client] = []
    tls = ssl.create_default_context(cafile=target.ca_bundle) if target.ca_bundle else True

    def client(key: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"}
        made = httpx.Client(base_url=target.http_url, headers=headers, verify=tls, timeout=60)
        clients.append(made)
        return made

    yield client
    for each in clients:
        each.close()


def has_status(row: Locator, status: str) -> None:
    expect(row).to_have_count(1)
    expect(row).to_have_attribute("data-status", status)


def execute(client: httpx.Client, amount: str, **fields: Any) -> str:
    """Submit an order beside the browser; its id."""
    body = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": amount, **fields}
    answer = client.post("/api/orders/execute", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["orderId"])


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
    has_status(row, "confirmed")
    expect(row.locator(".steps [data-state=done]")).to_have_count(5)
    expect(row.locator(".price-cell")).to_have_text(re.compile(r"^[\d.,]+.*bps.*quoted [\d.,]+$"))
    venue = "(Raydium|Meteora|Whirlpool) [0-9]+ %"
    expect(row.locator(".venues-cell")).to_have_text(re.compile(venue))
    expect(row.get_by_role("button", name=re.compile("Copy transaction"))).to_be_visible()
    expect(page.locator("#announcer")).to_have_text(re.compile("confirmed$"))
    expect(page.locator("[data-kind=outcomes]")).to_have_text(re.compile(r"Confirmed [1-9]"))
    expect(page.locator("[data-kind=latency]")).to_have_text(re.compile(r"p50 \d.*p95 \d"))
    prices = r"Raydium \d.*Meteora \d.*Whirlpool \d"
    expect(page.locator("[data-kind=prices]")).to_have_text(re.compile(prices))


def test_a_double_click_makes_one_order(
    dashboard: Dashboard, api: Callable[[str], httpx.Client]
) -> None:
    amount = new_amount()
    dashboard.open()
    dashboard.page.fill("#amount", amount)
    dashboard.page.dblclick("#submit")
    has_status(dashboard.row(amount), "confirmed")
    listed = api(dashboard.target.api_key).get("/api/orders", params={"limit": 20}).json()["orders"]
    assert [order["amount"].startswith(amount) for order in listed].count(True) == 1


def test_a_submission_that_the_network_lost_is_sent_again_as_the_same_order(
    dashboard: Dashboard,
) -> None:
    keys: list[str | None] = []

    def lose_first_answer(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) == 1:
            route.fetch()  # it arrives, but its answer never comes back
            route.abort()
        else:
            route.continue_()

    dashboard.open()
    dashboard.page.route("**/api/orders/execute", lose_first_answer)
    row = dashboard.submit(new_amount())
    has_status(row, "confirmed")
    assert len(keys) == 2
    assert len(set(keys)) == 1
    dashboard.forgive("ERR_FAILED .*/execute")


def test_five_at_once_are_five_orders_and_all_are_confirmed(dashboard: Dashboard) -> None:
    amount = new_amount()
    dashboard.open()
    dashboard.page.fill("#amount", amount)
    dashboard.page.click("#submit-five")
    expect(dashboard.row(amount)).to_have_count(5)
    confirmed = dashboard.page.locator(".row[data-status=confirmed]", has_text=f"{amount} SOL")
    expect(confirmed).to_have_count(5)
    expect(dashboard.page.locator("#form-status")).to_have_text("5 orders accepted.")


def test_a_failing_order_says_why_in_words_and_tells_its_whole_life(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open()
    row = dashboard.submit(new_amount(), fault="slippage")
    expect(row.locator(".countdown")).to_have_text(re.compile("attempt 2 of 3"))
    has_status(row, "failed")
    expect(row.locator(".reason")).to_have_text("The price moved beyond your slippage")
    expect(row.locator(".steps [data-state=failed]")).to_have_text(re.compile("Submitted"))
    row.get_by_role("button").first.click()
    detail = page.get_by_role("dialog")
    expect(detail.locator(".failure")).to_contain_text("The price moved beyond your slippage")
    steps = detail.locator(".timeline b")
    life = ["Routing", "Building", "Submitted"]
    expect(steps).to_have_text(["Pending", *life, *life, *life, "Failed"])
    expect(detail).to_contain_text("slippage, all venues")


def test_filters_show_what_they_say(
    dashboard: Dashboard, api: Callable[[str], httpx.Client]
) -> None:
    page = dashboard.page
    good, bad = new_amount(), new_amount()
    client = api(dashboard.target.api_key)
    execute(client, good)
    execute(client, bad, simulate={"fault": "venue_down"})
    dashboard.open()
    has_status(dashboard.row(bad), "failed")
    page.get_by_role("radio", name="Failed").check()
    expect(dashboard.row(bad)).to_be_visible()
    expect(dashboard.row(good)).to_be_hidden()
    page.get_by_role("radio", name="Confirmed").check()
    expect(dashboard.row(good)).to_be_visible()
    expect(dashboard.row(bad)).to_be_hidden()
    page.get_by_role("radio", name="Cancelled").check()
    expect(page.locator("#list-message")).to_have_text("No order was cancelled.")


def test_bad_input_is_told_next_to_its_field_and_nothing_is_sent(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open()
    for amount, rule in {
        "-1": "must be a number",
        "0": "must be greater than 0",
        "1.0000000001": "must have at most 9 decimal places",
        "": "is needed",
    }.items():
        page.fill("#amount", amount)
        page.click("#submit")
        expect(page.locator("#amount-error")).to_contain_text(rule)
        expect(page.locator("#amount")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#form-status")).to_be_empty()


# --- the connection ---------------------------------------------------------------------------


def test_a_reload_mid_way_shows_the_order_once_and_to_its_end(dashboard: Dashboard) -> None:
    dashboard.open()
    row = dashboard.submit(new_amount(), fault="quote_timeout", attempts="2")
    has_status(row, "routing")
    dashboard.page.reload()
    has_status(row, "confirmed")
    row.get_by_role("button").first.click()
    expect(dashboard.page.locator(".timeline b")).to_have_text(
        ["Pending", "Routing", "Routing", "Routing", "Building", "Submitted", "Confirmed"]
    )


def test_a_cut_connection_comes_back_and_nothing_is_lost_or_shown_twice(
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

    page.route_web_socket(re.compile("ticket="), relay)
    dashboard.open()
    slow = dashboard.submit(new_amount(), fault="quote_timeout", attempts="2")
    has_status(slow, "routing")
    cut = True
    sockets[-1].close(code=1013, reason="cut")
    expect(page.locator("#connection-text")).to_have_text(re.compile("Reconnecting"))
    client = api(dashboard.target.api_key)
    meanwhile = [new_amount() for _ in range(3)]
    for amount in meanwhile:
        execute(client, amount)
    expect(dashboard.row(meanwhile[0])).to_have_count(0)
    cut = False
    dashboard.is_live()
    for amount in meanwhile:
        has_status(dashboard.row(amount), "confirmed")
    has_status(slow, "confirmed")
    order_id = slow.get_attribute("data-id")
    resumed_since = [
        message["sinceSequence"]
        for message in sent
        if message["orderId"] == order_id and message["action"] == "subscribe"
    ]
    assert resumed_since
    assert min(resumed_since) > 1
    slow.get_by_role("button").first.click()
    expect(page.locator(".timeline b")).to_have_text(
        ["Pending", "Routing", "Routing", "Routing", "Building", "Submitted", "Confirmed"]
    )


def test_an_order_made_elsewhere_appears_by_itself(
    dashboard: Dashboard, api: Callable[[str], httpx.Client]
) -> None:
    dashboard.open()
    amounts = [new_amount() for _ in range(6)]
    client = api(dashboard.target.api_key)
    for amount in amounts:
        execute(client, amount)
    for amount in amounts:
        has_status(dashboard.row(amount), "confirmed")


# --- keys -------------------------------------------------------------------------------------


def test_the_key_leaves_the_url_at_once_and_stays_in_the_browser(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open()
    assert page.url == f"{dashboard.target.http_url}/"
    assert dashboard.target.api_key not in page.content()
    page.reload()
    dashboard.is_live()
    expect(page.locator("#gate")).to_be_hidden()


def test_without_a_key_the_page_asks_for_one_and_sends_nothing(dashboard: Dashboard) -> None:
    page = dashboard.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.goto(f"{dashboard.target.http_url}/")
    expect(page.get_by_role("dialog", name="Your API key")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#gate")).to_be_visible()
    assert [path for path in asked if "/api/" in path] == []


def test_a_wrong_key_is_told_and_a_right_one_lets_in(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open("oee_" + "x" * 43, live=False)
    expect(page.locator("#gate-error")).to_have_text("This key is not valid here, or no longer.")
    page.fill("#gate-key", dashboard.target.api_key)
    page.keyboard.press("Enter")
    dashboard.is_live()
    expect(page.locator("#gate")).to_be_hidden()
    has_status(dashboard.submit(new_amount()), "confirmed")
    dashboard.forgive("401")


def test_the_orders_of_another_owner_are_absent_before_and_after_a_change_of_key(
    dashboard: Dashboard, other_key: str, api: Callable[[str], httpx.Client]
) -> None:
    page = dashboard.page
    dashboard.open()
    theirs, mine = new_amount(), new_amount()
    execute(api(other_key), theirs)
    has_status(dashboard.submit(mine), "confirmed")
    expect(dashboard.row(theirs)).to_have_count(0)
    page.click("#change-key")
    page.fill("#gate-key", other_key)
    page.keyboard.press("Enter")
    has_status(dashboard.row(theirs), "confirmed")
    expect(dashboard.row(mine)).to_have_count(0)
    dashboard.is_live()


def test_orders_that_cannot_be_loaded_are_said_and_come_when_they_can_be(
    dashboard: Dashboard, api: Callable[[str], httpx.Client]
) -> None:
    page, amount = dashboard.page, new_amount()
    execute(api(dashboard.target.api_key), amount)
    page.route(re.compile(r"/api/orders\?"), lambda route: route.fulfill(status=503, json={}))
    dashboard.open(live=False)
    expect(page.locator("#list-message")).to_have_text("The orders could not be loaded.")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    page.unroute_all()
    has_status(dashboard.row(amount), "confirmed")
    expect(page.locator("#list-state")).not_to_have_attribute("data-state", "error")
    dashboard.forgive("503")


def test_without_its_chart_library_the_page_still_takes_and_shows_orders(
    dashboard: Dashboard,
) -> None:
    dashboard.page.add_init_script(
        "Object.defineProperty(window, 'uPlot', { set() { throw new Error('odd browser'); } })"
    )
    dashboard.open()
    has_status(dashboard.submit(new_amount()), "confirmed")
    expect(dashboard.page.locator("#market")).to_be_hidden()


# --- loading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [r"app\.\w+\.js", r"dashboard\.\w+\.css"])
def test_a_file_that_the_page_did_not_get_is_asked_for_again(
    dashboard: Dashboard, name: str
) -> None:
    asked: list[str] = []

    def throttled_twice(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) <= 2:
            route.fulfill(status=503, json={"message": "Service Unavailable"})
        else:
            route.continue_()

    dashboard.page.route(re.compile(f"/assets/{name}"), throttled_twice)
    dashboard.open()
    has_status(dashboard.submit(new_amount()), "confirmed")
    expect(dashboard.page.locator(".bar")).to_have_css("position", "sticky")
    assert len(asked) == 3
    dashboard.forgive("503")


def test_the_page_works_without_the_file_that_would_load_it_again(dashboard: Dashboard) -> None:
    dashboard.page.route("**/retry.*.js", lambda route: route.fulfill(status=503))
    dashboard.open()
    dashboard.forgive("503")


def test_a_pending_order_can_be_cancelled_where_it_is_read(dashboard: Dashboard) -> None:
    page = dashboard.page
    (order,) = made_up_orders(1)
    first = {**order["updates"][0], "status": "pending"}
    pending = {**order, "status": "pending", "sequence": 1, "updates": [first]}
    last = {**first, "sequence": 2, "status": "cancelled"}
    cancelled = {**pending, "status": "cancelled", "sequence": 2, "updates": [first, last]}
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(f"{route.request.method} {urlsplit(route.request.url).path[-36:]}")
        route.fulfill(json=cancelled)

    page.route(
        re.compile(r"/api/orders\?"), lambda route: route.fulfill(json={"orders": [pending]})
    )
    page.route(re.compile(r"/api/orders/0000"), answer)
    dashboard.open()
    page.locator(".row").get_by_role("button").first.click()
    page.get_by_role("button", name="Cancel order").click()
    has_status(page.locator(".row"), "cancelled")
    expect(page.get_by_role("button", name="Cancel order")).to_be_hidden()
    expect(page.locator(".timeline b")).to_have_text(["Pending", "Cancelled"])
    assert asked == [f"DELETE {order['orderId']}"]


# --- many, and everyone -----------------------------------------------------------------------


def made_up_orders(how_many: int) -> list[dict[str, Any]]:
    """Orders as the API lists them, newest first."""
    orders = []
    for i in range(how_many):
        order_id = f"00000000-0000-4000-8000-{how_many - i:012}"
        minute, second = divmod(3599 - i, 60)
        time = f"2026-01-31T12:{minute:02}:{second:02}.000Z"
        routed = {"orderId": order_id, "timestamp": time}
        updates = [
            {**routed, "sequence": 1, "status": "pending"},
            {**routed, "sequence": 2, "status": "routing", "attempt": 1},
        ]
        fields = {"tokenIn": "SOL", "tokenOut": "USDC", "slippageBps": 50, "maxAttempts": 3}
        times = {"createdAt": time, "updatedAt": time}
        state = {"status": "routing", "sequence": 2, "attempt": 1, "updates": updates}
        orders.append({"orderId": order_id, "amount": f"{i + 1}", **fields, **times, **state})
    return orders


def test_a_thousand_orders_are_paged_in_and_updated_without_stutter(dashboard: Dashboard) -> None:
    page, orders = dashboard.page, made_up_orders(1000)
    sockets: list[WebSocketRoute] = []

    def listed(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        start, limit = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        more = {"nextCursor": str(start + limit)} if start + limit < len(orders) else {}
        route.fulfill(json={"orders": orders[start : start + limit], **more})

    def serve(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        subscribed = {"type": "subscribed", "orderId": "*"}
        socket.on_message(
            lambda message: socket.send(json.dumps(subscribed)) if '"*"' in str(message) else None
        )

    page.route(re.compile(r"/api/orders\?"), listed)
    page.route_web_socket(re.compile("ticket="), serve)
    dashboard.open()
    page.evaluate(
        """() => {
            window.longTasks = [];
            new PerformanceObserver((list) => {
                window.longTasks.push(...list.getEntries().map(({ duration }) => duration));
            }).observe({ type: "longtask" });
        }"""
    )
    rows = page.locator("#rows > .row")
    while rows.count() < len(orders):
        before = rows.count()
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(rows).not_to_have_count(before)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#list-message")).to_have_text("These are all.")
    page.evaluate("scrollTo(0, 0)")
    for order in orders:
        update = {"orderId": order["orderId"], "sequence": 3, "status": "failed"}
        error = {"code": "FAILED_TO_LAND", "message": "It never landed."}
        time = {"timestamp": order["createdAt"]}
        sockets[-1].send(json.dumps({**update, **time, "error": error}))
    expect(page.locator(".row[data-status=failed]")).to_have_count(1000)
    ids = rows.evaluate_all("rows => rows.map((row) => row.dataset.id)")
    assert ids == [order["orderId"] for order in orders]
    tasks_ms = sorted([0, *page.evaluate("window.longTasks")])
    print(f"{len(tasks_ms)} tasks over 50 ms, the longest {tasks_ms[-1]} ms")
    # A busy machine may stretch one or another, but not most of them.
    assert tasks_ms[len(tasks_ms) * 9 // 10] < 200, tasks_ms
    assert tasks_ms[-1] < 600, tasks_ms


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious(
    browser: Browser, target: Target, scheme: str, viewport: dict[str, int]
) -> None:
    options = {"color_scheme": scheme, "viewport": viewport, "reduced_motion": "reduce"}
    with tab(browser, target, **options) as dashboard:
        page = dashboard.page
        found: list[str] = []

        def check(state: str) -> None:
            page.evaluate(axe_source())
            violations = page.evaluate("async () => (await axe.run()).violations")
            found.extend(
                f"{state}: {each['id']} {[node['target'] for node in each['nodes']][:3]}"
                for each in violations
                if each["impact"] in ("serious", "critical")
            )

        dashboard.open()
        expect(page.locator("#quote")).to_have_attribute("data-state", "ready")
        failed = dashboard.submit(new_amount(), fault="venue_down")
        page.click("#token-in")
        check("choosing a token")
        page.keyboard.press("Escape")
        has_status(failed, "failed")
        page.select_option("#fault", "")
        has_status(dashboard.submit(new_amount()), "confirmed")
        check("orders")
        for row in (failed, page.locator(".row[data-status=confirmed]").first):
            row.get_by_role("button").first.click()
            check("an order in full")
            page.keyboard.press("Escape")
        page.click("#change-key")
        check("the key")
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert found == []


def test_an_order_is_made_and_read_with_the_keyboard_alone(dashboard: Dashboard) -> None:
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
    row = page.locator(".row", has_text=f"{amount} JUP → USDC")
    has_status(row, "confirmed")
    row.get_by_role("button").first.focus()
    keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Timeline")
    keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(row.get_by_role("button").first).to_be_focused()
