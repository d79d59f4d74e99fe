"""The bot of functions/README.md against the deployed stack."""

from __future__ import annotations

import asyncio

from tests.bot import run_bot
from tests.e2e.conftest import Target
from tests.stack_client import Client


async def test_the_bot_of_the_readme_sells_at_its_limit_and_buys_back(
    target: Target, client: Client
) -> None:
    tls = {"SSL_CERT_FILE": str(target.ca_bundle)} if target.ca_bundle else {}
    run = await asyncio.to_thread(run_bot, target.http_url, target.api_key, **tls)
    assert run.returncode == 0, run.stderr
    statuses = [line.split()[1] for line in run.stdout.splitlines()]
    assert (statuses[0], statuses[-1]) == ("pending", "confirmed")
    bought, sold = [order async for order in client.api.orders()][:2]
    assert (sold.type.value, sold.status.value) == ("limit", "confirmed")
    assert (bought.token_in, bought.amount) == ("USDC", sold.out_amount)
    assert [update.status.value async for update in client.api.follow(bought)][-1] == "confirmed"
