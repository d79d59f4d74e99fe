"""Money is counted in integers, and the same inputs give the same result in every process.

pyproject.toml says which modules these folders may import, and import-linter checks it.
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
    if path.stem != "network"  # it waits by the clock that it is given
)

INTEGER_MATH = {"isqrt", "prod"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_float_is_written_made_or_divided_into_being(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        line = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), line
        assert not (isinstance(node, ast.Name) and node.id == "float"), line
        assert not isinstance(node, ast.Div), line
        if isinstance(node, ast.ImportFrom) and node.module == "math":
            assert {alias.name for alias in node.names} <= INTEGER_MATH, line


STORY = """
from functions.simulation import chain, market
from functions.dex import router
from functions.orders.order import Simulate
from functions.simulation.faults import quote_error
from functions.dex.tokens import TOKENS
from itertools import permutations
for one, other in permutations(TOKENS.values(), 2):
    slot = 4_400_000_000
    pools = {venue: market.snapshot(venue, slot, "a seed") for venue in market.VENUES}
    route = router.find_route(one, other, 10 * 10**one.decimals, 50, pools)
    transaction = chain.build("order", 1, route, slot, drop_ppm=20_000)
    print(route, transaction.to_json(), transaction.signature)
    print(chain.outcome(transaction, "a seed"))
    print(quote_error("order", 1, "raydium", Simulate(fault="slippage"), 500_000))
"""


def test_the_same_inputs_give_the_same_result_in_any_process() -> None:
    printed = [
        subprocess.run(
            [sys.executable, "-c", STORY],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    ]
    assert len(printed[0]) > 10_000
    assert printed[0] == printed[1] == printed[2]
