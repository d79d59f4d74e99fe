"""The checked figures of `vectors.json`, by model; each names its source."""

import json
from pathlib import Path

import pytest

_FIGURES = json.loads((Path(__file__).parent / "vectors.json").read_text())


def figures(model: str) -> pytest.MarkDecorator:
    """A parametrization of `given` and `expected` over the model's figures."""
    cases = [
        pytest.param(figure["input"], figure["expected"], id=f"{index}: {figure['source'][:60]}")
        for index, figure in enumerate(_FIGURES)
        if figure["model"] == model
    ]
    if not cases:
        raise LookupError(model)
    return pytest.mark.parametrize(("given", "expected"), cases)
