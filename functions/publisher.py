"""Orders stream: pushes each stored update to its followers, and queues it for webhooks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from functions import runtime, telemetry
from functions.contract import CONNECTION_SECONDS_MAX, WATCHED_PAIRS_ID, Metric, unix_ms
from functions.orders.stored import entries
from functions.push import close, push
from functions.runtime import logger, monotonic, now_ms
from functions.store import connections, notices, orders
from functions.store.notices import Notice
from functions.store.webhooks import ID_PREFIX

LOOKUPS_MAX = 10_000


class LookUp(NamedTuple):
    """The followers of every order of one owner, and when the look-up began.

    `found` is as `connections.followers_of_all` returns it.
    """

    found: dict[str, frozenset[str]]
    began_ms: int  # Unix time
    began_seconds: float  # on the monotonic clock

    def is_fresh(self, now_ms: int, seconds: float) -> bool:
        """Whether it is younger than `LOOKUP_SECONDS` by both clocks.

        The wall clock can be set back, and the monotonic clock can stand still while Lambda
        freezes the environment; either alone could make an old look-up seem young.
        """
        within = connections.LOOKUP_SECONDS
        return 0 <= now_ms - self.began_ms < within * 1000 and seconds - self.began_seconds < within


look_ups: dict[str, LookUp] = {}


class OutOfTime(Exception):
    """A connection has not taken its part of a batch within its time."""


class Change(NamedTuple):
    """One write to an order: all its updates, and how many of them were there before."""

    owner: str
    order_id: str
    updates: list[str]
    known: int
    # For each follower, the number of first updates to skip.
    skips: dict[str, int]


class Message(NamedTuple):
    """One update of one order for one connection; live if this write stored it, else a replay."""

    owner: str
    order_id: str
    connection_id: str
    text: str
    live: bool


@telemetry.with_telemetry
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Push a batch of stream records: connections concurrently, the messages of each in order.

    If a push fails, the connection is closed, so that its client reconnects and resumes, and no
    other connection waits for it. The batch fails only if the endpoint, DynamoDB or SQS fails,
    never because of one record or one connection. Lambda retries a failed batch for as long as the
    stream keeps it. Clients ignore sequences that they have already received.
    """
    queues: dict[str, list[Message]] = defaultdict(list)
    noted: list[Notice] = []
    for record in event["Records"]:
        change = _read(record)
        if change is not None:
            for message in _messages(change):
                queues[message.connection_id].append(message)
            noted += _notices(change)
    for lags_ms, gone in _deliver_all(list(queues.values()), noted):
        for lag_ms in lags_ms:
            telemetry.time(Metric.PUSH_LAG, lag_ms)
        if gone:
            telemetry.count(Metric.CONNECTIONS_GONE)


def _read(record: dict[str, Any]) -> Change | None:
    """The change that a stream record describes; None if it is of no order or is unreadable."""
    try:
        return _change(record["dynamodb"])
    except Exception:  # noqa: BLE001 - any unreadable record
        # A retry would fail in the same way, and every order of the shard would wait for it.
        logger.exception("stream record set aside", event_id=record.get("eventID"))
        return None


def _change(write: dict[str, Any]) -> Change | None:
    new = write.get("NewImage")
    # The item of an order was deleted after its expiry, or it is the item of the watched pairs.
    if new is None or new["orderId"]["S"] == WATCHED_PAIRS_ID:
        return None
    old = write.get("OldImage", {})
    updates = [each.text for each in entries(new)]
    known = len(old.get("updates", {}).get("L", ()))
    known_followers = old.get("followers", {}).get("M", {})
    skips = {
        # Sequences start at 1 without a gap, so `since` is also the number of updates to skip.
        connection_id: known
        if known_followers.get(connection_id) == follower
        else int(follower["M"]["since"]["N"])
        for connection_id, follower in new.get("followers", {}).get("M", {}).items()
    }
    owner, order_id = new["owner"]["S"], new["orderId"]["S"]
    return Change(owner, order_id, updates, known, skips)


def _messages(change: Change) -> Iterator[Message]:
    """The messages for the order's followers and for its owner's followers of every order."""

    def to(connection_id: str, skip: int) -> Iterator[Message]:
        return (
            Message(change.owner, change.order_id, connection_id, text, number >= change.known)
            for number, text in enumerate(change.updates[skip:], start=skip)
        )

    for connection_id, skip in change.skips.items():
        yield from to(connection_id, skip)
    if change.known < len(change.updates):
        for connection_id in _followers_of_all(change.owner):
            if connection_id not in change.skips and not connection_id.startswith(ID_PREFIX):
                yield from to(connection_id, change.known)


def _notices(change: Change) -> Iterator[Notice]:
    """A notice of each new update for each webhook of the owner that wants its status."""
    if change.known == len(change.updates):
        return
    for follower, statuses in _followers_of_all(change.owner).items():
        if follower.startswith(ID_PREFIX):
            for text in change.updates[change.known :]:
                if not statuses or json.loads(text)["status"] in statuses:
                    webhook_id = follower.removeprefix(ID_PREFIX)
                    yield notices.notice_of_update(change.owner, webhook_id, text)


def _followers_of_all(owner: str) -> dict[str, frozenset[str]]:
    """The followers of every order of the owner; a look-up serves several batches.

    The WebSocket function answers a new follower only when every look-up that began before its
    subscription is too old to be used.
    """
    now, seconds = now_ms(), monotonic()
    known = look_ups.get(owner)
    if known is None or not known.is_fresh(now, seconds):
        if len(look_ups) >= LOOKUPS_MAX:
            look_ups.clear()
        known = look_ups[owner] = LookUp(connections.followers_of_all(owner), now, seconds)
    return known.found


def _deliver_all(queues: list[list[Message]], noted: list[Notice]) -> list[tuple[list[int], bool]]:
    """Push and queue concurrently, so that neither waits for the other."""
    if len(queues) == 1 and not noted:  # a thread would cost as much as the push
        return [_deliver(*queues)]
    pushes = [partial(_deliver, messages) for messages in queues]
    return runtime.at_once([*pushes, partial(_queue, noted)] if noted else pushes)


def _queue(noted: list[Notice]) -> tuple[list[int], bool]:
    notices.send(noted)
    return [], False


def _deliver(messages: list[Message]) -> tuple[list[int], bool]:
    """Push one connection's messages; the lag (ms) of each live one, and whether it is gone."""
    connection_id = messages[0].connection_id
    give_up_at = monotonic() + CONNECTION_SECONDS_MAX
    lags_ms: list[int] = []
    for message in messages:
        logger.thread_safe_append_keys(
            connection_id=connection_id, order_id=message.order_id, owner=message.owner
        )
        try:
            if monotonic() > give_up_at:
                raise OutOfTime
            if not push(connection_id, message.text):
                logger.info("connection gone")
                _remove_connection(messages)
                return lags_ms, True
            logger.debug("update pushed")
            if message.live:
                lags_ms.append(now_ms() - unix_ms(json.loads(message.text)["timestamp"]))
        except Exception:  # noqa: BLE001 - after any failure the client reconnects and resumes
            logger.exception("connection closed")
            # If closing fails as well, the endpoint is at fault, and the batch fails.
            close(connection_id)
            _remove_connection(messages)
            return lags_ms, True
    return lags_ms, False


def _remove_connection(messages: list[Message]) -> None:
    gone = messages[0]
    try:
        connections.disconnect(gone.owner, gone.connection_id)
        for order_id in {message.order_id for message in messages}:
            orders.unfollow(order_id, gone.connection_id)
    except (BotoCoreError, ClientError):
        # The next push to the connection will find it gone as well.
        logger.exception("gone connection not forgotten")
