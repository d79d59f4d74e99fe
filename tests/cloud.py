"""DynamoDB and SQS in memory, without threads, clock or network: deterministic and atomic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from botocore.awsrequest import AWSResponse, HTTPHeaders

from functions.contract import ORDER_INDEXES
from tests.expressions import holds, plain, updated

Json = dict[str, Any]
Key = tuple[str, ...]

# Few, so that code that reads only the first page fails.
PAGE_ITEMS = 3


class ErrorResponse(Exception):
    """An error answer of AWS: its code, and the other fields of its body."""

    def __init__(self, code: str, **body: Any) -> None:
        super().__init__(code)
        self.body = {"__type": code, "message": code, **body}


@dataclass
class Table:
    """A table's keys and indexes, every state of each item, and its stream."""

    keys: Key
    indexes: dict[str, Key] = field(default_factory=dict)
    streams: bool = False
    # For each key: the Unix time in ms, and the item from then on (None: deleted).
    history: dict[Key, list[tuple[int, Json | None]]] = field(default_factory=dict)
    stream: list[Json] = field(default_factory=list)

    def key_of(self, item: Json) -> Key:
        return tuple(item[name]["S"] for name in self.keys)

    def get(self, key: Key, at_ms: int | None = None) -> Json | None:
        """The current item, or the item at a time; None if there is none."""
        states = self.history.get(key, [])
        known = [item for since, item in states if at_ms is None or since <= at_ms]
        return known[-1] if known else None

    def items(self, at_ms: int | None = None) -> list[Json]:
        """All items, in the order of their creation."""
        return [item for key in self.history if (item := self.get(key, at_ms)) is not None]

    def put(self, key: Key, item: Json | None, now_ms: int) -> None:
        """Write or delete (None) an item, and record the change."""
        before = self.get(key)
        self.history.setdefault(key, []).append((now_ms, item))
        if self.streams and item != before:
            images = {"OldImage": before, "NewImage": item}
            change: Json = {name: deepcopy(image) for name, image in images.items() if image}
            change["ApproximateCreationDateTime"] = now_ms / 1000
            self.stream.append({"eventID": str(len(self.stream)), "dynamodb": change})


def tables() -> dict[str, Table]:
    """The engine's tables, as infra/stack/storage.py declares them."""
    return {
        "orders": Table(("orderId",), dict(ORDER_INDEXES), streams=True),
        "connections": Table(("owner", "connectionId")),
        "access": Table(("id",)),
    }


@dataclass
class Sent:
    """A sent message; `queue` is the last part of the queue's URL."""

    body: str
    delay_ms: int
    queue: str


@dataclass
class Cloud:
    """The tables, and the messages of all queues since `sent` was last emptied.

    Reads of an index, and reads that are not consistent, show the state of `lag_ms` ago.
    """

    now_ms: Callable[[], int]
    lag_ms: Callable[[], int] = lambda: 0
    tables: dict[str, Table] = field(default_factory=tables)
    sent: list[Sent] = field(default_factory=list)
    messages: int = 0
    waiting: Callable[[], int] = lambda: 0  # messages of the order queue that can be received

    def answer(self, operation: str, body: Json) -> Json:
        """The answer to a request of botocore; it shares values with the tables.

        Raises ErrorResponse.
        """
        operations: dict[str, Callable[[Json], Json]] = {
            "PutItem": self._put,
            "GetItem": self._get,
            "UpdateItem": self._update,
            "DeleteItem": self._delete,
            "Query": self._query,
            "BatchGetItem": self._batch_get,
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "GetQueueAttributes": lambda _body: {
                "Attributes": {"ApproximateNumberOfMessages": str(self.waiting())}
            },
        }
        return operations[operation](body)

    # --- DynamoDB

    def _put(self, body: Json) -> Json:
        table = self.tables[body["TableName"]]
        key = table.key_of(body["Item"])
        self._require(body, table.get(key))
        table.put(key, body["Item"], self.now_ms())
        return {}

    def _get(self, body: Json) -> Json:
        table = self.tables[body["TableName"]]
        at_ms = None if body.get("ConsistentRead") else self._stale()
        item = table.get(table.key_of(body["Key"]), at_ms)
        return {"Item": item} if item else {}

    def _update(self, body: Json) -> Json:
        table = self.tables[body["TableName"]]
        key = table.key_of(body["Key"])
        before = table.get(key)
        self._require(body, before)
        names, values = _placeholders(body)
        item = updated(body["UpdateExpression"], names, values, before or body["Key"])
        table.put(key, item, self.now_ms())
        return {"Attributes": item} if body.get("ReturnValues") == "ALL_NEW" else {}

    def _delete(self, body: Json) -> Json:
        table = self.tables[body["TableName"]]
        key = table.key_of(body["Key"])
        before = table.get(key)
        self._require(body, before)
        if before is not None:
            table.put(key, None, self.now_ms())
        returned = before and body.get("ReturnValues") == "ALL_OLD"
        return {"Attributes": before} if returned else {}

    def _query(self, body: Json) -> Json:
        table = self.tables[body["TableName"]]
        index = body.get("IndexName")
        keys = table.indexes[index] if index else table.keys
        at_ms = None if body.get("ConsistentRead") else self._stale()
        names, values = _placeholders(body)
        found = [
            item
            for item in table.items(at_ms)
            if all(key in item for key in keys)
            and holds(body["KeyConditionExpression"], names, values, item)
        ]
        sort_names = tuple(dict.fromkeys((*keys[1:], *table.keys)))
        found.sort(
            key=lambda item: _sort_key(item, sort_names),
            reverse=not body.get("ScanIndexForward", True),
        )
        start = body.get("ExclusiveStartKey")
        if start:
            last = _sort_key(start, sort_names)
            backward = not body.get("ScanIndexForward", True)
            found = [
                item
                for item in found
                if (
                    _sort_key(item, sort_names) < last
                    if backward
                    else _sort_key(item, sort_names) > last
                )
            ]
        page = found[: body.get("Limit", PAGE_ITEMS)]
        answer: Json = {}
        if len(page) < len(found):
            key_names = dict.fromkeys((*keys, *table.keys))
            answer["LastEvaluatedKey"] = {name: page[-1][name] for name in key_names}
        if "FilterExpression" in body:
            page = [i for i in page if holds(body["FilterExpression"], names, values, i)]
        answer["Count"] = len(page)
        if body.get("Select") != "COUNT":
            projected = list(_projected(body, table, keys if index else None))
            answer["Items"] = [
                {n: v for n, v in item.items() if not projected or n in projected} for item in page
            ]
        return answer

    def _batch_get(self, body: Json) -> Json:
        found: dict[str, list[Json]] = {}
        for name, wanted in body["RequestItems"].items():
            table = self.tables[name]
            at_ms = None if wanted.get("ConsistentRead") else self._stale()
            items = [table.get(table.key_of(key), at_ms) for key in wanted["Keys"]]
            found[name] = [item for item in items if item is not None]
        return {"Responses": found, "UnprocessedKeys": {}}

    def _stale(self) -> int:
        return self.now_ms() - self.lag_ms()

    def _require(self, body: Json, item: Json | None) -> None:
        condition = body.get("ConditionExpression")
        if condition and not holds(condition, *_placeholders(body), item or {}):
            returned = item and body.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            item_of_error = {"Item": item} if returned else {}
            raise ErrorResponse("ConditionalCheckFailedException", **item_of_error)

    # --- SQS

    def _send(self, body: Json) -> Json:
        self.messages += 1
        delay_ms = 1000 * int(body.get("DelaySeconds", 0))
        queue = body["QueueUrl"].rpartition("/")[2]
        self.sent.append(Sent(body["MessageBody"], delay_ms, queue))
        return {"MessageId": str(UUID(int=self.messages))}

    def _send_batch(self, body: Json) -> Json:
        queue_url = {"QueueUrl": body["QueueUrl"]}
        successful = [
            {"Id": entry["Id"], "MD5OfMessageBody": "", **self._send(entry | queue_url)}
            for entry in body["Entries"]
        ]
        return {"Successful": successful, "Failed": []}


def _placeholders(body: Json) -> tuple[Json, Json]:
    return body.get("ExpressionAttributeNames", {}), body.get("ExpressionAttributeValues", {})


def _sort_key(item: Json, names: Key) -> tuple[Any, ...]:
    return tuple(plain(item[name]) for name in names)


def _projected(body: Json, table: Table, index_keys: Key | None) -> Iterator[str]:
    """The attributes that a query returns; empty means all. The indexes project keys only."""
    if index_keys is not None:
        yield from (*index_keys, *table.keys)
    elif text := body.get("ProjectionExpression"):
        names, _ = _placeholders(body)
        yield from (names.get(name.strip(), name.strip()) for name in text.split(","))


def serve(client: Any, cloud: Cloud) -> None:
    """Answer a boto3 client's requests from `cloud`; botocore's own retries still happen."""

    def before_send(request: Any, **_: Any) -> AWSResponse:
        return http_answer(cloud, request)

    client.meta.events.register_first("before-send", before_send)


def http_answer(cloud: Cloud, request: Any) -> AWSResponse:
    """The answer to one HTTP request of botocore to DynamoDB or SQS."""
    target = request.headers["X-Amz-Target"]
    operation = (target.decode() if isinstance(target, bytes) else target).partition(".")[2]
    try:
        return http_response(request.url, 200, cloud.answer(operation, json.loads(request.body)))
    except ErrorResponse as error:
        return http_response(request.url, 400, error.body)


def http_response(
    url: str, status: int, body: Json | bytes = b"", headers: Mapping[str, str] | None = None
) -> AWSResponse:
    """An HTTP response as botocore reads it, without a socket."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    raw = SimpleNamespace(stream=lambda **_: iter([content]))
    return AWSResponse(url, status, HTTPHeaders.from_pairs((headers or {}).items()), raw)
