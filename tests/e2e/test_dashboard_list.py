"""The list of orders: one line for each order, with filters, export and actions."""

from __future__ import annotations

import csv
import re
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Page, Request, Route, expect

from tests.e2e.dashboard import (
    NOON,
    ROUTE,
    Dashboard,
    FakeEngine,
    Json,
    expect_status,
    fake_order,
)

REVERTED = {"code": "SLIPPAGE_TOLERANCE_EXCEEDED", "message": "The price moved."}


def cells(page: Page, number: int) -> list[str]:
    row = page.locator(f".row[data-id='{fake_order(number)['orderId']}']")
    return [re.sub(r"\n, .*", "", text.strip()) for text in row.locator("td").all_inner_texts()]


def shown(page: Page) -> list[int]:
    """The numbers of the shown orders, from the top."""
    script = "rows => rows.filter((r) => !r.hidden).map((r) => Number(r.dataset.id.slice(-12)))"
    return list(page.locator("#rows > .row").evaluate_all(script))


def test_an_ended_order_is_one_line_under_column_heads_and_fifteen_fit_a_laptops_screen(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    page.clock.install(time=NOON + timedelta(minutes=1))
    bought = {"tokenIn": "USDC", "amount": "301", "outAmount": "2", "executedPrice": "0.00664452"}
    leg = {**ROUTE["routePlan"][0], "tokenIn": "USDC", "tokenOut": "SOL", "feeAmount": "0.75"}
    route = {**ROUTE, "inAmount": "301", "outAmount": "2.001", "routePlan": [leg]}
    engine.orders = [
        fake_order(43, "thawing", type="iceberg"),
        fake_order(42, "submitted"),
        fake_order(41, "failed", error=REVERTED),
        fake_order(40, "confirmed", tokenOut="SOL", route=route, **bought),
        *(fake_order(number, "confirmed") for number in range(39, 0, -1)),
    ]
    dashboard.open()
    expect(page.locator(".row")).to_have_count(43)
    heads = "Time|Pair|Type|Sold|Value|Received|Avg. price|Vs. quote|Fee|Venue|Status|Actions"
    expect(page.get_by_role("columnheader")).to_have_text(heads.split("|"))
    in_view = """rows => rows.map((row) => row.getBoundingClientRect())
        .filter(({ top, bottom }) => top >= 0 && bottom <= innerHeight).length"""
    assert page.locator(".row").evaluate_all(in_view) >= 15
    sold = ["SOL/USDC", "Market", "39.0000 SOL", "$150.20", "150.20 USDC", "150.200", "0 bps"]
    assert cells(page, 39)[1:11] == [*sold, "$0.38", "Raydium", "Confirmed"]
    # Its price is in the direction of the other orders of the pair.
    buy = ["SOL/USDC", "Market", "301.00 USDC", "$301.00", "2.0000 SOL", "150.500", "−5.0 bps"]
    assert cells(page, 40)[1:11] == [*buy, "$0.75", "Raydium", "Confirmed"]
    assert cells(page, 41)[5:7] == ["The price moved beyond your slippage", "Failed"]
    expect(page.locator(".steps")).to_have_count(2)  # only the open orders have steps
    assert "Thawing" in cells(page, 43)[5]
    assert cells(page, 43)[2] == "Iceberg"


def test_orders_are_found_by_status_pair_type_day_and_id_and_the_url_keeps_the_filters(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    page.clock.install(time=NOON + timedelta(minutes=1))
    older = fake_order(7, "confirmed", clientOrderId="desk-77")
    engine.orders = [
        fake_order(6, "resting", type="limit", limitPrice="160"),
        fake_order(5, "failed", error=REVERTED),
        fake_order(4, "confirmed", tokenIn="JUP", tokenOut="BONK"),
        fake_order(3, "confirmed", tokenIn="USDC", tokenOut="SOL"),
        fake_order(2, "cancelled"),
        fake_order(1, "confirmed", createdAt="2026-01-29T12:00:00.000Z"),
    ]
    dashboard.open()
    expect(page.locator("#list-message")).to_have_text("These are all.")
    counts = ["All 6", "Open 1", "Confirmed 3", "Failed 1", "Cancelled 1", "Expired"]
    expect(page.locator("#filters label")).to_have_text(counts)
    page.get_by_role("radio", name="Expired").check()
    expect(page.locator("#list-message")).to_have_text("No expired orders.")
    for status, numbers in (("Failed", [5]), ("Cancelled", [2]), ("Confirmed", [4, 3, 1])):
        page.get_by_role("radio", name=status).check()
        assert shown(page) == numbers
    page.click("#filter-more")
    page.select_option("#filter-pair", label="SOL/USDC")
    assert shown(page) == [3, 1]
    expect(page.locator("#filters label").first).to_have_text("All 5")
    page.fill("#filter-from", "2026-01-31")
    assert shown(page) == [3]
    assert "show=confirmed" in page.url
    assert "from=2026-01-31" in page.url
    page.reload()
    expect(page.locator("#list-message")).to_have_text("These are all.")
    assert shown(page) == [3]
    page.click("#filter-none")
    page.select_option("#filter-type", label="Limit")
    assert shown(page) == [6]
    page.click("#filter-none")
    page.fill("#find", fake_order(5)["orderId"][-12:])
    assert shown(page) == [5]
    engine.orders.append(older)
    page.fill("#find", older["orderId"])  # the page has not loaded this order
    expect(page.locator(".row:not([hidden])")).to_have_count(1)
    assert shown(page) == [7]
    page.fill("#find", "desk-7")
    assert shown(page) == [7]
    page.fill("#find", "nothing like it")
    expect(page.locator("#list-message")).to_have_text("No order matches.")


def test_orders_are_sorted_by_each_column_and_exported_in_the_shown_order(
    dashboard: Dashboard, engine: FakeEngine, tmp_path: Path
) -> None:
    page = dashboard.page
    outs = {1: "100", 2: "300", 3: "200"}
    engine.orders = [
        fake_order(number, "confirmed", outAmount=out, clientOrderId='=1+1,"x"')
        for number, out in reversed(outs.items())
    ]
    dashboard.open()
    expect(page.locator(".row")).to_have_count(3)
    head = page.get_by_role("columnheader", name="Received")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert shown(page) == [2, 3, 1]
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert shown(page) == [1, 3, 2]
    with page.expect_download() as download:
        page.click("#export")
    file = tmp_path / "orders.csv"
    download.value.save_as(file)
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["outAmount"] for row in rows] == ["100", "200", "300"]
    assert rows[0]["executedPrice"] == "150.2"
    assert {row["clientOrderId"] for row in rows} == {'\'=1+1,"x"'}  # not as a formula
    page.get_by_role("columnheader", name="Time").get_by_role("button").click()
    assert shown(page) == [3, 2, 1]


def test_an_order_is_repeated_and_cancelled_in_its_row_and_all_are_cancelled_at_once(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    terms = {"tokenIn": "JUP", "tokenOut": "BONK", "amount": "25.5", "slippageBps": 30}
    engine.orders = [
        fake_order(4, "pending"),
        fake_order(3, "resting", type="limit", limitPrice="160"),
        fake_order(2, "pending"),
        fake_order(1, "confirmed", **terms),
    ]
    ids = [order["orderId"] for order in engine.orders]
    why = "The order is routing; only a pending order can be cancelled."
    engine.refusals[f"DELETE {ids[0]}"] = (409, {"detail": why})
    for number in (3, 2):
        done = {**fake_order(number, "cancelled"), "sequence": 9}
        engine.refusals[f"DELETE {ids[4 - number]}"] = (200, done)
    dashboard.open()
    page.get_by_role("button", name="Cancel order 00000004").click()
    expect(page.locator("#news")).to_contain_text(f"Not cancelled. {why}")
    expect(page.locator("#news li")).to_be_in_viewport()
    expect(page.locator("#cancel-all")).to_have_text("Cancel all 3")
    page.click("#cancel-all")
    dialog = page.get_by_role("dialog", name="Cancel all 3 open orders?")
    expect(dialog).to_contain_text("9 SOL")
    expect(page.get_by_role("button", name="Keep them")).to_be_focused()
    page.get_by_role("button", name="Cancel them").click()
    expect(page.locator("#news")).to_contain_text("2 of 3 orders cancelled")
    for number in (3, 2):
        expect_status(page.locator(f".row[data-id='{ids[4 - number]}']"), "cancelled")
    page.get_by_role("button", name="Repeat order 00000001").click()
    expect(page.locator("#token-in")).to_have_value("JUP")
    expect(page.locator("#token-out")).to_have_value("BONK")
    expect(page.locator("#amount")).to_have_value("25.5")
    expect(page.locator("#slippage-percent")).to_have_value("0.3")
    expect(page.locator("#submit")).to_be_focused()
    assert "POST orders/execute" not in engine.calls
    dashboard.ignore_problems("409")


def test_a_resting_order_shows_price_distance_and_expiry_and_is_changed_in_its_row(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    page.clock.install(time=NOON + timedelta(minutes=1))
    buy = {"tokenIn": "USDC", "tokenOut": "SOL", "limitPrice": "0.007", "stopPrice": "0.006"}
    engine.orders = [
        fake_order(2, "resting", type="oco", **buy),
        limit := fake_order(
            1, "resting", type="limit", limitPrice="165", expiresAt="2026-01-31T14:01:00.000Z"
        ),
    ]
    changes: list[Json] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            changes.append(request.post_data_json or {})

    page.on("request", note)
    dashboard.open()
    live = page.locator(".row .live")
    expect(live.nth(1)).to_have_text(
        re.compile(
            r"^limit 165\.000 \(\+9\.\d+ %\) · market 150\.\d+ · expires in (1 h 5\d|2 h 0) m$"
        )
    )
    expect(live.nth(0)).to_have_text(
        re.compile(r"^limit 142\.857 \(−5\.\d+ %\) or stop 166\.667 \(\+10\.\d+ %\) · no expiry$")
    )
    expect(page.locator("#chart")).to_have_attribute("data-resting", "3")
    page.get_by_role("button", name="Change order 00000001").click()
    expect(page.locator("#change-limit")).to_have_value("165")
    expect(page.locator("#change-stop")).to_be_hidden()
    page.fill("#change-limit", "1,70")
    page.click("#change-submit")
    expect(page.locator("#change-error")).to_contain_text("must be a number with a point")
    page.fill("#change-limit", "170")
    page.select_option("#change-expiry", "")
    refusal = {"detail": "The order is routing; only a resting order can be changed."}
    engine.refusals[f"PATCH {limit['orderId']}"] = (409, refusal)
    page.click("#change-submit")
    expect(page.locator("#change-error")).to_have_text(f"Not changed. {refusal['detail']}")
    changed = {**limit, "limitPrice": "170", "sequence": limit["sequence"] + 1}
    del changed["expiresAt"]
    engine.refusals[f"PATCH {limit['orderId']}"] = (200, changed)
    page.click("#change-submit")
    expect(page.locator("#change")).to_be_hidden()
    expect(live.nth(1)).to_have_text(re.compile(r"^limit 170\.000 .* · no expiry$"))
    assert changes == [{"limitPrice": "170", "expiresAt": None}] * 2
    # The page shows a price that another tab changed.
    engine.push(limit | changed, "resting", limitPrice="175")
    expect(live.nth(1)).to_have_text(re.compile(r"^limit 175\.000 "))
    dashboard.ignore_problems("409")


def test_an_order_that_has_rested_for_long_is_among_the_open_ones(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    """The order is far beyond the first pages of the list."""
    newer = [fake_order(number, "confirmed") for number in range(400, 100, -1)]
    engine.orders = [*newer, fake_order(1, "resting", type="limit", limitPrice="160")]
    dashboard.open()
    expect(dashboard.page.locator("#filters label").nth(1)).to_have_text("Open 1")
    dashboard.page.get_by_role("radio", name="Open").check()
    assert shown(dashboard.page) == [1]
    expect(dashboard.page.locator("#cancel-all")).to_have_text("Cancel all 1")


def test_an_order_in_slices_shows_its_progress_and_its_slices(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    page = dashboard.page
    page.clock.install(time=NOON + timedelta(seconds=30))
    done = {"slicesDone": 3, "filledAmount": "0.3", "outAmount": "45", "executedPrice": "150"}
    twap = fake_order(1, "working", type="twap", slices=10, intervalSeconds=60, amount="1")
    twap |= {**done, "nextSliceAt": "2026-01-31T12:10:00.000Z"}
    slices = [fake_order(n, "confirmed", parentId=twap["orderId"]) for n in (4, 3, 2)]
    engine.orders = [*slices, twap]
    dashboard.open()
    row = page.locator(f".row[data-id='{twap['orderId']}']")
    expect(row.locator(".live")).to_have_text(
        re.compile(r"^3 of 10 slices · 0\.3 SOL · at 150\.000 · next in \d m \d\d s$")
    )
    expect(row.get_by_role("progressbar")).to_have_attribute("value", "3")
    expect(page.locator(".row td.c-type")).to_have_text(["Slice", "Slice", "Slice", "TWAP"])
    row.get_by_role("link").click()
    expect(page.locator("#detail .legs li")).to_have_count(3)
    page.locator("#detail .legs a").first.click()
    expect(page.locator("#detail-body")).to_contain_text("Slice of")
    ended = {"slicesDone": 10, "filledAmount": "1", "outAmount": "150"}
    engine.push(twap, "confirmed", **ended, networkFeeLamports=125_000)
    expect(page.locator("#news")).to_contain_text("Sold 1 SOL for 150.00 USDC at 150.000 SOL/USDC")
    expect_status(row, "confirmed")
    page.locator("#detail-body [data-order]").click()
    expect(page.locator("#detail-body")).to_contain_text("0.000125 SOL")


def test_an_order_that_neither_the_first_list_nor_a_push_contained_appears(
    dashboard: Dashboard, engine: FakeEngine
) -> None:
    lists: list[str] = []

    def lack_it_at_first(route: Route) -> None:
        if "status=open" not in route.request.url:
            lists.append(route.request.url)
        if len(lists) == 3:  # the page has read two lists: at its start, and once it was live
            engine.orders = [fake_order(1, "confirmed")]
        route.fallback()

    dashboard.page.route("**/api/orders?*", lack_it_at_first)
    dashboard.open()
    expect(dashboard.page.locator(".row")).to_have_count(1)
