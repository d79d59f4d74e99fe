"""The order form submits exactly the input, and asks before it submits an unfavourable order."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.dashboard import (
    NO_STACK,
    NOON,
    QUOTE,
    ROUTE,
    Dashboard,
    FakeEngine,
    Json,
    close_dialog,
    fake_order,
    tab,
)


@pytest.fixture
def placed(dashboard: Dashboard, engine: FakeEngine) -> list[Json]:
    """The bodies of the orders that the page submits to the fake engine."""
    bodies: list[Json] = []

    def accept(route: Route) -> None:
        bodies.append(route.request.post_data_json or {})
        route.fulfill(status=202, json=fake_order(len(bodies), "pending"))

    dashboard.page.route("**/api/orders/execute", accept)
    return bodies


# --- numbers ----------------------------------------------------------------------------------


WITH_COMMAS = "with a point and without commas"
REFUSED_AMOUNTS = {
    **dict.fromkeys(["0,25", "1,5", "1.500,50", "1,500.50", "1,000"], WITH_COMMAS),
    **dict.fromkeys(["1 000", "1\u202f000", "1'000", "1.2.3", "1e3", "0x10"], "must be a number"),
    **dict.fromkeys(["+1", "-1", ".", "１", "٣", "NaN", "Infinity"], "must be a number"),
    **dict.fromkeys(["0", "0.000"], "must be greater than 0"),
    "1.0000000001": "must have at most 9 decimal places",
    "": "is needed",
}


def test_an_ambiguous_amount_is_refused_with_the_reason(
    dashboard: Dashboard, engine: FakeEngine, placed: list[Json]
) -> None:
    page = dashboard.page
    dashboard.open()
    expect(page.locator("#quote")).to_have_attribute("data-state", "ready")
    page.fill("#amount", "")
    quoted = engine.calls.count("GET quote")
    for typed, rule in REFUSED_AMOUNTS.items():
        page.fill("#amount", typed)
        page.click("#submit")
        expect(page.locator("#amount-error")).to_contain_text(rule)
        expect(page.locator("#amount")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#amount")).to_be_focused()
        expect(page.locator("#understood")).to_be_empty()
        expect(page.locator("#form-status")).to_be_empty()
    assert placed == []
    assert engine.calls.count("GET quote") == quoted


def test_the_page_shows_the_amount_that_it_understood_and_places_it(
    dashboard: Dashboard, placed: list[Json]
) -> None:
    page = dashboard.page
    dashboard.open()
    for typed, understood, sent in [
        ("0.25", "Sells 0.25 SOL", "0.25"),
        (" 0.25 ", "Sells 0.25 SOL", "0.25"),
        (".5", "Sells 0.5 SOL", "0.5"),
        ("2.", "Sells 2 SOL", "2"),
        ("007.50", "Sells 7.50 SOL", "7.50"),
        ("1234567.123456789", "Sells 1\u202f234\u202f567.123456789 SOL", "1234567.123456789"),
    ]:
        page.fill("#amount", typed)
        expect(page.locator("#understood")).to_have_text(
            f"{understood} for USDC, at most 0.5 % less than quoted."
        )
        accepted = len(placed)
        page.click("#submit")
        expect(page.locator("#form-status")).to_have_text(re.compile("accepted"))
        assert [body["amount"] for body in placed[accepted:]] == [sent]


def test_an_ambiguous_slippage_is_refused_with_the_reason(
    dashboard: Dashboard, placed: list[Json]
) -> None:
    page = dashboard.page
    dashboard.open()
    page.get_by_role("radio", name="Other").check()
    for typed, rule in {
        "0,5": WITH_COMMAS,
        "1.234": "at most 2 decimal places",
        "100.01": "must be between 0 and 100 %",
        "-1": "must be a number",
        "": "must be a number",
        "1e1": "must be a number",
    }.items():
        page.fill("#slippage-percent", typed)
        page.click("#submit")
        expect(page.locator("#slippage-error")).to_contain_text(rule)
        expect(page.locator("#slippage-percent")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#slippage-percent")).to_be_focused()
    assert placed == []
    page.fill("#slippage-percent", "0.25")
    expect(page.locator("#understood")).to_contain_text("at most 0.25 % less than quoted")
    page.click("#submit")
    expect(page.locator("#form-status")).to_have_text(re.compile("accepted"))
    assert [body["slippageBps"] for body in placed] == [25]


@pytest.mark.parametrize(("locale", "keypad"), [("en-US", "decimal"), ("de-DE", "text")])
def test_the_keypad_of_a_phone_has_a_decimal_point_in_each_locale(
    browser: Browser, locale: str, keypad: str
) -> None:
    with tab(browser, NO_STACK, locale=locale) as dashboard:
        FakeEngine(dashboard)
        dashboard.open()
        for field in ("#amount", "#slippage-percent"):
            expect(dashboard.page.locator(field)).to_have_attribute("inputmode", keypad)


# --- resting orders and slices ----------------------------------------------------------------


def place(page: Page, placed: list[Json], kind: str, understood: str) -> Json:
    """Submit the form; returns the body without its type, tokens and amount."""
    expect(page.locator("#understood")).to_have_text(understood)
    accepted = len(placed)
    page.click("#submit")
    expect(page.locator("#form-status")).to_have_text(re.compile("accepted"))
    (body,) = placed[accepted:]
    common = {"type": kind, "tokenIn": "SOL", "tokenOut": "USDC", "amount": "3"}
    assert body.items() >= common.items()
    return {field: value for field, value in body.items() if field not in common}


def test_a_limit_order_has_its_own_fields_and_is_placed_with_them(
    dashboard: Dashboard, placed: list[Json]
) -> None:
    page = dashboard.page
    page.clock.install(time=NOON)
    dashboard.open()
    page.fill("#amount", "3")

    page.get_by_role("radio", name="Limit").check()
    expect(page.locator("#limit-price")).to_have_attribute("placeholder", re.compile("^now 150"))
    expect(page.locator("#terms-error")).to_be_empty()  # no error is shown yet
    expect(page.locator("#stop-price")).to_be_hidden()
    expect(page.locator("#slippage-title")).to_be_hidden()
    page.click("#submit")
    expect(page.locator("#terms-error")).to_have_text("The limit price is needed.")
    expect(page.locator("#limit-price")).to_be_focused()
    page.fill("#limit-price", "160.5")
    limit = "Sells 3 SOL for USDC at 160.500 USDC for 1 SOL or more."
    assert place(page, placed, "limit", limit) == {"limitPrice": "160.5"}
    page.select_option("#expiry", "now")
    assert place(page, placed, "limit", limit) == {"limitPrice": "160.5", "timeInForce": "IOC"}
    page.select_option("#expiry", "custom")
    page.fill("#expiry-time", "2020-01-01T00:00")
    page.click("#submit")
    expect(page.locator("#terms-error")).to_have_text("The expiry must be in the future.")
    page.select_option("#expiry", "1 hour")
    body = place(page, placed, "limit", limit)
    assert body.pop("expiresAt").startswith("2026-01-31T13:0")
    assert body == {"limitPrice": "160.5"}


def test_orders_with_a_stop_and_orders_in_slices_are_placed_with_their_fields(
    dashboard: Dashboard, placed: list[Json]
) -> None:
    page = dashboard.page
    dashboard.open()
    page.fill("#amount", "3")
    page.get_by_role("radio", name="Limit").check()
    page.fill("#limit-price", "160.5")
    limit = "Sells 3 SOL for USDC at 160.500 USDC for 1 SOL or more."
    page.get_by_role("radio", name="Stop").check()
    page.fill("#stop-price", "140")
    stop = "Sells 3 SOL for USDC when the price falls to 140.000 USDC for 1 SOL"
    slippage = "at most 0.5 % less than quoted."
    assert place(page, placed, "stop", f"{stop}, {slippage}") == {
        "stopPrice": "140",
        "slippageBps": 50,
    }
    page.get_by_role("radio", name="OCO").check()
    both = {"limitPrice": "160.5", "stopPrice": "140", "slippageBps": 50}
    falls = " or more, or when the price falls to 140.000 USDC for 1 SOL"
    oco = limit.replace(" or more.", falls)
    assert place(page, placed, "oco", f"{oco}, {slippage}") == both
    page.get_by_role("radio", name="TWAP").check()
    page.fill("#limit-price", "")
    page.fill("#slices", "1")
    page.click("#submit")
    expect(page.locator("#terms-error")).to_contain_text("must be a whole number from 2 to 100")
    page.fill("#slices", "12")
    page.fill("#interval", "5")
    page.select_option("#interval-unit", label="minutes")
    slices = {"slices": 12, "intervalSeconds": 300}
    twap = "Sells 3 SOL for USDC in 12 slices, one each 300 s"
    assert place(page, placed, "twap", f"{twap}.") == {**slices, "slippageBps": 50}
    page.fill("#limit-price", "145")
    limited = f"{twap}, none beyond 145.000 USDC for 1 SOL."
    assert place(page, placed, "twap", limited) == {**slices, "limitPrice": "145"}


def test_a_price_is_converted_when_its_direction_changes_and_removed_with_its_pair(
    dashboard: Dashboard, placed: list[Json]
) -> None:
    page = dashboard.page
    dashboard.open()
    page.get_by_role("radio", name="Limit").check()
    page.fill("#limit-price", "160")
    page.click("#quote-rate")
    expect(page.locator("#limit-price")).to_have_value("0.00625")
    page.click("#submit")
    expect(page.locator("#form-status")).to_have_text(re.compile("accepted"))
    assert [body["limitPrice"] for body in placed] == ["160"]
    page.click("#quote-rate")
    expect(page.locator("#limit-price")).to_have_value("160")
    page.click("#flip")  # the price of the pair is the same
    expect(page.locator("#limit-price")).to_have_value("160")
    page.fill("#token-in", "JUP")
    page.press("#token-in", "Enter")
    expect(page.locator("#limit-price")).to_have_value("")


def test_a_limit_far_below_the_market_or_a_stop_above_it_needs_a_confirmation(
    dashboard: Dashboard, placed: list[Json]
) -> None:
    page = dashboard.page
    dashboard.open()
    question = page.get_by_role("dialog", name="This order may lose much of its value")
    page.get_by_role("radio", name="Limit").check()
    page.fill("#limit-price", "100")
    page.click("#submit")
    expect(question).to_contain_text("The limit is −33.55 % from the market's price")
    close_dialog(page)
    page.get_by_role("radio", name="Stop").check()
    page.fill("#stop-price", "200")
    page.click("#submit")
    expect(question).to_contain_text("The stop is not below the market's price")
    close_dialog(page)
    assert placed == []


# --- tokens, by keyboard ----------------------------------------------------------------------


def test_tab_selects_the_highlighted_token(dashboard: Dashboard, engine: FakeEngine) -> None:
    page, keyboard = dashboard.page, dashboard.page.keyboard
    dashboard.open()
    page.focus("#token-in")
    keyboard.type("jup")
    expect(page.locator("#token-in-list [aria-selected=true]")).to_have_text(re.compile("JUP"))
    keyboard.press("Tab")
    expect(page.locator("#token-in")).to_have_value("JUP")
    expect(page.locator("#token-in-list")).to_be_hidden()
    expect(page.locator("#understood")).to_contain_text("1.5 JUP")


def test_the_arrows_move_the_highlight_and_enter_selects_the_token(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page, keyboard = dashboard.page, dashboard.page.keyboard
    dashboard.open()
    field = page.locator("#token-in")
    field.focus()
    expect(field).to_have_attribute("aria-expanded", "false")
    keyboard.press("ArrowDown")
    expect(field).to_have_attribute("aria-expanded", "true")
    options = page.locator("#token-in-list [role=option]")
    expect(options.first).to_have_attribute("aria-selected", "true")
    for _ in range(2):
        keyboard.press("ArrowDown")
    expect(options.nth(2)).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", options.nth(2).get_attribute("id"))
    for _ in range(3):
        keyboard.press("ArrowUp")
    last = options.last
    expect(last).to_have_attribute("aria-selected", "true")
    symbol = last.get_attribute("data-symbol")
    assert symbol
    keyboard.press("Enter")
    expect(field).to_have_value(symbol)
    expect(field).to_have_attribute("aria-expanded", "false")
    expect(page.locator("#form-status")).to_be_empty()  # Enter did not submit the form


def test_escape_restores_the_selected_token(dashboard: Dashboard, engine: FakeEngine) -> None:
    page, keyboard = dashboard.page, dashboard.page.keyboard
    dashboard.open()
    page.focus("#token-in")
    keyboard.type("bonk")
    keyboard.press("Escape")
    expect(page.locator("#token-in")).to_have_value("SOL")
    expect(page.locator("#token-in-list")).to_be_hidden()
    keyboard.press("Tab")
    expect(page.locator("#token-in")).to_have_value("SOL")


def test_the_exact_symbol_is_listed_before_tokens_that_contain_it(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    dashboard.open()
    page.fill("#token-out", "sol")
    expect(page.locator("#token-out-list [role=option] b").first).to_have_text("SOL")
    expect(page.locator("#token-out-list [role=option] b")).to_contain_text(["SOL", "JitoSOL"])


def test_no_order_is_placed_with_a_text_that_is_no_token(
    dashboard: Dashboard, placed: list[Json]
) -> None:
    page, keyboard = dashboard.page, dashboard.page.keyboard
    dashboard.open()
    page.focus("#token-in")
    keyboard.type("BONKSOL")
    expect(page.locator("#token-in-list")).to_have_text("No such token")
    keyboard.press("Enter")
    keyboard.press("Tab")
    expect(page.locator("#token-in")).to_have_value("BONKSOL")
    expect(page.locator("#amount-error")).to_contain_text("BONKSOL is no listed token")
    page.click("#submit")
    expect(page.locator("#token-in")).to_be_focused()
    assert placed == []
    keyboard.press("Escape")
    expect(page.locator("#token-in")).to_have_value("SOL")
    expect(page.locator("#amount-error")).to_be_empty()
    page.click("#submit")
    expect(page.locator("#form-status")).to_have_text(re.compile("accepted"))
    assert [body["tokenIn"] for body in placed] == ["SOL"]


def test_choosing_the_other_sides_token_swaps_them(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    dashboard.open()
    page.fill("#token-in", "USDC")
    page.keyboard.press("Enter")
    expect(page.locator("#token-in")).to_have_value("USDC")
    expect(page.locator("#token-out")).to_have_value("SOL")


# --- confirmations ----------------------------------------------------------------------------


def test_an_order_that_loses_much_of_its_value_needs_a_confirmation(
    dashboard: Dashboard, engine: FakeEngine, placed: list[Json]
) -> None:
    page = dashboard.page
    engine.quote |= {"outAmount": "126", "referencePrice": "150", "priceImpactPct": "0.17"}
    dashboard.open()
    page.fill("#amount", "10000")
    page.click("#submit")
    question = page.get_by_role("dialog", name="This order may lose much of its value")
    worth = "1,260,000 USDC for what is worth 1,500,000 USDC at the market's price: −16 %."
    expect(question).to_contain_text(worth)
    expect(question).to_contain_text("Its price impact is 17 %")
    expect(page.get_by_role("button", name="Do not submit it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(question).to_be_hidden()
    expect(page.locator("#form-status")).to_have_text("Not submitted.")
    page.click("#submit")
    expect(question).to_be_visible()
    close_dialog(page)
    expect(page.locator("#form-status")).to_have_text("Not submitted.")
    assert placed == []
    page.click("#submit")
    page.get_by_role("button", name="Submit it all the same").click()
    expect(page.locator("#form-status")).to_have_text(re.compile("accepted"))
    assert [body["amount"] for body in placed] == ["10000"]


def test_a_large_slippage_needs_a_confirmation(dashboard: Dashboard, placed: list[Json]) -> None:
    page = dashboard.page
    dashboard.open()
    page.get_by_role("radio", name="Other").check()
    page.fill("#slippage-percent", "50")
    page.click("#submit")
    question = page.get_by_role("dialog", name="This order may lose much of its value")
    expect(question).to_contain_text("With 50 % slippage")
    assert placed == []
    page.get_by_role("button", name="Submit it all the same").click()
    expect(page.locator("#form-status")).to_have_text(re.compile("accepted"))
    assert [body["slippageBps"] for body in placed] == [5000]


def test_an_order_without_a_quote_needs_a_confirmation(
    dashboard: Dashboard, engine: FakeEngine, placed: list[Json]
) -> None:
    page = dashboard.page
    dashboard.open()
    engine.refusals["GET quote"] = (503, {})
    page.fill("#amount", "3")
    page.click("#submit")
    question = page.get_by_role("dialog", name="This order may lose much of its value")
    expect(question).to_contain_text("There is no quote at the moment")
    assert placed == []
    dashboard.ignore_problems("503")


def test_an_order_without_a_route_is_refused_in_the_form(
    dashboard: Dashboard, engine: FakeEngine, placed: list[Json]
) -> None:
    page = dashboard.page
    dashboard.open()
    errors = [{"field": "amount", "rule": "must be at most 7"}]
    engine.refusals["GET quote"] = (400, {"detail": "amount must be at most 7", "errors": errors})
    page.fill("#amount", "8")
    page.click("#submit")
    expect(page.locator("#amount-error")).to_have_text("The amount must be at most 7.")
    expect(page.locator("#form-status")).to_have_text("amount must be at most 7")
    assert placed == []
    dashboard.ignore_problems("400")


def test_a_simulated_fault_is_shown_while_its_settings_are_closed(
    dashboard: Dashboard, placed: list[Json]
) -> None:
    page = dashboard.page
    dashboard.open()
    page.locator("#simulation summary").click()
    page.select_option("#fault", "venue_down")
    page.select_option("#fault-venue", "meteora")
    page.locator("#simulation summary").click()
    expect(page.locator("#fault")).to_be_hidden()
    summary = "Simulated fault: Venue down, Meteora, first 3 attempts"
    expect(page.locator("#simulation summary")).to_have_text(summary)
    page.locator("#simulation summary").click()
    page.select_option("#fault", "")
    expect(page.locator("#simulation summary")).to_have_text("Simulation")


def test_a_venue_can_be_chosen_only_for_a_fault_of_one_venue(
    dashboard: Dashboard, placed: list[Json]
) -> None:
    page = dashboard.page
    dashboard.open()
    page.locator("#simulation summary").click()
    page.select_option("#fault", "venue_down")
    page.select_option("#fault-venue", "meteora")
    page.select_option("#fault", "dropped_transaction")
    expect(page.locator("#fault-venue")).to_be_disabled()
    page.fill("#amount", "1")
    page.click("#submit")
    expect(page.locator("#form-status")).to_have_text(re.compile("accepted"))
    assert placed[0]["simulate"] == {"fault": "dropped_transaction", "attempts": 3}


# --- the quote --------------------------------------------------------------------------------


def test_a_price_below_the_market_is_shown_even_if_the_pool_has_no_price_impact(
    dashboard: Dashboard, engine: FakeEngine, placed: list[Json]
) -> None:
    page = dashboard.page
    engine.quote = {**QUOTE, "outAmount": "73", "referencePrice": "100", "priceImpactPct": "0"}
    dashboard.open()
    page.fill("#amount", "1")
    expect(page.locator("#quote-market")).to_have_text("−27 %")
    expect(page.locator("#quote-market")).to_have_class(re.compile("warn"))
    expect(page.locator("#quote-impact")).to_have_text("0 %")
    page.click("#submit")
    expect(page.get_by_role("dialog")).to_contain_text("−27 %")
    assert placed == []


def leg(venue: str, token_in: str, token_out: str, percent: int) -> Json:
    tokens = {"tokenIn": token_in, "tokenOut": token_out}
    return {**ROUTE["routePlan"][0], "venue": venue, "percent": percent, **tokens}


def test_a_route_shows_its_hops_in_sequence_and_its_splits_in_parallel(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    plan = [
        leg("meteora", "SOL", "USDC", 60),
        leg("raydium", "SOL", "USDC", 25),
        leg("orca", "SOL", "USDC", 15),
        leg("raydium", "USDC", "BONK", 100),
    ]
    route = {**ROUTE, "routePlan": plan}
    engine.quote |= {"routePlan": plan}
    engine.orders = [fake_order(1, "confirmed", route=route)]
    dashboard.open()
    steps = page.locator("#quote-route li")
    path = "SOL → USDC Meteora 60 % · Raydium 25 % · Orca 15 %, then USDC → BONK Raydium 100 %"
    expect(steps.locator(".text")).to_have_text([path])
    expect(steps.locator(".bar-track")).to_have_count(2)
    expect(steps.locator(".bar-track").first.locator(".bar-fill")).to_have_count(3)
    row = page.locator(".row")
    expect(row.locator(".c-venue")).to_have_text("Raydium +2")
    expect(row.locator(".c-venue")).to_have_attribute("title", "SOL → USDC → BONK")
    row.get_by_role("link").click()
    expect(page.locator("#detail .route li .text")).to_have_text([path])


def test_a_route_over_several_tokens_shows_the_share_of_each_path(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    plan = [
        leg("whirlpool", "SOL", "USDC", 60),
        leg("meteora", "SOL", "USDC", 20),
        leg("raydium", "SOL", "USDT", 15),
        leg("whirlpool", "SOL", "JUP", 5),
        leg("raydium", "USDT", "USDC", 50),
        leg("meteora", "USDT", "USDC", 50),
        leg("meteora", "JUP", "USDC", 100),
    ]
    engine.quote |= {"routePlan": plan}
    engine.orders = [fake_order(1, "confirmed", route={**ROUTE, "routePlan": plan})]
    dashboard.open()
    expect(page.locator("#quote-route li .text")).to_have_text(
        [
            "80 % SOL → USDC Whirlpool 75 % · Meteora 25 %",
            "15 % SOL → USDT Raydium 100 %, then USDT → USDC Raydium 50 % · Meteora 50 %",
            "5 % SOL → JUP Whirlpool 100 %, then JUP → USDC Meteora 100 %",
        ]
    )
    expect(page.locator("td.c-venue")).to_have_attribute(
        "title", "80 % direct, the rest over 2 tokens"
    )


# --- number of requests -----------------------------------------------------------------------


def test_an_idle_page_sends_few_requests_and_only_for_new_data(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    queries: list[dict[str, list[str]]] = []
    page.on(
        "request",
        lambda request: (
            queries.append(parse_qs(urlsplit(request.url).query))
            if "/api/candles" in request.url
            else None
        ),
    )

    def wait(seconds: int) -> None:
        """Advance the page's clock in steps, so that answers arrive in between."""
        for _ in range(seconds):
            page.clock.run_for(1000)
            page.wait_for_timeout(20)

    page.clock.install()
    dashboard.open()
    expect(page.locator("#quote")).to_have_attribute("data-state", "ready")
    wait(70)
    before, began_ms = len(engine.calls), page.evaluate("Date.now()")
    wait(60)
    in_a_minute = engine.calls[before:]
    minutes = (page.evaluate("Date.now()") - began_ms) / 60_000  # real time is added to the steps
    assert 0 < len(in_a_minute) <= 6 * minutes + 1, in_a_minute
    seconds = [
        datetime.fromisoformat(query["to"][0]) - datetime.fromisoformat(query["from"][0])
        for query in queries
    ]
    assert seconds[0] >= timedelta(minutes=15)
    assert max(seconds[1:]) <= timedelta(seconds=40)  # only new candles
    page.mouse.move(200, 300)
    before = len(engine.calls)
    wait(40)
    assert engine.calls[before:].count("GET quote") >= 3
