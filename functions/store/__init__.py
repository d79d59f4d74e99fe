"""Orders, connections, access and the order queue: the only module that speaks DynamoDB and SQS."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID, uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from functions.contract import (
    API_KEY,
    OPEN_BY_OWNER_INDEX,
    OPEN_ORDERS_INDEX,
    OWNER_INDEX,
    TICKET,
    SecretKind,
    iso,
    open_shard,
    order_message,
    unix_ms,
)
from functions.orders.order import REQUEST_FIELDS, Order, Status, Update, order_of
from functions.runtime import USER_AGENT, settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.literals import ReturnValueType
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, UpdateItemOutputTypeDef
    from mypy_boto3_sqs import SQSClient

MAX_FOLLOWERS = 100
LOOKUP_SECONDS = 1
IDLE_GRID_MS = 10_000
CONNECTION_TTL_SECONDS = 3 * 3600  # API Gateway ends a WebSocket connection after two hours
LIST_READS_MAX = 10
BATCH_GET_MAX = 100
SQS_DELAY_SECONDS_MAX = 900
MAX_CONNECTIONS = 500
TICKET_SECONDS = 60


class StoredOrder(NamedTuple):
    """An order, whose it is, and its signed transaction (JSON) if it has one."""

    order: Order
    owner: str
    transaction: str | None


class OrderNotFound(Exception):
    """No such order, or not this owner's."""


class OrderExists(Exception):
    """The order id is taken; `stored` is the order that has it."""

    def __init__(self, stored: Order) -> None:
        super().__init__(stored.order_id)
        self.stored = stored


class StaleOrder(Exception):
    """Another writer has moved the order on since it was read."""


class TooManyFollowers(Exception):
    """The order has as many followers as it can hold."""


class ConnectionGone(Exception):
    """The connection has ended."""


class InvalidCursor(Exception):
    """The cursor is none that `list_orders` gave."""


# --- orders -----------------------------------------------------------------------------------


def create_order(order: Order, owner: str) -> None:
    """Store a new order; raises OrderExists with the stored one if its id is taken."""
    writer = uuid4().hex
    item: dict[str, Any] = {
        "orderId": {"S": order.order_id},
        "owner": {"S": owner},
        "createdAt": {"S": order.created_at},
        "request": {"S": _request_json(order)},
        "sequence": {"N": str(order.sequence)},
        "updates": {"L": [{"S": update.to_json()} for update in order.updates]},
        "followers": {"M": {}},
        "openShard": {"S": open_shard(order.order_id)},
        "openOwner": {"S": owner},
        "idleSince": {"S": _idle_since(order.updates[-1])},
        "writer": {"S": writer},
    }
    try:
        _dynamodb().put_item(
            TableName=settings.orders_table,
            Item=item,
            ConditionExpression="attribute_not_exists(orderId)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        stored = _stored_on_refusal(error)
        # The answer to this very put may have been lost, and botocore have sent it again.
        if stored.get("writer") != item["writer"]:
            raise OrderExists(_order(stored)) from None


def get_order(order_id: str, owner: str) -> Order:
    """The owner's order; raises OrderNotFound."""
    item = _get_order_item(order_id)
    if item["owner"]["S"] != owner:
        raise OrderNotFound(order_id)
    return _order(item)


def load_order(order_id: str) -> StoredOrder:
    """Any owner's order; raises OrderNotFound."""
    return _stored_order(_get_order_item(order_id))


def begin_order(update: Update) -> StoredOrder:
    """Store an order's second update, unless it has one, and return the order as it then is.

    Either way one call: a write that is refused brings what it met. Raises OrderNotFound.
    """
    try:
        answer = _append(update, returned="ALL_NEW")
    except ClientError as error:
        if not (stored := _stored_on_refusal(error)):
            raise OrderNotFound(update.order_id) from None
        return _stored_order(stored)
    return _stored_order(answer["Attributes"])


def append_update(order: Order, update: Update, *, transaction: str | None = None) -> Order:
    """Store `update` as the order's next, and the signed transaction with it if one is given.

    Raises StaleOrder if another writer was first. Returns the order after the update.
    """
    changed = order.apply(update)
    try:
        _append(update, transaction=transaction)
    except ClientError as error:
        # The answer to this very write may have been lost, and botocore have sent it again.
        # Two writers of one and the same update are no harm: either may go on from it.
        stored = _stored_on_refusal(error).get("updates", {"L": []})["L"]
        if stored[order.sequence : update.sequence] != [{"S": update.to_json()}]:
            raise StaleOrder(order.order_id) from None
    return changed


def _append(
    update: Update, *, transaction: str | None = None, returned: ReturnValueType = "NONE"
) -> UpdateItemOutputTypeDef:
    sets = ["updates = list_append(updates, :update)", "#sequence = :next"]
    names = {"#sequence": "sequence"}
    values: dict[str, AttributeValueTypeDef] = {
        ":update": {"L": [{"S": update.to_json()}]},
        ":next": {"N": str(update.sequence)},
        ":read": {"N": str(update.sequence - 1)},
    }
    if transaction is not None:
        names["#transaction"] = "transaction"
        sets.append("#transaction = :transaction")
        values[":transaction"] = {"S": transaction}
    removes = ""
    if not update.status.terminal:
        sets.append("idleSince = :idle")
        values[":idle"] = {"S": _idle_since(update)}
    else:
        removes = " REMOVE openShard, openOwner, idleSince"
        if settings.order_expiry_days:
            sets.append("expiresAt = :expires")
            seconds = unix_ms(update.timestamp) // 1000 + settings.order_expiry_days * 86_400
            values[":expires"] = {"N": str(seconds)}
    return _dynamodb().update_item(
        TableName=settings.orders_table,
        Key={"orderId": {"S": update.order_id}},
        UpdateExpression="SET " + ", ".join(sets) + removes,
        ConditionExpression="#sequence = :read",
        ExpressionAttributeNames=names,
        ExpressionAttributeValues=values,
        ReturnValues=returned,
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )


def _idle_since(update: Update) -> str:
    """When the order is idle from, if this is its last update: on a grid, and not too early.

    An index is written, and paid for, each time that a key in it changes; few orders take long
    enough to come to the grid's next point.
    """
    # An order that waits for its next attempt is idle only from then on.
    idle_ms = unix_ms(update.next_retry_at or update.timestamp)
    return iso(-(-idle_ms // IDLE_GRID_MS) * IDLE_GRID_MS)


def list_orders(
    owner: str, *, limit: int, cursor: str | None = None, status: Status | None = None
) -> tuple[list[Order], str | None]:
    """Up to `limit` of the owner's orders, newest first, and the cursor of the next page.

    With a status a page may hold fewer orders and still have a next one, for a request reads
    a bounded number of keys. Raises InvalidCursor.
    """
    start = _start_key(owner, cursor) if cursor else None
    found: list[Order] = []
    for _ in range(LIST_READS_MAX):
        keys, start = _order_keys(owner, limit if status is None else BATCH_GET_MAX, start)
        matching = [o for o in _batch_get(keys) if status is None or o.status == status]
        room = limit - len(found)
        found += matching[:room]
        if len(matching) > room:
            return found, _cursor(found[-1].created_at, found[-1].order_id)
        if start is None or len(found) == limit:
            break
    return found, _cursor(start["createdAt"]["S"], start["orderId"]["S"]) if start else None


def idle_orders(shard: str, before: str) -> Iterator[str]:
    """Ids of open orders of one shard whose last update is older than `before` (ISO 8601)."""
    pages = (
        _dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings.orders_table,
            IndexName=OPEN_ORDERS_INDEX,
            KeyConditionExpression="openShard = :shard AND idleSince < :before",
            ExpressionAttributeValues={":shard": {"S": shard}, ":before": {"S": before}},
        )
    )
    for page in pages:
        for item in page["Items"]:
            yield item["orderId"]["S"]


def _request_json(order: Order) -> str:
    fields = {"client_order_id", *REQUEST_FIELDS}
    return order.model_dump_json(by_alias=True, exclude_none=True, include=fields)


def _order(item: dict[str, Any]) -> Order:
    updates = [Update.model_validate_json(update["S"]) for update in item["updates"]["L"]]
    return order_of(json.loads(item["request"]["S"]), updates)


def _stored_order(item: dict[str, Any]) -> StoredOrder:
    return StoredOrder(_order(item), item["owner"]["S"], item.get("transaction", {}).get("S"))


def _get_order_item(order_id: str) -> dict[str, Any]:
    answer = _dynamodb().get_item(
        TableName=settings.orders_table, Key={"orderId": {"S": order_id}}, ConsistentRead=True
    )
    if "Item" not in answer:
        raise OrderNotFound(order_id)
    return answer["Item"]


def _order_keys(
    owner: str, limit: int, start: dict[str, Any] | None
) -> tuple[list[str], dict[str, Any] | None]:
    page: dict[str, Any] = {"ExclusiveStartKey": start} if start else {}
    answer = _dynamodb().query(
        TableName=settings.orders_table,
        IndexName=OWNER_INDEX,
        KeyConditionExpression="#owner = :owner",
        ExpressionAttributeNames={"#owner": "owner"},
        ExpressionAttributeValues={":owner": {"S": owner}},
        ScanIndexForward=False,
        Limit=limit,
        **page,
    )
    return [item["orderId"]["S"] for item in answer["Items"]], answer.get("LastEvaluatedKey")


def _batch_get(order_ids: list[str]) -> list[Order]:
    items: dict[str, dict[str, Any]] = {}
    wanted: Any = {
        settings.orders_table: {
            "Keys": [{"orderId": {"S": order_id}} for order_id in order_ids],
            "ConsistentRead": True,
        }
    }
    while order_ids and wanted:
        answer = _dynamodb().batch_get_item(RequestItems=wanted)
        for item in answer["Responses"][settings.orders_table]:
            items[item["orderId"]["S"]] = item
        wanted = answer["UnprocessedKeys"]
    return [_order(items[order_id]) for order_id in order_ids if order_id in items]


def _cursor(created_at: str, order_id: str) -> str:
    text = f"{created_at} {order_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _start_key(owner: str, cursor: str) -> dict[str, Any]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        created_at, order_id = base64.b64decode(padded, altchars=b"-_", validate=True).split(b" ")
        unix_ms(created_at.decode("ascii"))
        if not re.fullmatch(r"[\d:.TZ-]{24}", created_at.decode("ascii")):
            raise ValueError
        key = {"S": str(UUID(order_id.decode("ascii")))}
    except (binascii.Error, ValueError):
        raise InvalidCursor(cursor) from None
    return {"owner": {"S": owner}, "createdAt": {"S": created_at.decode()}, "orderId": key}


# --- the order queue --------------------------------------------------------------------------


def enqueue(order_id: str, *, delay_seconds: int = 0) -> None:
    """Ask the worker to take the order on, after `delay_seconds` (at most 900)."""
    _sqs().send_message(
        QueueUrl=settings.queue_url,
        MessageBody=order_message(order_id),
        DelaySeconds=min(delay_seconds, SQS_DELAY_SECONDS_MAX),
    )


# --- connections and what they follow ---------------------------------------------------------


def connect(owner: str, connection_id: str, now_ms: int) -> None:
    """Remember a connection of the owner until it disconnects or its time to live ends."""
    _dynamodb().put_item(
        TableName=settings.connections_table,
        Item={
            **_connection_key(owner, connection_id),
            "expiresAt": {"N": str(now_ms // 1000 + CONNECTION_TTL_SECONDS)},
        },
    )


def disconnect(owner: str, connection_id: str) -> None:
    """Forget a connection; among its orders' followers it stays until a push finds it gone."""
    _dynamodb().delete_item(
        TableName=settings.connections_table, Key=_connection_key(owner, connection_id)
    )


def follow(
    owner: str,
    connection_id: str,
    order_id: str,
    *,
    since_sequence: int,
    request_id: str,
    now_ms: int,
) -> None:
    """Make the connection a follower of the order: the publisher replays, then pushes.

    The request id makes a repeated subscription a change of the item, and so a replay.
    Raises TooManyFollowers, OrderNotFound.
    """
    follower: AttributeValueTypeDef = {
        "M": {"since": {"N": str(since_sequence)}, "request": {"S": request_id}}
    }
    try:
        _dynamodb().update_item(
            TableName=settings.orders_table,
            Key={"orderId": {"S": order_id}},
            UpdateExpression="SET followers.#connection = :follower",
            ConditionExpression="#owner = :owner AND (size(followers) < :most"
            " OR attribute_exists(followers.#connection))",
            ExpressionAttributeNames={"#connection": connection_id, "#owner": "owner"},
            ExpressionAttributeValues={
                ":follower": follower,
                ":owner": {"S": owner},
                ":most": {"N": str(MAX_FOLLOWERS)},
            },
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        stored = _stored_on_refusal(error)
        if not stored or stored["owner"]["S"] != owner:
            raise OrderNotFound(order_id) from None
        # Connections that have ended since the order's last push still have their places.
        alive = _connections(owner, "expiresAt > :now", {":now": {"N": str(now_ms // 1000)}})
        ended = stored["followers"]["M"].keys() - alive
        if not ended:
            raise TooManyFollowers(order_id) from None
        for id_ in ended:
            unfollow(order_id, id_)
        follow(
            owner,
            connection_id,
            order_id,
            since_sequence=since_sequence,
            request_id=request_id,
            now_ms=now_ms,
        )


def unfollow(order_id: str, connection_id: str) -> None:
    """Take a connection out of an order's followers; no error if it is not among them."""
    try:
        _dynamodb().update_item(
            TableName=settings.orders_table,
            Key={"orderId": {"S": order_id}},
            UpdateExpression="REMOVE followers.#connection",
            ConditionExpression="attribute_exists(followers.#connection)",
            ExpressionAttributeNames={"#connection": connection_id},
        )
    except ClientError as error:
        _stored_on_refusal(error)


def follow_all(owner: str, connection_id: str) -> None:
    """Make the connection follow every order of the owner; raises ConnectionGone.

    A look-up of such followers may be used for `LOOKUP_SECONDS`: until then the publisher may
    not know of it.
    """
    _set_follows_all(owner, connection_id, follows=True)


def unfollow_all(owner: str, connection_id: str) -> None:
    """End what `follow_all` began; single orders stay followed. Raises ConnectionGone."""
    _set_follows_all(owner, connection_id, follows=False)


def followers_of_all(owner: str) -> list[str]:
    """Ids of the owner's connections that follow every order."""
    return _connections(owner, "followsAll = :yes", {":yes": {"BOOL": True}})


def _set_follows_all(owner: str, connection_id: str, *, follows: bool) -> None:
    try:
        _dynamodb().update_item(
            TableName=settings.connections_table,
            Key=_connection_key(owner, connection_id),
            UpdateExpression="SET followsAll = :follows",
            # A message that arrives after its connection's end must not bring the item back.
            ConditionExpression="attribute_exists(expiresAt)",
            ExpressionAttributeValues={":follows": {"BOOL": follows}},
        )
    except ClientError as error:
        _stored_on_refusal(error)
        raise ConnectionGone(connection_id) from None


def _connections(owner: str, condition: str, values: dict[str, Any]) -> list[str]:
    """Ids of the owner's connections that meet a condition, at this moment."""
    pages = (
        _dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings.connections_table,
            KeyConditionExpression="#owner = :owner",
            FilterExpression=condition,
            ProjectionExpression="connectionId",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": owner}, **values},
            ConsistentRead=True,
        )
    )
    return [item["connectionId"]["S"] for page in pages for item in page["Items"]]


def _connection_key(owner: str, connection_id: str) -> dict[str, AttributeValueTypeDef]:
    return {"owner": {"S": owner}, "connectionId": {"S": connection_id}}


# --- who may come in, and how much ------------------------------------------------------------


def owner_of_key(key: str) -> str | None:
    """The owner of an API key; None for one that is unknown or disabled.

    The table holds only hashes, and a look-up by hash compares no secret, so its duration tells
    nothing of one.
    """
    if not API_KEY.matches(key):
        return None
    item = (
        _dynamodb()
        .get_item(TableName=settings.access_table, Key=_key(API_KEY, key), ConsistentRead=True)
        .get("Item")
    )
    return item["owner"]["S"] if item and "disabledAt" not in item else None


def create_ticket(owner: str, now_ms: int) -> str:
    """A new ticket, which stands for the owner once within `TICKET_SECONDS`."""
    ticket = TICKET.new()
    _dynamodb().put_item(
        TableName=settings.access_table,
        Item={
            **_key(TICKET, ticket),
            "owner": {"S": owner},
            "expiresAt": {"N": str(now_ms // 1000 + TICKET_SECONDS)},
        },
    )
    return ticket


def redeem_ticket(ticket: str, now_ms: int) -> str | None:
    """The owner that a ticket stands for, and the ticket's end; None if it is void.

    One conditional delete: of two who come with the same ticket at once, one is let in.
    """
    if not TICKET.matches(ticket):
        return None
    try:
        answer = _dynamodb().delete_item(
            TableName=settings.access_table,
            Key=_key(TICKET, ticket),
            ConditionExpression="expiresAt > :now",
            ExpressionAttributeValues={":now": {"N": str(now_ms // 1000)}},
            ReturnValues="ALL_OLD",
        )
    except ClientError as error:
        _stored_on_refusal(error)
        return None
    return answer["Attributes"]["owner"]["S"]


def connection_count(owner: str) -> int:
    """How many connections the owner has open, and perhaps a few that have just ended."""
    return _count(settings.connections_table, None, "owner", owner)


def open_order_count(owner: str) -> int:
    """How many of the owner's orders have not ended; a moment behind, as an index is."""
    return _count(settings.orders_table, OPEN_BY_OWNER_INDEX, "openOwner", owner)


def _key(kind: SecretKind, secret: str) -> dict[str, AttributeValueTypeDef]:
    return {"id": {"S": kind.item_id(secret)}}


def _count(table: str, index: str | None, attribute: str, owner: str) -> int:
    named: Any = {"IndexName": index} if index else {}
    pages = (
        _dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=table,
            KeyConditionExpression="#owner = :owner",
            ExpressionAttributeNames={"#owner": attribute},
            ExpressionAttributeValues={":owner": {"S": owner}},
            Select="COUNT",
            **named,
        )
    )
    return sum(page["Count"] for page in pages)


# --- clients ----------------------------------------------------------------------------------

# A worker's batch of ten orders runs at once, each in calls of its own.
_CONFIG = Config(
    user_agent=USER_AGENT,
    max_pool_connections=20,
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 4},
)


@cache
def _dynamodb() -> DynamoDBClient:
    return boto3.client("dynamodb", config=_CONFIG)


@cache
def _sqs() -> SQSClient:
    return boto3.client("sqs", config=_CONFIG)


def _stored_on_refusal(error: ClientError) -> dict[str, Any]:
    """The item that failed a write's condition, empty if there is none; raises any other error.

    ReturnValuesOnConditionCheckFailure brings it.
    """
    if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
    response = cast("dict[str, Any]", error.response)
    return cast("dict[str, Any]", response.get("Item", {}))
