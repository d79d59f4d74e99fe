"""The AsyncAPI document of the WebSocket API."""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from pydantic.json_schema import models_json_schema

from functions.contract import API_KEY
from functions.messages import (
    ErrorFrame,
    GatewayFrame,
    Ping,
    Pong,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
)
from functions.orders.order import Model, Update

_ORDER_ID = "0a4b1c2d-3e4f-5a6b-8c7d-9e0f1a2b3c4d"
# By a message's name: its model, and examples that the function accepts or sends.
TO_SERVER: dict[str, tuple[type[Model], list[dict[str, Any]]]] = {
    "subscribe": (
        Subscribe,
        [
            {"action": "subscribe", "orderId": "*"},
            {"action": "subscribe", "orderId": _ORDER_ID, "sinceSequence": 2},
        ],
    ),
    "unsubscribe": (Unsubscribe, [{"action": "unsubscribe", "orderId": "*"}]),
    "ping": (Ping, [{"action": "ping"}]),
}
FROM_SERVER: dict[str, tuple[type[Model], list[dict[str, Any]]]] = {
    "update": (
        Update,
        [
            {
                "orderId": _ORDER_ID,
                "sequence": 5,
                "status": "confirmed",
                "timestamp": "2026-01-31T12:00:02.500Z",
                "txHash": "5VERYLongSignature",
                "outAmount": "230.44",
                "executedPrice": "153.62",
            }
        ],
    ),
    "subscribed": (Subscribed, [{"type": "subscribed", "orderId": "*"}]),
    "unsubscribed": (Unsubscribed, [{"type": "unsubscribed", "orderId": "*"}]),
    "pong": (Pong, [{"type": "pong"}]),
    "error": (
        ErrorFrame,
        [
            {
                "error": {
                    "code": "ORDER_NOT_FOUND",
                    "message": f"There is no order {_ORDER_ID}.",
                    "requestId": "L0SM9cOFvHcCIhw=",
                }
            }
        ],
    ),
    "gatewayError": (
        GatewayFrame,
        [
            {
                "message": "Internal server error",
                "connectionId": "L0SM9cOFvHcCIhw=",
                "requestId": "L0SM9",
            }
        ],
    ),
}
# The possible answers to each message to the server.
ANSWERS = {
    "subscribe": ("update", "subscribed", "error", "gatewayError"),
    "unsubscribe": ("unsubscribed", "error", "gatewayError"),
    "ping": ("pong", "error", "gatewayError"),
}
_CHANNEL = {"$ref": "#/channels/connection"}


@cache
def document(version: str, web_socket_url: str) -> str:
    """The AsyncAPI 3.0 document of the API at this URL, as JSON."""
    messages = {**TO_SERVER, **FROM_SERVER}
    models = [(model, "validation") for model, _ in messages.values()]
    _, schemas = models_json_schema(
        models,  # type: ignore[arg-type]
        ref_template="#/components/schemas/{model}",
    )
    url = urlsplit(web_socket_url)
    described: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Order execution engine: live updates",
            "version": version,
            "description": (
                "Subscribe to one order, which replays its updates and then pushes each new one,"
                ' or to every order ("*"). An update can arrive again: ignore sequences that you'
                " have received, and subscribe again with the last sequence if one is missing."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "live": {
                "host": url.netloc,
                "pathname": url.path or "/",
                "protocol": url.scheme,
                "security": [
                    {"$ref": "#/components/securitySchemes/apiKey"},
                    {"$ref": "#/components/securitySchemes/ticket"},
                ],
            }
        },
        "channels": {
            "connection": {
                "address": "/",
                "description": "One connection; its messages are handled concurrently.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            **{name: _received(name) for name in TO_SERVER},
            "push": {
                "action": "send",
                "channel": _CHANNEL,
                "summary": "Every new update of the subscribed orders",
                "messages": [_in_channel("update")],
            },
        },
        "components": {
            "messages": {
                name: {
                    "summary": (model.__doc__ or "").splitlines()[0],
                    "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
                    "examples": [{"payload": example} for example in examples],
                }
                for name, (model, examples) in messages.items()
            },
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": f"an API key: {API_KEY.form}",
                },
                "ticket": {
                    "type": "httpApiKey",
                    "name": "ticket",
                    "in": "query",
                    "description": "for browsers: from POST /api/tickets, valid once, for a minute",
                },
            },
        },
    }
    return json.dumps(described, separators=(",", ":"))


def _in_channel(name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/connection/messages/{name}"}


def _received(name: str) -> dict[str, Any]:
    model, _ = TO_SERVER[name]
    return {
        "action": "receive",
        "channel": _CHANNEL,
        "summary": (model.__doc__ or "").splitlines()[0],
        "messages": [_in_channel(name)],
        "reply": {
            "channel": _CHANNEL,
            "messages": [_in_channel(answer) for answer in ANSWERS[name]],
        },
    }
