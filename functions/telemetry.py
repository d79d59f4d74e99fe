"""A handler's telemetry: the keys of its log lines, and its metrics (in EMF)."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from functions.contract import Metric, unix_ms
from functions.runtime import logger

if TYPE_CHECKING:  # the model is slow to import, and the authorizer does not need it
    from functions.orders.order import Order

Handler = Callable[..., Any]

# The environment sets the namespace and the service, which depends on the stage.
_metrics = Metrics()
# These keys are removed: logs are billed by the byte, and the log group names the function.
_REDUNDANT_LOG_KEYS = ("function_arn", "function_memory_size", "function_name")
_lock = Lock()  # the worker's orders report from threads of their own


def with_telemetry(handler: Handler) -> Handler:
    """Wrap a handler: clear the log's keys before each call; write the metrics even if it fails."""

    @wraps(handler)
    def counted(event: dict[str, Any], context: Any) -> Any:
        logger.remove_keys(_REDUNDANT_LOG_KEYS)
        try:
            return handler(event, context)
        finally:
            if _metrics.provider.metric_set:
                _metrics.flush_metrics()

    logged: Handler = logger.inject_lambda_context(counted, clear_state=True)
    if not gc.isenabled():  # the handler's imports are done: see functions/__init__.py
        gc.freeze()
        gc.enable()
    return logged


def count(metric: Metric, value: int = 1) -> None:
    """Add `value` to a metric whose unit is Count."""
    with _lock:
        _metrics.add_metric(name=metric, unit=MetricUnit.Count, value=value)


def time(metric: Metric, milliseconds: int) -> None:
    """Add one duration to a metric whose unit is Milliseconds."""
    with _lock:
        _metrics.add_metric(name=metric, unit=MetricUnit.Milliseconds, value=milliseconds)


def count_ended_order(order: Order) -> None:
    """Count the attempts of an order that has ended, and whether it was confirmed or failed.

    Only market orders add to the time to confirm: the other types wait for a price or for slices.
    """
    if order.confirmed_at:
        count(Metric.ORDERS_CONFIRMED)
        if order.type == "market":
            time(Metric.TIME_TO_CONFIRM, unix_ms(order.updated_at) - unix_ms(order.created_at))
    elif order.failed_at and order.error:
        with single_metric(name=Metric.ORDERS_FAILED, unit=MetricUnit.Count, value=1) as failed:
            failed.add_dimension(name="code", value=order.error.code)
    count(Metric.ATTEMPTS, order.attempt)
