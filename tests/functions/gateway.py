"""The HTTP API's gateway in process: it authorizes a request, then calls the handler."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from urllib.parse import unquote_to_bytes

from functions import api, authorizer
from functions.contract import is_public
from tests.events import event
from tests.world import Context, query_parameters

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def gateway(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application with the authorization that infra/stack/apis.py declares."""
    request = _event(environ)
    path = request["rawPath"]
    if is_public(path):
        answer = api.handler(request, Context())
    elif "authorization" not in request["headers"]:
        message = '{"message":"Unauthorized"}'
        headers = {"Content-Type": "application/json"}
        answer = {"statusCode": 401, "headers": headers, "body": message}
    else:
        owner = _owner(request["headers"]["authorization"])
        request["requestContext"]["authorizer"] = {"lambda": {"owner": owner}}
        answer = api.handler(request, Context())
    headers = {name: str(value) for name, value in answer["headers"].items()}
    start_response(f"{int(answer['statusCode'])} -", list(headers.items()))
    body = answer["body"]
    return [base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()]


@cache
def _owner(authorization: str) -> str:
    """The owner that the authorizer found, cached as by the gateway."""
    request = event("authorizer_http") | {"headers": {"authorization": authorization}}
    answer = authorizer.handler(request, Context())
    assert answer["isAuthorized"] is True
    owner: str = answer["context"]["owner"]
    return owner


def _event(environ: Environ) -> dict[str, Any]:
    raw = environ.get("REQUEST_URI") or environ["PATH_INFO"].encode("latin-1").decode(
        "utf-8", "replace"
    )
    path = unquote_to_bytes(raw.partition("?")[0]).decode("utf-8", "replace")
    headers = {
        name[5:].replace("_", "-").lower(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    headers.pop("accept-encoding", None)  # this client asks for gzip but does not unpack it
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    request = event("http_list_tokens")
    del request["requestContext"]["authorizer"]
    request["requestContext"]["http"] |= {"method": environ["REQUEST_METHOD"], "path": path}
    return request | {
        "rawPath": path,
        "rawQueryString": environ.get("QUERY_STRING", ""),
        "queryStringParameters": query_parameters(environ.get("QUERY_STRING", "")),
        "headers": headers,
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }
