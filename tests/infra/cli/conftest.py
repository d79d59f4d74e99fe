"""Runs a command line in this process."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import pytest


class Ended(NamedTuple):
    """The exit code of a command, 0 for None, and its output."""

    code: int | str
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `uv run NAME ARGUMENTS`."""

    def run(name: str, *arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        code: int | str | None = None
        try:
            import_module(f"infra.cli.{name}").main()
        except SystemExit as ended:
            code = ended.code
        return Ended(code or 0, *capsys.readouterr())

    return run
