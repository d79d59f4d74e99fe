"""Simulates one region, second by second, under a steady flow of orders.

Each rule cites its page of AWS's documentation. Flows are real numbers, a step is a second,
batches are full, and the orders of a second arrive evenly. So the simulation shows the orders a
second that a setting or a quota allows, not the wait of one order. Nothing was measured in AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import tests.conftest  # noqa: F401 - the settings, before the handlers read them
from functions.contract import BATCH_SIZE, OPEN_SHARDS, PUBLISHERS_PER_SHARD
from functions.sweeper import IDLE_ORDERS_MAX, LONG_IDLE_FACTOR
from functions.watcher import LONG_QUEUE
from infra.settings import Settings

_AWS = "docs.aws.amazon.com/"
GATEWAY = f"{_AWS}apigateway/latest/developerguide/limits.html"
SOCKETS = (
    f"{_AWS}apigateway/latest/developerguide/"
    "apigateway-execution-service-websocket-limits-table.html"
)
LAMBDA = f"{_AWS}lambda/latest/dg/gettingstarted-limits.html"
LAMBDA_SCALING = f"{_AWS}lambda/latest/dg/scaling-behavior.html"
POLLERS = f"{_AWS}lambda/latest/dg/services-sqs-scaling.html"
STREAMS = f"{_AWS}lambda/latest/dg/services-ddb-params.html"
TABLES = f"{_AWS}amazondynamodb/latest/developerguide/ServiceQuotas.html"
ON_DEMAND = f"{_AWS}amazondynamodb/latest/developerguide/on-demand-capacity-mode.html"
WARM = f"{_AWS}amazondynamodb/latest/developerguide/warm-throughput.html"
HOT_KEYS = (
    f"{_AWS}amazondynamodb/latest/developerguide/"
    "throttling-key-range-limit-exceeded-mitigation.html"
)
BACK_PRESSURE = "repost.aws/knowledge-center/on-demand-table-throttling-dynamodb"
SOURCES = (
    *(GATEWAY, SOCKETS, LAMBDA, LAMBDA_SCALING, POLLERS, STREAMS),
    *(TABLES, ON_DEMAND, WARM, HOT_KEYS, BACK_PRESSURE),
)

# POLLERS: five batches at first, up to 300 more a minute while messages wait. (60 until 2023.)
POLLERS_AT_FIRST = 5
POLLERS_MORE_PER_SECOND = 300 / 60
# LAMBDA_SCALING: 1,000 more environments of a function every ten seconds, refilled continuously.
ENVIRONMENTS_AT_ONCE = 1_000
ENVIRONMENTS_MORE_PER_SECOND = 100
# HOT_KEYS, WARM: the limit of one partition, and so of one key with ascending sort keys, because
# its partition is never split.
PARTITION_WRITE_UNITS = 1_000
# ON_DEMAND: throttling can begin above twice the peak of more than 30 minutes ago.
PEAK_AGE_SECONDS = 1_800
PEAK_FACTOR = 2
SWEEP_SECONDS = 60


@dataclass(frozen=True)
class Quotas:
    """An account's quotas in a region, and what its orders table is warmed for.

    The defaults are AWS's. An index is warmed like its table.
    """

    gateway_requests: int = 10_000  # GATEWAY: a second, of all APIs, pushes included
    new_connections: int = 500  # SOCKETS: a second
    executions: int = 1_000  # LAMBDA: at once, of all functions
    table_write_units: int = 40_000  # TABLES: a second, of a table or an index
    warm_write_units: int = 4_000  # ON_DEMAND: of a new table or index


DEFAULTS = Quotas()


@dataclass(frozen=True)
class Needs:
    """The needs of one order.

    `submit_units` and `work_units` are write units of the table ("orders") and of its indexes;
    `keys` says how many keys share an index's writes at any moment.
    """

    requests: float  # to the gateway, without pushes
    pushes: float
    submit_units: Mapping[str, float]
    work_units: Mapping[str, float]
    keys: Mapping[str, int]
    api_seconds: float  # Lambda, by function
    worker_seconds: float
    publisher_seconds: float
    judge_seconds: float  # of the worker, for a woken order that does not execute


@dataclass(frozen=True)
class Second:
    """What happened in one second; flows are orders a second."""

    accepted: float
    confirmed: float
    throttled: float  # the part of the writes that DynamoDB refuses
    waiting: float  # orders in the queue
    unpublished: float  # orders whose updates are in the stream
    oldest_seconds: float  # since the order at the head of the queue was accepted
    executions: float  # at once
    swept: float  # orders that the sweeper queues again


@dataclass
class _Tables:
    """The write units that table and indexes grant."""

    needs: Needs
    quotas: Quotas
    peaks: dict[str, list[float]] = field(default_factory=dict)  # up to each second

    def capacity(self, name: str) -> float:
        peaks = self.peaks.get(name, [])
        old = peaks[-PEAK_AGE_SECONDS] if len(peaks) >= PEAK_AGE_SECONDS else 0
        grown = max(self.quotas.warm_write_units, PEAK_FACTOR * old)
        keys = self.needs.keys.get(name)
        hot = keys * PARTITION_WRITE_UNITS if keys else grown
        return min(self.quotas.table_write_units, grown, hot)

    def write(self, submitted: float, worked: float) -> float:
        """The part of the orders' writes that is granted: an index throttles its table."""
        submit, work = self.needs.submit_units, self.needs.work_units
        wanted = {
            name: submitted * submit.get(name, 0) + worked * work.get(name, 0)
            for name in submit.keys() | work.keys()
        }
        parts = [self.capacity(name) / units for name, units in wanted.items() if units]
        granted = min([1.0, *parts])
        for name, units in wanted.items():
            peaks = self.peaks.setdefault(name, [0])
            peaks.append(max(peaks[-1], granted * units))
        return granted

    def shards(self) -> float:
        """The stream's shards, one for each partition of the table."""
        return max(1.0, self.capacity("orders") / PARTITION_WRITE_UNITS)


@dataclass
class _Queue:
    """The queue: how many orders were accepted up to each second, and how many received."""

    accepted: list[float] = field(default_factory=lambda: [0])
    received: float = 0
    head: int = 0  # the second whose orders come next

    @property
    def waiting(self) -> float:
        return self.accepted[-1] - self.received

    def put(self, orders: float) -> None:
        self.accepted.append(self.accepted[-1] + orders)

    def take(self, orders: float) -> None:
        self.received += orders
        while self.head < len(self.accepted) - 1 and self.accepted[self.head] <= self.received:
            self.head += 1

    def older_than(self, seconds: float) -> float:
        """The waiting orders that were accepted more than so long ago."""
        until = len(self.accepted) - 1 - int(seconds)
        return max(0.0, self.accepted[until] - self.received) if until >= 0 else 0.0


def run(
    needs: Needs,
    settings: Settings,
    quotas: Quotas,
    *,
    rate: float,
    seconds: int,
    woken: float = 0,
) -> list[Second]:
    """Offer `rate` orders a second for some seconds, beginning with a region that was quiet.

    `woken` is how many resting orders the watcher wakes each second; none of them executes.
    """
    tables, queue, found = _Tables(needs, quotas), _Queue(), list[Second]()
    unpublished = 0.0
    for second in range(seconds):
        # What each part would do if no other part limited it.
        gateway = quotas.gateway_requests
        admitted = min(rate, settings.throttle_rate, gateway / (needs.requests + needs.pushes))
        pollers = min(settings.max_concurrency, POLLERS_AT_FIRST + POLLERS_MORE_PER_SECOND * second)
        judged = woken if queue.waiting < LONG_QUEUE else 0.0  # the watcher skips the others
        working = min(
            pollers,
            (queue.waiting + admitted) * needs.worker_seconds + judged * needs.judge_seconds,
        )
        publishing = min(
            tables.shards() * PUBLISHERS_PER_SHARD, unpublished * needs.publisher_seconds
        )
        # Lambda's environments, and the account's executions, which all functions share.
        environments = ENVIRONMENTS_AT_ONCE + ENVIRONMENTS_MORE_PER_SECOND * second
        wanted = [
            min(each, environments) for each in (admitted * needs.api_seconds, working, publishing)
        ]
        part = min(1.0, quotas.executions / sum(wanted)) if sum(wanted) else 1.0
        api, workers, publishers = (each * part for each in wanted)

        admitted = min(admitted, api / needs.api_seconds)
        free = max(0.0, workers - judged * needs.judge_seconds)
        received = min(queue.waiting + admitted, free / needs.worker_seconds)
        granted = tables.write(admitted, received)
        accepted, received = granted * admitted, granted * received
        queue.put(accepted)
        queue.take(received)
        room = (gateway - admitted * needs.requests) / needs.pushes
        unpublished += received - min(unpublished, publishers / needs.publisher_seconds, room)
        swept = 0.0
        if second % SWEEP_SECONDS == 0:
            idle = min(
                queue.older_than(settings.sweep_idle_seconds), IDLE_ORDERS_MAX * len(OPEN_SHARDS)
            )
            long_idle = queue.older_than(LONG_IDLE_FACTOR * settings.sweep_idle_seconds)
            swept = max(0.0, idle - queue.waiting, min(long_idle, BATCH_SIZE))
        found.append(
            Second(
                accepted=accepted,
                confirmed=received,
                throttled=1 - granted,
                waiting=queue.waiting,
                unpublished=unpublished,
                oldest_seconds=len(queue.accepted) - 1 - queue.head if queue.waiting > 1 else 0,
                executions=api + workers + publishers,
                swept=swept,
            )
        )
    return found
