"""The OpenAPI document."""

from __future__ import annotations

import json
from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse

from functions.contract import API_KEY, is_public
from functions.http.conditions import listed
from functions.http.problems import CONTENT_TYPE
from functions.messages import ProblemDetails
from functions.orders.order import Model
from functions.simulation.network import VENUE_NAMES

_API_KEY = {"type": "http", "scheme": "bearer", "description": f"an API key: {API_KEY.form}"}
_EXAMPLES = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1.5"}
_UNAUTHORIZED = {
    "description": "Without a key, the gateway's own answer; with a wrong key, a problem",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"message": {"type": "string", "examples": ["Unauthorized"]}},
            }
        },
        CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}},
    },
}


def documented(success: dict[int, type[Model]], *refusals: int) -> dict[int, OpenAPIResponse]:
    """The documented answers of a route: its models by status, and the statuses of its problems."""
    answers: dict[int, Any] = {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"model": model}},
        }
        for status, model in success.items()
    }
    for status in refusals:
        answers[status] = {
            "description": HTTPStatus(status).phrase,
            "content": {CONTENT_TYPE: {"model": ProblemDetails}},
        }
    return answers


def documented_text(content_type: str, *refusals: int) -> dict[int, OpenAPIResponse]:
    """The documented answers of a route that answers text of this type."""
    answers: dict[int, Any] = documented({}, *refusals)
    schema = {"schema": {"type": "string"}}
    answers[200] = {"description": HTTPStatus.OK.phrase, "content": {content_type: schema}}
    return answers


@cache
def document(app: APIGatewayHttpResolver, version: str) -> str:
    """The OpenAPI 3.1 document of the routes of `app`, as JSON."""
    described = json.loads(
        app.get_openapi_json_schema(
            title="Order execution engine",
            version=version,
            description=f"Orders over {listed(VENUE_NAMES)}, executed exactly once.",
        )
    )
    described["servers"] = [{"url": "./", "description": "the server of this document"}]
    described["components"]["securitySchemes"] = {"apiKey": _API_KEY}
    described["security"] = [{"apiKey": []}]
    for path, operations in described["paths"].items():
        for operation in operations.values():
            _describe_refusals(operation, needs_key=not is_public(path))
    _add_examples(described)
    for unused in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        described["components"]["schemas"].pop(unused, None)
    return json.dumps(described, separators=(",", ":"))


def _add_examples(described: dict[str, Any]) -> None:
    """Add examples to required parameters and to bodies, so that a request succeeds unchanged."""
    schemas = described["components"]["schemas"]
    for operations in described["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in _EXAMPLES and parameter.get("required"):
                    parameter["example"] = _EXAMPLES[parameter["name"]]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                name = content["schema"].get("$ref", "").rpartition("/")[2]
                examples = schemas.get(name, {}).get("examples", [])
                if examples:
                    content["examples"] = {
                        example.get("type", "example"): {"value": example} for example in examples
                    }


def _describe_refusals(operation: dict[str, Any], *, needs_key: bool) -> None:
    """Add the 401 of operations that need a key, and remove the 422 that Powertools adds.

    This API answers invalid input with a 400.
    """
    answers = operation["responses"]
    if needs_key:
        answers["401"] = _UNAUTHORIZED
    else:
        operation["security"] = []
    if "HTTPValidationError" in json.dumps(answers.get("422", "")):
        del answers["422"]
