"""The orders table: one item per order, with its request, its updates and its followers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID, uuid4  # noqa: TID251 - a writer recognises its own put

from functions.contract import (
    BATCH_GET_MAX,
    OPEN_BY_OWNER_INDEX,
    OPEN_ORDERS_INDEX,
    ORDER_INDEXES,
    OWNER_INDEX,
    due_shard,
    ended_partition,
    iso,
    open_shard,
    unix_ms,
)
from functions.orders.order import Order, Status, Update
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
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        QueryOutputTypeDef,
        UpdateItemOutputTypeDef,
    )

MAX_FOLLOWERS = 100
# The limits of one page: calls of BatchGetItem, and keys read from an index. A thousand keys cost
# 15 read units.
LIST_READS_MAX, LIST_KEYS_MAX = 10, 1000
# A Lambda answer has at most 6 MB. Only the updates of an order are counted: the rest is small.
PAGE_BYTES_MAX = 2_500_000


class OrderNotFound(Exception):
    """There is no such order, or it is another owner's."""


class OrderExists(Exception):
    """The order id is taken; `stored` is the order with this id."""

    def __init__(self, stored: Order) -> None:
        super().__init__(stored.order_id)
        self.stored = stored


class StaleOrder(Exception):
    """Another writer has appended an update since the order was read."""


class TooManyFollowers(Exception):
    """The order has MAX_FOLLOWERS followers; `followers` are their connection ids."""

    def __init__(self, order_id: str, followers: Collection[str]) -> None:
        super().__init__(order_id)
        self.followers = set(followers)


class IdleOrder(NamedTuple):
    """An open order, and since when it has been idle (ISO 8601)."""

    order_id: str
    idle_since: str


class InvalidCursor(Exception):
    """The text is not a cursor of this list."""


# --- one order --------------------------------------------------------------------------------


def create_order(order: Order, owner: str) -> None:
    """Store a new order; raises OrderExists with the stored one if its id is taken."""
    item = new_item(order, owner, writer=uuid4().hex[:12])
    with clients.conditional_write() as write:
        clients.dynamodb().put_item(
            TableName=settings.orders_table,
            Item=item,
            ConditionExpression="attribute_not_exists(orderId)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    # The answer to this put may have been lost, and botocore may have repeated the put.
    if write.refused is not None and write.refused.get("writer") != item["writer"]:
        raise OrderExists(stored_order(write.refused).order)


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
    """Store an order's second update unless it has one; returns the order after that.

    This is one call in either case, because a refused write returns the item. Raises OrderNotFound.
    """
    element = entry_of(update, (), None)
    with clients.conditional_write() as write:
        answer = _append(update, element, {"idleSince": idle_since(update)}, returned="ALL_NEW")
    if write.refused is None:
        return stored_order(answer["Attributes"])
    if not write.refused:
        raise OrderNotFound(update.order_id)
    return stored_order(write.refused)


def append_update(
    order: Order,
    owner: str,
    update: Update,
    *,
    transaction: str | None = None,
    wake: Wake = AT_ONCE,
) -> Order:
    """Store `update` as the order's next, and the signed transaction with it if one is given.

    `wake` are the keys that wake the order if it rests after the update. Raises StaleOrder if
    another writer was first. Returns the order after the update.
    """
    changed = order.apply(update)
    element = entry_of(update, order.updates, transaction)
    with clients.conditional_write() as write:
        _append(update, element, index_keys(changed, owner, wake))
    if write.refused is not None:
        # The answer to this write may have been lost, and botocore may have repeated the write.
        # Two writers of the same update and transaction do no harm: both may continue from it.
        found = entries(write.refused)[order.sequence : update.sequence] if write.refused else []
        if found != [Entry(update.text, transaction)]:
            raise StaleOrder(order.order_id)
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


def set_wake_keys(order: Order, wake: Wake) -> None:
    """Replace the wake keys of a resting order; raises StaleOrder if it has a newer update."""
    sets, removes, values = _key_changes({"wakeAbove": wake.above, "wakeBelow": wake.below})
    with clients.conditional_write() as write:
        clients.dynamodb().update_item(
            TableName=settings.orders_table,
            Key={"orderId": {"S": order.order_id}},
            UpdateExpression="SET " + ", ".join(sets) + removes,
            ConditionExpression="#sequence = :read AND attribute_exists(wakePair)",
            ExpressionAttributeNames={"#sequence": "sequence"},
            ExpressionAttributeValues={**values, ":read": {"N": str(order.sequence)}},
        )
    if write.refused is not None:
        raise StaleOrder(order.order_id)


def _key_changes(
    keys: Mapping[str, str | None],
) -> tuple[list[str], str, dict[str, AttributeValueTypeDef]]:
    """The parts of an expression that sets and removes these attributes: SET, REMOVE, values."""
    removed = [name for name, value in keys.items() if value is None]
    return (
        [f"{name} = :{name}" for name, value in keys.items() if value is not None],
        " REMOVE " + ", ".join(removed) if removed else "",
        {f":{name}": {"S": value} for name, value in keys.items() if value is not None},
    )


# --- an order's followers ---------------------------------------------------------------------


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

    The request id differs for each subscription, so that a repeated one changes the item too and
    causes a replay. Closed connections stay followers until a push finds them gone. If the order
    has too many followers, those that are not in the owner's `open_connections()` are removed.

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
    with clients.conditional_write() as write:
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
    if write.refused is None:
        return
    if not write.refused or write.refused["owner"]["S"] != owner:
        raise OrderNotFound(order_id)
    raise TooManyFollowers(order_id, write.refused["followers"]["M"])


def unfollow(order_id: str, connection_id: str) -> None:
    """Remove a connection from an order's followers; no error if it is not among them."""
    with clients.conditional_write():
        clients.dynamodb().update_item(
            TableName=settings.orders_table,
            Key={"orderId": {"S": order_id}},
            UpdateExpression="REMOVE followers.#connection",
            ConditionExpression="attribute_exists(followers.#connection)",
            ExpressionAttributeNames={"#connection": connection_id},
        )


# --- many orders ------------------------------------------------------------------------------


def open_order_count(owner: str) -> int:
    """How many of the owner's orders have not ended; the index lags the table by a moment."""
    return sum(page["Count"] for page in _open_pages(owner, Select="COUNT"))


def idle_orders(shard: str, before: str, *, limit: int) -> list[IdleOrder]:
    """Up to `limit` open orders of one shard idle since before `before` (ISO 8601), longest first.

    In one of DUE_SHARDS, these are the orders that are due before `before`.

    The index lags the table by a moment, so an order may have a newer update.
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
    """Restart the order's idle time now; returns False if the order has changed or ended."""
    with clients.conditional_write() as write:
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
    return write.refused is None


def leave_due_shard(order: IdleOrder) -> None:
    """Move an order whose message has been sent to its open shard: it is idle once it is due."""
    with clients.conditional_write():  # the order may have changed
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
    A list of open orders is in no particular order, and its index lags the table by a moment.

    One call reads a bounded number of keys and returns a bounded number of bytes, so a page may
    have fewer orders and still a next page. Raises InvalidCursor.
    """
    wanted = wanted or {}
    start = _place(cursor) if cursor else None
    page = _Page(limit, wanted)
    status = wanted.get("status")
    if wanted.get("open") or (status and not Status(str(status)).terminal):
        following = _take_open(page, owner, start)
    elif status and status != Status.CONFIRMED:
        following = _take_ended(page, owner, Status(str(status)), start)
    else:
        pick = partial(_keep_confirmed, owner, set(_open_ids(owner))) if status else None
        following = _take_from(page, _of_owner(owner, created), start, pick)
    return page.orders, following and _cursor(following)


def list_by_ids(
    order_ids: Sequence[str],
    *,
    limit: int,
    cursor: str | None = None,
    wanted: Wanted | None = None,
) -> tuple[list[Order], str | None]:
    """Like `list_orders`, for the orders with these ids (at most 100), in the order of the ids."""
    places = [Place("", order_id) for order_id in order_ids]
    if cursor:
        last = _place(cursor).order_id
        if last not in order_ids:
            raise InvalidCursor(cursor)
        places = places[order_ids.index(last) + 1 :]
    page = _Page(limit, wanted or {})
    following = page.take(places)
    return page.orders, following and _cursor(following._replace(key=iso(0)))


class Place(NamedTuple):
    """An order's place in an index: its sort key, and its id.

    `earlier`: it is among the orders that an earlier release ended, which are in no partition of
    ended orders.
    """

    key: str
    order_id: str
    earlier: bool = False


class _Source(NamedTuple):
    """A partition of an index, whose sort keys are listing keys."""

    index_name: str
    partition: str
    between: tuple[str, str] | None = None


def _of_owner(owner: str, created: tuple[str, str] | None = None) -> _Source:
    # After the time, a key has the type and the tokens, all of which sort before "~".
    between = created and (created[0], f"{created[1]}~")
    return _Source(OWNER_INDEX, owner, between)


def _ended(owner: str, status: Status) -> _Source:
    return _Source(OPEN_ORDERS_INDEX, ended_partition(owner, status))


def _take_open(page: _Page, owner: str, start: Place | None) -> Place | None:
    ids = sorted(_open_ids(owner), reverse=True)
    places = [Place(iso(0), order_id) for order_id in ids if not start or order_id < start.order_id]
    return page.take(places)


def _take_ended(page: _Page, owner: str, status: Status, start: Place | None) -> Place | None:
    """Fill the page from the partition of this status, then with orders of an earlier release.

    Those are older. An order that an earlier release created has no type in its key; `unlisted`
    leaves out those that are in a partition, because this release ended them.
    """
    if start is None or not start.earlier:
        following = _take_from(page, _ended(owner, status), start)
        if following is not None:
            return following
        start = page.last or start
    oldest, _ = _places(_of_owner(owner), 1, None, newest_first=False)
    if not _of_earlier_release(oldest):
        return None
    following = start
    if not page.full and page.reads_left:
        following = _take_from(page, _of_owner(owner), start, _of_earlier_release, unlisted=True)
    return following and following._replace(earlier=True)


def _of_earlier_release(places: list[Place]) -> list[Place]:
    return [place for place in places if " " not in place.key]


def _keep_confirmed(owner: str, open_ids: set[str], places: list[Place]) -> list[Place]:
    """The confirmed orders: those that are neither open nor in another status's partition."""
    if not places:
        return []
    known = set(open_ids)
    between = (places[-1].key, places[0].key)
    for status in [each for each in Status if each.terminal and each is not Status.CONFIRMED]:
        found, _ = _places(_ended(owner, status)._replace(between=between), len(places), None)
        known.update(place.order_id for place in found)
    return [place for place in places if place.order_id not in known]


def _take_from(
    page: _Page,
    source: _Source,
    start: Place | None,
    pick: Callable[[list[Place]], list[Place]] | None = None,
    *,
    unlisted: bool = False,
) -> Place | None:
    """Fill the page from a partition, newest first; the place after which the next page begins.

    None at the end. Whole orders are read only if their keys match what is wanted and `pick` keeps
    them.
    """
    keys_left, size = LIST_KEYS_MAX, BATCH_GET_MAX
    while True:
        places, more = _places(source, size if page.wanted else page.room, start)
        likely = [place for place in places if page.may_want(place.key)]
        following = page.take(pick(likely) if pick else likely, unlisted=unlisted)
        if following or not more:
            return following
        start = places[-1]
        keys_left -= len(places)
        if page.full or not page.reads_left or not keys_left:
            return start
        size = min(2 * size, keys_left)


def _places(
    source: _Source, limit: int, start: Place | None, *, newest_first: bool = True
) -> tuple[list[Place], bool]:
    """Up to `limit` places after `start`, and whether there are more."""
    request: dict[str, Any] = {}
    name, sort_name = ORDER_INDEXES[source.index_name]
    values: dict[str, AttributeValueTypeDef] = {":partition": {"S": source.partition}}
    condition = "#partition = :partition"
    if source.between:
        condition += f" AND {sort_name} BETWEEN :first AND :last"
        first, last = source.between
        values |= {":first": {"S": first}, ":last": {"S": last}}
    if start:
        request["ExclusiveStartKey"] = {
            name: {"S": source.partition},
            sort_name: {"S": start.key},
            "orderId": {"S": start.order_id},
        }
    answer = clients.dynamodb().query(
        TableName=settings.orders_table,
        IndexName=source.index_name,
        KeyConditionExpression=condition,
        ExpressionAttributeNames={"#partition": name},
        ExpressionAttributeValues=values,
        ScanIndexForward=not newest_first,
        Limit=limit,
        **request,
    )
    places = [Place(item[sort_name]["S"], item["orderId"]["S"]) for item in answer["Items"]]
    return places, "LastEvaluatedKey" in answer


def _open_ids(owner: str) -> list[str]:
    return [item["orderId"]["S"] for page in _open_pages(owner) for item in page["Items"]]


def _open_pages(owner: str, **options: Any) -> Iterable[QueryOutputTypeDef]:
    return (
        clients.dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=settings.orders_table,
            IndexName=OPEN_BY_OWNER_INDEX,
            KeyConditionExpression="openOwner = :owner",
            ExpressionAttributeValues={":owner": {"S": owner}},
            **options,
        )
    )


class _Page:
    """Orders for one answer: at most `limit`, and at most PAGE_BYTES_MAX unless it is one order."""

    def __init__(self, limit: int, wanted: Wanted) -> None:
        self.orders: list[Order] = []
        self.wanted = wanted
        self.last: Place | None = None  # of the orders that were checked
        self.reads_left = LIST_READS_MAX
        self._limit, self._bytes, self._missed = limit, 0, False

    @property
    def room(self) -> int:
        """How many orders to read next, if all are wanted."""
        return min(self._limit - len(self.orders), BATCH_GET_MAX)

    @property
    def full(self) -> bool:
        """Whether the page has `limit` orders."""
        return len(self.orders) == self._limit

    def may_want(self, key: str) -> bool:
        """Whether an order with this key may be wanted; one of an earlier release always may."""
        known = dict(zip(("type", "token_in", "token_out"), key.split(" ")[1:], strict=False))
        return all(self.wanted.get(field, value) == value for field, value in known.items())

    def take(self, places: Sequence[Place], *, unlisted: bool = False) -> Place | None:
        """Read the orders at these places, and add those that are wanted.

        Returns the place after which the next page begins; None if all were checked. `unlisted`:
        only orders that are in no partition of ended orders.
        """
        while places:
            if self.full or not self.reads_left:
                return self.last
            size = BATCH_GET_MAX if self._missed else self.room
            chunk, places = places[:size], places[size:]
            self.reads_left -= 1
            read, before = _batch_get([place.order_id for place in chunk]), len(self.orders)
            for place in chunk:
                found = read.get(place.order_id)
                if found and self._wants(found, unlisted=unlisted):
                    if self.orders and (self.full or self._bytes + found.size > PAGE_BYTES_MAX):
                        return self.last
                    self.orders.append(found.order)
                    self._bytes += found.size
                self.last = place
            self._missed |= len(self.orders) - before < len(chunk)
        return None

    def _wants(self, read: _Read, *, unlisted: bool) -> bool:
        return not (unlisted and read.listed) and all(
            getattr(read.order, field) == value for field, value in self.wanted.items()
        )


class _Read(NamedTuple):
    """An order, about how many bytes it has, and whether it is in a partition of ended orders."""

    order: Order
    size: int
    listed: bool


def _batch_get(order_ids: Sequence[str]) -> dict[str, _Read]:
    found: dict[str, _Read] = {}
    wanted: Any = {
        settings.orders_table: {
            "Keys": [{"orderId": {"S": order_id}} for order_id in order_ids],
            "ConsistentRead": True,
        }
    }
    while order_ids and wanted:
        answer = clients.dynamodb().batch_get_item(RequestItems=wanted)
        for item in answer["Responses"][settings.orders_table]:
            found[item["orderId"]["S"]] = _read(item)
        wanted = answer["UnprocessedKeys"]
    return found


def _read(item: dict[str, Any]) -> _Read:
    order = stored_order(item).order
    return _Read(order, sum(len(update.text) for update in order.updates), "openShard" in item)


_PLACE = re.compile(
    r"(earlier )?([\d-]{10}T[\d:.]{12}Z(?: [a-z]+ [A-Za-z0-9]+ [A-Za-z0-9]+)?) ([\da-f-]{36})",
    re.ASCII,
)


def _cursor(place: Place) -> str:
    text = f"{'earlier ' if place.earlier else ''}{place.key} {place.order_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(cursor: str) -> Place:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        if not (match := _PLACE.fullmatch(text)):
            raise ValueError
        earlier, key, order_id = match.groups()
        unix_ms(key.split(" ")[0])
        return Place(key, str(UUID(order_id)), bool(earlier))
    except (binascii.Error, ValueError):
        raise InvalidCursor(cursor) from None
