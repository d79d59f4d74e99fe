"""Options of the whole suite."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from botocore import session

# Each test over moto starts a botocore session. Without this cache every session would read AWS's
# models again, which is half of the time of such a test.
setattr(session, "create_loader", cache(session.create_loader))  # noqa: B010 - mypy: no assigning

# Left out by `-m "not slow"`: tests that deploy a stack, start Lambda's runtime, generate hundreds
# of cases, break the product on purpose, or measure.
SLOW = (
    *("e2e", "faults", "load", "mutants", "runtime", "simulation"),
    "functions/test_hostile.py",
    "infra/test_cfn_lint.py",
    "unit/test_benchmark.py",
)
HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests, and tests that must share a process: those of a file, or of one stack."""
    for item in items:
        if any(item.path.is_relative_to(HERE / name) for name in SLOW):
            item.add_marker("slow")
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    """What of the suite one process must run: all tests of the shared stack, or a file."""
    fixtures = set(getattr(item, "fixturenames", ()))
    # A dashboard without a made-up `engine` is the stack's.
    if "target" in fixtures or ("dashboard" in fixtures and "engine" not in fixtures):
        return "the deployed stack"
    return str(item.path.relative_to(HERE))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes for the whole suite; none besides pytest's own for chosen files or tests."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return 2 if whole and not config.option.collectonly else 0


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
