"""Options of the whole suite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from botocore import session
from moto import mock_aws
from moto.core.models import MockAWS
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.environment import AWS, SETTINGS

# Each test over moto starts a botocore session. Without this cache every session would read AWS's
# models again, which is half of the time of such a test.
setattr(session, "create_loader", cache(session.create_loader))  # noqa: B010 - mypy: no assigning

# functions.runtime reads the settings once, when the first test module imports it.
os.environ.update(
    AWS
    | SETTINGS
    | {
        "WEBHOOK_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/webhooks",
        "WEBHOOK_LOOPBACK_ALLOWED": "true",
        "LATENCY_SCALE": "0",
        "RETRY_BASE_MS": "0",
        "QUOTE_ERROR_PPM": "0",
        "DROP_PPM": "0",
        "POWERTOOLS_SERVICE_NAME": "order-execution-engine",
    }
)

# `-m "not slow"` leaves out these tests, which deploy a stack, start Lambda's runtime, generate
# hundreds of cases, break the product on purpose, or measure. Other slow tests have the marker.
SLOW = (
    *("e2e", "faults", "load", "mutants", "runtime", "simulation"),
    "client/test_cuts.py",
    "functions/test_hostile.py",
    "functions/test_naughty.py",
    "functions/test_websocket_fuzz.py",
    "infra/stack/test_cfn_lint.py",
    "infra/stack/test_limits.py",
    "infra/stack/test_nag.py",
    "unit/test_benchmark.py",
)
HERE = Path(__file__).parent
# Of the modules of tests/e2e, these start no stack, and WITH_OWN_STACKS start their own, one after
# another. All others share one stack.
WITHOUT_STACK = (
    "test_client.py",
    "test_dashboard_chart.py",
    "test_dashboard_form.py",
    "test_dashboard_list.py",
    "test_dashboard_looks.py",
    "test_dashboard_news.py",
)
WITH_OWN_STACKS = ("test_local.py", "test_rehearsals.py", "test_restart.py")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m "not slow"`, do not import the files of slow tests."""
    return True if config.option.markexpr == "not slow" and _is_slow(collection_path) else None


def _is_slow(path: Path) -> bool:
    return any(path.is_relative_to(HERE / name) for name in SLOW)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and start the longest first, so that the processes end together."""
    for item in items:
        if _is_slow(item.path):
            item.add_marker("slow")
    items.sort(key=lambda item: _turn(item.nodeid))


def _turn(nodeid: str) -> int:
    longest = ["own stacks", "one stack", "tests/infra/stack", scope := _scope(nodeid)]
    return longest.index(scope)


def _scope(nodeid: str) -> str:
    """The tests of one scope run in one process.

    A stack's processes are too many for two cores, so at most two stacks run at the same time. The
    tests of the templates share a process, which starts Node once and synthesizes each template
    once.
    """
    file = nodeid.partition("::")[0]
    if file.startswith("tests/infra/stack/") or file == "tests/infra/cli/test_preflight.py":
        return "tests/infra/stack"
    if not file.startswith("tests/e2e/") or file.endswith(WITHOUT_STACK):
        return file
    return "own stacks" if file.endswith(WITH_OWN_STACKS) else "one stack"


class Scopes(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each scope to one process; the marks of pytest-xdist do not work with pytest 9."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scopes:
    """The scheduler by which pytest-xdist distributes the tests."""
    return Scopes(config, log)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The number of processes for the whole suite; 0 (only pytest's own) for chosen tests.

    One for each core, and one more because many tests mostly wait.
    """
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not whole or config.option.collectonly:
        return 0
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("deployed stack")
    group.addoption("--url", help="run tests/e2e against this HTTP URL, not a stack of their own")
    group.addoption("--ws-url", help="the WebSocket URL that goes with --url")
    group.addoption(
        "--key", default=os.environ.get("OEE_API_KEY", ""), help="an API key of it (OEE_API_KEY)"
    )
    group.addoption(
        "--other-key",
        default=os.environ.get("OEE_OTHER_API_KEY", ""),
        help="an API key of another owner (OEE_OTHER_API_KEY)",
    )


@pytest.fixture(scope="module")
def aws() -> Iterator[MockAWS]:
    """Moto, started once a module, because a start takes longer than a reset."""
    with mock_aws(config={"core": {"reset_boto3_session": False}}) as started:
        yield started
