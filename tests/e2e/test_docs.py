"""The documentation page of the deployed stack, in a browser."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.e2e.dashboard import Dashboard


def test_an_example_and_a_message_are_sent_with_the_dashboards_key(dashboard: Dashboard) -> None:
    dashboard.open()
    page = dashboard.page
    page.goto(f"{dashboard.target.http_url}/docs")
    expect(page.locator("#key")).to_have_text("Requests are sent with the dashboard's key.")
    submit = page.locator("[id$='-executeOrder']").first
    submit.locator(".opblock-summary-control").click()
    submit.get_by_role("button", name="Execute", exact=True).click()
    expect(submit.locator(".live-responses-table")).to_contain_text('"status": "pending"')
    # The page fills in an example once it has read the stack's description of its messages.
    expect(page.get_by_label("Message")).not_to_have_value("")
    page.get_by_label("Message").fill('{"action":"ping"}')
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#log")).to_contain_text('{"type":"pong"}')
    page.get_by_role("link", name="Dashboard").click()
    expect(page.get_by_role("heading", name="New order")).to_be_visible()
