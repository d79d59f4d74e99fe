"""API key or ticket -> owner, for both APIs."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import telemetry
from functions.runtime import now_ms
from functions.store import access


@telemetry.observed
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Who asks: of an HTTP request (payload 2.0) or of a WebSocket's $connect.

    An HTTP request with a wrong key is let through without an owner, and refused by the API
    function: the gateway itself would answer 403 where 401 is meant. A connection is refused
    here.
    """
    key = _bearer(event)
    owner = access.owner_of_key(key) if key else None
    if "methodArn" not in event:
        return {"isAuthorized": True, "context": {"owner": owner or ""}}
    if not owner and (ticket := _ticket(event)):
        owner = access.redeem_ticket(ticket, now_ms())
    return _policy(event["methodArn"], owner)


def _bearer(event: dict[str, Any]) -> str | None:
    """The credentials of the Authorization header, in whatever case its name came."""
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
