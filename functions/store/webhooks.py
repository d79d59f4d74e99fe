"""Webhooks: URLs that receive an owner's updates, as items of the connections table.

A webhook is stored among the owner's connections as a follower of every order. So the publisher
finds both by one look-up, and owners without webhooks cause no further cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from functions.contract import iso
from functions.runtime import settings
from functions.store import clients

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# API Gateway's connection ids are Base64, so none begins with this.
ID_PREFIX = "webhook#"


class WebhookNotFound(Exception):
    """There is no such webhook, or it is another owner's."""


class StoredWebhook(NamedTuple):
    """A webhook; `statuses` is empty if it receives every status.

    `failing_since` and `last_error` describe the failures since the last successful delivery.
    """

    webhook_id: str
    url: str
    statuses: frozenset[str]
    secret: str
    created_at: str
    enabled: bool = True
    failing_since: str | None = None
    last_error: str | None = None


def create(owner: str, webhook: StoredWebhook) -> None:
    """Store a new webhook."""
    item: dict[str, AttributeValueTypeDef] = {
        **_key(owner, webhook.webhook_id),
        "url": {"S": webhook.url},
        "secret": {"S": webhook.secret},
        "createdAt": {"S": webhook.created_at},
        "followsAll": {"BOOL": True},
    }
    if webhook.statuses:
        item["statuses"] = {"SS": sorted(webhook.statuses)}
    clients.dynamodb().put_item(TableName=settings.connections_table, Item=item)


def of_owner(owner: str) -> list[StoredWebhook]:
    """The owner's webhooks, oldest first."""
    pages = (
        clients.dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings.connections_table,
            KeyConditionExpression="#owner = :owner AND begins_with(connectionId, :prefix)",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": owner}, ":prefix": {"S": ID_PREFIX}},
            ConsistentRead=True,
        )
    )
    found = [_webhook(item) for page in pages for item in page["Items"]]
    return sorted(found, key=lambda webhook: (webhook.created_at, webhook.webhook_id))


def load(owner: str, webhook_id: str) -> StoredWebhook:
    """One webhook; raises WebhookNotFound."""
    answer = clients.dynamodb().get_item(
        TableName=settings.connections_table, Key=_key(owner, webhook_id), ConsistentRead=True
    )
    if "Item" not in answer:
        raise WebhookNotFound(webhook_id)
    return _webhook(answer["Item"])


def delete(owner: str, webhook_id: str) -> None:
    """Delete a webhook; raises WebhookNotFound."""
    answer = clients.dynamodb().delete_item(
        TableName=settings.connections_table, Key=_key(owner, webhook_id), ReturnValues="ALL_OLD"
    )
    if "Attributes" not in answer:
        raise WebhookNotFound(webhook_id)


def delivery_succeeded(owner: str, webhook: StoredWebhook) -> None:
    """Clear the earlier failures, if there are any."""
    if webhook.failing_since:
        _update(owner, webhook.webhook_id, "REMOVE failingSince, lastError", {})


def delivery_failed(owner: str, webhook_id: str, reason: str, now_ms: int) -> str | None:
    """Store a failure; returns when failures began (ISO 8601), None if the webhook is deleted."""
    now = iso(now_ms)
    return _update(
        owner,
        webhook_id,
        "SET failingSince = if_not_exists(failingSince, :now), lastError = :reason",
        {":now": {"S": now}, ":reason": {"S": reason}},
    )


def disable(owner: str, webhook_id: str) -> None:
    """Stop its deliveries; it stays in the list, with the last error."""
    _update(owner, webhook_id, "SET followsAll = :no", {":no": {"BOOL": False}})


def _update(
    owner: str, webhook_id: str, change: str, values: dict[str, AttributeValueTypeDef]
) -> str | None:
    given: dict[str, Any] = {"ExpressionAttributeValues": values} if values else {}
    with clients.conditional_write() as write:
        answer = clients.dynamodb().update_item(
            TableName=settings.connections_table,
            Key=_key(owner, webhook_id),
            UpdateExpression=change,
            # The webhook may have been deleted, and this write must not create it again.
            ConditionExpression="attribute_exists(createdAt)",
            ReturnValues="ALL_NEW",
            **given,
        )
    if write.refused is not None:
        return None
    return answer["Attributes"].get("failingSince", {}).get("S")


def _webhook(item: dict[str, Any]) -> StoredWebhook:
    return StoredWebhook(
        webhook_id=item["connectionId"]["S"].removeprefix(ID_PREFIX),
        url=item["url"]["S"],
        statuses=frozenset(item.get("statuses", {}).get("SS", ())),
        secret=item["secret"]["S"],
        created_at=item["createdAt"]["S"],
        enabled=item["followsAll"]["BOOL"],
        failing_since=item.get("failingSince", {}).get("S"),
        last_error=item.get("lastError", {}).get("S"),
    )


def _key(owner: str, webhook_id: str) -> dict[str, AttributeValueTypeDef]:
    return {"owner": {"S": owner}, "connectionId": {"S": f"{ID_PREFIX}{webhook_id}"}}
