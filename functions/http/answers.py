"""The headers and the compression of every answer."""

from __future__ import annotations

from typing import Any

from functions.http.compression import compressed

# An answer may contain data of one owner, so no cache may store it unless its route allows that.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def finished(answer: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """A proxy answer (payload format 2.0), compressed and with the common headers.

    The answer to HEAD has no body.
    """
    answer = {**answer, "headers": {**HEADERS, **answer["headers"]}}
    answer = compressed(answer, event.get("headers", {}))
    if event["requestContext"]["http"]["method"] == "HEAD":
        return {**answer, "body": "", "isBase64Encoded": False}
    return answer
