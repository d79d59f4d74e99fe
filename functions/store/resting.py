"""Resting orders by the price that wakes them, and the pairs of tokens that have any.

Two sparse indexes of the orders table contain the resting orders. One more item of that table names
the pairs that the watcher looks at. The version of a pair in it is the time at which an order of
the pair last came to rest or changed what it waits for. While the version is unchanged, earlier
answers of the indexes about the pair stay valid. The item also says which watcher ticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from functions.contract import WAKE_ABOVE_INDEX, WAKE_BELOW_INDEX, WATCHED_PAIRS_ID
from functions.runtime import now_ms, settings
from functions.store import clients

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

_KEY: dict[str, AttributeValueTypeDef] = {"orderId": {"S": WATCHED_PAIRS_ID}}
WATCHER_MS = 140_000  # no watcher ticks longer, because its invocation ends
_WATCHER = "watcher"  # the names of its other attributes are the pairs


class Watched(NamedTuple):
    """The pairs that may have resting orders, and the watcher that ticks.

    `versions`: of each pair, Unix time in milliseconds. `watcher`: when it began, likewise; 0 if
    none ever has.
    """

    versions: dict[str, int]
    watcher: int

    @property
    def ticks(self) -> bool:
        """Whether a watcher ticks, judged by when the last one began."""
        return now_ms() - self.watcher < WATCHER_MS


class Nearest(NamedTuple):
    """The first keys that the price of a pair reaches as it rises and as it falls; None if none.

    They compare like prices: see `contract.wake_key`.
    """

    above: str | None
    below: str | None

    def reached(self, key: str) -> list[str]:
        """The indexes in which the price of this key wakes an order."""
        rises = self.above is not None and key >= self.above
        falls = self.below is not None and key <= self.below
        return [WAKE_ABOVE_INDEX] * rises + [WAKE_BELOW_INDEX] * falls


class IndexEntry(NamedTuple):
    """An order that a price wakes, and the key under which the index had it."""

    order_id: str
    key: str


def announce(pair: str) -> bool:
    """Tell the watcher that an order of the pair has come to rest, or waits for another price.

    Call it after the order's own write: the watcher asks the indexes when it sees the new version.
    Returns False if no watcher ticks, because no order has rested for a while; the next watcher
    starts within a minute.
    """
    answer = clients.dynamodb().update_item(
        TableName=settings.orders_table,
        Key=_KEY,
        UpdateExpression="SET #pair = :now",
        ExpressionAttributeNames={"#pair": pair},
        ExpressionAttributeValues={":now": {"N": str(now_ms())}},
        ReturnValues="ALL_NEW",
    )
    return _watched(answer["Attributes"]).ticks


def watched() -> Watched:
    """Read the item with eventual consistency: half the price, but up to a moment old."""
    answer = clients.dynamodb().get_item(TableName=settings.orders_table, Key=_KEY)
    return _watched(answer.get("Item", {}))


def _watched(item: Mapping[str, Any]) -> Watched:
    numbers = {name: int(value["N"]) for name, value in item.items() if name not in _KEY}
    return Watched(watcher=numbers.pop(_WATCHER, 0), versions=numbers)


def take_over(since_ms: int) -> bool:
    """Make the watcher that began at this time (Unix milliseconds) the one that ticks.

    Returns False if a watcher that began at the same time or later has taken over.
    """
    with clients.conditional_write() as write:
        clients.dynamodb().update_item(
            TableName=settings.orders_table,
            Key=_KEY,
            UpdateExpression="SET #watcher = :since",
            ConditionExpression="attribute_not_exists(#watcher) OR #watcher < :since",
            ExpressionAttributeNames={"#watcher": _WATCHER},
            ExpressionAttributeValues={":since": {"N": str(since_ms)}},
        )
    return write.refused is None


def forget(pair: str, version: int) -> None:
    """Remove a pair without resting orders from the watched ones, if its version is unchanged."""
    with clients.conditional_write():
        clients.dynamodb().update_item(
            TableName=settings.orders_table,
            Key=_KEY,
            UpdateExpression="REMOVE #pair",
            ConditionExpression="#pair = :version",
            ExpressionAttributeNames={"#pair": pair},
            ExpressionAttributeValues={":version": {"N": str(version)}},
        )


def nearest(pair: str) -> Nearest:
    """The keys that wake the next orders of the pair. The indexes lag the table by a moment."""
    first = [
        next((wake.key for wake in _wakes(index, pair, limit=1)), None)
        for index in (WAKE_ABOVE_INDEX, WAKE_BELOW_INDEX)
    ]
    return Nearest(*first)


def woken(pair: str, key: str, indexes: Iterable[str]) -> Iterator[str]:
    """The ids of a pair's orders in these indexes that the price of this key wakes.

    Pages are read lazily. An order that is in both indexes comes twice.
    """
    for index in indexes:
        for wake in _wakes(index, pair, until=key):
            yield wake.order_id


def _wakes(
    index: str, pair: str, *, until: str = "", limit: int | None = None
) -> Iterator[IndexEntry]:
    """The entries of a pair in an index, in the order in which the price reaches their keys.

    The sort key of each index has the index's name.
    """
    rising = index == WAKE_ABOVE_INDEX
    request: dict[str, Any] = {"Limit": limit} if limit else {}
    condition, values = "wakePair = :pair", {":pair": {"S": pair}}
    if until:
        condition += f" AND {index} {'<=' if rising else '>='} :until"
        values[":until"] = {"S": until}
    while True:
        answer = clients.dynamodb().query(
            TableName=settings.orders_table,
            IndexName=index,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ScanIndexForward=rising,
            **request,
        )
        for item in answer["Items"]:
            yield IndexEntry(item["orderId"]["S"], item[index]["S"])
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
