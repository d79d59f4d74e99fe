"""Authorizer of both APIs: finds the owner of an API key or a ticket."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import telemetry
from functions.runtime import now_ms
from functions.store import access


@telemetry.with_telemetry
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Authorize an HTTP request (payload format 2.0) or a WebSocket's $connect.

    An HTTP request with a wrong key is admitted without an owner, and the API function refuses
    it with 401, because the gateway itself would answer 403. A $connect is refused here.
    """
    key = _bearer(event)
    owner = access.owner_of_key(key) if key else None
    if "methodArn" not in event:
        return {"isAuthorized": True, "context": {"owner": owner or ""}}
    if not owner and (ticket := _ticket(event)):
        owner = access.redeem_ticket(ticket, now_ms())
    return _policy(event["methodArn"], owner)


def _bearer(event: dict[str, Any]) -> str | None:
    """The credentials of the Authorization header, whose name can be in any case."""
    headers: dict[str, str] = event.get("headers") or {}
    value = next((v for name, v in headers.items() if name.lower() == "authorization"), "")
    scheme, _, credentials = value.partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def _ticket(event: dict[str, Any]) -> str | None:
    return (event.get("queryStringParameters") or {}).get("ticket")


def _policy(arn: str, owner: str | None) -> dict[str, Any]:
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": "Allow" if owner else "Deny",
        "Resource": arn,
    }
    return {
        "principalId": owner or "nobody",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"owner": owner} if owner else {},
    }
