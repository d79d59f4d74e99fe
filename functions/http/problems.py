"""The errors that an HTTP client sees: every exception becomes a problem (RFC 9457) here."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from functions.dex.errors import NoRoutesFound
from functions.http.models import PATTERN_RULES
from functions.messages import FieldError, ProblemCode, ProblemDetails
from functions.runtime import logger
from functions.store import orders, webhooks

CONTENT_TYPE = "application/problem+json"
FIELD_CHARACTERS_MAX = 100


class Problem(Exception):
    """A refusal: status, code, and either one sentence or the fields at fault."""

    def __init__(
        self,
        status: HTTPStatus,
        code: ProblemCode,
        detail: str = "",
        *errors: FieldError,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = headers or {}
        self.details = ProblemDetails(
            type="about:blank",
            title=status.phrase,
            status=status,
            detail=detail or "; ".join(f"{error.field} {error.rule}" for error in errors),
            code=code,
            errors=errors,
        )


def bad_field(field: str, rule: str, code: ProblemCode = ProblemCode.INVALID_REQUEST) -> Problem:
    """A Problem (400) for one field and the rule that it breaks."""
    return Problem(HTTPStatus.BAD_REQUEST, code, "", FieldError(field=_shown(field), rule=rule))


def _shown(field: str) -> str:
    """A client's name for a field, cut, and without lone surrogates, which UTF-8 does not allow."""
    return field[:FIELD_CHARACTERS_MAX].encode(errors="replace").decode()


def answer(error: Exception) -> Response[Any]:
    """The response to any exception; an unexpected one is logged and becomes a 500."""
    problem = _problem(error)
    details = problem.details
    return Response(details.status, CONTENT_TYPE, details.to_json(), headers={**problem.headers})


def proxy_answer(error: Exception) -> dict[str, Any]:
    """The response of `answer` as a proxy answer (payload format 2.0)."""
    response = answer(error)
    return {
        "statusCode": response.status_code,
        "headers": {"Content-Type": CONTENT_TYPE, **response.headers},
        "body": response.body,
    }


def _problem(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case RequestValidationError():
            fields = dict.fromkeys(_field_error(each) for each in error.errors())
            return Problem(HTTPStatus.BAD_REQUEST, ProblemCode.INVALID_REQUEST, "", *fields)
        case NoRoutesFound():
            return Problem(HTTPStatus.BAD_REQUEST, ProblemCode(error.code), str(error))
        case orders.OrderNotFound():
            detail = f"There is no order {error.args[0]}."
            return Problem(HTTPStatus.NOT_FOUND, ProblemCode.ORDER_NOT_FOUND, detail)
        case webhooks.WebhookNotFound():
            detail = f"There is no webhook {error.args[0]}."
            return Problem(HTTPStatus.NOT_FOUND, ProblemCode.WEBHOOK_NOT_FOUND, detail)
        case orders.InvalidCursor():
            rule = "must be a nextCursor of this list"
            return bad_field("cursor", rule, ProblemCode.INVALID_CURSOR)
        case NotFoundError():
            detail = "There is nothing at this path."
            return Problem(HTTPStatus.NOT_FOUND, ProblemCode.NOT_FOUND, detail)
    logger.exception("unexpected error", exc_info=error)
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        ProblemCode.INTERNAL,
        "Something failed on our side; sending the request again is safe.",
    )


# By pydantic's type of error: a rule that completes the sentence "<field> …".
_RULES = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "json_invalid": "must be a JSON object",
    "string_type": "must be a string",
    "string_unicode": "must be Unicode text",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "value_error": "{error}",
}


def _field_error(error: dict[str, Any]) -> FieldError:
    # ("body", "amount", …) names the field amount; ("body",) and ("body", 0) the body itself.
    place, *path = (str(part) for part in error["loc"])
    named = path and error["type"] != "json_invalid"
    field = _shown(".".join(path)) if named else place
    if place == "header":
        field = field.title()
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch":
        return FieldError(field=field, rule=PATTERN_RULES[context["pattern"]])
    return FieldError(field=field, rule=_RULES.get(error["type"], "is not valid").format(**context))
