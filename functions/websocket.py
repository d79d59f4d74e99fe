"""WebSocket API: connect, disconnect, and the messages of a connection: subscribe, ping."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Literal
from uuid import UUID

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from functions import telemetry
from functions.orders.order import Model
from functions.push import push_json
from functions.runtime import logger, now_ms
from functions.store import connections, orders


class _Message(Model):
    model_config = ConfigDict(extra="forbid")


class Subscribe(_Message):
    """Follow one order from `sinceSequence` on, or every order ("*") from now on."""

    action: Literal["subscribe"] = "subscribe"
    order_id: UUID | Literal["*"]
    since_sequence: int = Field(default=0, ge=0, strict=True)


class Unsubscribe(_Message):
    """Follow one order, or all, no longer."""

    action: Literal["unsubscribe"]
    order_id: UUID | Literal["*"]


class Ping(_Message):
    """Ask for a pong."""

    action: Literal["ping"]


_MESSAGE: TypeAdapter[Subscribe | Unsubscribe | Ping] = TypeAdapter(
    Annotated[Subscribe | Unsubscribe | Ping, Field(discriminator="action")]
)
MESSAGE_CHARACTERS_MAX = 4096
_ACTIONS = ("subscribe", "unsubscribe", "ping")


class Refused(Exception):
    """A message that is answered with an error; the connection stays."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = {"error": {"code": code, "message": message}}


@telemetry.observed
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, int]:
    """One event of a connection; see events/websocket_*.json for its shapes."""
    request = event["requestContext"]
    connection_id: str = request["connectionId"]
    owner: str | None = (request.get("authorizer") or {}).get("owner")
    if not owner:
        return {"statusCode": 401}
    logger.append_keys(owner=owner, connection_id=connection_id)
    # Not by the route: a message of the action "$connect" may reach that of $connect.
    match request["eventType"]:
        case "CONNECT":
            if connections.connection_count(owner) >= connections.MAX_CONNECTIONS:
                logger.warning("too many connections")
                return {"statusCode": 429}
            connections.connect(owner, connection_id, now_ms())
        case "DISCONNECT":
            connections.disconnect(owner, connection_id)
        case _:
            try:
                answer = _answer(owner, connection_id, event.get("body"), request["requestId"])
            except Refused as refused:
                answer = refused.answer
            except connections.ConnectionGone:
                answer = None
            if answer:
                push_json(connection_id, answer)
    return {"statusCode": 200}


def _answer(
    owner: str, connection_id: str, body: str | None, request_id: str
) -> dict[str, Any] | None:
    message = _parse(body or "")
    match message:
        case Ping():
            return {"type": "pong"}
        case Subscribe(order_id="*"):
            connections.follow_all(owner, connection_id)
            # From the answer on nothing is missed: no look-up made before it is still in use.
            time.sleep(connections.LOOKUP_SECONDS)
            return {"type": "subscribed", "orderId": "*"}
        case Unsubscribe(order_id="*"):
            connections.unfollow_all(owner, connection_id)
            return {"type": "unsubscribed", "orderId": "*"}
        case Unsubscribe():
            orders.unfollow(str(message.order_id), connection_id)
            return {"type": "unsubscribed", "orderId": str(message.order_id)}
        case Subscribe():
            _subscribe(owner, connection_id, message, request_id)
    return None  # the replay is the answer


def _subscribe(owner: str, connection_id: str, message: Subscribe, request_id: str) -> None:
    order_id = str(message.order_id)
    try:
        orders.follow(
            owner,
            connection_id,
            order_id,
            since_sequence=message.since_sequence,
            request_id=request_id,
            open_connections=lambda: connections.open_connections(owner, now_ms()),
        )
    except orders.OrderNotFound:
        raise Refused("ORDER_NOT_FOUND", f"There is no order {order_id}.") from None
    except orders.TooManyFollowers:
        raise Refused(
            "TOO_MANY_FOLLOWERS",
            f"Order {order_id} has {orders.MAX_FOLLOWERS} followers; it can have no more.",
        ) from None
    logger.info("order followed", order_id=order_id, since_sequence=message.since_sequence)


def _parse(body: str) -> Subscribe | Unsubscribe | Ping:
    if len(body) > MESSAGE_CHARACTERS_MAX:
        raise Refused(
            "MESSAGE_TOO_LARGE", f"A message may have at most {MESSAGE_CHARACTERS_MAX} characters."
        )
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("INVALID_JSON", "A message must be a JSON object.") from None
    if not isinstance(data, dict):
        raise Refused("INVALID_JSON", "A message must be a JSON object.")
    action = data.setdefault("action", "subscribe")
    if action not in _ACTIONS:
        raise Refused("UNKNOWN_ACTION", f"action must be one of {', '.join(_ACTIONS)}.")
    try:
        return _MESSAGE.validate_python(data)
    except ValidationError as error:
        raise Refused("INVALID_MESSAGE", _rule(error)) from None


def _rule(error: ValidationError) -> str:
    """The first broken rule, after the name of its field."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = next((str(part) for part in first["loc"] if part not in _ACTIONS), "message")
    if field == "orderId":
        return 'orderId must be the UUID of an order, or "*" for all of them.'
    return f"{field}: {first['msg']}."
