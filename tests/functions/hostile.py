"""Requests generated from the served OpenAPI document, good and bad, and checked against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import checks

# Not `positive_data_acceptance`: a document cannot say that an amount must fit its token.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
# So that cases get beyond the checks of the request, and among orders that there are.
SENSIBLE: dict[str, Any] = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1"}

Send = Callable[[schemathesis.Case], schemathesis.Response]


def attack(document: dict[str, Any], send: Send, *, cases: int, seed: int = 5) -> Counter[str]:
    """Send `cases` valid and as many invalid requests to each operation; what was answered."""
    answered: Counter[str] = Counter()
    # The sender knows where, and has a key.
    schema = schemathesis.openapi.from_dict({**document, "servers": [{"url": "/"}], "security": []})
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in schemathesis.GenerationMode:
            strategy = operation.as_strategy(generation_mode=mode)
            with suppress(Unsatisfiable):  # an operation without parameters takes nothing wrong
                _attack(strategy, send, answered, made, cases, seed)
    return answered


def _attack(
    strategy: Any, send: Send, answered: Counter[str], made: list[str], cases: int, seed: int
) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy, sensible=st.booleans())
    def run(case: schemathesis.Case, sensible: bool) -> None:
        if sensible and case.meta and case.meta.generation.mode.is_positive:
            _make_sensible(case, made)
        response = send(case)
        if response.status_code == HTTPStatus.ACCEPTED:
            made.append(response.json()["orderId"])
        answered[f"{case.method} {case.operation.path} {response.status_code}"] += 1
        case.validate_response(response, checks=CHECKS)

    run()


def _make_sensible(case: schemathesis.Case, made: list[str]) -> None:
    if "orderId" in case.path_parameters and made:
        case.path_parameters["orderId"] = made.pop()
    for place in (case.body, case.query):
        if isinstance(place, dict):
            place.update({name: value for name, value in SENSIBLE.items() if name in place})
