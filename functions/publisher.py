"""Orders stream -> WebSocket: pushes each stored update to all who follow its order."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any, NamedTuple

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from functions import store
from functions.push import CONNECTIONS_AT_ONCE, close, push
from functions.runtime import logger, traced

# One that has not taken its part of a batch by then does not hold up the next batch.
CONNECTION_SECONDS_MAX = 15

_pool = ThreadPoolExecutor(CONNECTIONS_AT_ONCE)


class OutOfTime(Exception):
    """A connection has not taken its part of a batch in its time."""


class Change(NamedTuple):
    """One write to an order: its updates, those that are new with it, and who gets which."""

    owner: str
    order_id: str
    updates: list[str]
    fresh: list[str]
    # How many updates each follower is to go without.
    skips: dict[str, int]


class Message(NamedTuple):
    """One update of one order, for one connection."""

    owner: str
    order_id: str
    connection_id: str
    text: str


@traced
@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Push a batch of stream records: each connection's messages in order, connections at once.

    A connection that does not take its messages is closed, so that its client comes back and
    resumes, and nobody waits for it. What fails for any other cause fails the batch, which the
    event source mapping sends again; a client ignores the sequences that it has seen.
    """
    queues: dict[str, list[Message]] = defaultdict(list)
    followers_of_all = cache(store.followers_of_all)  # one look-up an owner and batch
    for record in event["Records"]:
        change = _read(record)
        if change is not None:
            for message in _messages(change, followers_of_all):
                queues[message.connection_id].append(message)
    deliveries = [_pool.submit(_deliver, messages) for messages in queues.values()]
    wait(deliveries)
    for delivery in deliveries:
        delivery.result()


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
    known_updates = len(old.get("updates", {}).get("L", ()))
    known_followers = old.get("followers", {}).get("M", {})
    skips = {
        # Sequences begin at 1 without a gap, so `since` is also how many updates to leave out.
        connection_id: known_updates
        if known_followers.get(connection_id) == follower
        else int(follower["M"]["since"]["N"])
        for connection_id, follower in new.get("followers", {}).get("M", {}).items()
    }
    owner, order_id = new["owner"]["S"], new["orderId"]["S"]
    return Change(owner, order_id, updates, updates[known_updates:], skips)


def _messages(change: Change, followers_of_all: Callable[[str], list[str]]) -> Iterator[Message]:
    """What one write gives the order's followers, and its owner's followers of everything."""

    def to(connection_id: str, texts: list[str]) -> Iterator[Message]:
        return (Message(change.owner, change.order_id, connection_id, text) for text in texts)

    for connection_id, skip in change.skips.items():
        yield from to(connection_id, change.updates[skip:])
    if change.fresh:
        for connection_id in followers_of_all(change.owner):
            if connection_id not in change.skips:
                yield from to(connection_id, change.fresh)


def _deliver(messages: list[Message]) -> None:
    connection_id = messages[0].connection_id
    give_up_at = time.monotonic() + CONNECTION_SECONDS_MAX
    for message in messages:
        try:
            if time.monotonic() > give_up_at:
                raise OutOfTime
            if not push(connection_id, message.text):
                logger.info("connection gone", connection_id=connection_id)
                _forget(messages)
                return
        except (BotoCoreError, ClientError, OutOfTime):
            logger.exception("connection closed", connection_id=connection_id)
            # If not even that is possible, the endpoint is at fault, and the batch comes again.
            close(connection_id)
            _forget(messages)
            return


def _forget(messages: list[Message]) -> None:
    gone = messages[0]
    try:
        store.disconnect(gone.owner, gone.connection_id)
        for order_id in {message.order_id for message in messages}:
            store.remove_follower(order_id, gone.connection_id)
    except (BotoCoreError, ClientError):
        # The next push to it will find it gone as well.
        logger.exception("gone connection not forgotten", connection_id=gone.connection_id)
