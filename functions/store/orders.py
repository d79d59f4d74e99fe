"""The orders table: one item an order, with its request, its updates and its followers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID, uuid4  # noqa: TID251 - a writer recognises its own put

from botocore.exceptions import ClientError

from functions.contract import (
    OPEN_BY_OWNER_INDEX,
    OPEN_ORDERS_INDEX,
    OWNER_INDEX,
    due_shard,
    iso,
    open_shard,
    unix_ms,
)
from functions.orders.order import Order, Update
from functions.orders.stored import (
    Entry,
    StoredOrder,
    entries,
    entry_of,
    idle_since,
    index_keys,
    new_item,
    stored_order,
)
from functions.orders.waiting import AT_ONCE, Wake
from functions.runtime import settings
from functions.store import clients

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.literals import ReturnValueType
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, UpdateItemOutputTypeDef

MAX_FOLLOWERS = 100
LIST_READS_MAX = 10
# Lambda answers at most 6 MB. Of an order its updates count: the rest is small beside them.
PAGE_BYTES_MAX = 2_500_000
BATCH_GET_MAX = 100  # BatchGetItem takes no more keys


class OrderNotFound(Exception):
    """There is no such order, or it is another owner's."""


class OrderExists(Exception):
    """The order id is taken; `stored` is the order that has it."""

    def __init__(self, stored: Order) -> None:
        super().__init__(stored.order_id)
        self.stored = stored


class StaleOrder(Exception):
    """Another writer has appended an update since the order was read."""


class TooManyFollowers(Exception):
    """The order has as many followers as it can hold; `followers` are their connection ids."""

    def __init__(self, order_id: str, followers: Collection[str]) -> None:
        super().__init__(order_id)
        self.followers = set(followers)


class IdleOrder(NamedTuple):
    """An open order without an update for some time, and since when (ISO 8601)."""

    order_id: str
    idle_since: str


class InvalidCursor(Exception):
    """`list_orders` gave no such cursor."""


# --- one order --------------------------------------------------------------------------------


def create_order(order: Order, owner: str) -> None:
    """Store a new order; raises OrderExists with the stored one if its id is taken."""
    item = new_item(order, owner, writer=uuid4().hex[:12])
    try:
        clients.dynamodb().put_item(
            TableName=settings.orders_table,
            Item=item,
            ConditionExpression="attribute_not_exists(orderId)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        stored = clients.refused_item(error)
        # The answer to this very put may have been lost, and botocore may have repeated it.
        if stored.get("writer") != item["writer"]:
            raise OrderExists(stored_order(stored).order) from None


def get_order(order_id: str, owner: str) -> Order:
    """The owner's order; raises OrderNotFound."""
    stored = load_order(order_id)
    if stored.owner != owner:
        raise OrderNotFound(order_id)
    return stored.order


def load_order(order_id: str) -> StoredOrder:
    """Any owner's order; raises OrderNotFound."""
    answer = clients.dynamodb().get_item(
        TableName=settings.orders_table, Key={"orderId": {"S": order_id}}, ConsistentRead=True
    )
    if "Item" not in answer:
        raise OrderNotFound(order_id)
    return stored_order(answer["Item"])


def begin_order(update: Update) -> StoredOrder:
    """Store an order's second update unless it has one; the order as it then is.

    Either way this is one call: a refused write returns the item. Raises OrderNotFound.
    """
    try:
        element = entry_of(update, (), None)
        answer = _append(update, element, {"idleSince": idle_since(update)}, returned="ALL_NEW")
    except ClientError as error:
        if not (stored := clients.refused_item(error)):
            raise OrderNotFound(update.order_id) from None
        return stored_order(stored)
    return stored_order(answer["Attributes"])


def append_update(
    order: Order, update: Update, *, transaction: str | None = None, wake: Wake = AT_ONCE
) -> Order:
    """Store `update` as the order's next, and the signed transaction with it if one is given.

    An order that rests from then on is woken by `wake`. Raises StaleOrder if another writer was
    first. Returns the order after the update.
    """
    changed = order.apply(update)
    try:
        _append(update, entry_of(update, order.updates, transaction), index_keys(changed, wake))
    except ClientError as error:
        # The answer to this very write may have been lost, and botocore may have repeated it.
        # Two writers of the same update and transaction do no harm: either may continue from it.
        stored = clients.refused_item(error)
        found = entries(stored)[order.sequence : update.sequence] if stored else []
        if found != [Entry(update.text, transaction)]:
            raise StaleOrder(order.order_id) from None
    return changed


def _append(
    update: Update,
    element: dict[str, Any],
    keys: Mapping[str, str | None],
    *,
    returned: ReturnValueType = "NONE",
) -> UpdateItemOutputTypeDef:
    sets = ["updates = list_append(updates, :update)", "#sequence = :next"]
    values: dict[str, AttributeValueTypeDef] = {
        ":update": {"L": [cast("AttributeValueTypeDef", element)]},
        ":next": {"N": str(update.sequence)},
        ":read": {"N": str(update.sequence - 1)},
    }
    key_sets, removes, key_values = _key_changes(keys)
    sets += key_sets
    values |= key_values
    if update.status.terminal and settings.order_expiry_days:
        sets.append("expiresAt = :expires")
        seconds = unix_ms(update.timestamp) // 1000 + settings.order_expiry_days * 86_400
        values[":expires"] = {"N": str(seconds)}
    return clients.dynamodb().update_item(
        TableName=settings.orders_table,
        Key={"orderId": {"S": update.order_id}},
        UpdateExpression="SET " + ", ".join(sets) + removes,
        ConditionExpression="#sequence = :read",
        ExpressionAttributeNames={"#sequence": "sequence"},
        ExpressionAttributeValues=values,
        ReturnValues=returned,
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )


def rest_on(order: Order, wake: Wake) -> None:
    """Let a resting order be woken by `wake` from now on; raises StaleOrder if it has moved on."""
    sets, removes, values = _key_changes({"wakeAbove": wake.above, "wakeBelow": wake.below})
    try:
        clients.dynamodb().update_item(
            TableName=settings.orders_table,
            Key={"orderId": {"S": order.order_id}},
            UpdateExpression="SET " + ", ".join(sets) + removes,
            ConditionExpression="#sequence = :read AND attribute_exists(wakePair)",
            ExpressionAttributeNames={"#sequence": "sequence"},
            ExpressionAttributeValues={**values, ":read": {"N": str(order.sequence)}},
        )
    except ClientError as error:
        clients.refused_item(error)
        raise StaleOrder(order.order_id) from None


def _key_changes(
    keys: Mapping[str, str | None],
) -> tuple[list[str], str, dict[str, AttributeValueTypeDef]]:
    """The expression that sets and removes these attributes: SET and REMOVE clauses, and values."""
    removed = [name for name, value in keys.items() if value is None]
    return (
        [f"{name} = :{name}" for name, value in keys.items() if value is not None],
        " REMOVE " + ", ".join(removed) if removed else "",
        {f":{name}": {"S": value} for name, value in keys.items() if value is not None},
    )


# --- its followers ----------------------------------------------------------------------------


def follow(
    owner: str,
    connection_id: str,
    order_id: str,
    *,
    since_sequence: int,
    request_id: str,
    open_connections: Callable[[], Collection[str]],
) -> None:
    """Make the connection a follower of the order: the publisher replays, then pushes.

    The request id makes a repeated subscription a change of the item, and so a replay. Followers
    that have ended keep their places until a push finds them gone; when the order has no place
    left, those that are not among the owner's `open_connections()` are removed.
    Raises TooManyFollowers, OrderNotFound.
    """
    try:
        _add_follower(owner, connection_id, order_id, since_sequence, request_id)
    except TooManyFollowers as full:
        ended = full.followers.difference(open_connections())
        if not ended:
            raise
        for ended_id in ended:
            unfollow(order_id, ended_id)
        _add_follower(owner, connection_id, order_id, since_sequence, request_id)


def _add_follower(
    owner: str, connection_id: str, order_id: str, since_sequence: int, request_id: str
) -> None:
    follower: AttributeValueTypeDef = {
        "M": {"since": {"N": str(since_sequence)}, "request": {"S": request_id}}
    }
    try:
        clients.dynamodb().update_item(
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
        stored = clients.refused_item(error)
        if not stored or stored["owner"]["S"] != owner:
            raise OrderNotFound(order_id) from None
        raise TooManyFollowers(order_id, stored["followers"]["M"]) from None


def unfollow(order_id: str, connection_id: str) -> None:
    """Remove a connection from an order's followers; no error if it is not among them."""
    try:
        clients.dynamodb().update_item(
            TableName=settings.orders_table,
            Key={"orderId": {"S": order_id}},
            UpdateExpression="REMOVE followers.#connection",
            ConditionExpression="attribute_exists(followers.#connection)",
            ExpressionAttributeNames={"#connection": connection_id},
        )
    except ClientError as error:
        clients.refused_item(error)


# --- many orders ------------------------------------------------------------------------------


def open_order_count(owner: str) -> int:
    """How many of the owner's orders have not ended; the index lags the table by a moment."""
    pages = (
        clients.dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings.orders_table,
            IndexName=OPEN_BY_OWNER_INDEX,
            KeyConditionExpression="openOwner = :owner",
            ExpressionAttributeValues={":owner": {"S": owner}},
            Select="COUNT",
        )
    )
    return sum(page["Count"] for page in pages)


def idle_orders(shard: str, before: str, *, limit: int) -> list[IdleOrder]:
    """Up to `limit` open orders of one shard idle since before `before` (ISO 8601), longest first.

    In one of DUE_SHARDS, the orders that are due before then.

    The index lags the table by a moment, so an order can have moved on.
    """
    answer = clients.dynamodb().query(
        TableName=settings.orders_table,
        IndexName=OPEN_ORDERS_INDEX,
        KeyConditionExpression="openShard = :shard AND idleSince < :before",
        ExpressionAttributeValues={":shard": {"S": shard}, ":before": {"S": before}},
        Limit=limit,
    )
    return [IdleOrder(item["orderId"]["S"], item["idleSince"]["S"]) for item in answer["Items"]]


def restart_idle_time(order: IdleOrder, now_ms: int) -> bool:
    """Let the order's idle time start now, unless it has moved on or ended; whether it did."""
    try:
        clients.dynamodb().update_item(
            TableName=settings.orders_table,
            Key={"orderId": {"S": order.order_id}},
            UpdateExpression="SET idleSince = :now",
            ConditionExpression="idleSince = :found",
            ExpressionAttributeValues={
                ":now": {"S": iso(now_ms)},
                ":found": {"S": order.idle_since},
            },
        )
    except ClientError as error:
        clients.refused_item(error)
        return False
    return True


def leave_due_shard(order: IdleOrder) -> None:
    """Let an order whose message has been sent be idle from its due time on, like any other."""
    try:
        clients.dynamodb().update_item(
            TableName=settings.orders_table,
            Key={"orderId": {"S": order.order_id}},
            UpdateExpression="SET openShard = :open",
            ConditionExpression="openShard = :due AND idleSince = :found",
            ExpressionAttributeValues={
                ":open": {"S": open_shard(order.order_id)},
                ":due": {"S": due_shard(order.order_id)},
                ":found": {"S": order.idle_since},
            },
        )
    except ClientError as error:
        clients.refused_item(error)  # it has moved on


Wanted = Mapping[str, object]  # values that an order must have, by the names of its fields


def list_orders(
    owner: str,
    *,
    limit: int,
    cursor: str | None = None,
    wanted: Wanted | None = None,
    created: tuple[str, str] | None = None,
) -> tuple[list[Order], str | None]:
    """Up to `limit` of the owner's orders, newest first, and the cursor of the next page.

    With `created`, only those created from the first to the second time (ISO 8601), both included.

    One request reads a bounded number of keys and answers a bounded number of bytes, so a page may
    hold fewer orders and still have a next one. Raises InvalidCursor.
    """
    start = _start_key(owner, cursor) if cursor else None
    page = _Page(limit)
    for _ in range(LIST_READS_MAX):
        read = min(BATCH_GET_MAX, limit - len(page.orders))
        keys, start = _order_keys(owner, BATCH_GET_MAX if wanted else read, start, created)
        if not page.take(_batch_get(keys), wanted):
            return page.orders, page.cursor()
        if start is None or len(page.orders) == limit:
            break
    return page.orders, _cursor(start["createdAt"]["S"], start["orderId"]["S"]) if start else None


def list_by_ids(
    order_ids: Sequence[str],
    owner: str,
    *,
    limit: int,
    cursor: str | None = None,
    wanted: Wanted | None = None,
) -> tuple[list[Order], str | None]:
    """As `list_orders`, of the orders with these ids, at most 100, in their order."""
    ids = list(order_ids)
    if cursor:
        last = _start_key(owner, cursor)["orderId"]["S"]
        if last not in ids:
            raise InvalidCursor(cursor)
        ids = ids[ids.index(last) + 1 :]
    page = _Page(limit)
    whole = page.take(_batch_get(ids), wanted)
    return page.orders, None if whole else page.cursor()


class _Page:
    """Orders for one answer: at most `limit`, and at most PAGE_BYTES_MAX, but always one."""

    def __init__(self, limit: int) -> None:
        self.orders: list[Order] = []
        self._limit, self._bytes = limit, 0

    def take(self, read: Iterable[_Read], wanted: Wanted | None) -> bool:
        """Add those that have the wanted values; False if there was not room for all."""
        for order, size in read:
            if any(getattr(order, field) != value for field, value in (wanted or {}).items()):
                continue
            full = len(self.orders) == self._limit or self._bytes + size > PAGE_BYTES_MAX
            if self.orders and full:
                return False
            self.orders.append(order)
            self._bytes += size
        return True

    def cursor(self) -> str:
        """The cursor of what follows the last order."""
        return _cursor(self.orders[-1].created_at, self.orders[-1].order_id)


def list_open_orders(
    owner: str, *, limit: int, cursor: str | None = None, wanted: Wanted | None = None
) -> tuple[list[Order], str | None]:
    """Up to `limit` of the owner's open orders in no order, and the cursor of the next page.

    The index lags the table by a moment, so an order of that moment can be absent; one that has
    ended is left out. Raises InvalidCursor.
    """
    page: dict[str, Any] = {}
    if cursor:
        order_id = _start_key(owner, cursor)["orderId"]
        page["ExclusiveStartKey"] = {"openOwner": {"S": owner}, "orderId": order_id}
    answer = clients.dynamodb().query(
        TableName=settings.orders_table,
        IndexName=OPEN_BY_OWNER_INDEX,
        KeyConditionExpression="openOwner = :owner",
        ExpressionAttributeValues={":owner": {"S": owner}},
        Limit=limit,
        **page,
    )
    open_page = _Page(limit)
    if not open_page.take(_batch_get([item["orderId"]["S"] for item in answer["Items"]]), wanted):
        return open_page.orders, open_page.cursor()
    last = answer.get("LastEvaluatedKey")
    return open_page.orders, _cursor(iso(0), last["orderId"]["S"]) if last else None


def _order_keys(
    owner: str, limit: int, start: dict[str, Any] | None, created: tuple[str, str] | None
) -> tuple[list[str], dict[str, Any] | None]:
    page: dict[str, Any] = {"ExclusiveStartKey": start} if start else {}
    values: dict[str, AttributeValueTypeDef] = {":owner": {"S": owner}}
    condition = "#owner = :owner"
    if created:
        condition += " AND createdAt BETWEEN :first AND :last"
        values |= {":first": {"S": created[0]}, ":last": {"S": created[1]}}
    answer = clients.dynamodb().query(
        TableName=settings.orders_table,
        IndexName=OWNER_INDEX,
        KeyConditionExpression=condition,
        ExpressionAttributeNames={"#owner": "owner"},
        ExpressionAttributeValues=values,
        ScanIndexForward=False,
        Limit=limit,
        **page,
    )
    return [item["orderId"]["S"] for item in answer["Items"]], answer.get("LastEvaluatedKey")


class _Read(NamedTuple):
    """An order, and about how many bytes it has."""

    order: Order
    size: int


def _batch_get(order_ids: list[str]) -> list[_Read]:
    items: dict[str, dict[str, Any]] = {}
    wanted: Any = {
        settings.orders_table: {
            "Keys": [{"orderId": {"S": order_id}} for order_id in order_ids],
            "ConsistentRead": True,
        }
    }
    while order_ids and wanted:
        answer = clients.dynamodb().batch_get_item(RequestItems=wanted)
        for item in answer["Responses"][settings.orders_table]:
            items[item["orderId"]["S"]] = item
        wanted = answer["UnprocessedKeys"]
    return [_read(items[order_id]) for order_id in order_ids if order_id in items]


def _read(item: dict[str, Any]) -> _Read:
    order = stored_order(item).order
    return _Read(order, sum(len(update.text) for update in order.updates))


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
