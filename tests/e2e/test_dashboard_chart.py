"""The chart and the market's figures: ranges, marks, rates, dollars, the age of a quote."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Request, Route, expect

from tests.e2e.dashboard import NO_STACK, PAGES, Dashboard, FakeEngine, Json, fake_order, stamp


def test_the_chart_has_ranges_candles_lines_venues_a_crosshair_and_own_orders(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    requests: list[dict[str, str]] = []

    def note(request: Request) -> None:
        if "/api/candles" in request.url:
            query = parse_qs(urlsplit(request.url).query)
            requests.append({name: values[0] for name, values in query.items()})

    page.on("request", note)
    ended = {"confirmedAt": stamp(timedelta(minutes=-2)), "createdAt": stamp(timedelta(minutes=-2))}
    engine.orders = [
        fake_order(3, "resting", type="limit", limitPrice="160"),
        fake_order(2, "confirmed", **ended),
        fake_order(1, "confirmed", tokenIn="USDC", tokenOut="SOL", **ended),
    ]
    dashboard.open()
    chart, values = page.locator("#chart"), page.locator("#chart-values")
    expect(chart.locator("canvas").first).to_be_visible()
    expect(page.locator("#chart-title")).to_have_text("SOL/USDC")
    expect(values).to_have_text(
        re.compile(r"^ ?1\d\d\.\d{3}Change [+−].*High 1.*Low 1.*Raydium 1.*Meteora 1")
    )
    expect(chart).to_have_attribute("data-fills", "2")
    expect(chart).to_have_attribute("data-resting", "1")
    expect(page.locator("#chart-credit")).to_contain_text("TradingView, Inc.")
    chart.hover(position={"x": 300, "y": 100})
    expect(values).to_have_text(re.compile(r"^Open 1.*High 1.*Low 1.*Close 1"))
    page.mouse.move(5, 5)
    expect(values).to_have_text(re.compile("Change"))
    spans = {"5 m": 300, "15 m": 900, "1 h": 3600, "6 h": 21_600, "1 d": 86_400, "7 d": 604_800}
    steps = {"second": 1, "minute": 60, "hour": 3600}
    for name, seconds in spans.items():
        requests.clear()
        page.get_by_role("radio", name="15 m" if name == "5 m" else "5 m", exact=True).check()
        requests.clear()
        page.get_by_role("radio", name=name, exact=True).check()
        for _ in range(300):
            first = min((query["from"] for query in requests), default=stamp(timedelta()))
            last = max((query["to"] for query in requests), default=first)
            span = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
            if requests and abs(span - seconds) <= 2 * steps[requests[-1]["interval"]]:
                break
            page.wait_for_timeout(100)  # a long range takes several requests
        else:
            raise AssertionError(name, requests)
        expect(values).to_have_text(re.compile("Change"))
    page.get_by_role("radio", name="Line").check()
    page.get_by_role("checkbox", name="Venues").uncheck()
    expect(values).not_to_contain_text("Raydium")
    page.reload()  # the choice stays
    expect(page.get_by_role("radio", name="Line")).to_be_checked()
    expect(page.get_by_role("radio", name="7 d")).to_be_checked()
    expect(page.locator("#chart-values")).to_have_text(re.compile("Change"))
    page.click("#flip")  # the chart's pair has one direction, whichever token is sold
    expect(page.locator("#chart-title")).to_have_text("SOL/USDC")
    assert {(query["tokenIn"], query["tokenOut"]) for query in requests} == {("SOL", "USDC")}


def test_amounts_show_dollars_a_quote_shows_its_age_and_a_rate_can_be_inverted(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    engine.orders = [fake_order(1, "confirmed")]
    engine.prices = [{"timestamp": "2026-01-31T12:00:00.000Z", "reference": "0.5"}]
    dashboard.open()
    page.fill("#amount", "2")
    expect(page.locator("#receive")).to_have_text("300.40")
    expect(page.locator("#receive-worth")).to_have_text("$300.40")
    expect(page.locator("#amount-worth")).to_have_text(re.compile(r"^\$30\d\.\d\d$"))
    expect(page.locator("#quote-age")).to_have_text(
        re.compile(r"^Quoted \d s ago · again in \d s$")
    )
    expect(page.locator("#quote-rate")).to_have_text("1 SOL = 150.200 USDC ⇄")
    page.click("#quote-rate")
    expect(page.locator("#quote-rate")).to_have_text("1 USDC = 0.0066578 SOL ⇄")
    expect(page.locator("#chart-title")).to_have_text("USDC/SOL")
    expect(page.locator("td.c-price")).to_have_text("0.0066578")
    page.click("#quote-rate")
    expect(page.locator("td.c-price")).to_have_text("150.200")
    page.goto(f"{NO_STACK.http_url}/?pair=JUP-RAY&amount=10")  # neither token is a stablecoin
    expect(page.locator("#amount-worth")).to_have_text("$5.00")


# --- arithmetic -------------------------------------------------------------------------------


def test_prices_amounts_and_terms_are_read_and_shown_exactly(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page

    def serve(route: Route) -> None:
        name = urlsplit(route.request.url).path.rpartition("/")[2]
        text = PAGES.module(name)
        route.fulfill(content_type="text/javascript", body=text)

    page.route("**/modules/*", serve)
    page.goto(NO_STACK.http_url)

    def module(name: str, script: str) -> Any:
        return page.evaluate(f"import('/modules/{name}').then((m) => {script})")

    read = (
        "["
        + ",".join(
            f"m.readPrice({json.dumps(text)}, 'USDC', 'SOL')"
            for text in ("150", "3", "0.1", "1,5", "0")
        )
        + "]"
    )
    found: list[Json] = module("terms.js", read)
    assert [each.get("text") for each in found[:3]] == [
        "0.006666666666666667",  # rounded up: the user never receives less than requested
        "0.333333333333333334",
        "10",
    ]
    assert all("rule" in each for each in found[3:])
    assert module("terms.js", "m.readPrice('150.25', 'SOL', 'USDC').text") == "150.25"
    assert module("terms.js", "m.writtenPrice('0.006666666666666667', 'USDC', 'SOL')") == "150"
    expiry = "m.readExpiry('custom', '2026-03-05T00:00', Date.parse('2026-01-31T12:00:00Z'))"
    assert "within 30 days" in module("terms.js", expiry)["rule"]
    shown = [module("words.js", f"m.price({p})") for p in ("153.2", "1532", "0.98", "0.0000231234")]
    assert shown == ["153.200", "1,532.00", "0.980000", "0.000023123"]
    amounts = {
        "1.5": "1.5000",
        "0.00012345": "0.0001235",
        "1302.65": "1,302.65",
        "12345678": "12.346M",
    }
    assert [module("words.js", f"m.amount('{a}', 'SOL')") for a in amounts] == [*amounts.values()]
    route = """{ routePlan: [
        { tokenIn: "SOL", tokenOut: "USDC", inAmount: "1", outAmount: "150", feeAmount: "0.01" },
        { tokenIn: "USDC", tokenOut: "BONK", inAmount: "150", outAmount: "9", feeAmount: "1.5" },
    ] }"""
    assert abs(module("orders.js", f"m.feeOf({route})") - 0.02) < 1e-12


def test_the_chart_library_is_not_loaded_with_the_first_page() -> None:
    assert "lightweight" not in str(PAGES.page("index.html").body)
