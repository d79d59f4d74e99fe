"""Helpers of the dashboard's tests: a tab in Chromium, and a fake engine that a test controls."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Route,
    WebSocketRoute,
    expect,
)

from functions.http.pages import Pages
from functions.runtime import settings
from tests.browser import axe_source
from tests.orders import TERMINAL

if TYPE_CHECKING:
    from tests.e2e.conftest import Target

# A busy machine is slow, and some waits last for an order's whole life.
WAIT_MS_MAX = 120_000
expect.set_options(timeout=WAIT_MS_MAX)
Json = dict[str, Any]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1440, "height": 900}
_run, _amounts = random.randint(2, 99), count(1)
# Problems of a busy stack from which the page recovers: it reconnects, and `call` retries.
TEMPORARY_PROBLEMS = (
    "WebSocket is closed before the connection is established",
    r"WebSocket handshake: Unexpected response code: (403|429|5\d\d)",
    r"server responded with a status of (429|5\d\d) .*/api/",
)


def new_amount() -> str:
    """An amount that no other order of this run has, as text that a row shows."""
    return f"{_run}.{next(_amounts):03}1"


class Dashboard:
    """One tab with the dashboard, and the problems that it reported."""

    def __init__(self, page: Page, target: Target | NoStack) -> None:
        self.page, self.target = page, target
        self.problems: list[str] = []
        self.ignored: list[str] = [] if target is NO_STACK else [*TEMPORARY_PROBLEMS]
        page.set_default_timeout(WAIT_MS_MAX)
        if target is not NO_STACK:
            # If a busy stack sends no quote in time, the page asks before it submits.
            page.add_locator_handler(page.locator("#guard[open]"), confirm_submission)
        own = {urlsplit(url).netloc for url in (target.http_url, target.web_socket_url)}

        def check_host(url: str) -> None:
            if urlsplit(url).netloc not in own:
                self.problems.append(f"request to another host: {url}")

        page.on("request", lambda request: check_host(request.url))
        page.on("websocket", lambda socket: check_host(socket.url))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._record)

    def _record(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.text} {message.location.get('url')}")

    def open(self, key: str | None = None, *, live: bool = True) -> None:
        """Open a link with a key, and accept the key."""
        self.open_link(key or self.target.api_key)
        self.page.click("#gate-use")
        if live:
            self.expect_live()

    def open_link(self, key: str) -> None:
        """Open a link with a key."""
        self.page.goto(f"{self.target.http_url}/#key={key}")

    def expect_live(self) -> None:
        expect(self.page.locator("#connection")).to_have_attribute("data-state", "live")

    def connect_now(self) -> None:
        """Let the page try to connect without waiting for the end of its backoff."""
        self.page.evaluate("dispatchEvent(new Event('online'))")

    def row(self, amount: str) -> Locator:
        return self.page.locator(".row", has_text=f"{amount} SOL")

    def submit(self, amount: str, *, fault: str = "", attempts: str = "3") -> Locator:
        """Fill in the form and submit it; returns the order's row."""
        self.page.fill("#amount", amount)
        if fault:
            self.page.locator("#simulation").evaluate("details => { details.open = true }")
            self.page.select_option("#fault", fault)
            self.page.select_option("#fault-attempts", attempts)
        self.page.click("#submit")
        return self.row(amount)

    def ignore_problems(self, pattern: str) -> None:
        """Ignore the problems that match; the test causes them on purpose."""
        self.ignored.append(pattern)


def confirm_submission(question: Locator) -> None:
    question.get_by_role("button", name="Submit it all the same").click()


@contextmanager
def tab(browser: Browser, target: Target | NoStack, **options: Any) -> Iterator[Dashboard]:
    """A tab with a fresh profile; it must have reported no problem by the end."""
    common = {"viewport": DESKTOP, "ignore_https_errors": True, "locale": "en-US"}
    options = {**common, **options}
    context = browser.new_context(**options)
    dashboard = Dashboard(context.new_page(), target)
    yield dashboard
    context.close()
    problems = [
        problem
        for problem in dashboard.problems
        if not any(re.search(pattern, problem) for pattern in dashboard.ignored)
    ]
    assert not problems, problems


def expect_status(row: Locator, status: str) -> None:
    expect(row).to_have_count(1)
    expect(row).to_have_attribute("data-status", status)


def close_dialog(page: Page) -> None:
    """Press Escape until the dialog is closed, because a busy browser can lose a key press."""
    dialog = page.locator("dialog[open]")
    for _ in range(5):
        page.keyboard.press("Escape")
        with suppress(AssertionError):
            return expect(dialog).to_have_count(0, timeout=5_000)
    return expect(dialog).to_have_count(0)


def execute(client: httpx.Client, amount: str, **fields: Any) -> str:
    """Submit an order without the browser; returns its id."""
    body = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": amount, **fields}
    answer = client.post("/api/orders/execute", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["orderId"])


def axe_violations(page: Page) -> list[str]:
    """The serious and critical violations that axe finds in the current page."""
    page.evaluate(axe_source())
    violations = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{each['id']} {[node['target'] for node in each['nodes']][:3]}"
        for each in violations
        if each["impact"] in ("serious", "critical")
    ]


# --- a fake engine ----------------------------------------------------------------------------


def fake_order(number: int, status: str = "routing", **fields: Any) -> Json:
    """An order as the API returns it; the greater the number, the newer."""
    order_id = f"00000000-0000-4000-8000-{number:012}"
    time = f"{NOON + timedelta(seconds=number):%Y-%m-%dT%H:%M:%S.000Z}"
    route = fields.get("route", ROUTE)
    details: dict[str, Json] = {
        "routing": {"attempt": 1},
        "building": {"route": route},
        "submitted": {"txHash": TX_HASH},
        "confirmed": {"txHash": TX_HASH, "outAmount": "150.2", "executedPrice": "150.2"},
        "failed": {"error": fields.get("error")},
    }
    usual = ["pending", "routing", "building", "submitted"]
    earlier = {"cancelled": usual[:1], "failed": usual, "confirmed": usual}
    earlier |= {step: usual[:i] for i, step in enumerate(usual)}
    steps = [*earlier.get(status, usual[:2]), status]
    updates = [
        {
            "orderId": order_id,
            "sequence": i,
            "status": step,
            "timestamp": time,
            **details.get(step, {}),
        }
        for i, step in enumerate(steps, start=1)
    ]
    lasting: Json = {}
    for update in updates:
        lasting |= {name: value for name, value in update.items() if name != "timestamp"}
    return {
        "type": "market",
        "tokenIn": "SOL",
        "tokenOut": "USDC",
        "amount": str(number),
        "slippageBps": 50,
        "maxAttempts": 3,
        "attempt": 1,
        "createdAt": time,
        "updatedAt": time,
        "updates": updates,
        **lasting,
        **fields,
    }


def stamp(from_now: timedelta) -> str:
    """A time as the API writes it."""
    return f"{datetime.now(UTC) + from_now:%Y-%m-%dT%H:%M:%S.000Z}"


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TX_HASH = "5".rjust(88, "3")
ROUTE: Json = {
    "inAmount": "1",
    "outAmount": "150.2",
    "otherAmountThreshold": "149.4",
    "priceImpactPct": "0.0002",
    "slippageBps": 50,
    "routePlan": [
        {
            "venue": "raydium",
            "pool": "p",
            "tokenIn": "SOL",
            "tokenOut": "USDC",
            "inAmount": "1",
            "outAmount": "150.2",
            "feeAmount": "0.0025",
            "percent": 100,
        }
    ],
    "quotes": [
        {"venue": "raydium", "outAmount": "150.2", "priceImpactPct": "0", "feeAmount": "0.0025"},
        {"venue": "meteora", "error": "NO_POOL"},
    ],
    "reason": "raydium is the only venue",
    "slot": 1,
}
QUOTE: Json = {**ROUTE, "tokenIn": "SOL", "tokenOut": "USDC", "referencePrice": "150.5"}


@dataclass(frozen=True)
class NoStack:
    """The addresses of a page without a stack; `FakeEngine` answers it."""

    http_url: str = "https://engine.test"
    web_socket_url: str = "wss://updates.engine.test"
    api_key: str = "oee_fake"


NO_STACK = NoStack()
# The dashboard of a stack with the simulated network's usual latency.
PAGES = Pages(
    replace(
        settings, web_socket_url=NO_STACK.web_socket_url, simulate_allowed=True, latency_scale=1
    )
)


def serve_files(page: Page) -> None:
    """Serve the dashboard's files to a browser context, with the API's security policy."""

    def answer(route: Route) -> None:
        name = urlsplit(route.request.url).path.removeprefix("/").removeprefix("assets/")
        file = PAGES.page(name or "index.html")
        kind = {"Content-Type": str(file.content_type)}
        route.fulfill(body=file.body, headers=kind | {k: str(v) for k, v in file.headers.items()})

    page.context.route(f"{NO_STACK.http_url}/**", answer)


class FakeEngine:
    """Answers the page's HTTP requests and its WebSocket in place of the stack."""

    def __init__(self, dashboard: Dashboard) -> None:
        page = dashboard.page
        self._target = dashboard.target
        if dashboard.target is NO_STACK:
            serve_files(page)
        self.orders: list[Json] = []  # newest first
        self.quote: Json = dict(QUOTE)
        self.prices: list[Json] = []
        self.refusals: dict[str, tuple[int, Json]] = {}  # by method and last part of the path
        self.calls: list[str] = []
        self.sent: list[Json] = []
        self.sockets: list[WebSocketRoute] = []
        self.on_message: Callable[[WebSocketRoute, Json], None] = answer_as_the_engine
        self.reachable, self.web_socket_reachable = True, True
        page.route("**/api/**", self._answer)
        page.route_web_socket(re.compile("ticket="), self._serve)

    def push(self, order: Json, status: str, **fields: Any) -> None:
        """Store an update of an order, and push it if a socket is open."""
        update = {
            "orderId": order["orderId"],
            "sequence": order["sequence"] + 1,
            "status": status,
            "timestamp": order["updatedAt"],
            **fields,
        }
        order |= {name: value for name, value in update.items() if name != "timestamp"}
        order["updates"] = [*order["updates"], update]
        if self.sockets:
            self.sockets[-1].send(json.dumps(update))

    def cut(self) -> None:
        """Close the WebSocket."""
        self.sockets.pop().close(code=1001, reason="cut")

    def _answer(self, route: Route) -> None:
        request, url = route.request, urlsplit(route.request.url)
        name = url.path.rpartition("/")[2]
        self.calls.append(f"{request.method} {url.path.partition('/api/')[2]}")
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        if not self.reachable:
            route.abort()
        elif refusal := self.refusals.get(f"{request.method} {name}"):
            route.fulfill(status=refusal[0], json=refusal[1])
        elif name == "me":
            route.fulfill(json={"owner": "local"})
        elif name == "tickets":
            route.fulfill(json={"ticket": "t", "webSocketUrl": self._target.web_socket_url})
        elif name == "orders":
            route.fulfill(json=self._page(query))
        elif name == "quote":
            amount = float(query["amount"])
            given = {"inAmount": query["amount"], "outAmount": self.quote["outAmount"]}
            given["outAmount"] = str(amount * float(given["outAmount"]))
            route.fulfill(json={**self.quote, **given})
        elif name == "prices":
            route.fulfill(json={"points": self.prices})
        elif name == "candles":
            route.fulfill(json={"candles": fake_candles(query)})
        else:
            route.fulfill(json=next(o for o in self.orders if o["orderId"] == name))

    def _page(self, query: dict[str, str]) -> Json:
        if query.get("status") == "open":
            return {"orders": [o for o in self.orders if o["status"] not in TERMINAL]}
        filters = {"status", "type", "clientOrderId", "parentId"} & query.keys()
        found = [o for o in self.orders if all(o.get(name) == query[name] for name in filters)]
        start, limit = int(query.get("cursor", "0")), int(query.get("limit", "20"))
        more = {"nextCursor": str(start + limit)} if start + limit < len(found) else {}
        return {"orders": found[start : start + limit], **more}

    def _serve(self, socket: WebSocketRoute) -> None:
        if not self.web_socket_reachable:
            socket.close(code=1013, reason="blocked")
            return
        self.sockets.append(socket)

        def receive(text: str | bytes) -> None:
            message = json.loads(text)
            self.sent.append(message)
            self.on_message(socket, message)

        socket.on_message(receive)


INTERVALS = {"second": 1, "minute": 60, "hour": 3600}


def fake_candles(query: dict[str, str]) -> list[Json]:
    """Candles of a price that swings around 150."""
    start, end = (datetime.fromisoformat(query[name]).timestamp() for name in ("from", "to"))
    step = INTERVALS[query["interval"]]

    def price(at: float) -> float:
        return 150 + math.sin(at / 97) + math.sin(at / 3000) * 4 + math.sin(at * 1.7) * 0.2

    def candle(at: int) -> Json:
        prices = [price(at + step * part / 8) for part in range(9)]
        bounds = {"open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1]}
        venues = {"raydium": f"{prices[-1] - 0.3}", "meteora": f"{prices[-1] + 0.2}"}
        time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {"timestamp": time, **{k: f"{v:.9f}" for k, v in bounds.items()}, "venues": venues}

    return [candle(at) for at in range(math.ceil(start / step) * step, int(end), step)]


def answer_as_the_engine(socket: WebSocketRoute, message: Json) -> None:
    """Answer a message as the engine does."""
    if message["action"] == "ping":
        socket.send(json.dumps({"type": "pong"}))
    else:
        socket.send(json.dumps({"type": f"{message['action']}d", "orderId": message["orderId"]}))
