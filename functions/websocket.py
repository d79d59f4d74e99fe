"""WebSocket API: opens and closes connections, and answers their messages."""

from __future__ import annotations

import json
from typing import Annotated, Any, get_args

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import Field, TypeAdapter, ValidationError

from functions import contract, telemetry
from functions.messages import (
    ErrorCode,
    ErrorDetails,
    ErrorFrame,
    Ping,
    Pong,
    Subscribe,
    Subscribed,
    ToServer,
    Unsubscribe,
    Unsubscribed,
)
from functions.orders.order import UPDATES_MAX, Model
from functions.push import push_json
from functions.runtime import logger, now_ms, sleep
from functions.store import connections, orders

# No update is missed after the answer to "*": the publisher no longer uses a look-up that began
# before the subscription was stored. The margin is for clocks that run at different rates.
ANSWER_AFTER_SECONDS = connections.LOOKUP_SECONDS + 0.5

MESSAGE: TypeAdapter[ToServer] = TypeAdapter(Annotated[ToServer, Field(discriminator="action")])
MESSAGE_CHARACTERS_MAX = 4096
_ACTIONS = [get_args(each.model_fields["action"].annotation)[0] for each in get_args(ToServer)]


class Refused(Exception):
    """The message is answered with an error, and the connection stays open."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@telemetry.with_telemetry
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, int]:
    """Handle one event of a connection; events/websocket_*.json show the shapes.

    An unexpected failure is logged with the request's id and answered as `INTERNAL` with the same
    id; a failed $connect is answered by its status alone, because there is no connection yet.
    """
    request = event["requestContext"]
    connection_id, request_id = request["connectionId"], request["requestId"]
    owner: str | None = (request.get("authorizer") or {}).get("owner")
    if not owner:
        return {"statusCode": 401}
    logger.append_keys(owner=owner, connection_id=connection_id)
    status = 200
    try:
        # By the event's type, not its route: a message with the action "$connect" has that route.
        match request["eventType"]:
            case "CONNECT":
                status = _connect(owner, connection_id)
            case "DISCONNECT":
                connections.disconnect(owner, connection_id)
            case _:
                status = _receive(owner, connection_id, event.get("body"), request_id)
    except Exception:  # noqa: BLE001 - a client must never be sent an exception
        logger.exception("connection event failed", request_id=request_id)
        status = 500
    return {"statusCode": status}


def _connect(owner: str, connection_id: str) -> int:
    now = now_ms()
    if len(connections.open_connections(owner, now)) >= connections.MAX_CONNECTIONS:
        logger.warning("too many connections")
        return 429
    connections.connect(owner, connection_id, now)
    return 200


def _receive(owner: str, connection_id: str, body: str | None, request_id: str) -> int:
    status: int = 200
    answer: Model | None = None
    try:
        answer = _answer(owner, connection_id, body or "", request_id)
    except Refused as refused:
        answer = _error(refused.code, str(refused), request_id)
    except connections.ConnectionGone:
        pass
    except Exception:  # noqa: BLE001 - it is answered and logged
        logger.exception("message failed", request_id=request_id)
        answer = _error(ErrorCode.INTERNAL, "The message failed; send it again.", request_id)
        status = 500  # the client does not see the status, but API Gateway's metrics count it
    if answer:
        push_json(connection_id, answer.model_dump(mode="json", by_alias=True))
    return status


def _error(code: ErrorCode, message: str, request_id: str) -> ErrorFrame:
    return ErrorFrame(error=ErrorDetails(code=code, message=message, request_id=request_id))


def _answer(owner: str, connection_id: str, body: str, request_id: str) -> Model | None:
    message = _parse(body)
    match message:
        case Ping():
            return Pong()
        case Subscribe(order_id=contract.EVERY_ORDER):
            connections.follow_all(owner, connection_id)
            sleep(ANSWER_AFTER_SECONDS)
            return Subscribed()
        case Unsubscribe(order_id=contract.EVERY_ORDER):
            connections.unfollow_all(owner, connection_id)
            return Unsubscribed(order_id=contract.EVERY_ORDER)
        case Unsubscribe():
            orders.unfollow(str(message.order_id), connection_id)
            return Unsubscribed(order_id=str(message.order_id))
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
        raise Refused(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.") from None
    except orders.TooManyFollowers:
        raise Refused(
            ErrorCode.TOO_MANY_FOLLOWERS,
            f"Order {order_id} has {orders.MAX_FOLLOWERS} followers, which is the limit.",
        ) from None
    logger.info("order followed", order_id=order_id, since_sequence=message.since_sequence)


def _parse(body: str) -> ToServer:
    if len(body) > MESSAGE_CHARACTERS_MAX:
        raise Refused(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"A message must have at most {MESSAGE_CHARACTERS_MAX} characters.",
        )
    try:
        data = json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise Refused(ErrorCode.INVALID_JSON, "A message must be a JSON object.") from None
    if not isinstance(data, dict):
        raise Refused(ErrorCode.INVALID_JSON, "A message must be a JSON object.")
    action = data.setdefault("action", "subscribe")
    if action not in _ACTIONS:
        raise Refused(ErrorCode.UNKNOWN_ACTION, f"action must be one of {', '.join(_ACTIONS)}.")
    try:
        return MESSAGE.validate_python(data)
    except ValidationError as error:
        raise Refused(ErrorCode.INVALID_MESSAGE, _rule(error)) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Refused(ErrorCode.INVALID_MESSAGE, f"{name} must occur only once.")
        found[name] = value
    return found


def _rule(error: ValidationError) -> str:
    """The first broken rule, after the name of its field."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    _action, field, *_ = first["loc"]
    match field:
        case "orderId":
            return 'orderId must be the UUID of an order, or "*" for every order.'
        case "sinceSequence":
            return f"sinceSequence must be a whole number from 0 to {UPDATES_MAX}."
    return f"{field} is not a field of this message."
