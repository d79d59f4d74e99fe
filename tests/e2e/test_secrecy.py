"""No log of the functions, the gateway or the emulator contains a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Target
from tests.stack_client import Client

pytestmark = pytest.mark.emulator

SECRET = re.compile(r"(?:oee|oet)_[\w-]{43}|Bearer +\S+", re.ASCII)


def logged(target: Target) -> Iterator[tuple[str, str]]:
    """Each log's name and text."""
    assert target.deployed
    client = target.deployed.client("logs")
    for page in client.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            name = group["logGroupName"]
            events = client.get_paginator("filter_log_events").paginate(logGroupName=name)
            yield name, "\n".join(e["message"] for found in events for e in found["events"])
    assert target.emulator_log
    yield "emulator", target.emulator_log.read_text(errors="replace")


async def test_no_log_contains_a_key_or_a_ticket(
    target: Target, client: Client, other_key: str
) -> None:
    ticket = await client.ticket()
    async with client.opened(ticket):
        order = await client.accepted()
    await client.follow(order["orderId"])
    texts = dict(logged(target))
    assert any(order["orderId"] in text for text in texts.values())  # the logs of this run
    for name, text in texts.items():
        for secret in (target.api_key, other_key, ticket):
            assert secret not in text, name
        assert not SECRET.findall(text), name
