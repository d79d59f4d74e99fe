"""Orders stream -> WebSocket: pushes each stored update to all who follow its order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import store
from functions.push import CONNECTIONS_AT_ONCE, push
from functions.runtime import logger, traced

Image = dict[str, Any]
_pool = ThreadPoolExecutor(CONNECTIONS_AT_ONCE)


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

    A push that fails for any cause but a gone connection fails the batch, which the event
    source mapping sends again; a client ignores the sequences that it has seen.
    """
    queues: dict[str, list[Message]] = defaultdict(list)
    followers_of_all = cache(store.followers_of_all)  # one look-up an owner and batch
    for record in event["Records"]:
        for message in _messages(record["dynamodb"], followers_of_all):
            queues[message.connection_id].append(message)
    for _ in _pool.map(_deliver, queues.values()):
        pass


def _messages(change: dict[str, Any], followers_of_all: Any) -> Iterator[Message]:
    """What one write to an order gives its followers, and its owner's followers of everything."""
    new: Image | None = change.get("NewImage")
    if new is None:  # the order's item has expired
        return
    old: Image = change.get("OldImage", {})
    owner, order_id = new["owner"]["S"], new["orderId"]["S"]
    updates = [update["S"] for update in new["updates"]["L"]]
    fresh = updates[len(old.get("updates", {}).get("L", ())) :]

    def to(connection_id: str, texts: list[str]) -> Iterator[Message]:
        return (Message(owner, order_id, connection_id, text) for text in texts)

    followers, known = _followers(new), _followers(old)
    for connection_id, follower in followers.items():
        # Sequences begin at 1 without a gap, so `since` is also how many updates to leave out.
        since = int(follower["M"]["since"]["N"])
        is_new = known.get(connection_id) != follower
        yield from to(connection_id, updates[since:] if is_new else fresh)
    if fresh:
        for connection_id in followers_of_all(owner):
            if connection_id not in followers:
                yield from to(connection_id, fresh)


def _followers(image: Image) -> dict[str, Any]:
    followers: dict[str, Any] = image["followers"]["M"] if "followers" in image else {}
    return followers


def _deliver(messages: list[Message]) -> None:
    for message in messages:
        if not push(message.connection_id, message.text):
            _forget(messages)
            return


def _forget(messages: list[Message]) -> None:
    gone = messages[0]
    logger.info("connection gone", connection_id=gone.connection_id, owner=gone.owner)
    store.disconnect(gone.owner, gone.connection_id)
    for order_id in {message.order_id for message in messages}:
        store.remove_follower(order_id, gone.connection_id)
