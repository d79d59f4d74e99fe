"""`ops stats`: show counts and latencies of the last minutes, and the current backlog."""

import argparse
import math
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich.table import Table

from functions.contract import METRICS_NAMESPACE, OPEN_BY_OWNER_INDEX, Metric, iso
from infra.cli.command import whole_number
from infra.cli.deployed import Deployed
from infra.cli.ops.backlog import QUEUES, counts, in_words
from infra.cli.ops.logs import search
from infra.cli.printing import Report, plain_console, print_json, progress

MINUTES, MINUTES_MAX = 60, 24 * 60
COUNTED = {
    "accepted": Metric.ORDERS_ACCEPTED,
    "confirmed": Metric.ORDERS_CONFIRMED,
    "swept": Metric.ORDERS_SWEPT,
    "connectionsGone": Metric.CONNECTIONS_GONE,
}
MEASURED = {
    "attempts": Metric.ATTEMPTS,
    "timeToConfirmMs": Metric.TIME_TO_CONFIRM,
    "quoteLatencyMs": Metric.QUOTE_LATENCY,
    "pushLagMs": Metric.PUSH_LAG,
}
FAILED = Metric.ORDERS_FAILED
PERCENTS = (50, 95, 99)
AGE_MINUTES = 5  # SQS emits the age of the oldest message each minute, some minutes late

Json = dict[str, Any]


class Figure(NamedTuple):
    """One statistic of one CloudWatch metric."""

    namespace: str
    metric: str
    stat: str
    dimensions: dict[str, str]


def add_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command `stats` to the command line."""
    text = "show counts and latencies of the last minutes, and the current backlog"
    command = commands.add_parser("stats", parents=[common], help=text, description=text)
    command.add_argument(
        "--minutes",
        type=whole_number(1, MINUTES_MAX),
        default=MINUTES,
        help=f"how many minutes back from now (default: {MINUTES}; at most {MINUTES_MAX})",
    )
    command.set_defaults(run=run)


def run(stack: Deployed, arguments: argparse.Namespace) -> None:
    """Print the figures."""
    figures = stats(stack, arguments.minutes)
    if arguments.json:
        print_json(figures)
    else:
        _show(figures)


def stats(stack: Deployed, minutes: int) -> Json:
    """Counts and latencies of the last `minutes` as JSON; `now` has the open orders and backlog.

    In AWS they come from CloudWatch's metrics. The emulator does not turn log lines in the embedded
    metric format into metrics, so for a local stack they are computed from the log lines.
    Percentiles and maxima without a measurement are None.
    """
    end_ms = time.time_ns() // 1_000_000
    start_ms = end_ms - minutes * 60_000
    with progress("Reading the figures") as report:
        if stack.endpoint_url is None:
            flow = from_metrics(stack, minutes, end_ms)
            age = oldest_seconds(stack, end_ms)
        else:
            flow = from_log(stack, start_ms, end_ms, report)
            age = None
        now = _now(stack, end_ms) | {"oldestMessageSeconds": age}
    return {"from": iso(start_ms), "to": iso(end_ms), **flow, "now": now}


def from_log(stack: Deployed, start_ms: int, end_ms: int, report: Report) -> Json:
    """Counts and latencies from the log lines in CloudWatch's embedded metric format."""
    values: dict[str, list[float]] = defaultdict(list)
    failed: dict[str, float] = defaultdict(float)
    for line in search(stack, "CloudWatchMetrics", start_ms, end_ms, report):
        for metric in _metrics_of(line.record):
            value = line.record[metric]
            given = value if isinstance(value, list) else [value]
            values[metric] += given
            if metric == FAILED:
                failed[str(line.record.get("code"))] += sum(given)
    return {
        "source": "log",
        **{name: int(sum(values[metric])) for name, metric in COUNTED.items()},
        "failed": {code: int(count) for code, count in sorted(failed.items())},
        **{name: _spread(sorted(values[metric])) for name, metric in MEASURED.items()},
    }


def from_metrics(stack: Deployed, minutes: int, end_ms: int) -> Json:
    """Counts and latencies from CloudWatch's metrics, in whole minutes up to that of `end_ms`."""
    client = stack.client("cloudwatch")
    service = {"service": stack.name}
    listed = client.get_paginator("list_metrics").paginate(
        Namespace=METRICS_NAMESPACE, MetricName=FAILED, Dimensions=_dimensions(service)
    )
    codes = sorted(
        {
            dimension["Value"]
            for page in listed
            for metric in page["Metrics"]
            for dimension in metric["Dimensions"]
            if dimension["Name"] == "code"
        }
    )
    asked = [Figure(METRICS_NAMESPACE, metric, "Sum", service) for metric in COUNTED.values()]
    asked += [Figure(METRICS_NAMESPACE, FAILED, "Sum", service | {"code": code}) for code in codes]
    spread = ("SampleCount", *(f"p{percent}" for percent in PERCENTS), "Maximum")
    asked += [
        Figure(METRICS_NAMESPACE, metric, stat, service)
        for metric in MEASURED.values()
        for stat in spread
    ]
    figures = iter(_ask(client, asked, minutes, end_ms))
    return {
        "source": "metrics",
        **{name: int(next(figures) or 0) for name in COUNTED},
        "failed": {code: count for code in codes if (count := int(next(figures) or 0))},
        **{
            name: {
                "count": int(next(figures) or 0),
                **{f"p{percent}": next(figures) for percent in PERCENTS},
                "max": next(figures),
            }
            for name in MEASURED
        },
    }


def oldest_seconds(stack: Deployed, end_ms: int) -> float | None:
    """The age in seconds of the order queue's oldest message; None if CloudWatch has no data."""
    queue = stack.output("OrderQueueUrl").rsplit("/", 1)[-1]
    age = Figure("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", {"QueueName": queue})
    (oldest,) = _ask(stack.client("cloudwatch"), [age], AGE_MINUTES, end_ms)
    return oldest


def _ask(client: Any, asked: list[Figure], minutes: int, end_ms: int) -> list[float | None]:
    """Each figure of the last whole minutes up to that of `end_ms`; None if there is no data."""
    end_s = (end_ms // 60_000 + 1) * 60
    queries: list[Json] = [
        {
            "Id": f"q{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": figure.namespace,
                    "MetricName": figure.metric,
                    "Dimensions": _dimensions(figure.dimensions),
                },
                "Period": minutes * 60,
                "Stat": figure.stat,
            },
        }
        for number, figure in enumerate(asked)
    ]
    found: dict[str, list[float]] = defaultdict(list)
    for page in client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        StartTime=datetime.fromtimestamp(end_s - minutes * 60, UTC),
        EndTime=datetime.fromtimestamp(end_s, UTC),
    ):
        for result in page["MetricDataResults"]:
            found[result["Id"]] += result["Values"]
    # The period covers the whole time, so there is one value or none.
    return [max(found[query["Id"]], default=None) for query in queries]


def _dimensions(values: dict[str, str]) -> list[Json]:
    return [{"Name": name, "Value": value} for name, value in values.items()]


def _now(stack: Deployed, now_ms: int) -> Json:
    dynamodb = stack.client("dynamodb")
    # This index has every open order, including resting orders.
    open_orders = dynamodb.get_paginator("scan").paginate(
        TableName=stack.output("OrdersTable"), IndexName=OPEN_BY_OWNER_INDEX, Select="COUNT"
    )
    # The table is small: one item for each connection and each webhook.
    connections = dynamodb.get_paginator("scan").paginate(
        TableName=stack.output("ConnectionsTable"),
        FilterExpression="expiresAt > :now",
        ExpressionAttributeValues={":now": {"N": str(now_ms // 1000)}},
        Select="COUNT",
    )
    return {
        "openOrders": sum(page["Count"] for page in open_orders),
        "connections": sum(page["Count"] for page in connections),
        **{queue: counts(stack, queue) for queue in QUEUES},
    }


def _metrics_of(record: Json) -> list[str]:
    embedded = record.get("_aws")
    directives = embedded.get("CloudWatchMetrics", []) if isinstance(embedded, dict) else []
    return [
        metric["Name"]
        for directive in directives
        if directive["Namespace"] == METRICS_NAMESPACE
        for metric in directive["Metrics"]
    ]


def _spread(ordered: list[float]) -> Json:
    """Count, percentiles (nearest rank) and maximum of sorted values."""
    count = len(ordered)
    ranked = {
        f"p{percent}": ordered[math.ceil(count * percent / 100) - 1] if count else None
        for percent in PERCENTS
    }
    return {"count": count, **ranked, "max": ordered[-1] if count else None}


def _show(figures: Json) -> None:
    console, now = plain_console(), figures["now"]
    console.print(f"{figures['from']} to {figures['to']}, from the {figures['source']}")
    failed = ", ".join(f"{count} {code}" for code, count in figures["failed"].items())
    console.print(
        f"orders  {figures['accepted']} accepted, {figures['confirmed']} confirmed, "
        f"{sum(figures['failed'].values())} failed{failed and f' ({failed})'}, "
        f"{figures['swept']} re-queued by the sweeper"
    )
    table = Table("", "count", *(f"p{percent}" for percent in PERCENTS), "max")
    for name in MEASURED:
        table.add_row(name, *(_number(value) for value in figures[name].values()))
    console.print(table)
    console.print(
        f"now     {now['openOrders']} open orders, {now['connections']} connections "
        f"({figures['connectionsGone']} were found closed)"
    )
    for queue in QUEUES:
        console.print(f"  {queue:<12} {in_words(now[queue])}")
    if now["oldestMessageSeconds"] is not None:
        console.print(f"  the order queue's oldest message: {now['oldestMessageSeconds']:.0f} s")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
