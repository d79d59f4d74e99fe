"""The dashboard's looks: no text is cut off, no row moves, no state is shown by colour alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.dashboard import (
    DESKTOP,
    NO_STACK,
    NOON,
    PHONE,
    QUOTE,
    ROUTE,
    Dashboard,
    FakeEngine,
    Json,
    axe_violations,
    close_dialog,
    expect_status,
    fake_order,
    tab,
)

WIDTHS = [1720, 1440, 1431, 1430, 1379, 1280, 1181, 1180, 1024, 861, 860, 520, 390, 360, 320]
REASONS = ["QUOTES_UNAVAILABLE", "NO_ROUTES_FOUND", "SLIPPAGE_TOLERANCE_EXCEEDED", "FAILED_TO_LAND"]
SMALL = {"outAmount": "0.136113", "executedPrice": "0.000000110181", "amount": "1234567.12345"}
FAR = "2026-02-20T12:00:00.000Z"
BUY = {"tokenIn": "USDC", "tokenOut": "SOL", "amount": "12345.67"}
SLICED = {
    "slicesDone": 37,
    "filledAmount": "370.123456",
    "outAmount": "55000.123456",
    "executedPrice": "150.123456",
    "nextSliceAt": "2026-01-31T12:00:55.000Z",
}
HOPS = [
    {**ROUTE["routePlan"][0], "tokenIn": "BONK", "tokenOut": "SOL", "percent": 66},
    {
        **ROUTE["routePlan"][0],
        "tokenIn": "BONK",
        "tokenOut": "SOL",
        "percent": 34,
        "venue": "meteora",
    },
    {**ROUTE["routePlan"][0], "tokenIn": "SOL", "tokenOut": "JitoSOL"},
]


def every_kind_of_order() -> list[Json]:
    """Orders in each status, with each failure reason, and with the longest numbers and routes."""
    failed = [
        fake_order(10 + i, "failed", error={"code": code, "message": "Words of the engine."})
        for i, code in enumerate(REASONS)
    ]
    statuses = ["pending", "routing", "building", "submitted", "confirmed", "cancelled", "expired"]
    others = [fake_order(20 + i, status) for i, status in enumerate(statuses)]
    long = fake_order(
        30,
        "confirmed",
        **SMALL,
        tokenIn="BONK",
        tokenOut="JitoSOL",
        route={**ROUTE, "routePlan": HOPS, "inAmount": "1234567.12345", "outAmount": "0.136113"},
    )
    venues = [{**ROUTE["routePlan"][0], "venue": v} for v in ("whirlpool", "raydium", "meteora")]
    mixed = fake_order(32, "confirmed", route={**ROUTE, "routePlan": venues})
    again = fake_order(
        31, "routing", attempt=3, nextRetryAt="2026-01-31T12:00:31.500Z", error=failed[0]["error"]
    )
    waiting = [
        fake_order(40, "resting", type="limit", limitPrice="160", expiresAt=FAR),
        fake_order(41, "resting", type="oco", limitPrice="0.00712345", stopPrice="0.006", **BUY),
        fake_order(42, "working", type="twap", slices=100, **SLICED),
        fake_order(43, "thawing", type="iceberg"),  # a status of a later release
    ]
    return [*reversed(waiting), mixed, again, long, *reversed(others), *reversed(failed)]


# Finds texts that are partly hidden: cut by a box around them, or overlapping a neighbour.
CUT_OFF = """() => {
    const found = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    while (texts.nextNode()) {
        const node = texts.currentNode, parent = node.parentElement;
        if (!node.data.trim() || !parent.checkVisibility({ visibilityProperty: true })) continue;
        if (parent.closest("[aria-hidden], .unseen, .skip, .news, .c-folded, script, select"))
            continue;
        if (getComputedStyle(parent).clipPath !== "none") continue;
        range.selectNodeContents(node);
        const text = range.getBoundingClientRect();
        for (let box = parent; box && box !== document.body; box = box.parentElement) {
            const style = getComputedStyle(box), rect = box.getBoundingClientRect();
            const scrolls = /auto|scroll/.test(style.overflowX + style.overflowY);
            if (scrolls) break;
            const bounds = "td, .card, .bar, .side, .steps li";
            if (style.overflow === "visible" && !box.matches(bounds)) continue;
            const wide = text.left < rect.left - 1 || text.right > rect.right + 1;
            const high = text.top < rect.top - 1 || text.bottom > rect.bottom + 1;
            if (wide || high) found.push(`${node.data.trim()} in ${box.className || box.tagName}`);
        }
    }
    for (const field of document.querySelectorAll("input.amount, [role=combobox]")) {
        if (field.scrollWidth > field.clientWidth + 1) found.push(`${field.id}: ${field.value}`);
    }
    return found;
}"""


def cut_off(page: Page, width: int) -> list[str]:
    found = [f"{width}: {text}" for text in page.evaluate(CUT_OFF)]
    if page.evaluate("document.documentElement.scrollWidth") > width:
        found.append(f"{width}: the page is wider than its window")
    return found


def test_no_text_is_cut_off_at_any_width(dashboard: Dashboard, engine: FakeEngine) -> None:
    page = dashboard.page
    page.clock.install(time=NOON + timedelta(seconds=30))
    engine.orders = every_kind_of_order()
    engine.quote = {**QUOTE, "routePlan": HOPS, "outAmount": "1302650.98765"}
    engine.prices = [{"timestamp": "2026-01-31T12:00:00.000Z", "reference": "0.0000231234"}]
    dashboard.open()
    expect(page.locator(".row")).to_have_count(len(engine.orders))
    expect(page.locator(".values", has_text="Meteora")).to_be_visible()
    page.click("#filter-more")
    page.get_by_role("radio", name="Other").check()
    found: list[str] = []
    for amount, received in (
        ("1302.65123456", "1.6969B"),
        ("123456789012345.123456789", "160,82"),
    ):
        page.fill("#amount", amount)
        expect(page.locator("#receive")).to_contain_text(received)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 3000})  # every row is drawn
            page.wait_for_timeout(200)
            if cut_off(page, width):
                page.wait_for_timeout(1000)  # a busy browser may not have drawn yet
                found += cut_off(page, width)
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("width", [1440, 1280, 390, 320])
def test_a_row_keeps_its_height_in_every_status(browser: Browser, width: int) -> None:
    """A row that grew would move the rows below it away from the pointer."""
    with tab(browser, NO_STACK, viewport={"width": width, "height": 900}) as dashboard:
        page, engine = dashboard.page, FakeEngine(dashboard)
        engine.orders = every_kind_of_order()
        dashboard.open()
        expect(page.locator(".row")).to_have_count(len(engine.orders))
        heights = page.locator(".row").evaluate_all(
            "rows => rows.map((row) => row.getBoundingClientRect().height)"
        )
        assert len(set(heights)) == 1, heights
        order = next(order for order in engine.orders if order["status"] == "pending")
        row = page.locator(f".row[data-id='{order['orderId']}']")
        row.hover()
        steps: list[tuple[str, Json]] = [
            ("routing", {"attempt": 1}),
            ("building", {"route": {**ROUTE, "routePlan": HOPS}}),
            ("submitted", {"txHash": "5" * 88}),
            ("failed", {"error": {"code": "SLIPPAGE_TOLERANCE_EXCEEDED", "message": "Moved."}}),
        ]
        for status, fields in steps:
            engine.push(order, status, **fields)
            expect_status(row, status)
            assert row.evaluate("row => row.getBoundingClientRect().height") == heights[0]


def test_no_two_buttons_have_the_same_name(dashboard: Dashboard, engine: FakeEngine) -> None:
    page = dashboard.page
    engine.orders = [
        fake_order(number, "confirmed", amount="1", txHash=f"{number}".rjust(88, "3"))
        for number in range(5)
    ]
    dashboard.open()
    expect(page.locator(".row")).to_have_count(5)
    names = page.get_by_role("button").evaluate_all(
        "buttons => buttons.map((b) => b.getAttribute('aria-label') ?? b.textContent.trim())"
    )
    assert sorted(names) == sorted(set(names))
    page.locator(".row").first.get_by_role("link").click()
    names = (
        page.get_by_role("dialog")
        .get_by_role("button")
        .evaluate_all(
            "buttons => buttons.map((b) => b.getAttribute('aria-label') ?? b.textContent.trim())"
        )
    )
    assert sorted(names) == sorted(set(names))


def test_the_state_of_a_step_is_shown_by_shape_and_word_besides_colour(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    engine.orders = every_kind_of_order()
    dashboard.open()
    states = ["done", "now", "todo"]
    for state in states:
        expect(page.locator(f".steps [data-state={state}]").first).to_be_visible()
    # In one call, because each new price replaces a row's cells.
    drawn = """states => states.map((state) => {
        const step = document.querySelector(`.steps [data-state=${state}]`);
        const { content, borderTopWidth } = getComputedStyle(step, "::before");
        return `${content} ${borderTopWidth}`;
    })"""
    signs = page.evaluate(drawn, states)
    assert len(set(signs)) == len(states), signs
    for sign, word in zip(signs, ["done", "now", "not reached"], strict=True):
        assert f'/ "{word}"' in sign, sign


def test_with_forced_colours_each_state_is_distinguishable(browser: Browser) -> None:
    with tab(browser, NO_STACK, forced_colors="active") as dashboard:
        page, engine = dashboard.page, FakeEngine(dashboard)
        engine.orders = every_kind_of_order()
        engine.quote = {**QUOTE, "routePlan": HOPS}
        dashboard.open()
        expect(page.locator("#quote")).to_have_attribute("data-state", "ready")
        expect(page.locator(".row")).to_have_count(len(engine.orders))

        def background(selector: str, part: str | None = None) -> str:
            # In one call, because each new price replaces a row's cells.
            script = """([selector, part]) =>
                getComputedStyle(document.querySelector(selector), part).backgroundColor"""
            expect(page.locator(selector).first).to_be_attached()
            return str(page.evaluate(script, [selector, part]))

        for group in ("filter", "slippage"):
            chosen = background(f"input[name={group}]:checked + span")
            assert chosen != background(f"input[name={group}]:not(:checked) + span")
        page.click("#token-in")
        options = "#token-in-list [aria-selected={}]"
        assert background(options.format("true")) != background(options.format("false"))
        page.keyboard.press("Escape")
        fills = {background(f".bar-fill[data-venue={venue}]") for venue in ("raydium", "meteora")}
        assert len(fills | {background(".bar-track")}) == 3
        done, todo = (background(f".steps [data-state={s}]", "::before") for s in ("done", "todo"))
        assert done != todo
        expect(page.locator(".status").first).to_have_css("border-top-style", "solid")
        expect(page.locator(".connection")).to_have_css("border-top-style", "solid")
        assert axe_violations(page) == []


# --- axe --------------------------------------------------------------------------------------

LOOKS: list[dict[str, Any]] = [
    {"color_scheme": scheme, "viewport": viewport, "reduced_motion": "reduce"}
    for scheme in ("light", "dark")
    for viewport in (DESKTOP, PHONE)
] + [{"forced_colors": "active", "viewport": DESKTOP, "reduced_motion": "reduce"}]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: " ".join(map(str, look.values())))
def test_axe_finds_nothing_serious(browser: Browser, look: dict[str, Any]) -> None:
    with tab(browser, NO_STACK, **look) as dashboard:
        page, engine = dashboard.page, FakeEngine(dashboard)
        engine.orders = every_kind_of_order()
        engine.quote |= {"routePlan": HOPS}
        engine.refusals["POST execute"] = (202, fake_order(99, "pending"))
        found: list[str] = []

        def check(state: str) -> None:
            found.extend(f"{state}: {violation}" for violation in axe_violations(page))

        dashboard.open_link(NO_STACK.api_key)
        expect(page.locator("#gate-use")).to_be_visible()
        check("a key in a link")
        page.click("#gate-use")
        dashboard.expect_live()
        expect(page.locator("#quote")).to_have_attribute("data-state", "ready")
        expect(page.locator("#chart canvas").first).to_be_visible()
        page.click("#filter-more")
        page.locator("#simulation summary").click()
        page.select_option("#fault", "venue_down")
        check("orders")
        check_dialogs(page, check)
        refused(page, "0,25", "0,5")
        check("numbers that are refused")
        page.fill("#amount", "2")
        page.fill("#slippage-percent", "50")
        page.click("#submit")
        expect(page.locator("#guard")).to_be_visible()
        check("the confirmation of a bad price")
        page.get_by_role("button", name="Submit it all the same").click()
        expect(page.locator("#news li")).to_have_count(1)
        check("news")
        page.context.set_offline(True)
        expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
        check("offline")
        page.context.set_offline(False)
        dashboard.expect_live()
        assert page.evaluate("document.documentElement.scrollWidth") <= look["viewport"]["width"]
        page.click("#change-key")
        page.get_by_role("button", name="Sign out").click()
        check("signed out")
        assert found == [], "\n".join(found)
        dashboard.ignore_problems("ERR_INTERNET_DISCONNECTED")


def check_dialogs(page: Page, check: Callable[[str], None]) -> None:
    page.click("#token-in")
    check("choosing a token")
    page.keyboard.press("Escape")
    for kind in ("Limit", "OCO", "TWAP"):
        page.get_by_role("radio", name=kind, exact=True).check()
        check(f"the form of {kind}")
    page.get_by_role("radio", name="Market").check()

    def check_dialog(state: str) -> None:
        expect(page.locator("dialog[open]")).to_have_count(1)
        check(state)
        close_dialog(page)

    for status in ("resting", "working", "failed", "confirmed"):
        row = page.locator(f".row[data-status={status}]").first
        row.scroll_into_view_if_needed()
        row.get_by_role("link").click()
        check_dialog(f"an order that is {status}")
    row = page.locator(".row[data-status=resting]").first
    row.scroll_into_view_if_needed()
    row.get_by_role("button", name="Change order").click()
    check_dialog("a change of an order")
    page.click("#cancel-all")
    check_dialog("the question before all are cancelled")
    page.click("#change-key")
    check_dialog("the key")


def refused(page: Page, amount: str, slippage: str) -> None:
    page.fill("#amount", amount)
    page.get_by_role("radio", name="Other").check()
    page.fill("#slippage-percent", slippage)
    expect(page.locator("#slippage-error")).to_be_visible()


def test_axe_finds_nothing_serious_while_updates_are_read_by_http(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    engine.web_socket_reachable = False
    engine.orders = every_kind_of_order()
    dashboard.open(live=False)
    expect(dashboard.page.locator("#connection")).to_have_attribute("data-state", "reading")
    expect(dashboard.page.locator("#quote")).to_have_attribute("data-state", "ready")
    assert axe_violations(dashboard.page) == []
