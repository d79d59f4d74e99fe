"""The dashboard's session: which key it uses, and what remains after it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import BrowserContext, Route, expect

from tests.e2e.dashboard import (
    Dashboard,
    FakeEngine,
    close_dialog,
    execute,
    expect_status,
    fake_order,
    new_amount,
)


def test_the_key_is_removed_from_the_url_and_stored_in_the_browser(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open()
    assert page.url == f"{dashboard.target.http_url}/"
    assert dashboard.target.api_key not in page.content()
    page.reload()
    dashboard.expect_live()
    expect(page.locator("#gate")).to_be_hidden()


def test_without_a_key_the_page_asks_for_one_and_sends_nothing(dashboard: Dashboard) -> None:
    page = dashboard.page
    requested: list[str] = []
    page.on("request", lambda request: requested.append(urlsplit(request.url).path))
    page.goto(f"{dashboard.target.http_url}/")
    expect(page.get_by_role("dialog", name="Your API key")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Escape")
        expect(page.locator("#gate")).to_be_visible()
    assert [path for path in requested if "/api/" in path] == []


def test_an_invalid_key_is_reported_and_a_valid_one_is_accepted(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open_link("oee_" + "x" * 43)
    expect(page.locator("#gate-link-text")).to_contain_text("This key is not valid here")
    page.click("#gate-decline")
    page.fill("#gate-key", "oee_" + "y" * 43)
    page.keyboard.press("Enter")
    expect(page.locator("#gate-error")).to_have_text("This key is not valid here, or no longer.")
    page.fill("#gate-key", dashboard.target.api_key)
    page.keyboard.press("Enter")
    dashboard.expect_live()
    expect(page.locator("#gate")).to_be_hidden()
    expect_status(dashboard.submit(new_amount()), "confirmed")
    dashboard.ignore_problems("401")


def test_the_orders_of_another_owner_are_absent_before_and_after_a_change_of_key(
    dashboard: Dashboard, other_key: str, api: Callable[[str], httpx.Client]
) -> None:
    page = dashboard.page
    dashboard.open()
    other_amount, own_amount = new_amount(), new_amount()
    execute(api(other_key), other_amount)
    expect_status(dashboard.submit(own_amount), "confirmed")
    expect(dashboard.row(other_amount)).to_have_count(0)
    page.click("#change-key")
    page.fill("#gate-key", other_key)
    page.keyboard.press("Enter")
    expect_status(dashboard.row(other_amount), "confirmed")
    expect(dashboard.row(own_amount)).to_have_count(0)
    dashboard.expect_live()


# --- a key in a link --------------------------------------------------------------------------


def test_the_key_of_a_link_is_used_only_if_the_user_accepts_it(
    dashboard: Dashboard, other_key: str
) -> None:
    """Otherwise a link could make users place orders for another owner without noticing."""
    page, own_amount = dashboard.page, new_amount()
    dashboard.open()
    expect_status(dashboard.submit(own_amount), "confirmed")
    page.goto("about:blank")
    dashboard.open_link(other_key)
    expect(page.locator("#gate-link-text")).to_contain_text("A link has brought a key of other.")
    assert page.url == f"{dashboard.target.http_url}/"
    page.click("#gate-decline")
    expect(page.locator("#gate")).to_be_hidden()
    expect(dashboard.row(own_amount)).to_be_visible()
    page.reload()
    expect(dashboard.row(own_amount)).to_be_visible()
    page.goto("about:blank")
    dashboard.open_link(other_key)
    page.click("#gate-use")
    dashboard.expect_live()
    expect(page.locator("#change-key")).to_have_text("Key of other")
    expect(dashboard.row(own_amount)).to_have_count(0)


def test_an_invalid_key_in_a_link_does_not_replace_the_valid_one(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open()
    page.goto("about:blank")
    dashboard.open_link("oee_" + "x" * 43)
    expect(page.locator("#gate-link-text")).to_contain_text("This key is not valid here")
    expect(page.locator("#gate-use")).to_be_hidden()
    page.click("#gate-decline")
    dashboard.expect_live()
    page.reload()
    dashboard.expect_live()
    dashboard.ignore_problems("401")


def test_an_entered_invalid_key_does_not_replace_the_valid_one(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open()
    page.click("#change-key")
    page.fill("#gate-key", "oee_" + "x" * 43)
    page.keyboard.press("Enter")
    expect(page.locator("#gate-error")).to_have_text("This key is not valid here, or no longer.")
    close_dialog(page)
    expect(page.locator("#gate")).to_be_hidden()
    expect_status(dashboard.submit(new_amount()), "confirmed")
    dashboard.ignore_problems("401")


def test_a_link_with_the_key_in_use_opens_no_dialog(dashboard: Dashboard) -> None:
    dashboard.open()
    dashboard.page.goto("about:blank")
    dashboard.open_link(dashboard.target.api_key)
    dashboard.expect_live()
    expect(dashboard.page.locator("#gate")).to_be_hidden()


# --- the end of a session ---------------------------------------------------------------------


def in_another_tab(context: BrowserContext, url: str, script: str) -> None:
    other = context.new_page()
    other.route("**/api/**", lambda route: route.abort())
    other.goto(url)
    other.evaluate(script)
    other.close()


def sign_out(dashboard: Dashboard) -> None:
    dashboard.page.click("#change-key")
    dashboard.page.get_by_role("button", name="Sign out").click()


def clear_in_another_tab(dashboard: Dashboard) -> None:
    in_another_tab(dashboard.page.context, dashboard.page.url, "localStorage.clear()")


def remove_in_another_tab(dashboard: Dashboard) -> None:
    script = "localStorage.removeItem('oee.apiKey')"
    in_another_tab(dashboard.page.context, dashboard.page.url, script)


def remove_here(dashboard: Dashboard) -> None:
    dashboard.page.evaluate("localStorage.clear(); dispatchEvent(new Event('focus'))")


TYPE_AN_AMOUNT = """() => {
  const amount = document.getElementById("amount");
  amount.value = "2";
  amount.dispatchEvent(new Event("input", { bubbles: true }));
}"""


def disable_the_key(dashboard: Dashboard) -> None:
    """Disable the key; the page learns this from its next call."""
    dashboard.page.route("**/api/**", lambda route: route.fulfill(status=401, json={}))
    # Without `fill`, because another refused call may have hidden the form already.
    dashboard.page.evaluate(TYPE_AN_AMOUNT)


@pytest.mark.parametrize(
    "end",
    [sign_out, clear_in_another_tab, remove_in_another_tab, remove_here, disable_the_key],
    ids=lambda end: str(end.__name__),
)
def test_after_the_key_is_gone_no_order_of_its_owner_is_shown_or_read(
    dashboard: Dashboard, engine: FakeEngine, end: Callable[[Dashboard], None]
) -> None:
    page = dashboard.page
    engine.orders = [fake_order(4321, "building"), fake_order(1234, "confirmed")]
    dashboard.open()
    page.locator(".row").first.get_by_role("link").click()
    expect(page.get_by_role("dialog")).to_contain_text("4,321 SOL")
    page.click("#detail-close")
    end(dashboard)
    expect(page.get_by_role("dialog", name="Your API key")).to_be_visible()
    expect(page.locator("#connection")).to_be_hidden()
    expect(page.locator("main")).to_be_hidden()
    expect(page.locator(".row")).to_have_count(0)
    for shown in ("4,321", "1,234", "Live"):
        assert shown not in page.locator("body").evaluate("body => body.innerText")
    assert "4,321" not in page.content()
    assert page.evaluate("localStorage.getItem('oee.apiKey')") is None
    for _ in range(3):
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog", name="Your API key")).to_be_visible()
    calls = len(engine.calls)
    page.clock.install()
    page.clock.run_for(60_000)
    assert engine.calls[calls:] == []
    dashboard.ignore_problems("401|ERR_FAILED")


def test_a_key_entered_in_another_tab_is_used_here_too(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    engine.orders = [fake_order(1)]
    dashboard.open()
    expect(page.locator(".row")).to_have_count(1)
    engine.orders = [fake_order(2), fake_order(3)]
    keep = "localStorage.setItem('oee.owner', 'desk'); localStorage.setItem('oee.apiKey', 'oee_x')"
    in_another_tab(page.context, page.url, keep)
    expect(page.locator("#change-key")).to_have_text("Key of desk")
    expect(page.locator(".row")).to_have_count(2)
    dashboard.expect_live()


def test_an_answer_to_the_previous_key_is_not_shown(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    """The first owner's orders arrive only after the second owner has signed in."""
    page = dashboard.page
    late: list[Route] = []

    def hold_back(route: Route) -> None:
        if not late:
            late.append(route)
        else:
            route.fallback()

    engine.orders = [fake_order(2)]
    page.route("**/api/orders?*", hold_back)
    dashboard.open(live=False)
    expect(page.locator("#main")).to_be_visible()
    page.click("#change-key")
    page.fill("#gate-key", "oee_other")
    page.keyboard.press("Enter")
    expect(page.locator(".row")).to_have_count(1)
    late[0].fulfill(body=json.dumps({"orders": [fake_order(1)]}))
    dashboard.expect_live()
    expect(page.locator(".row")).to_have_count(1)
    assert page.locator(".row").get_attribute("data-id") == fake_order(2)["orderId"]
