"""What a browser is served: the dashboard, the documentation, their files, OpenAPI."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from functions.contract import is_public
from functions.runtime import settings

_OWN = files("functions.dashboard")
# Powertools brings Swagger UI along, so there is no copy to keep and no other host to ask. Its own
# package is not named: to find it is to import it, and with it all of OpenAPI's models.
_SWAGGER = files("aws_lambda_powertools.event_handler.openapi") / "swagger_ui"
_DASHBOARD = (
    "index.html dashboard.css icon.svg uplot.min.js uplot.min.css"
    " api.js app.js charts.js detail.js dom.js form.js orders.js picker.js quote.js rows.js"
    " stream.js sync.js words.js"
)
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FILES = {
    **{name: (_OWN, _TYPES[name.rpartition(".")[2]]) for name in _DASHBOARD.split()},
    "docs.html": (_OWN, "text/html; charset=utf-8"),
    "docs.js": (_OWN, "text/javascript; charset=utf-8"),
    "swagger-ui-bundle.min.js": (_SWAGGER, "text/javascript; charset=utf-8"),
    "swagger-ui.min.css": (_SWAGGER, "text/css; charset=utf-8"),
}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}


def page(name: str, if_none_match: str | None = None) -> Response[Any]:
    """One of the files that a browser may have; 304 if it has it; NotFoundError for others."""
    if name not in _FILES:
        raise NotFoundError
    text, etag = _read(name)
    headers = {**_HEADERS, "Content-Security-Policy": _policy(), "ETag": etag}
    if if_none_match == etag:
        return Response(HTTPStatus.NOT_MODIFIED, headers=headers, body="")
    return Response(HTTPStatus.OK, _FILES[name][1], text, headers=headers)


def _policy() -> str:
    """Only our own files and scripts, and no talk but with both our APIs."""
    web_socket = urlsplit(settings.web_socket_url)
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        f" connect-src 'self' {web_socket.scheme}://{web_socket.netloc}"
    )


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
        )
    )
    document["servers"] = [{"url": "./", "description": "where this document came from"}]
    document["components"]["securitySchemes"] = {"apiKey": _API_KEY}
    document["security"] = [{"apiKey": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _describe_refusals(operation, needs_key=not is_public(path))
    for unused in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    return json.dumps(document, separators=(",", ":"))


_API_KEY = {"type": "http", "scheme": "bearer", "description": "an API key: oee_…"}
_UNAUTHORIZED = {
    "description": "Without a key, by the gateway's own words; with a wrong one, as a problem",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"message": {"type": "string", "examples": ["Unauthorized"]}},
            }
        },
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}},
    },
}


def _describe_refusals(operation: dict[str, Any], *, needs_key: bool) -> None:
    """Take out the 422 that Powertools adds to each operation: bad input is a 400 here.

    And put in the 401 of all that need a key.
    """
    answers = operation["responses"]
    if needs_key:
        answers["401"] = _UNAUTHORIZED
    else:
        operation["security"] = []
    if "HTTPValidationError" in json.dumps(answers.get("422", "")):
        del answers["422"]
