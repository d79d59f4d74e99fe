"""What several tests do with a stack: choose a price that it reaches soon, stop its functions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from functions.dex import tokens
from functions.dex.router import find_route
from functions.simulation.market import SLOT_MS, VENUES, snapshot
from infra.cli.deployed import Deployed

WINDOW_SECONDS = 90


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def price(one: str, other: str, *, better_than: float) -> str:
    """A price of one whole token, higher than this share of the prices in WINDOW_SECONDS.

    The simulated market is known in advance, so the tests choose prices that it reaches soon.
    """
    source, target = tokens.find(one), tokens.find(other)
    units = 10**source.decimals
    outs = []
    for ms in range(now_ms(), now_ms() + WINDOW_SECONDS * 1000, 2000):
        pools = {venue: snapshot(venue, ms // SLOT_MS) for venue in VENUES}
        outs.append(find_route(source, target, units, 0, pools).out_amount)
    chosen = sorted(outs)[int(better_than * len(outs))]
    return tokens.price_text(units, source, chosen, target)


@contextmanager
def stopped(stack: Deployed, *queues: str) -> Iterator[None]:
    """Stop the functions that read these queues while the block runs."""
    sqs, lambda_ = stack.client("sqs"), stack.client("lambda")
    arns = [
        sqs.get_queue_attributes(QueueUrl=stack.outputs[queue], AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        for queue in queues
    ]
    mappings = [
        mapping["UUID"]
        for page in lambda_.get_paginator("list_event_source_mappings").paginate()
        for mapping in page["EventSourceMappings"]
        if mapping["EventSourceArn"] in arns
    ]
    assert len(mappings) == len(queues)
    for uuid in mappings:
        lambda_.update_event_source_mapping(UUID=uuid, Enabled=False)
    try:
        yield
    finally:
        for uuid in mappings:
            lambda_.update_event_source_mapping(UUID=uuid, Enabled=True)
