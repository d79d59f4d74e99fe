"""The webhook queue: one message for each update and each webhook that receives it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from functions.contract import SEND_BATCH_MAX
from functions.runtime import settings
from functions.store import clients


class NoticesRefused(Exception):
    """SQS has not taken all messages of a batch."""


class Notice(NamedTuple):
    """A message to a webhook; a repeated one has the same id and payload (JSON)."""

    owner: str
    webhook_id: str
    message_id: str
    payload: str
    test: bool = False


def notice_of_update(owner: str, webhook_id: str, update_text: str) -> Notice:
    """The notice of one stored update (JSON)."""
    update = json.loads(update_text)
    payload = {
        "type": f"order.{update['status']}",
        "timestamp": update["timestamp"],
        "data": update,
    }
    message_id = f"msg_{webhook_id}_{update['orderId']}_{update['sequence']}"
    return Notice(owner, webhook_id, message_id, json.dumps(payload, separators=(",", ":")))


def notice_of_test(owner: str, webhook_id: str, request_id: str, timestamp: str) -> Notice:
    """The notice that tests a webhook."""
    payload = {"type": "webhook.test", "timestamp": timestamp, "data": {"webhookId": webhook_id}}
    text = json.dumps(payload, separators=(",", ":"))
    return Notice(owner, webhook_id, f"msg_{webhook_id}_test_{request_id}", text, test=True)


def send(notices: Sequence[Notice]) -> None:
    """Queue notices; raises NoticesRefused. A retry is safe: receivers ignore repeated ids."""
    for start in range(0, len(notices), SEND_BATCH_MAX):
        answer = clients.sqs().send_message_batch(
            QueueUrl=settings.webhook_queue_url,
            Entries=[
                {"Id": str(number), "MessageBody": json.dumps(notice._asdict())}
                for number, notice in enumerate(notices[start : start + SEND_BATCH_MAX])
            ],
        )
        if failed := answer.get("Failed"):
            raise NoticesRefused(failed[0].get("Code", ""))


def notice_of(message_body: str) -> Notice:
    """The notice in a message; raises ValueError, KeyError or TypeError for other text."""
    fields = json.loads(message_body)
    return Notice(**{name: fields[name] for name in Notice._fields})


def hide(receipt_handle: str, seconds: int) -> None:
    """Hide a received message for this long, after which SQS delivers it again."""
    clients.sqs().change_message_visibility(
        QueueUrl=settings.webhook_queue_url,
        ReceiptHandle=receipt_handle,
        VisibilityTimeout=seconds,
    )
