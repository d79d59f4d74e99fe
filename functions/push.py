"""Sends messages to WebSocket connections through the stage's @connections endpoint."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from functions.aws import make_client

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient


def push(connection_id: str, text: str) -> bool:
    """Send one text frame; False if the connection is gone.

    Other failures raise botocore's BotoCoreError or ClientError.
    """
    try:
        client().post_to_connection(ConnectionId=connection_id, Data=text.encode())
    except client().exceptions.GoneException:
        return False
    return True


def push_json(connection_id: str, message: dict[str, Any]) -> bool:
    """Send `message` as compact JSON; see `push`."""
    return push(connection_id, json.dumps(message, separators=(",", ":")))


def close(connection_id: str) -> None:
    """End the connection; no error if it is gone. Raises as `push` does."""
    try:
        client().delete_connection(ConnectionId=connection_id)
    except client().exceptions.GoneException:
        pass


@cache
def client() -> ApiGatewayManagementApiClient:
    # The endpoint is the stage's callback URL, from AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI.
    made: ApiGatewayManagementApiClient = make_client("apigatewaymanagementapi", attempts=3)
    return made
