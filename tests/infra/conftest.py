"""The synthesized templates, and runs of a command line."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import pytest

from tests.templates import VARIANTS, Template, synthesize


@pytest.fixture(scope="session")
def templates(
    variants: dict[str, Template], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Template]:
    """The templates of both stages and of the local stack, by name."""
    local = synthesize(tmp_path_factory.mktemp("local"), localEndpoint="http://127.0.0.1:4566")
    return {"dev": variants["dev"], "prod": variants["prod"], "local": local}


@pytest.fixture(params=["dev", "prod"])
def template(templates: dict[str, Template], request: pytest.FixtureRequest) -> Template:
    """Each stage's template."""
    return templates[request.param]


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """The templates of the contexts in VARIANTS, by their names."""
    return {
        name: synthesize(tmp_path_factory.mktemp(name), **context)
        for name, context in VARIANTS.items()
    }


@pytest.fixture(params=VARIANTS)
def variant(variants: dict[str, Template], request: pytest.FixtureRequest) -> Template:
    """Each template of VARIANTS."""
    return variants[request.param]


class Ended(NamedTuple):
    """The exit code of a command, 0 for None, and its output."""

    code: int | str
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `uv run NAME ARGUMENTS` in this process."""

    def run(name: str, *arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        code: int | str | None = None
        try:
            import_module(f"infra.cli.{name}").main()
        except SystemExit as ended:
            code = ended.code
        return Ended(code or 0, *capsys.readouterr())

    return run
