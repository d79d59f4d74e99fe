"""The README's bot, and the client for programs, against the deployed stack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.client import Client
from tests.e2e.conftest import Target

README = Path(__file__).parents[2] / "README.md"
RUN_SECONDS_MAX = 300


def bot() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return str(code)


def test_the_bot_is_short() -> None:
    lines = [line for line in bot().splitlines() if line.strip()]
    assert len(lines) <= 30


async def test_the_bot_of_the_readme_sells_at_its_limit_and_buys_back(
    target: Target, client: Client
) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    } | {
        "OEE_URL": target.http_url,
        "OEE_API_KEY": target.api_key,
        "ABOVE": "0.5",
    }
    if target.ca_bundle:
        environment["SSL_CERT_FILE"] = str(target.ca_bundle)
    run = subprocess.run(
        [sys.executable, "-c", bot()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    statuses = [line.split()[1] for line in run.stdout.splitlines()]
    assert statuses == ["pending", "routing", "building", "submitted", "confirmed"]
    bought, sold = [order async for order in client.api.orders()][:2]
    assert (sold.type.value, sold.status.value) == ("limit", "confirmed")
    assert (bought.token_in, bought.amount) == ("USDC", sold.out_amount)
    assert [update.sequence async for update in client.api.follow(bought)][-1] == 5
