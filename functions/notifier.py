"""Webhook queue: delivers each update to the webhooks that want it, with retries for a day."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import delivery, runtime, telemetry
from functions.contract import WEBHOOK_RECEIVES_MAX, Metric, iso
from functions.delivery import Undeliverable
from functions.runtime import logger, now_ms, settings
from functions.store import notices, webhooks
from functions.store.notices import Notice
from functions.store.webhooks import StoredWebhook

# The time to connect and to read a slow answer; a delivery that takes longer has failed.
DELIVERY_SECONDS_MAX = 10
FIRST_RETRY_SECONDS, RETRY_SECONDS_MAX = 5, 3600
DISABLED_AFTER_MS = 24 * 3600 * 1000
GONE = 410  # by the specification, the receiver rejects all further messages


class Delivery(NamedTuple):
    """A record of the queue, its notice, and its webhook."""

    record: dict[str, Any]
    notice: Notice
    webhook: StoredWebhook


@telemetry.with_telemetry
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, list[dict[str, str]]]:
    """Deliver a batch concurrently; SQS redelivers a failed message after a growing delay."""
    due = [found for record in event["Records"] if (found := _delivery(record))]
    results = runtime.at_once([partial(_deliver, each) for each in due], DELIVERY_SECONDS_MAX)
    failed = [
        each.record["messageId"]
        for each, result in zip(due, results, strict=True)
        if not _store_result(each, result or "no answer in time")
    ]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _delivery(record: dict[str, Any]) -> Delivery | None:
    """The delivery of a record; None if it is malformed, or its webhook is deleted or disabled."""
    try:
        notice = notices.notice_of(record["body"])
        webhook = webhooks.load(notice.owner, notice.webhook_id)
    except webhooks.WebhookNotFound:
        return None
    except (ValueError, KeyError, TypeError):
        logger.exception("message set aside", message_id=record["messageId"])
        return None
    return Delivery(record, notice, webhook) if webhook.enabled or notice.test else None


def _deliver(delivery_: Delivery) -> int | str:
    """Make the request; returns the receiver's status, or the reason why there is none."""
    notice, webhook = delivery_.notice, delivery_.webhook
    body = notice.payload.encode()
    headers = delivery.headers(webhook.secret, notice.message_id, now_ms(), body)
    allowed = settings.webhook_loopback_allowed
    try:
        return delivery.post(webhook.url, body, headers, loopback=allowed)
    except Undeliverable as reason:
        return str(reason)


def _store_result(delivery_: Delivery, result: int | str) -> bool:
    """Store the result of a delivery; False if it must be retried."""
    notice, webhook = delivery_.notice, delivery_.webhook
    logger.append_keys(
        owner=notice.owner, webhook_id=webhook.webhook_id, message_id=notice.message_id
    )
    if isinstance(result, int) and 200 <= result < 300:
        webhooks.delivery_succeeded(notice.owner, webhook)
        telemetry.count(Metric.WEBHOOKS_DELIVERED)
        logger.debug("webhook delivered")
        return True
    reason = result if isinstance(result, str) else f"the receiver answered {result}"
    logger.warning("webhook not delivered", reason=reason)
    telemetry.count(Metric.WEBHOOKS_FAILED)
    since = webhooks.delivery_failed(notice.owner, webhook.webhook_id, reason, now_ms())
    if since is None:
        return True
    if result == GONE or since <= iso(now_ms() - DISABLED_AFTER_MS):
        webhooks.disable(notice.owner, webhook.webhook_id)
        logger.error("webhook disabled", failing_since=since)
        return True
    if notice.test:  # a test is not retried: the owner waits for its result
        return True
    received = int(delivery_.record["attributes"]["ApproximateReceiveCount"])
    notices.hide(delivery_.record["receiptHandle"], retry_seconds(received))
    return False


def retry_seconds(received: int) -> int:
    """The wait in seconds after this many receives of a message: it doubles, up to an hour.

    `WEBHOOK_RECEIVES_MAX` receives take about a day in total.
    """
    return min(FIRST_RETRY_SECONDS << min(received - 1, WEBHOOK_RECEIVES_MAX), RETRY_SECONDS_MAX)
