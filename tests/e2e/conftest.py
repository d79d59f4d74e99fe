"""The deployed stack: started once a session by the code of `uv run local`, or given by URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from infra.local import running_stack
from tests.e2e.client import Client

# Venues answer ten times as fast as they do by default, and only asked-for faults happen.
CONTEXT = {"latencyScale": "0.1", "quoteErrorPpm": "0", "dropPpm": "0", "retryBaseMs": "100"}


@pytest.fixture(scope="session")
def urls(pytestconfig: pytest.Config) -> Iterator[tuple[str, str]]:
    """HTTP and WebSocket URL of the stack under test."""
    http_url, web_socket_url = pytestconfig.getoption("url"), pytestconfig.getoption("ws_url")
    if http_url and web_socket_url:
        yield http_url, web_socket_url
        return
    with running_stack(context=CONTEXT) as stack:
        yield stack.http_url, stack.web_socket_url


@pytest.fixture
async def client(urls: tuple[str, str]) -> AsyncIterator[Client]:
    client = Client(*urls)
    yield client
    await client.close()
