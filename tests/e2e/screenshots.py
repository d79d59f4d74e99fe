"""`uv run python -m tests.e2e.screenshots` takes the README's pictures of a working stack."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from infra.cli.local import Stack, running_stack
from tests.browser import launched

FOLDER = Path(__file__).parents[2] / ".github"
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
LIVELY = {"quoteErrorPpm": "100000", "dropPpm": "0"}
ROUNDS = 5
SECONDS_BETWEEN_ROUNDS = 14
SWAPS = (("SOL", "USDC", "800"), ("JUP", "BONK", "2500"), ("USDC", "JitoSOL", "900"))


def main() -> None:
    """Run a stack for a minute, then take a screenshot of the dashboard in each theme."""
    FOLDER.mkdir(exist_ok=True)
    with running_stack(context=LIVELY) as stack, launched() as browser:
        page = opened(browser, stack, viewport=DESKTOP, color_scheme="light")
        for _ in range(ROUNDS):
            for swap in SWAPS:
                submit(page, *swap)
            time.sleep(SECONDS_BETWEEN_ROUNDS)
        submit(page, "SOL", "USDC", "4", fault="venue_down")
        rest(page)
        shoot(browser, stack, page, "light", viewport=DESKTOP, color_scheme="light")
        shoot(browser, stack, page, "dark", viewport=DESKTOP, color_scheme="dark", detail=True)
        shoot(browser, stack, page, "phone", viewport=PHONE, color_scheme="dark", scroll=True)


def opened(browser: Browser, stack: Stack, **options: Any) -> Page:
    page = browser.new_context(locale="en-US", **options).new_page()
    page.goto(f"{stack.http_url}/#key={stack.api_key}")
    page.click("#gate-use")
    page.wait_for_selector("#connection[data-state=live]")
    page.wait_for_selector("#quote[data-state=ready]")
    return page


def rest(page: Page) -> None:
    """Submit an OCO order, which waits, and a TWAP order."""
    page.select_option("#fault", "")
    page.fill("#amount", "12")
    page.get_by_role("radio", name="OCO").check()
    now = page.locator("#limit-price").get_attribute("placeholder") or ""
    market = float(now.removeprefix("now "))
    page.fill("#limit-price", f"{market * 1.04:.2f}")
    page.fill("#stop-price", f"{market * 0.97:.2f}")
    page.select_option("#expiry", "1 day")
    page.click("#submit")
    page.wait_for_timeout(1500)
    page.get_by_role("radio", name="TWAP").check()
    page.fill("#limit-price", "")
    page.fill("#slices", "20")
    page.fill("#interval", "20")
    page.click("#submit")
    page.wait_for_timeout(1500)
    page.get_by_role("radio", name="Market").check()


def submit(page: Page, token_in: str, token_out: str, amount: str, fault: str = "") -> None:
    for field, symbol in (("#token-in", token_in), ("#token-out", token_out)):
        page.fill(field, symbol)
        page.press(field, "Enter")
    page.locator("#simulation").evaluate("details => { details.open = true }")
    page.select_option("#fault", fault)
    page.locator("#simulation").evaluate("(details, open) => { details.open = open }", bool(fault))
    page.fill("#amount", amount)
    page.wait_for_timeout(600)
    page.click("#submit")


def shoot(
    browser: Browser,
    stack: Stack,
    worker: Page,
    name: str,
    *,
    detail: bool = False,
    scroll: bool = False,
    **options: Any,
) -> None:
    """Take a screenshot of a new page after `worker` has submitted orders."""
    page = opened(browser, stack, device_scale_factor=1.5, **options)
    page.fill("#amount", "800")
    page.locator("#amount").blur()
    for swap in SWAPS:
        submit(worker, *swap)
        page.wait_for_timeout(700)
    if scroll:
        page.evaluate("document.querySelector('.orders').scrollIntoView()")
    if detail:
        page.locator(".row[data-status=confirmed]", has_text="800.0000 SOL").first.click()
        page.wait_for_timeout(300)
    page.wait_for_timeout(400)
    page.screenshot(path=FOLDER / f"dashboard-{name}.png")
    page.context.close()


if __name__ == "__main__":
    main()
