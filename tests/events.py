"""The real events in events/, for tests that invoke a function."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).parents[1] / "events"
Json = dict[str, Any]
_text = cache(lambda name: (EVENTS / f"{name}.json").read_text())


def event(name: str) -> Json:
    """A copy of events/{name}.json."""
    loaded: Json = json.loads(_text(name))
    return loaded


def sqs_message(body: str, message_id: str = "message", receives: int = 1) -> Json:
    """A message as SQS answers ReceiveMessage; its receipt handle is its id."""
    return {
        "MessageId": message_id,
        "ReceiptHandle": message_id,
        "Body": body,
        "Attributes": {"ApproximateReceiveCount": str(receives)},
    }


def sqs_event(name: str, messages: Iterable[Mapping[str, Any]]) -> Json:
    """events/sqs_{name}.json with a record for each message that SQS answered."""
    loaded = event(f"sqs_{name}")
    (record,) = loaded["Records"]
    loaded["Records"] = [
        record
        | {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": record["attributes"] | message["Attributes"],
        }
        for message in messages
    ]
    return loaded
