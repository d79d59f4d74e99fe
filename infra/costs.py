"""AWS's list prices, and the stack's usage in a month without orders."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from functions.contract import DUE_SHARDS, OPEN_SHARDS
from infra.settings import Settings

# The prices are in US dollars, without free tiers, from articles of 2026 that quote AWS's pages.
READ_ON = "2026-11-22"
REGION = "us-east-1"

Usage = dict[str, float]  # the number of units for each key of PRICES


@dataclass(frozen=True)
class Price:
    """The price of `per` units of a service; `page` is the path of AWS's pricing page."""

    service: str
    unit: str
    dollars: float
    per: float
    page: str

    @property
    def each(self) -> float:
        return self.dollars / self.per

    @property
    def source(self) -> str:
        return f"https://aws.amazon.com/{self.page}/"


_GATEWAY, _LAMBDA, _SQS = "api-gateway/pricing", "lambda/pricing", "sqs/pricing"
_DYNAMODB, _CLOUDWATCH = "dynamodb/pricing/on-demand", "cloudwatch/pricing"
_MILLION = 1e6

PRICES = {
    "http_request": Price("API Gateway", "HTTP API request", 1.00, _MILLION, _GATEWAY),
    "message": Price("API Gateway", "WebSocket message of 32 KB", 1.00, _MILLION, _GATEWAY),
    "connection_minute": Price("API Gateway", "connection-minute", 0.25, _MILLION, _GATEWAY),
    "invocation": Price("Lambda", "request", 0.20, _MILLION, _LAMBDA),
    "gb_second": Price("Lambda", "GB-second, arm64", 0.0000133334, 1, _LAMBDA),
    "sqs_request": Price("SQS", "request of 64 KB", 0.40, _MILLION, _SQS),
    "write_unit": Price("DynamoDB", "write request unit", 0.625, _MILLION, _DYNAMODB),
    "read_unit": Price("DynamoDB", "read request unit", 0.125, _MILLION, _DYNAMODB),
    "stored_gb_month": Price("DynamoDB", "GB-month stored", 0.25, 1, _DYNAMODB),
    "recoverable_gb_month": Price(
        "DynamoDB", "GB-month of point-in-time recovery", 0.20, 1, _DYNAMODB
    ),
    "stream_read": Price("DynamoDB", "stream read by Lambda", 0, 1, _DYNAMODB),
    "log_gb": Price("CloudWatch", "GB of log ingested", 0.50, 1, _CLOUDWATCH),
    "metric_month": Price("CloudWatch", "custom metric a month", 0.30, 1, _CLOUDWATCH),
    "alarm_month": Price("CloudWatch", "metric of an alarm a month", 0.10, 1, _CLOUDWATCH),
    "dashboard_month": Price("CloudWatch", "dashboard a month", 3.00, 1, _CLOUDWATCH),
    "snapshot_gb_second": Price(
        "Lambda", "GB-second of SnapStart's cache", 0.0000015046, 1, _LAMBDA
    ),
}

GB = 1024**3
MONTH_SECONDS = 30 * 24 * 3600
CORE_MB = 1769  # the memory at which Lambda gives a function one full core
POLLERS = 5  # Lambda's pollers on an idle queue; each makes a request every 20 s
POLLED_QUEUES = 3  # the order queue, its dead-letter queue, and the webhook queue
MINUTES = 30 * 24 * 60  # of a month; each minute the schedule starts a sweeper and a watcher
SWEEP_CPU_MS, SWEEP_WAIT_MS = 10.0, 100.0  # assumed
METRIC_LINE_BYTES = 250  # assumed size of a log line in the embedded metric format
WATCH_CPU_MS, WATCH_WAIT_MS = 5.0, 10.0  # assumed for a watcher that finds no resting order
# The sweeper's count and the watcher's lag; the other metrics have no data without orders.
IDLE_METRICS = 2


def billed_ms(*, cpu_ms: float, memory_mb: int, waited_ms: float) -> float:
    """The billed milliseconds: the CPU time on the function's share of a core, and waits."""
    share = min(1.0, memory_mb / CORE_MB)
    return ceil(cpu_ms / share + waited_ms)


def gb_seconds(milliseconds: float, memory_mb: int) -> float:
    """The GB-seconds that Lambda bills for a duration."""
    return milliseconds / 1000 * memory_mb / 1024


def idle_month(
    memory_mb: int,
    *,
    alarms: int,
    metrics: int = IDLE_METRICS,
    snapshots_mb: int = 0,
    watcher_mb: int = Settings.watcher_memory_mb,
) -> Usage:
    """The usage of thirty days without orders.

    Args:
        memory_mb: the sweeper's memory.
        alarms: the number of metrics that alarms watch; AWS bills each.
        metrics: the number of custom metrics that have data.
        snapshots_mb: the total memory of the functions that SnapStart restores.
        watcher_mb: the watcher's memory.
    """
    sweep_ms = billed_ms(cpu_ms=SWEEP_CPU_MS, memory_mb=memory_mb, waited_ms=SWEEP_WAIT_MS)
    watch_ms = billed_ms(cpu_ms=WATCH_CPU_MS, memory_mb=watcher_mb, waited_ms=WATCH_WAIT_MS)
    per_minute = gb_seconds(sweep_ms, memory_mb) + gb_seconds(watch_ms, watcher_mb)
    return {
        "sqs_request": POLLED_QUEUES * POLLERS * MONTH_SECONDS / 20,
        "invocation": 2 * MINUTES,
        "gb_second": MINUTES * per_minute,
        "read_unit": MINUTES * (len(OPEN_SHARDS) + len(DUE_SHARDS) + 1) * 0.5,
        "stream_read": 0,
        "log_gb": MINUTES * 2 * METRIC_LINE_BYTES / GB,
        "alarm_month": alarms,
        "dashboard_month": 1,
        "metric_month": metrics,
        "snapshot_gb_second": MONTH_SECONDS * snapshots_mb / 1024,
    }


def dollars(usage: Usage) -> float:
    """The price of a usage in US dollars."""
    return sum(PRICES[name].each * units for name, units in usage.items())
