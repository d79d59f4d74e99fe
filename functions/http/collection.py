"""The collection for Postman and Bruno (format 2.1), made from the OpenAPI document."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
# By operation: the id that it creates. The other requests use the id that was created last.
_MADE = {"executeOrder": "orderId", "createWebhook": "webhookId"}

Json = dict[str, Any]


def base_url(event: Json) -> str:
    """The parameter `baseUrl`: where the client reaches this API. By default, the API's own URL."""
    asked = (event.get("queryStringParameters") or {}).get("baseUrl")
    return str(asked or f"https://{event['requestContext']['domainName']}")


def document(openapi: Json, base_url: str) -> str:
    """The collection of all operations of an OpenAPI document, at this base URL, as JSON."""
    folders: dict[str, list[Json]] = defaultdict(list)
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            folders[operation["tags"][0]] += _items(path, method, operation)
    return json.dumps(
        {
            "info": {
                "name": openapi["info"]["title"],
                "description": openapi["info"]["description"],
                "version": openapi["info"]["version"],
                "schema": SCHEMA,
            },
            "auth": {
                "type": "bearer",
                "bearer": [{"key": "token", "value": "{{apiKey}}", "type": "string"}],
            },
            "variable": [
                {"key": "baseUrl", "value": base_url.rstrip("/")},
                {"key": "apiKey", "value": ""},
                *({"key": name, "value": ""} for name in _MADE.values()),
            ],
            "item": [{"name": name, "item": items} for name, items in folders.items()],
        },
        separators=(",", ":"),
    )


def _items(path: str, method: str, operation: Json) -> list[Json]:
    """A request for each example of an operation's body, or one request if it has no examples."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = {name: example["value"] for name, example in body.get("examples", {}).items()}
    if len(examples) < 2:
        return [
            _item(
                operation["summary"], path, method, operation, next(iter(examples.values()), None)
            )
        ]
    return [
        _item(f"{operation['summary']}: {name}", path, method, operation, example)
        for name, example in examples.items()
    ]


def _item(name: str, path: str, method: str, operation: Json, body: Json | None) -> Json:
    segments = [part.replace("{", "{{").replace("}", "}}") for part in path.strip("/").split("/")]
    query = [
        {
            "key": parameter["name"],
            "value": str(parameter.get("example", "")),
            "description": parameter.get("description", ""),
            "disabled": not parameter.get("required", False),
        }
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    ]
    wanted = "&".join(f"{each['key']}={each['value']}" for each in query if not each["disabled"])
    raw = "/".join(("{{baseUrl}}", *segments)) + (f"?{wanted}" if wanted else "")
    request: Json = {
        "method": method.upper(),
        "description": operation.get("description", ""),
        "header": [],
        "url": {"raw": raw, "host": ["{{baseUrl}}"], "path": segments, "query": query},
    }
    if operation.get("security") == []:
        request["auth"] = {"type": "noauth"}
    if body is not None:
        request["header"] = [{"key": "Content-Type", "value": "application/json"}]
        request["body"] = {"mode": "raw", "raw": json.dumps(body, indent=2)}
    item: Json = {"name": name, "request": request, "response": []}
    if made := _MADE.get(operation["operationId"]):
        kept = [
            f"const made = pm.response.json().{made};",
            f'if (made) pm.collectionVariables.set("{made}", made);',
        ]
        item["event"] = [{"listen": "test", "script": {"type": "text/javascript", "exec": kept}}]
    return item
