"""The handlers over moto's tables and queues, with recorded WebSocket connections."""

from __future__ import annotations

import base64
import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from threading import RLock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import parse_qsl, urlencode

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext
from moto.core.models import botocore_stubber

from functions import (
    api,
    authorizer,
    dead_letters,
    notifier,
    publisher,
    sweeper,
    websocket,
    worker,
)
from functions.contract import API_KEY
from functions.runtime import settings
from functions.simulation.network import Network
from functions.store import clients
from tests.cloud import Cloud, Key, serve, tables
from tests.events import Json, event, sqs_event, sqs_message
from tests.orders import ORDER

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

C = TypeVar("C", bound=Cloud)
ACCOUNT, REGION = "123456789012", "eu-central-1"
_one_request_at_a_time = RLock()
_process_request = botocore_stubber.process_request


def _serialized(request: Any) -> Any:
    """Process one request at a time: moto's operations are not atomic under threads."""
    with _one_request_at_a_time:
        return _process_request(request)


# Every request to moto in this process passes here.
setattr(botocore_stubber, "process_request", _serialized)  # noqa: B010 - mypy refuses to assign


class Context(LambdaContext):
    """Lambda's context of an invocation with `seconds` left."""

    def __init__(self, seconds: float = 60) -> None:
        self._seconds = seconds
        self._function_name = "function"
        self._memory_limit_in_mb = 512
        self._invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:function"
        self._aws_request_id = "52fdfc07-2182-154f-163f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override] # theirs: static
        return round(self._seconds * 1000)


class InterruptedNetwork:
    """A network on which `first` runs before one of its calls; with an id, for that order only."""

    def __init__(
        self, network: Network, call: str, first: Callable[[], object], order_id: str = ""
    ) -> None:
        self._network, self._call, self._first = network, call, first
        self._order_id = order_id

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._network, name)
        return partial(self._interrupted, call) if name == self._call else call

    def _interrupted(self, call: Callable[..., Any], *arguments: Any) -> Any:
        if not self._order_id or arguments[0].order_id == self._order_id:
            self._first()
        return call(*arguments)


@contextmanager
def failing_network(call: str, error: BaseException, order_id: str = "") -> Iterator[None]:
    """Let the worker's network raise in one of its calls, for the block."""

    def fail() -> None:
        raise error

    network = worker.network
    worker.network = cast(Network, InterruptedNetwork(network, call, fail, order_id))
    try:
        yield
    finally:
        worker.network = network


class Answer:
    """An HTTP answer."""

    def __init__(self, raw: Json) -> None:
        self.status: int = raw["statusCode"]
        self.headers: dict[str, str] = raw["headers"]
        self.body: bytes = (
            base64.b64decode(raw["body"]) if raw.get("isBase64Encoded") else raw["body"].encode()
        )
        gzipped = self.headers.get("Content-Encoding") == "gzip"
        self.text: str = (gzip.decompress(self.body) if gzipped else self.body).decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Connections:
    """The stage's @connections endpoint; it answers 410 for a closed connection."""

    class GoneException(Exception):
        pass

    def __init__(self) -> None:
        self.exceptions = SimpleNamespace(GoneException=self.GoneException)
        self.received: dict[str, list[Json]] = defaultdict(list)
        self.gone: set[str] = set()
        self.before_post: Callable[[str], None] = lambda _connection_id: None

    def post_to_connection(self, *, ConnectionId: str, Data: bytes) -> None:  # noqa: N803
        self.before_post(ConnectionId)
        if ConnectionId in self.gone:
            raise self.GoneException
        self.received[ConnectionId].append(json.loads(Data))

    def delete_connection(self, *, ConnectionId: str) -> None:  # noqa: N803
        if ConnectionId in self.gone:
            raise self.GoneException
        self.gone.add(ConnectionId)

    def statuses(self, connection_id: str) -> list[str]:
        """The status of each update that a connection received."""
        return [m["status"] for m in self.received[connection_id] if "status" in m]


class World:
    """The handlers over moto; each method is a request of a client or an invocation by AWS."""

    def __init__(self) -> None:
        self.dynamodb, self.sqs = aws_clients()
        self.connections = Connections()
        create_tables(self.dynamodb)
        self.queue_url = self.sqs.create_queue(QueueName="orders")["QueueUrl"]
        assert self.queue_url == settings.queue_url
        self.sqs.create_queue(QueueName="webhooks")
        self._records_read = 0
        self._requests = 0  # of the WebSocket API

    # --- clients

    def http(self, name: str, **changes: Any) -> Answer:
        """Call the API with events/http_{name}.json, changed.

        Changes: body (and base64), method, path, query (or raw_query, in which a name may be
        repeated), headers, owner ("" for none).
        """
        request = event(f"http_{name}")
        if "body" in changes:
            body = changes["body"]
            request["body"] = body if isinstance(body, str | None) else json.dumps(body)
        request["isBase64Encoded"] = changes.get("base64", False)
        if "path" in changes:
            request["rawPath"] = request["requestContext"]["http"]["path"] = changes["path"]
        if "method" in changes:
            request["requestContext"]["http"]["method"] = changes["method"]
        if "query" in changes or "raw_query" in changes:
            raw = changes.get("raw_query") or urlencode(changes["query"])
            request |= {"rawQueryString": raw, "queryStringParameters": query_parameters(raw)}
        if "headers" in changes:
            request["headers"] = {
                k: v for k, v in request["headers"].items() if k != "idempotency-key"
            } | changes["headers"]
        if "owner" in changes:
            request["requestContext"]["authorizer"] = {"lambda": {"owner": changes["owner"]}}
        return Answer(api.handler(request, Context()))

    def submit(self, key: str | None = None, **fields: Any) -> Json:
        """Submit an order, which the API must accept; returns the order."""
        body = ORDER | fields
        headers = {"idempotency-key": key} if key else {}
        answer = self.http("execute_order", body=body, headers=headers)
        assert answer.status == 202, answer.text
        order: Json = answer.json
        return order

    def read(self, order_id: str) -> Json:
        answer = self.http("get_order", path=f"/api/orders/{order_id}")
        assert answer.status == 200, answer.text
        order: Json = answer.json
        return order

    def change(self, order_id: str, body: Json, **changes: Any) -> Answer:
        return self.http("change_order", path=f"/api/orders/{order_id}", body=body, **changes)

    def cancel(self, order_id: str, **changes: Any) -> Answer:
        return self.http("cancel_order", path=f"/api/orders/{order_id}", **changes)

    def pages(self, **query: Any) -> Iterator[list[Json]]:
        """The orders on each page of the list."""
        cursor: Json = {}
        for _ in range(100):
            answer = self.http("list_orders", query=query | cursor)
            assert answer.status == 200, answer.text
            yield answer.json["orders"]
            if "nextCursor" not in answer.json:
                return
            cursor = {"cursor": answer.json["nextCursor"]}
        raise AssertionError("the list has no last page")

    def listed_ids(self, **query: Any) -> list[str]:
        """The ids of the orders on all pages of the list."""
        return [order["orderId"] for page in self.pages(**query) for order in page]

    def create_webhook(self, url: str, *statuses: str, **changes: Any) -> Json:
        """A new webhook of the owner, with its secret."""
        body = {"url": url} | ({"statuses": list(statuses)} if statuses else {})
        answer = self.http("execute_order", path="/api/webhooks", body=body, headers={}, **changes)
        assert answer.status == 201, answer.text
        webhook: Json = answer.json
        return webhook

    def ticket(self, **changes: Any) -> str:
        """A new ticket of the owner."""
        answer = self.http("create_ticket", **changes)
        assert answer.status == 201, answer.text
        ticket: str = answer.json["ticket"]
        return ticket

    def add_key(self, owner: str, **fields: str) -> str:
        """A new API key of the owner, stored as `uv run keys` does."""
        key = API_KEY.new()
        item = {"id": API_KEY.item_id(key), "owner": owner, **fields}
        self.dynamodb.put_item(
            TableName="access", Item={name: {"S": value} for name, value in item.items()}
        )
        return key

    def authorize_http(self, **headers: str) -> str | None:
        """The owner of an HTTP request with these headers; None if the API must refuse it."""
        answer = authorizer.handler(event("authorizer_http") | {"headers": headers}, Context())
        assert set(answer) == {"isAuthorized", "context"}
        assert answer["isAuthorized"] is True
        return answer["context"]["owner"] or None

    def authorize_websocket(self, ticket: str | None = None, **headers: str) -> str | None:
        """The owner of a handshake with this ticket or these headers; None if it is refused."""
        request = event("authorizer_websocket")
        request["headers"] |= headers
        request["queryStringParameters"] = {"ticket": ticket} if ticket is not None else None
        answer = authorizer.handler(request, Context())
        (statement,) = answer["policyDocument"]["Statement"]
        assert statement["Action"] == "execute-api:Invoke"
        assert statement["Resource"] == request["methodArn"]
        owner: str | None = answer["context"].get("owner")
        assert statement["Effect"] == ("Allow" if owner else "Deny")
        return owner

    def connect(self, connection_id: str, **changes: Any) -> str:
        self._websocket("connect", connection_id, **changes)
        return connection_id

    def disconnect(self, connection_id: str) -> None:
        self.connections.gone.add(connection_id)
        self._websocket("disconnect", connection_id)

    def send(self, connection_id: str, message: Json | str, **changes: Any) -> None:
        """Send a message on a connection; the answer is in `connections.received`."""
        text = message if isinstance(message, str) else json.dumps(message)
        self._websocket("subscribe", connection_id, body=text, **changes)

    def _websocket(
        self, name: str, connection_id: str, *, owner: str = "", status: int = 200, **changes: Any
    ) -> None:
        request = event(f"websocket_{name}") | changes
        if owner:
            request["requestContext"]["authorizer"] = {"owner": owner, "principalId": owner}
        self._requests += 1
        request["requestContext"] |= {
            "connectionId": connection_id,
            "requestId": f"request-{self._requests}",
        }
        assert websocket.handler(request, Context()) == {"statusCode": status}

    # --- invocations by AWS

    def work(self, seconds: float = 60) -> list[Json]:
        """Hand one batch of the queue to the worker; returns the failures that it reports."""
        messages = self.sqs.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            AttributeNames=["ApproximateReceiveCount"],
        ).get("Messages", [])
        if not messages:
            return []
        handles = {message["MessageId"]: message["ReceiptHandle"] for message in messages}
        answer = worker.handler(sqs_event("order", messages), Context(seconds))
        failures = answer["batchItemFailures"]
        for message_id in handles.keys() - {failure["itemIdentifier"] for failure in failures}:
            self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=handles[message_id])
        return [dict(failure) for failure in failures]

    def order_killed_in(self, call: str, **fields: Any) -> Json:
        """A new order whose worker was killed in this call of the network."""
        order_id = self.submit(**fields)["orderId"]
        with failing_network(call, SystemError("killed")):
            assert len(self.work()) == 1
        return self.read(order_id)

    def deliver_dead_letter(self, body: str) -> Json:
        """Hand a message to the dead-letter handler."""
        message = sqs_message(body, "dead")
        return dict(dead_letters.handler(sqs_event("dead_letter", [message]), Context()))

    def notify(self) -> list[str]:
        """Hand the notifier one batch of the webhook queue; returns the messages to be retried."""
        messages = self.sqs.receive_message(
            QueueUrl=settings.webhook_queue_url,
            MaxNumberOfMessages=10,
            AttributeNames=["ApproximateReceiveCount"],
        ).get("Messages", [])
        answer = notifier.handler(sqs_event("webhook", messages), Context()) if messages else {}
        failed = {failure["itemIdentifier"] for failure in answer.get("batchItemFailures", ())}
        for message in messages:
            if message["MessageId"] not in failed:
                self.sqs.delete_message(
                    QueueUrl=settings.webhook_queue_url, ReceiptHandle=message["ReceiptHandle"]
                )
        return sorted(failed)

    def sweep(self, context: Context | None = None) -> int:
        return int(sweeper.handler(event("schedule_sweep"), context or Context())["swept"])

    def stream(self) -> list[Json]:
        """The stream records since the last call, as Lambda delivers them."""
        written = self.table("orders").stream_shard.items
        unread = [record.to_json() for record in written[self._records_read :]]
        self._records_read = len(written)
        records: list[Json] = json.loads(json.dumps(unread, default=_as_lambda))
        for record in records:
            record["dynamodb"].pop("ApproximateCreationDateTime", None)
        return records

    def publish(self, records: list[Json] | None = None) -> None:
        records = self.stream() if records is None else records
        if records:
            publisher.handler({"Records": records}, Context())

    def work_until_empty(self) -> None:
        """Work and publish until the queue is empty."""
        for _ in range(20):
            self.publish()
            if not self.queued():
                return
            self.work()
        raise AssertionError("the queue is never empty")

    def item(self, order_id: str) -> Json:
        """The stored item of an order."""
        key = {"orderId": {"S": order_id}}
        return dict(self.dynamodb.get_item(TableName="orders", Key=key)["Item"])

    def table(self, name: str) -> Any:
        """Moto's own table, which a test can read and fill without a request."""
        from moto.dynamodb.models import dynamodb_backends

        return dynamodb_backends[ACCOUNT][REGION].tables[name]

    def queued(self) -> int:
        """Messages in the queue, visible or not."""
        from moto.sqs.models import sqs_backends

        queue = sqs_backends[ACCOUNT][REGION].queues["orders"]
        return int(
            queue.approximate_number_of_messages + queue.approximate_number_of_messages_delayed
        )


def create_tables(dynamodb: DynamoDBClient) -> None:
    """Create the tables of `tests.cloud`."""
    for name, table in tables().items():
        more: Any = {}
        if table.indexes:
            more["GlobalSecondaryIndexes"] = [
                {
                    "IndexName": index,
                    "KeySchema": _key_schema(keys),
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
                for index, keys in table.indexes.items()
            ]
        if table.streams:
            stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
            more["StreamSpecification"] = stream
        keys = {key for each in (table.keys, *table.indexes.values()) for key in each}
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in sorted(keys)],
            KeySchema=_key_schema(table.keys),
            **more,
        )


@contextmanager
def fresh_clients() -> Iterator[tuple[Any, Any]]:
    """Give the functions new DynamoDB and SQS clients for the block, instead of cached ones."""
    made = (clients.dynamodb, clients.sqs)
    for cached in made:
        cached.cache_clear()
    try:
        yield clients.dynamodb(), clients.sqs()
    finally:
        for cached in made:
            cached.cache_clear()


@contextmanager
def in_memory(cloud: C) -> Iterator[C]:
    """Let `cloud` answer the calls of the functions' DynamoDB and SQS clients."""
    with fresh_clients() as made:
        for client in made:
            serve(client, cloud)
        yield cloud


@cache
def aws_clients() -> tuple[DynamoDBClient, SQSClient]:
    """The tests' own clients, made once because this takes longer than most tests."""
    return boto3.client("dynamodb"), boto3.client("sqs")


def query_parameters(raw: str) -> dict[str, str]:
    """Query parameters as API Gateway passes them: commas join the values of a repeated name."""
    query: dict[str, str] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    return query


def _key_schema(keys: Key) -> Any:
    kinds = zip(keys, ("HASH", "RANGE"), strict=False)
    return [{"AttributeName": name, "KeyType": kind} for name, kind in kinds]


def _as_lambda(value: bytes | datetime) -> str:
    """A value as text, as in AWS's sample of a Lambda event with a stream record:

    https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-example.html
    """
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value.isoformat()
