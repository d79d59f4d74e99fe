"""Checks a request before it reaches its route: its owner, method, body and parameters."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

from functions.contract import API_KEY, is_public
from functions.http.problems import Problem, bad_field
from functions.messages import ProblemCode

BODY_BYTES_MAX = 10 * 1024
INTEGER_CHARACTERS_MAX = 1000
EXPONENT_DIGITS_MAX = 17  # Decimal's limit has 18, and digits before the exponent count as well


def owner_of(event: dict[str, Any]) -> str | None:
    """The owner that the authorizer found; None for a request with a wrong key.

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
            ProblemCode.UNAUTHORIZED,
            "This request needs a valid API key in its header:"
            f" Authorization: Bearer {API_KEY.form}",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return owner


def admit(app: APIGatewayHttpResolver, event: dict[str, Any]) -> dict[str, Any]:
    """The event as the resolver needs it: HEAD as GET, and the body as text, declared to be JSON.

    Raises a Problem: no valid key, a method that the path does not have, a parameter that the route
    does not have or that is given twice, a body that is too long or is not text.
    """
    path, method = event["rawPath"], event["requestContext"]["http"]["method"]
    if not is_public(path):
        require_owner(event)
    if routes := _routes(app, path):
        _check_method(method, sorted(routes))
        _check_parameters(routes[method], event["rawQueryString"])
    http = {**event["requestContext"]["http"], "method": "GET" if method == "HEAD" else method}
    return {
        **event,
        "requestContext": {**event["requestContext"], "http": http},
        # A body is parsed as JSON whatever its Content-Type says: curl -d declares a form.
        "headers": {**event.get("headers", {}), "content-type": "application/json"},
        "body": _body_text(event),
        "isBase64Encoded": False,
    }


def _routes(app: APIGatewayHttpResolver, path: str) -> dict[str, Any]:
    """The routes of a path by method; a route of exactly this path hides those with a pattern."""

    def of(routes: Iterable[Any]) -> dict[str, Any]:
        return {route.method: route for route in routes if route.rule.match(path)}

    found = of(app._static_routes) or of(app._dynamic_routes)
    return found | {"HEAD": found["GET"]} if "GET" in found else found


def _check_method(method: str, allowed: Sequence[str]) -> None:
    if method not in allowed:
        raise Problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            ProblemCode.METHOD_NOT_ALLOWED,
            f"This path allows only {', '.join(allowed)}.",
            headers={"Allow": ", ".join(allowed)},
        )


def _check_parameters(route: Any, query: str) -> None:
    """Pages and their files accept any parameter, because links and caches add their own."""
    if not route.include_in_schema:
        return
    known = {field.alias for field in route.dependant.query_params}
    # The raw query is parsed, because in the event's parameters "a=1&a=2" and "a=1,2" are the same.
    for name, times in Counter(
        name for name, _ in parse_qsl(query, keep_blank_values=True)
    ).items():
        if name not in known:
            raise bad_field(name, "is not a parameter of this request")
        if times > 1:
            raise bad_field(name, "is given twice")


def _body_text(event: dict[str, Any]) -> str | None:
    body = event.get("body")
    if not body:
        return None
    raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    if len(raw) > BODY_BYTES_MAX:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            ProblemCode.BODY_TOO_LARGE,
            f"A body may have at most {BODY_BYTES_MAX} bytes.",
        )
    try:
        return cast("str", raw.decode())
    except UnicodeDecodeError:
        raise bad_field("body", "must be JSON in UTF-8") from None


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object, its numbers as int or Decimal; raises JSONDecodeError for other text.

    Raises a Problem for a key that is given twice, because either value could be meant.
    """
    try:
        parsed = json.loads(
            text,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=Decimal,
            object_pairs_hook=_members,
        )
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(str(error), "", 0) from None
    if not isinstance(parsed, dict):
        raise json.JSONDecodeError("not an object", "", 0)
    return parsed


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise bad_field(name, "is given twice")
        members[name] = value
    return members


def _integer(text: str) -> int | Decimal:
    # int() takes time that grows with the square of the length, and refuses more than 4,300 digits.
    return int(text) if len(text) <= INTEGER_CHARACTERS_MAX else Decimal(text)


def _decimal(text: str) -> Decimal:
    """The number; an exponent too long for Decimal becomes one that is also beyond every limit."""
    digits, _, exponent = text.lower().partition("e")
    if len(exponent.lstrip("+-0")) > EXPONENT_DIGITS_MAX:
        exponent = f"{'-' if exponent.startswith('-') else ''}{'9' * EXPONENT_DIGITS_MAX}"
    return Decimal(f"{digits}e{exponent or 0}")
