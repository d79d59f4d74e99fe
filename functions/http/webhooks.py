"""Creates, lists, tests and deletes an owner's webhooks."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from functions import delivery
from functions.contract import iso
from functions.delivery import InvalidUrl
from functions.http.models import WebhookRequest
from functions.http.problems import Problem, bad_field
from functions.messages import NewWebhook, ProblemCode, Webhook
from functions.orders.ids import new_id
from functions.runtime import logger, now_ms, settings
from functions.store import notices, webhooks
from functions.store.webhooks import StoredWebhook

WEBHOOKS_MAX = 10


def create(owner: str, request: WebhookRequest) -> NewWebhook:
    """Store a new webhook; only this answer contains its secret.

    Raises a Problem: a URL that is not allowed, or too many webhooks.
    """
    try:
        delivery.check_url(request.url, loopback=settings.webhook_loopback_allowed)
    except InvalidUrl as error:
        raise bad_field("url", str(error)) from None
    if len(webhooks.of_owner(owner)) >= WEBHOOKS_MAX:
        detail = f"You have {WEBHOOKS_MAX} webhooks, which is the limit; delete one first."
        raise Problem(HTTPStatus.CONFLICT, ProblemCode.TOO_MANY_WEBHOOKS, detail)
    now = now_ms()
    webhook = StoredWebhook(
        new_id(now), request.url, frozenset(request.statuses), delivery.new_secret(), iso(now)
    )
    webhooks.create(owner, webhook)
    logger.info("webhook created", webhook_id=webhook.webhook_id)
    return NewWebhook(**dict(shown(webhook)), secret=webhook.secret)


def listed(owner: str) -> tuple[Webhook, ...]:
    """The owner's webhooks, oldest first."""
    return tuple(map(shown, webhooks.of_owner(owner)))


def delete(owner: str, webhook_id: UUID) -> None:
    """Delete a webhook; raises WebhookNotFound."""
    webhooks.delete(owner, str(webhook_id))
    logger.info("webhook deleted", webhook_id=str(webhook_id))


def try_out(owner: str, webhook_id: UUID, request_id: str) -> Webhook:
    """Queue a test message, which is sent once. Raises WebhookNotFound."""
    webhook = webhooks.load(owner, str(webhook_id))
    notices.send([notices.notice_of_test(owner, str(webhook_id), request_id, iso(now_ms()))])
    return shown(webhook)


def shown(webhook: StoredWebhook) -> Webhook:
    """The webhook as its owner reads it, without the secret."""
    return Webhook(
        webhook_id=webhook.webhook_id,
        url=webhook.url,
        statuses=tuple(sorted(webhook.statuses)),
        created_at=webhook.created_at,
        enabled=webhook.enabled,
        failing_since=webhook.failing_since,
        last_error=webhook.last_error,
    )
