"""The headers and the compression of every answer."""

from __future__ import annotations

from typing import Any

from functions.http.compression import compressed

# An answer may hold what belongs to one owner, so no cache keeps it unless its route says so.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def finished(answer: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """A proxy answer (payload 2.0) with the common headers and compressed; HEAD has no body."""
    answer = {**answer, "headers": {**HEADERS, **answer["headers"]}}
    answer = compressed(answer, event.get("headers", {}))
    if event["requestContext"]["http"]["method"] == "HEAD":
        return {**answer, "body": "", "isBase64Encoded": False}
    return answer
