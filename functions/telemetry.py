"""What operators see of a handler: its log's keys, its metrics (in EMF), its traces."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from aws_lambda_powertools import Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from functions.orders.order import Order, Status, unix_ms
from functions.runtime import logger

Handler = Callable[..., Any]


def _tracer() -> Any:
    """X-Ray's, whose SDK is slow to import and stays out where tracing is off."""
    if os.environ.get("POWERTOOLS_TRACE_DISABLED") == "true":
        return None
    from aws_lambda_powertools import Tracer  # noqa: PLC0415

    return Tracer()


_trace = _tracer()
# Namespace and service, which tells stages apart, are from the environment.
_metrics = Metrics()


def observed(handler: Handler) -> Handler:
    """The handler with a log that begins anew, metrics that are always written, and a trace."""

    @wraps(handler)
    def counted(event: dict[str, Any], context: Any) -> Any:
        logger.remove_keys(["function_arn", "function_memory_size"])  # each line is paid for
        try:
            return handler(event, context)
        finally:
            if _metrics.provider.metric_set:
                _metrics.flush_metrics()

    logged: Handler = logger.inject_lambda_context(counted, clear_state=True)
    return _trace.capture_lambda_handler(logged) if _trace else logged


def trace_order(order_id: str, began_ms: int) -> None:
    """Name an order in the trace, as a part of it from `began_ms` (Unix time) until now.

    Told at the end, for orders that are under way at once would nest in one another.
    """
    if _trace:
        with _trace.provider.in_subsegment("## order") as part:
            part.put_annotation("order_id", order_id)
            part.start_time = began_ms / 1000


def count(name: str, value: int = 1) -> None:
    """Add to a number of things."""
    _metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def time(name: str, milliseconds: int) -> None:
    """Add one duration to a distribution."""
    _metrics.add_metric(name=name, unit=MetricUnit.Milliseconds, value=milliseconds)


def count_ending(order: Order) -> None:
    """Count an order that was confirmed, how long that took, or why it failed."""
    if order.status is Status.CONFIRMED:
        count("OrdersConfirmed")
        time("TimeToConfirm", unix_ms(order.updated_at) - unix_ms(order.created_at))
    elif order.error:
        with single_metric(name="OrdersFailed", unit=MetricUnit.Count, value=1) as failed:
            failed.add_dimension(name="code", value=order.error.code)
    count("Attempts", order.attempt)
