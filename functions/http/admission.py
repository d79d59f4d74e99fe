"""Which requests are answered: who may call, and with which method, body and parameters."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from decimal import Decimal
from http import HTTPStatus
from typing import Any, cast

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response

from functions.contract import is_public
from functions.http.problems import Problem, bad_field

BODY_BYTES_MAX = 10 * 1024


def owner_of(event: dict[str, Any]) -> str | None:
    """The owner whom the authorizer found; None for a request with a wrong key.

    The authorizer admits such a request without an owner, and this API refuses it with 401: the
    gateway itself would answer 403.
    """
    authorizer = event["requestContext"].get("authorizer") or {}
    return (authorizer.get("lambda") or {}).get("owner") or None


def require_owner(event: dict[str, Any]) -> str:
    """The owner of the request; raises a Problem (401) if it has none."""
    owner = owner_of(event)
    if owner is None:
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "UNAUTHORIZED",
            "An API key is needed, and it must be a valid one: Authorization: Bearer oee_…",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return owner


def admit(app: APIGatewayHttpResolver, event: dict[str, Any]) -> dict[str, Any]:
    """The event as the resolver takes it: with its body as text, declared to be JSON.

    Raises a Problem: no key, a method that the path does not have, a body that is too long or is
    not text.
    """
    path, method = event["rawPath"], event["requestContext"]["http"]["method"]
    if not is_public(path):
        require_owner(event)
    allowed = _methods(app, path)
    if allowed and method not in allowed:
        raise Problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            f"This path takes {', '.join(allowed)}.",
            headers={"Allow": ", ".join(allowed)},
        )
    # A body is JSON whatever the client calls it: curl -d calls it a form.
    headers = {**event.get("headers", {}), "content-type": "application/json"}
    return {**event, "headers": headers, "body": _body_text(event), "isBase64Encoded": False}


def _methods(app: APIGatewayHttpResolver, path: str) -> list[str]:
    """The methods of a path; a route of exactly this path hides those with a pattern."""

    def of(routes: Iterable[Any]) -> list[str]:
        return sorted(route.method for route in routes if route.rule.match(path))

    return of(app._static_routes) or of(app._dynamic_routes)


def _body_text(event: dict[str, Any]) -> str | None:
    body = event.get("body")
    if not body:
        return None
    raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    if len(raw) > BODY_BYTES_MAX:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "BODY_TOO_LARGE",
            f"A body may have at most {BODY_BYTES_MAX} bytes.",
        )
    try:
        return cast("str", raw.decode())
    except UnicodeDecodeError:
        raise bad_field("INVALID_REQUEST", "body", "must be JSON in UTF-8") from None


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object whose numbers never were floats; raises JSONDecodeError for other text."""
    try:
        parsed = json.loads(text, parse_float=Decimal, parse_constant=Decimal)
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(str(error), "", 0) from None
    if not isinstance(parsed, dict):
        raise json.JSONDecodeError("not an object", "", 0)
    return parsed


def refuse_unknown_parameters(app: APIGatewayHttpResolver, proceed: Any) -> Response[Any]:
    """A middleware: each query parameter must be one of the route's."""
    known = {field.alias for field in app.context["_route"].dependant.query_params}
    for name in app.current_event.query_string_parameters:
        if name not in known:
            raise bad_field("INVALID_REQUEST", name, "is not a parameter of this request")
    return cast("Response[Any]", proceed(app))
