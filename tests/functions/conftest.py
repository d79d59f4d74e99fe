"""The handlers over moto: every test has tables, a queue and connections of its own."""

from __future__ import annotations

import os

# The settings are read once, when functions.runtime is imported.
os.environ.update(
    {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": "https://ws.example.com/live",
        "ORDERS_TABLE": "orders",
        "CONNECTIONS_TABLE": "connections",
        "ACCESS_TABLE": "access",
        "QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
        "WEB_SOCKET_URL": "wss://ws.example.com/live",
        "LATENCY_SCALE": "0",
        "RETRY_BASE_MS": "0",
        "QUOTE_ERROR_PPM": "0",
        "DROP_PPM": "0",
        "SIMULATE_ALLOWED": "true",
        "POWERTOOLS_SERVICE_NAME": "order-execution-engine",
        "POWERTOOLS_METRICS_NAMESPACE": "OrderExecutionEngine",
    }
)

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from moto import mock_aws

from functions import publisher, push, websocket
from functions.http import submission
from functions.store import clients
from tests.functions.world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for cached in (clients.dynamodb, clients.sqs, push._client):
        cached.cache_clear()
    submission.rooms.clear()
    publisher._lookups.clear()
    with mock_aws():
        world = World()
        monkeypatch.setattr(push, "_client", lambda: world.connections)
        # What waits for look-ups to lapse waits for nothing else.
        lapse = SimpleNamespace(sleep=lambda _seconds: publisher._lookups.clear())
        monkeypatch.setattr(websocket, "time", lapse)
        yield world
    for cached in (clients.dynamodb, clients.sqs):
        cached.cache_clear()
