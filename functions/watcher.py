"""Schedule: wakes resting orders when the market reaches their prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import telemetry
from functions.contract import SEND_BATCH_MAX, Metric, wake_key
from functions.dex import tokens
from functions.runtime import logger, monotonic, now_ms, settings, sleep
from functions.simulation.network import SECOND_BEGINS_MS, Network
from functions.store import queue, resting
from functions.store.resting import Nearest

TICK_MS = 1000
# A tick that begins this long before the function's timeout ends in time, even if botocore retries.
STOP_MS_BEFORE_TIMEOUT = 10_000
# How long an index may lag behind a write. AWS says "a fraction of a second":
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html
INDEX_LAG_MS = 5_000
# A pair without a resting order is no longer watched after this time. It is much longer than the
# index lag, so the lag cannot hide an order.
FORGET_MS = 600_000
# An order that has been woken and still rests is woken again, unless the queue has this many
# messages: its first message may be one of them.
LONG_QUEUE = 100

NOTHING = Nearest(None, None)

network = Network.of(settings, now_ms, sleep)


@dataclass
class Pair:
    """What a watcher knows of a pair of tokens."""

    version: int | None = None
    nearest: Nearest = NOTHING
    # Until when (Unix time in milliseconds) `nearest` may be older than the table.
    uncertain_until: int = 0
    # The orders that the price has reached and that earlier ticks have queued.
    queued: set[str] = field(default_factory=set)


@telemetry.with_telemetry
def handler(_event: dict[str, object], context: LambdaContext) -> dict[str, int]:
    """Tick each second until the next watcher takes over; returns how many orders it woke.

    If no pair is watched, it stops after its first tick.

    The schedule starts a watcher each minute, which takes over after its first tick. So no second
    is without a tick if the schedule is late or starts two watchers. Two watchers that tick at the
    same time are harmless, because the worker checks each woken order.
    """
    end = monotonic() + (context.get_remaining_time_in_millis() - STOP_MS_BEFORE_TIMEOUT) / 1000
    began = due = now_ms()
    pairs: dict[str, Pair] = {}
    woken, ticking = 0, False
    while True:
        watched = resting.watched()
        if watched.watcher > began:
            break
        woken += _tick(watched.versions, pairs, end)
        telemetry.time(Metric.WATCHER_LAG, now_ms() - due)
        # A watcher that ticks continues even if no order rests, because the worker relies on it.
        if not ticking and not (watched.versions and resting.take_over(began)):
            break
        ticking = True
        due = max(due + TICK_MS, now_ms()) // TICK_MS * TICK_MS + SECOND_BEGINS_MS
        if monotonic() + (due - now_ms()) / 1000 >= end:
            break
        sleep(max(0, due - now_ms()) / 1000)
    if woken:
        telemetry.count(Metric.ORDERS_WOKEN, woken)
    return {"woken": woken}


def _tick(versions: Mapping[str, int], pairs: dict[str, Pair], end: float) -> int:
    """Wake the orders of all pairs whose prices are reached; returns how many.

    A pair that fails does not delay the others, and the next tick tries it again.
    """
    for ended in pairs.keys() - versions.keys():
        del pairs[ended]
    woken = 0
    for name, version in versions.items():
        try:
            woken += _watch(name, pairs.setdefault(name, Pair()), version, end)
        except Exception:  # noqa: BLE001 - no failure may delay other pairs
            logger.exception("pair not watched", pair=name)
    return woken


def _watch(name: str, pair: Pair, version: int, end: float) -> int:
    """Wake the orders that the pair's price reaches; returns how many.

    It queries the indexes only if they can differ from its last answer, or if a price is reached.
    """
    now = now_ms()
    if version != pair.version or now < pair.uncertain_until:
        pair.nearest = resting.nearest(name)
        if version != pair.version:
            pair.version, pair.uncertain_until = version, version + INDEX_LAG_MS
    if pair.nearest == NOTHING:
        if now - version > FORGET_MS:
            resting.forget(name, version)
        return 0
    token_in, token_out = map(tokens.find, name.split("/"))
    key = wake_key(network.best_price(token_in, token_out))
    reached = pair.nearest.reached(key)
    if not reached:
        pair.queued.clear()
        return 0
    pair.uncertain_until = now + INDEX_LAG_MS
    return _wake(resting.woken(name, key, reached), pair, end)


def _wake(order_ids: Iterator[str], pair: Pair, end: float) -> int:
    """Queue orders of the pair; returns how many.

    Orders that an earlier tick queued come last, and only while the queue is short.
    """
    before, pair.queued = pair.queued, set()
    again: list[str] = []

    def others() -> Iterator[str]:
        for order_id in order_ids:
            if order_id in before:
                again.append(order_id)
            else:
                yield order_id

    queued = _queue(others(), pair, end)
    if again and queue.waiting_messages() < LONG_QUEUE:
        return queued + _queue(iter(again), pair, end)
    pair.queued.update(again)
    return queued


def _queue(order_ids: Iterator[str], pair: Pair, end: float) -> int:
    """Queue orders while there is time; returns how many. The next tick retries those refused."""
    queued = 0
    while monotonic() < end and (batch := list(islice(order_ids, SEND_BATCH_MAX))):
        taken = set(batch) - queue.enqueue_all(batch, woken=True)
        pair.queued |= taken
        queued += len(taken)
    return queued
