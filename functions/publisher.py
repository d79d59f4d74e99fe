"""Orders stream -> WebSocket: pushes each stored update to all who follow its order."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from functions import telemetry
from functions.contract import CONNECTION_SECONDS_MAX, Metric, unix_ms
from functions.push import CONNECTIONS_AT_ONCE, close, push
from functions.runtime import logger, now_ms
from functions.store import connections, orders

LOOKUPS_MAX = 10_000

_lookups: dict[str, tuple[int, list[str]]] = {}
_pool = ThreadPoolExecutor(CONNECTIONS_AT_ONCE)


class OutOfTime(Exception):
    """A connection has not taken its part of a batch in its time."""


class Change(NamedTuple):
    """One write to an order: its updates, how many were there before, and who gets which."""

    owner: str
    order_id: str
    updates: list[str]
    known: int
    # How many updates each follower is to go without.
    skips: dict[str, int]


class Message(NamedTuple):
    """One update of one order, for one connection; live if its write is what brings it."""

    owner: str
    order_id: str
    connection_id: str
    text: str
    live: bool


@telemetry.observed
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Push a batch of stream records: each connection's messages in order, connections at once.

    A connection that does not take its messages is closed, so that its client comes back and
    resumes, and nobody waits for it. What fails for any other cause fails the batch, which the
    event source mapping sends again; a client ignores the sequences that it has seen.
    """
    queues: dict[str, list[Message]] = defaultdict(list)
    for record in event["Records"]:
        change = _read(record)
        if change is not None:
            for message in _messages(change):
                queues[message.connection_id].append(message)
    for lags_ms, gone in _deliver_all(list(queues.values())):
        for lag_ms in lags_ms:
            telemetry.time(Metric.PUSH_LAG, lag_ms)
        if gone:
            telemetry.count(Metric.CONNECTIONS_GONE)


def _read(record: dict[str, Any]) -> Change | None:
    """What a stream record tells; None if that is no update, or nothing that could be read."""
    try:
        return _change(record["dynamodb"])
    except (AttributeError, KeyError, TypeError, ValueError):
        # It will not get better, and every order of its shard would wait for it.
        logger.exception("stream record set aside", event_id=record.get("eventID"))
        return None


def _change(write: dict[str, Any]) -> Change | None:
    new = write.get("NewImage")
    if new is None:  # the order's item has expired
        return None
    old = write.get("OldImage", {})
    updates = [update["S"] for update in new["updates"]["L"]]
    known = len(old.get("updates", {}).get("L", ()))
    known_followers = old.get("followers", {}).get("M", {})
    skips = {
        # Sequences begin at 1 without a gap, so `since` is also how many updates to leave out.
        connection_id: known
        if known_followers.get(connection_id) == follower
        else int(follower["M"]["since"]["N"])
        for connection_id, follower in new.get("followers", {}).get("M", {}).items()
    }
    owner, order_id = new["owner"]["S"], new["orderId"]["S"]
    return Change(owner, order_id, updates, known, skips)


def _messages(change: Change) -> Iterator[Message]:
    """What one write gives the order's followers, and its owner's followers of everything."""

    def to(connection_id: str, skip: int) -> Iterator[Message]:
        return (
            Message(change.owner, change.order_id, connection_id, text, number >= change.known)
            for number, text in enumerate(change.updates[skip:], start=skip)
        )

    for connection_id, skip in change.skips.items():
        yield from to(connection_id, skip)
    if change.known < len(change.updates):
        for connection_id in _followers_of_all(change.owner):
            if connection_id not in change.skips:
                yield from to(connection_id, change.known)


def _followers_of_all(owner: str) -> list[str]:
    """Who follows every order of the owner; a look-up serves a while, across batches.

    One who begins to follow all is told so only when every look-up before that has lapsed.
    """
    now = now_ms()
    looked_up_at, found = _lookups.get(owner, (0, []))
    if not 0 <= now - looked_up_at < connections.LOOKUP_SECONDS * 1000:
        found = connections.followers_of_all(owner)
        if len(_lookups) >= LOOKUPS_MAX:
            _lookups.clear()
        _lookups[owner] = now, found
    return found


def _deliver_all(queues: list[list[Message]]) -> list[tuple[list[int], bool]]:
    if len(queues) == 1:  # a thread would cost as much as the push
        return [_deliver(*queues)]
    deliveries = [_pool.submit(_deliver, messages) for messages in queues]
    wait(deliveries)
    return [delivery.result() for delivery in deliveries]


def _deliver(messages: list[Message]) -> tuple[list[int], bool]:
    """Push one connection's messages: how late (ms) each live one was, and whether it is gone."""
    connection_id = messages[0].connection_id
    give_up_at = time.monotonic() + CONNECTION_SECONDS_MAX
    lags_ms: list[int] = []
    for message in messages:
        logger.thread_safe_append_keys(
            connection_id=connection_id, order_id=message.order_id, owner=message.owner
        )
        try:
            if time.monotonic() > give_up_at:
                raise OutOfTime
            if not push(connection_id, message.text):
                logger.info("connection gone")
                _forget(messages)
                return lags_ms, True
        except (BotoCoreError, ClientError, OutOfTime):
            logger.exception("connection closed")
            # If not even that is possible, the endpoint is at fault, and the batch comes again.
            close(connection_id)
            _forget(messages)
            return lags_ms, True
        logger.debug("update pushed")
        if message.live:
            lags_ms.append(now_ms() - unix_ms(json.loads(message.text)["timestamp"]))
    return lags_ms, False


def _forget(messages: list[Message]) -> None:
    gone = messages[0]
    try:
        connections.disconnect(gone.owner, gone.connection_id)
        for order_id in {message.order_id for message in messages}:
            orders.unfollow(order_id, gone.connection_id)
    except (BotoCoreError, ClientError):
        # The next push to it will find it gone as well.
        logger.exception("gone connection not forgotten")
