"""Fixtures of the stack under test: a local one, started once a session, or the one at --url.

The local stack serves TLS only and enforces IAM, so a call without its grant fails. With --url,
the tests marked `emulator` are deselected: they use the processes, tables, logs and deployments
of a local stack.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from infra.cli.deployed import Deployed
from infra.cli.keys import create
from infra.cli.local import EMULATOR_LOG, running_stack
from tests.browser import launched
from tests.e2e.dashboard import NO_STACK, Dashboard, FakeEngine, tab
from tests.stack_client import Client

# Venues answer ten times as fast as by default, only requested faults happen, the authorizer caches
# a key briefly, and the sweeper re-queues an idle order soon.
CONTEXT = {
    "latencyScale": "0.1",
    "quoteErrorPpm": "0",
    "dropPpm": "0",
    "retryBaseMs": "100",
    "keyCacheSeconds": "2",
    "sweepIdleSeconds": "5",
}
ENFORCED = {"AUTH": "true", "USE_SSL": "1"}


@dataclass(frozen=True)
class Target:
    """The stack under test; a stack given by URL has no `deployed` and no `emulator_log`."""

    http_url: str
    web_socket_url: str
    api_key: str
    ca_bundle: Path | None = None
    deployed: Deployed | None = None
    emulator_log: Path | None = None

    def client(self, api_key: str | None = None) -> Client:
        """A client with the stack's own key, or with another one."""
        key = self.api_key if api_key is None else api_key
        return Client(self.http_url, self.web_socket_url, key, self.ca_bundle)


# The settings that a stack given by URL must have.
NEEDED = "-c simulateAllowed=true -c quoteErrorPpm=0 -c dropPpm=0"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that need the emulator if the stack is given by URL."""
    url, web_socket_url = config.getoption("url"), config.getoption("ws_url")
    if not url and not web_socket_url:
        return
    if not (url and web_socket_url and config.getoption("key")):
        raise pytest.UsageError("--url, --ws-url and --key go together")
    local = [item for item in items if item.get_closest_marker("emulator")]
    config.hook.pytest_deselected(items=local)
    items[:] = [item for item in items if item not in local]


@pytest.fixture(scope="session")
def target(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """The stack under test."""
    http_url, web_socket_url = pytestconfig.getoption("url"), pytestconfig.getoption("ws_url")
    if http_url:
        if not httpx.get(f"{http_url}/api/health").json()["simulateAllowed"]:
            pytest.exit(f"the stack at {http_url} must be deployed with {NEEDED}", returncode=4)
        yield Target(http_url, web_socket_url, pytestconfig.getoption("key"))
        return
    work = tmp_path_factory.mktemp("stack")
    with running_stack(context=CONTEXT, environment=ENFORCED, work=work) as stack:
        yield Target(
            stack.http_url,
            stack.web_socket_url,
            stack.api_key,
            stack.ca_bundle,
            stack,
            work / EMULATOR_LOG,
        )


@pytest.fixture
async def client(target: Target) -> AsyncIterator[Client]:
    client = target.client()
    yield client
    await client.close()


@pytest.fixture(scope="session")
def other_key(target: Target, pytestconfig: pytest.Config) -> str:
    """The key of another owner."""
    if target.deployed:
        return create(target.deployed, "other")
    if key := pytestconfig.getoption("other_key"):
        return str(key)
    pytest.skip("--other-key is not given")


@pytest.fixture
async def other(target: Target, other_key: str) -> AsyncIterator[Client]:
    """A client of another owner."""
    client = target.client(other_key)
    yield client
    await client.close()


# --- the dashboard ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def dashboard(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Dashboard]:
    """A tab with a fresh profile: on the stack's dashboard, or on a page that `engine` serves."""
    no_stack = "engine" in request.fixturenames
    with tab(browser, NO_STACK if no_stack else request.getfixturevalue("target")) as dashboard:
        yield dashboard


@pytest.fixture
def engine(dashboard: Dashboard) -> FakeEngine:
    """A fake engine that answers the dashboard, so that the test needs no stack."""
    return FakeEngine(dashboard)


@pytest.fixture
def api(target: Target) -> Iterator[Callable[[str], httpx.Client]]:
    """Makes HTTP clients, by API key, for requests outside the browser."""
    clients: list[httpx.Client] = []
    tls = ssl.create_default_context(cafile=target.ca_bundle) if target.ca_bundle else True

    def client(key: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"}
        made = httpx.Client(base_url=target.http_url, headers=headers, verify=tls, timeout=60)
        clients.append(made)
        return made

    yield client
    for each in clients:
        each.close()
