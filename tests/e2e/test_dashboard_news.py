"""An order's own page and URL, and how the dashboard announces the ends of orders."""

from __future__ import annotations

import re
from datetime import timedelta

from playwright.sync_api import Browser, expect

from tests.e2e.dashboard import (
    NO_STACK,
    NOON,
    PHONE,
    ROUTE,
    Dashboard,
    FakeEngine,
    close_dialog,
    fake_order,
    tab,
)

FAILED = {"code": "FAILED_TO_LAND", "message": "It never landed."}


def test_an_order_has_a_url_that_others_with_the_key_can_open(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    one, other = fake_order(2, "confirmed"), fake_order(1, "confirmed")
    engine.orders = [one]
    dashboard.open()
    page.locator(".row").get_by_role("link").click()
    assert page.url == f"{NO_STACK.http_url}/?order={one['orderId']}"
    page.go_back()
    expect(page.locator("#detail")).to_be_hidden()
    page.go_forward()
    expect(page.locator("#detail-title")).to_have_text("2 SOL → USDC")
    page.reload()
    expect(page.locator("#detail-title")).to_have_text("2 SOL → USDC")
    close_dialog(page)
    expect(page).to_have_url(f"{NO_STACK.http_url}/")
    engine.orders = [one, other]
    page.goto(f"{NO_STACK.http_url}/?order={other['orderId']}")
    expect(page.locator("#detail-title")).to_have_text("1 SOL → USDC")
    engine.refusals["GET 00000000-0000-4000-8000-000000000009"] = (404, {"detail": "None."})
    page.goto(f"{NO_STACK.http_url}/?order=00000000-0000-4000-8000-000000000009")
    expect(page.locator("#detail-error")).to_have_text("There is no such order of this key.")
    dashboard.ignore_problems("404")


def test_a_url_fills_in_the_form_and_changes_with_it(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    dashboard.open()
    page.goto(f"{NO_STACK.http_url}/?pair=JUP-BONK&amount=25")
    expect(page.locator("#understood")).to_contain_text("Sells 25 JUP for BONK")
    page.fill("#amount", "26")
    page.click("#flip")
    assert "pair=BONK-JUP&amount=26" in page.url
    page.reload()
    expect(page.locator("#understood")).to_contain_text("Sells 26 BONK for JUP")
    page.goto(f"{NO_STACK.http_url}/?pair=JUP-NONE&amount=x")
    expect(page.locator("#token-in")).to_have_value("SOL")
    expect(page.locator("#amount-error")).to_contain_text("must be a number")


def test_a_fill_is_announced_by_a_toast_the_title_the_icon_and_a_notification(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    page.add_init_script(
        """window.notified = [];
        window.Notification = class { constructor(text) { notified.push(text); } };
        Notification.permission = "default";
        Notification.requestPermission = async () => (Notification.permission = "granted");"""
    )
    engine.orders = orders = [fake_order(n, "submitted") for n in range(109, 0, -1)]
    fill = {"outAmount": "301", "executedPrice": "150.5", "txHash": "x"}
    dashboard.open()
    expect(page).to_have_title(re.compile(r"^1\d\d\.\d{3} SOL/USDC · Order execution engine$"))
    icon = page.locator("#icon").get_attribute("href")
    page.click("#notify")
    expect(page.locator("#notify")).to_have_attribute("aria-pressed", "true")
    engine.push(orders[0], "confirmed", **fill)
    expect(page.locator("#news")).to_have_text(
        re.compile("Sold 109 SOL for 301.00 USDC at 150.500 SOL/USDC")
    )
    expect(page).to_have_title(re.compile("^1"))  # the page is visible, so it sends no notification
    page.evaluate("document.hasFocus = () => false")
    engine.push(orders[1], "confirmed", **fill)
    expect(page).to_have_title(re.compile(r"^\(1\) Sold 108 SOL for 301\.00 USDC"))
    engine.push(orders[2], "failed", error=FAILED)
    expect(page).to_have_title("(2) 107 SOL → USDC: failed. The network dropped the transaction")
    assert page.locator("#icon").get_attribute("href") != icon
    assert len(page.evaluate("notified")) == 2
    page.get_by_role("link", name=re.compile("^107 SOL")).click()
    expect(page.locator("#detail-title")).to_have_text("107 SOL → USDC")
    expect(page).to_have_title(re.compile("^1"))
    assert page.locator("#icon").get_attribute("href") == icon
    close_dialog(page)
    for order in orders[3:103]:
        engine.push(order, "confirmed", **fill)
    expect(page.locator("#news")).to_contain_text(re.compile(r"\d+ orders ended: \d+ confirmed"))
    assert page.locator("#news li").count() <= 4
    page.get_by_role("button", name="Dismiss: summary").click()
    expect(page.locator("#news")).not_to_contain_text("orders ended")


def test_the_timeline_groups_updates_by_attempt_and_shows_when_a_drop_will_be_known(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    page.clock.install(time=NOON + timedelta(seconds=11))
    order = fake_order(1, "submitted")
    engine.orders = [order]
    dashboard.open()
    live = page.locator(".row .live")
    expect(live).to_have_text(re.compile(r"^Submitted · \d\d\.\d s · if dropped, known in \d\d s$"))
    retry = {"attempt": 2, "nextRetryAt": "2026-01-31T12:00:40.000Z", "error": FAILED}
    engine.push(order, "routing", **retry)
    expect(live).to_have_text(re.compile(r"^Routing · .* · attempt 2 of 3 · next try in \d+ s$"))
    page.locator(".row").get_by_role("link").click()
    steps = page.locator(".timeline li > b, .timeline-head > b")
    first = ["Pending", "Attempt 1", "Routing", "Building", "Submitted"]
    expect(steps).to_have_text([*first, "Attempt 2", "Routing"])
    engine.push(order, "building", route=ROUTE)
    engine.push(order, "submitted", txHash="y")
    expect(page.locator(".timeline li").last).to_contain_text(
        re.compile(r"If the network has dropped it, that is known at .*\d\d:\d\d:\d\d")
    )


def test_on_a_phone_the_result_of_a_submit_is_in_view(browser: Browser) -> None:
    with tab(browser, NO_STACK, viewport=PHONE, has_touch=True) as dashboard:
        page, engine = dashboard.page, FakeEngine(dashboard)
        order = fake_order(1, "pending")
        engine.refusals["POST execute"] = (202, order)
        dashboard.open()
        expect(page.locator("#quote")).to_have_attribute("data-state", "ready")
        page.click("#submit")
        news = page.locator("#news li")
        expect(news).to_have_text(re.compile("1 SOL → USDC: pending"))
        expect(news).to_be_in_viewport(ratio=1)
        page.evaluate("scrollTo(0, 0)")
        engine.push(order, "routing", attempt=1)
        engine.push(order, "failed", error=FAILED)
        expect(news).to_have_text(re.compile("failed. The network dropped the transaction"))
        expect(news).to_be_in_viewport(ratio=1)
        failed = re.compile("^Order 00000001 failed: The network dropped the transaction")
        expect(page.locator("#announcer")).to_have_text(failed)


def test_the_end_of_an_order_is_announced_even_if_it_arrives_before_the_answer_to_its_submission(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    order = fake_order(1, "submitted")
    engine.refusals["POST execute"] = (202, dict(order))
    engine.orders = [order]
    dashboard.open()
    engine.push(order, "failed", error=FAILED)
    failed = re.compile("failed. The network dropped the transaction")
    expect(page.locator("#news li")).to_have_text(failed)
    expect(page.locator("#announcer")).to_be_empty()
    expect(page.locator("#quote")).to_have_attribute("data-state", "ready")
    page.click("#submit")
    own = re.compile("^Order 00000001 failed: The network dropped the transaction")
    expect(page.locator("#announcer")).to_have_text(own)
    expect(page.locator("#news li")).to_have_text(failed)
    expect(page.locator("#news li")).to_have_attribute("data-kind", "bad")
