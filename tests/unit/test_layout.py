"""Who may import whom."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HANDLERS = {
    path.stem
    for path in (ROOT / "functions").glob("*.py")
    if any(
        isinstance(node, ast.FunctionDef) and node.name == "handler"
        for node in ast.parse(path.read_text()).body
    )
}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file; "functions.store" for a from."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_the_handlers_are_found() -> None:
    assert {"api", "worker", "publisher", "websocket", "sweeper", "dead_letters"} <= HANDLERS


@pytest.mark.parametrize("path", modules("functions/dex"), ids=lambda path: path.stem)
def test_the_exchange_imports_nothing_but_itself_and_pydantic(path: Path) -> None:
    assert packages(path) - sys.stdlib_module_names <= {"functions", "pydantic"}
    assert all(n.startswith("functions.dex") for n in imports(path) if n.startswith("functions."))


@pytest.mark.parametrize("path", modules("functions"), ids=lambda path: path.stem)
def test_no_function_imports_a_handler_the_stack_or_a_test(path: Path) -> None:
    assert not {f"functions.{handler}" for handler in HANDLERS} & imports(path)
    assert not {"infra", "tests", "aws_cdk"} & packages(path)


@pytest.mark.parametrize("path", modules("functions"), ids=lambda path: path.stem)
def test_only_the_store_and_push_speak_to_aws(path: Path) -> None:
    if "store" not in path.parts and path.stem != "push":
        assert "boto3" not in packages(path)


@pytest.mark.parametrize("path", modules("infra"), ids=lambda path: path.stem)
def test_the_infrastructure_imports_only_the_contract_and_the_order_model(path: Path) -> None:
    allowed = ("functions.contract", "functions.orders")
    assert all(n.startswith(allowed) for n in imports(path) if n.startswith("functions"))


@pytest.mark.parametrize("handler", sorted(HANDLERS))
def test_a_function_starts_without_what_only_others_use(handler: str) -> None:
    program = f"import sys, functions.{handler}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    powertools = "aws_lambda_powertools.event_handler"
    assert "boto3" in loaded
    assert f"{powertools}.openapi.models" not in loaded  # not even the API, until it is asked
    assert (powertools in loaded) == (handler == "api")
