"""The checked figures of `vectors.json`, by model, and of `vectors-prices.json`, by kind."""

import json
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parent
_FIGURES = json.loads((_FOLDER / "vectors.json").read_text())
_PRICES = json.loads((_FOLDER / "vectors-prices.json").read_text())["figures"]


def figures(model: str) -> pytest.MarkDecorator:
    """A parametrization of `given` and `expected` over the model's figures, named by source."""
    cases = [
        pytest.param(figure["input"], figure["expected"], id=f"{index}: {figure['source'][:60]}")
        for index, figure in enumerate(_FIGURES)
        if figure["model"] == model
    ]
    if not cases:
        raise LookupError(model)
    return pytest.mark.parametrize(("given", "expected"), cases)


def price_figures(*kinds: str) -> pytest.MarkDecorator:
    """A parametrization of `figure` over the prices of these kinds."""
    cases = [figure for figure in _PRICES if figure["kind"] in kinds]
    return pytest.mark.parametrize("figure", cases, ids=str)
