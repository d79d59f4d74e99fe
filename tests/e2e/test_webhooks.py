"""A webhook of the deployed stack."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.conftest import Target
from tests.receiver import answer_with, receiving
from tests.stack_client import ORDER

SECONDS_MAX = 120  # long enough for a busy machine


@pytest.mark.emulator
def test_an_update_is_delivered_to_a_webhook_that_refuses_it_at_first(
    target: Target, api: Callable[[str], httpx.Client]
) -> None:
    client = api(target.api_key)
    with receiving() as receiver:
        receiver.handle = answer_with(503)
        made = client.post("/api/webhooks", json={"url": receiver.url, "statuses": ["confirmed"]})
        assert made.status_code == 201
        webhook = made.json()
        try:
            time.sleep(1.1)  # the publisher caches the followers of an owner for a second
            order_id = client.post("/api/orders/execute", json=ORDER).json()["orderId"]
            until = time.monotonic() + SECONDS_MAX
            while not receiver.received and time.monotonic() < until:
                time.sleep(0.1)
            receiver.handle = answer_with(200)
            while len(receiver.received) < 2 and time.monotonic() < until:
                time.sleep(0.1)
            refused, accepted = receiver.received[:2]
        finally:
            deleted = client.delete(f"/api/webhooks/{webhook['webhookId']}")
        assert deleted.status_code == 204
    assert refused.id == accepted.id
    message = accepted.verified(webhook["secret"])
    assert message["data"] == client.get(f"/api/orders/{order_id}").json()["updates"][-1]
