"""The access table: hashed API keys, and tickets that open one WebSocket each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.contract import API_KEY, TICKET, SecretKind
from functions.runtime import settings
from functions.store import clients

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

TICKET_SECONDS = 60


def owner_of_key(key: str) -> str | None:
    """The owner of an API key; None if the key is unknown or disabled.

    The table has only hashes. A look-up by hash does not compare secrets, so its duration reveals
    nothing about them.
    """
    if not API_KEY.matches(key):
        return None
    item = (
        clients.dynamodb()
        .get_item(TableName=settings.access_table, Key=_id(API_KEY, key), ConsistentRead=True)
        .get("Item")
    )
    return item["owner"]["S"] if item and "disabledAt" not in item else None


def create_ticket(owner: str, now_ms: int) -> str:
    """A new ticket, which authorizes the owner once within `TICKET_SECONDS`."""
    ticket = TICKET.new()
    clients.dynamodb().put_item(
        TableName=settings.access_table,
        Item={
            **_id(TICKET, ticket),
            "owner": {"S": owner},
            "expiresAt": {"N": str(now_ms // 1000 + TICKET_SECONDS)},
        },
    )
    return ticket


def redeem_ticket(ticket: str, now_ms: int) -> str | None:
    """The owner of a ticket, which is void from then on; None if it is unknown, used or expired.

    This is one conditional delete, so if two clients present the same ticket at once, one is
    admitted.
    """
    if not TICKET.matches(ticket):
        return None
    with clients.conditional_write() as write:
        answer = clients.dynamodb().delete_item(
            TableName=settings.access_table,
            Key=_id(TICKET, ticket),
            ConditionExpression="expiresAt > :now",
            ExpressionAttributeValues={":now": {"N": str(now_ms // 1000)}},
            ReturnValues="ALL_OLD",
        )
    return answer["Attributes"]["owner"]["S"] if write.refused is None else None


def _id(kind: SecretKind, secret: str) -> dict[str, AttributeValueTypeDef]:
    return {"id": {"S": kind.item_id(secret)}}
