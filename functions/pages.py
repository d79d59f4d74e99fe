"""What a browser is served: the documentation's page, its files, the OpenAPI document."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.models import Server

_OWN = files("functions.dashboard")
# Powertools brings Swagger UI along, so there is no copy to keep and no other host to ask.
_SWAGGER = files("aws_lambda_powertools.event_handler.openapi.swagger_ui")
_FILES = {
    "docs.html": (_OWN, "text/html; charset=utf-8"),
    "docs.js": (_OWN, "text/javascript; charset=utf-8"),
    "swagger-ui-bundle.min.js": (_SWAGGER, "text/javascript; charset=utf-8"),
    "swagger-ui.min.css": (_SWAGGER, "text/css; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self';"
    " img-src 'self' data:; style-src 'self' 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page(name: str, if_none_match: str | None = None) -> Response[Any]:
    """One of the files that a browser may have; 304 if it has it; NotFoundError for others."""
    if name not in _FILES:
        raise NotFoundError
    text, etag = _read(name)
    headers = {**_HEADERS, "ETag": etag}
    if if_none_match == etag:
        return Response(HTTPStatus.NOT_MODIFIED, headers=headers, body="")
    return Response(HTTPStatus.OK, _FILES[name][1], text, headers=headers)


@cache
def _read(name: str) -> tuple[str, str]:
    text = (_FILES[name][0] / name).read_text(encoding="utf-8")
    return text, f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


@cache
def openapi(app: APIGatewayHttpResolver, version: str) -> str:
    """The OpenAPI 3.1 document of what `app` serves, as JSON."""
    document = json.loads(
        app.get_openapi_json_schema(
            title="Order execution engine",
            version=version,
            description="Market orders, routed over Raydium and Meteora, executed exactly once.",
            servers=[Server(url="./", description="where this document came from")],
        )
    )
    for path in document["paths"].values():
        for operation in path.values():
            _describe_refusals(operation)
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    return json.dumps(document, separators=(",", ":"))


def _describe_refusals(operation: dict[str, Any]) -> None:
    """Take out the 422 that Powertools adds to each operation: bad input is a 400 here."""
    answers = operation["responses"]
    if "HTTPValidationError" in json.dumps(answers.get("422", "")):
        del answers["422"]
