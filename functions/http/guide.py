"""The page for language models (llms.txt), made from the documents and the codes."""

from __future__ import annotations

import json
from typing import Any

from functions.contract import API_KEY
from functions.http.asyncapi import FROM_SERVER, TO_SERVER
from functions.http.conditions import listed
from functions.messages import ErrorCode, ProblemCode
from functions.orders.failures import FAILURE_WORDS
from functions.orders.order import Status
from functions.simulation.network import VENUE_NAMES

_HEAD = """# Order execution engine

> Swaps tokens over {venues}. Orders are submitted by HTTPS and executed exactly
> once; every status is pushed by WebSocket. All requests except health and the documents need the
> header `Authorization: Bearer {key}`.

- A body is JSON in camelCase. Send amounts and prices as decimal text; times are ISO 8601 in UTC.
- Give each order an `Idempotency-Key` header of your own. After a lost answer, a 5xx or a 429 (wait
  `Retry-After` seconds) send the same request with the same key: it is executed once.
- An order ends as {terminal}. Follow it by WebSocket, or read it again.
- An error is `application/problem+json` with `code`, `detail` and `errors[].field`, `.rule`.
- URLs are relative to this page's folder. A Python client that does all this:
  `pip install "order-execution-engine[client] @ git+<the repository>"`.

## Documents

- [OpenAPI 3.1](openapi.json): the HTTP API
- [AsyncAPI 3](asyncapi.json): the WebSocket API
- [Postman collection](collection.json)
- [Interactive documentation](docs)

## HTTP
"""


def page(openapi: dict[str, Any]) -> str:
    """The page as Markdown."""
    terminal = ", ".join(status for status in Status if status.terminal)
    lines = [_HEAD.format(venues=listed(VENUE_NAMES), key=API_KEY.form, terminal=terminal)]
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            names = [
                each["name"] + ("" if each.get("required") else "?")
                for each in operation.get("parameters", [])
                if each["in"] == "query"
            ]
            query = f" ({', '.join(names)})" if names else ""
            lines.append(f"- `{method.upper()} {path}`{query}: {operation['summary']}")
    schema = openapi["components"]["schemas"]["OrderRequest"]
    fields = ", ".join(
        name + ("" if name in schema["required"] else "?") for name in schema["properties"]
    )
    lines += [
        "",
        f"The body of `POST /api/orders/execute`: {fields}. Examples:",
        "",
        *(f"- `{_compact(example)}`" for example in schema.get("examples", [])),
        "",
        f"Codes of problems: {', '.join(ProblemCode)}.",
        "",
        "Codes of failed orders:",
        "",
        *(f"- {code}: {words}" for code, words in FAILURE_WORDS.items()),
        "",
        "## WebSocket",
        "",
        "Open `webSocketUrl` (from `POST /api/tickets`) with the header `Authorization`, or with",
        "`?ticket=` in a browser. Send:",
        "",
        *_messages(TO_SERVER),
        "",
        "Receive:",
        "",
        *_messages(FROM_SERVER),
        "",
        "Updates of one order have the sequences 1, 2, 3 …; ignore those that you already have,",
        "and subscribe again with `sinceSequence` after a reconnection or if one is missing.",
        f"Codes of errors: {', '.join(ErrorCode)}.",
        "",
    ]
    return "\n".join(lines)


def _messages(messages: dict[str, Any]) -> list[str]:
    return [
        f"- `{_compact(example)}`: {(model.__doc__ or '').splitlines()[0]}"
        for model, examples in messages.values()
        for example in examples
    ]


def _compact(example: dict[str, Any]) -> str:
    return json.dumps(example, separators=(",", ":"))
