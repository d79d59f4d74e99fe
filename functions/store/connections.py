"""The connections table: open WebSocket connections, and which of them follow every order.

Webhooks are in the same table; see `functions.store.webhooks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functions.runtime import settings
from functions.store import clients

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

MAX_CONNECTIONS = 500
LOOKUP_SECONDS = 1
TTL_SECONDS = 3 * 3600  # API Gateway ends a WebSocket connection after two hours


class ConnectionGone(Exception):
    """The connection has ended."""


def connect(owner: str, connection_id: str, now_ms: int) -> None:
    """Store a connection of the owner until it disconnects or its time to live ends."""
    with clients.conditional_write():
        clients.dynamodb().put_item(
            TableName=settings.connections_table,
            Item={
                **_key(owner, connection_id),
                "expiresAt": {"N": str(now_ms // 1000 + TTL_SECONDS)},
            },
            # A late repeat of this put must not undo a later `follow_all`.
            ConditionExpression="attribute_not_exists(connectionId)",
        )


def disconnect(owner: str, connection_id: str) -> None:
    """Delete a connection; it stays a follower of single orders until a push finds it gone."""
    clients.dynamodb().delete_item(
        TableName=settings.connections_table, Key=_key(owner, connection_id)
    )


def open_connections(owner: str, now_ms: int) -> list[str]:
    """The ids of the owner's connections whose time to live has not ended.

    A closed connection can be among them, because API Gateway does not guarantee a $disconnect. An
    expired one is not, although DynamoDB can take days to delete it.
    """
    items = _matching(owner, "expiresAt > :now", {":now": {"N": str(now_ms // 1000)}})
    return [item["connectionId"]["S"] for item in items]


def follow_all(owner: str, connection_id: str) -> None:
    """Make the connection follow every order of the owner; raises ConnectionGone.

    The publisher reuses a look-up of these followers for `LOOKUP_SECONDS`, so it may miss a new
    follower for as long.
    """
    _set_follows_all(owner, connection_id, follows=True)


def unfollow_all(owner: str, connection_id: str) -> None:
    """Undo `follow_all`; single orders stay followed. Raises ConnectionGone."""
    _set_follows_all(owner, connection_id, follows=False)


def followers_of_all(owner: str) -> dict[str, frozenset[str]]:
    """The followers of every order of the owner: ids of connections, and keys of webhooks.

    Each has the statuses that it receives; an empty set means all.
    """
    items = _matching(owner, "followsAll = :yes", {":yes": {"BOOL": True}})
    return {
        item["connectionId"]["S"]: frozenset(item.get("statuses", {}).get("SS", ()))
        for item in items
    }


def _set_follows_all(owner: str, connection_id: str, *, follows: bool) -> None:
    with clients.conditional_write() as write:
        clients.dynamodb().update_item(
            TableName=settings.connections_table,
            Key=_key(owner, connection_id),
            UpdateExpression="SET followsAll = :follows",
            # A message that arrives after its connection's end must not create the item again.
            ConditionExpression="attribute_exists(expiresAt)",
            ExpressionAttributeValues={":follows": {"BOOL": follows}},
        )
    if write.refused is not None:
        raise ConnectionGone(connection_id)


def _matching(owner: str, condition: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The owner's items that meet a condition, with id and statuses, read consistently."""
    pages = (
        clients.dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings.connections_table,
            KeyConditionExpression="#owner = :owner",
            FilterExpression=condition,
            ProjectionExpression="connectionId, statuses",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": owner}, **values},
            ConsistentRead=True,
        )
    )
    return [item for page in pages for item in page["Items"]]


def _key(owner: str, connection_id: str) -> dict[str, AttributeValueTypeDef]:
    return {"owner": {"S": owner}, "connectionId": {"S": connection_id}}
