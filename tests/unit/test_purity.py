"""dex/ and simulation/ compute with integers, and repeat their results in every process.

pyproject.toml lists the modules that these folders may import, and import-linter checks it.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path
    for folder in ("dex", "simulation")
    for path in (ROOT / "functions" / folder).glob("*.py")
    if path.stem != "network"  # its waits are float seconds
)

INTEGER_MATH = {"isqrt", "prod"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_float_is_written_converted_or_divided(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        line = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), line
        assert not (isinstance(node, ast.Name) and node.id == "float"), line
        assert not isinstance(node, ast.Div), line
        if isinstance(node, ast.ImportFrom) and node.module == "math":
            assert {alias.name for alias in node.names} <= INTEGER_MATH, line


PROGRAM = """
from functions.simulation import chain, market
from functions.dex import router
from functions.orders.order import Simulate
from functions.simulation.faults import quote_error
from functions.dex.tokens import TOKENS
from itertools import permutations
for one, other in permutations(TOKENS.values(), 2):
    slot = 4_400_000_000
    pools = market.snapshots(slot, "a seed")
    route = router.find_route(one, other, 10 * 10**one.decimals, 50, pools)
    transaction = chain.build("order", 1, route, slot, drop_ppm=20_000)
    print(route, transaction.to_json(), transaction.signature)
    print(chain.outcome(transaction, "a seed"))
    print(quote_error("order", 1, "raydium", Simulate(fault="slippage"), 500_000))
"""


def test_the_same_inputs_give_the_same_result_in_any_process() -> None:
    printed = []
    for seed in ("0", "1", "4242"):
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        printed.append(ran.stdout)
    assert len(printed[0]) > 10_000
    assert printed[0] == printed[1] == printed[2]
