"""What operators see of a handler: the keys of its log lines and its metrics (in EMF)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any

from aws_lambda_powertools import Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from functions.contract import Metric, unix_ms
from functions.orders.order import Order, Status
from functions.runtime import logger

Handler = Callable[..., Any]


# Namespace and service, which tells stages apart, are from the environment.
_metrics = Metrics()
_lock = Lock()  # the worker's orders report from threads of their own


def observed(handler: Handler) -> Handler:
    """Wrap a handler: clear the log's keys before it, write its metrics even if it fails."""

    @wraps(handler)
    def counted(event: dict[str, Any], context: Any) -> Any:
        logger.remove_keys(["function_arn", "function_memory_size"])  # each line is paid for
        try:
            return handler(event, context)
        finally:
            if _metrics.provider.metric_set:
                _metrics.flush_metrics()

    logged: Handler = logger.inject_lambda_context(counted, clear_state=True)
    return logged


def count(metric: Metric, value: int = 1) -> None:
    """Add to a number of things."""
    with _lock:
        _metrics.add_metric(name=metric, unit=MetricUnit.Count, value=value)


def time(metric: Metric, milliseconds: int) -> None:
    """Add one duration to a distribution."""
    with _lock:
        _metrics.add_metric(name=metric, unit=MetricUnit.Milliseconds, value=milliseconds)


def count_ending(order: Order) -> None:
    """Count an order that was confirmed, how long that took, or why it failed."""
    if order.status is Status.CONFIRMED:
        count(Metric.ORDERS_CONFIRMED)
        time(Metric.TIME_TO_CONFIRM, unix_ms(order.updated_at) - unix_ms(order.created_at))
    elif order.error:
        with single_metric(name=Metric.ORDERS_FAILED, unit=MetricUnit.Count, value=1) as failed:
            failed.add_dimension(name="code", value=order.error.code)
    count(Metric.ATTEMPTS, order.attempt)
