"""The headers and the compression of every answer.

The API uses no cookies, so a page of another site cannot make a browser request an answer and
learn a secret from its compressed size.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from typing import Any

# An answer may contain data of one owner, so no cache may store it unless its route allows that.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
# Below this size, gzip's header and Base64 add about as much as the compression saves.
BYTES_MIN = 1000


def finished(answer: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """A proxy answer (payload format 2.0) with the common headers, and compressed.

    The answer to HEAD has no body.
    """
    answer = {**answer, "headers": {**HEADERS, **answer["headers"]}}
    answer = _compressed(answer, event.get("headers", {}))
    if event["requestContext"]["http"]["method"] == "HEAD":
        return {**answer, "body": "", "isBase64Encoded": False}
    return answer


def _compressed(answer: dict[str, Any], request_headers: Mapping[str, str]) -> dict[str, Any]:
    """The answer, gzipped if that is accepted and saves bytes.

    API Gateway decodes a body that is marked as base64 and sends its bytes:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    body = answer.get("body") or ""
    if answer.get("isBase64Encoded") or len(body) < BYTES_MIN:
        return answer
    headers = {**answer["headers"], "Vary": "Accept-Encoding"}
    if not _accepts_gzip(request_headers.get("accept-encoding", "")):
        return {**answer, "headers": headers}
    packed = gzip.compress(body.encode(), compresslevel=6, mtime=0)
    return {
        **answer,
        "headers": {**headers, "Content-Encoding": "gzip"},
        "body": base64.b64encode(packed).decode(),
        "isBase64Encoded": True,
    }


def _accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header (RFC 9110) names gzip with a weight other than 0."""
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return weight.strip().removeprefix("q=").strip("0.") != "" or not weight
    return False
