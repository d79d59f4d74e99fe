"""The CloudWatch dashboard: how many orders are executed, how fast, and what fails."""

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch

from functions.contract import Metric
from infra.stack.metrics import Metrics, total

WIDTH, HEIGHT = 8, 6  # of a graph, in units; a row is 24 units wide


def rows(metrics: Metrics, alarms: Sequence[cloudwatch.Alarm]) -> list[list[cloudwatch.IWidget]]:
    """The dashboard's rows: the states of the alarms, then three graphs in each row."""
    queues, compute, publisher = metrics.queues, metrics.compute, metrics.compute.publisher
    http = metrics.apis.http_stage
    return [
        [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=24, height=3)],
        [
            _graph(
                "Orders",
                metrics.own(Metric.ORDERS_ACCEPTED, label="accepted"),
                metrics.own(Metric.ORDERS_CONFIRMED, label="confirmed"),
                metrics.failed("SUM({})", label="failed"),
            ),
            _graph(
                "Failed, by code", metrics.failed("{}", label="${PROP('Dim.code')}"), stacked=True
            ),
            _graph(
                "Attempts per order",
                metrics.own(Metric.ATTEMPTS, statistic="Average", label="mean"),
                metrics.own(Metric.ATTEMPTS, statistic="Maximum", label="max"),
            ),
        ],
        [
            _graph("Accepted to confirmed (ms)", *metrics.percentiles(Metric.TIME_TO_CONFIRM)),
            _graph("Quotes (ms)", *metrics.percentiles(Metric.QUOTE_LATENCY)),
            _graph("Status written to pushed (ms)", *metrics.percentiles(Metric.PUSH_LAG)),
        ],
        [
            _graph(
                "Order queue: messages, and age of the oldest (s)",
                queues.orders.metric_approximate_number_of_messages_visible(label="visible"),
                queues.orders.metric_approximate_number_of_messages_not_visible(label="in flight"),
                queues.orders.metric_approximate_number_of_messages_delayed(label="delayed"),
                right=[queues.orders.metric_approximate_age_of_oldest_message(label="age")],
            ),
            _graph(
                "Worker, publisher: concurrent executions; iterator age (ms)",
                compute.worker.metric("ConcurrentExecutions", statistic="Maximum", label="worker"),
                publisher.metric("ConcurrentExecutions", statistic="Maximum", label="publisher"),
                right=[publisher.metric("IteratorAge", statistic="Maximum", label="iterator age")],
            ),
            _graph(
                "Dead letters and idle orders",
                queues.dead_letters.metric_number_of_messages_received(
                    statistic="Sum", label="dead letters received"
                ),
                metrics.own(Metric.ORDERS_SWEPT, label="re-queued by the sweeper"),
            ),
        ],
        [
            _graph(
                "Resting orders woken",
                metrics.own(Metric.ORDERS_WOKEN, label="woken"),
            ),
            _graph(
                "Watcher: delay of a tick (ms)",
                metrics.own(Metric.WATCHER_LAG, statistic="p50", label="p50"),
                metrics.own(Metric.WATCHER_LAG, statistic="Maximum", label="max"),
            ),
            _graph(
                "Watcher: duration (ms)",
                compute.watcher.metric_duration(statistic="Sum", label="total"),
            ),
        ],
        [
            _graph(
                "Errors, by function",
                *(f.metric_errors(label=f.node.id) for f in compute.all),
                stacked=True,
            ),
            _graph(
                "Throttles, by function",
                *(f.metric_throttles(label=f.node.id) for f in compute.all),
                stacked=True,
            ),
            _graph(
                "Throttled requests, by table",
                total(*metrics.orders_throttles(), label="orders"),
                total(*metrics.other_throttles(), label="connections, keys"),
            ),
        ],
        [
            _graph(
                "HTTP latency (ms)",
                http.metric_latency(statistic="p50", label="p50"),
                http.metric_latency(statistic="p99", label="p99"),
            ),
            _graph(
                "HTTP calls",
                http.metric_client_error(statistic="Sum", label="4xx"),
                http.metric_server_error(statistic="Sum", label="5xx"),
                right=[http.metric_count(statistic="Sum", label="all")],
            ),
            _graph(
                "WebSocket",
                metrics.web_socket("ConnectCount", label="connections opened"),
                metrics.own(Metric.CONNECTIONS_GONE, label="connections found closed"),
                metrics.web_socket("ExecutionError", label="not delivered to the function"),
                metrics.web_socket("IntegrationError", label="function failed or refused"),
                right=[metrics.web_socket("MessageCount", label="messages")],
            ),
        ],
        [
            _graph(
                "Webhooks: deliveries",
                metrics.own(Metric.WEBHOOKS_DELIVERED, label="delivered"),
                metrics.own(Metric.WEBHOOKS_FAILED, label="failed"),
            ),
            _graph(
                "Webhooks: messages, and age of the oldest (s)",
                queues.webhooks.metric_approximate_number_of_messages_visible(label="visible"),
                queues.webhooks.metric_approximate_number_of_messages_not_visible(
                    label="in flight, or waiting for a retry"
                ),
                queues.webhook_dead_letters.metric_approximate_number_of_messages_visible(
                    label="dead letters"
                ),
                right=[queues.webhooks.metric_approximate_age_of_oldest_message(label="age")],
            ),
            _graph(
                "Webhooks: duration of a batch (ms)",
                compute.notifier.metric_duration(statistic="p50", label="p50"),
                compute.notifier.metric_duration(statistic="p99", label="p99"),
            ),
        ],
    ]


def _graph(
    title: str,
    *left: cloudwatch.IMetric,
    right: Sequence[cloudwatch.IMetric] = (),
    stacked: bool = False,
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(left),
        right=list(right),
        stacked=stacked,
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        right_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        width=WIDTH,
        height=HEIGHT,
    )
