"""The metrics of alarms and dashboard, which the functions and AWS emit."""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb

from functions.contract import METRICS_NAMESPACE, Metric
from infra.stack.apis import Apis
from infra.stack.compute import Compute
from infra.stack.queues import Queues
from infra.stack.storage import Storage

ONE_MINUTE, FIVE_MINUTES = Duration.minutes(1), Duration.minutes(5)

# The operations that the functions call. An alarm's expression takes at most ten metrics.
ORDERS_OPERATIONS = ("PutItem", "GetItem", "BatchGetItem", "UpdateItem", "Query")
CONNECTIONS_OPERATIONS = ("PutItem", "GetItem", "UpdateItem", "DeleteItem", "Query")
ACCESS_OPERATIONS = ("PutItem", "GetItem", "DeleteItem")


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The metrics of one stack."""

    stack_name: str
    storage: Storage
    queues: Queues
    compute: Compute
    apis: Apis

    def own(
        self,
        metric: Metric,
        period: Duration = ONE_MINUTE,
        statistic: str = "Sum",
        *,
        code: str = "",
        label: str | None = None,
    ) -> cloudwatch.Metric:
        """A metric that the functions emit."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=metric.value,
            dimensions_map={"service": self.stack_name} | ({"code": code} if code else {}),
            statistic=statistic,
            period=period,
            label=label,
        )

    def percentiles(self, metric: Metric) -> list[cloudwatch.Metric]:
        """The p50 and p99 of a duration that the functions emit."""
        return [self.own(metric, statistic=p, label=p) for p in ("p50", "p99")]

    def failed(self, expression: str, *, label: str) -> cloudwatch.MathExpression:
        """An expression in which `{}` stands for the counts of failed orders, by code.

        A search finds the counts, because a code has no metric until an order has failed with it.
        """
        schema = f"{{{METRICS_NAMESPACE},code,service}}"
        search = f'{schema} MetricName="{Metric.ORDERS_FAILED}" service="{self.stack_name}"'
        return cloudwatch.MathExpression(
            expression=expression.format(f"SEARCH('{search}', 'Sum', 60)"),
            label=label,
            period=ONE_MINUTE,
        )

    def web_socket(
        self, name: str, period: Duration = ONE_MINUTE, *, label: str | None = None
    ) -> cloudwatch.Metric:
        """A metric that API Gateway emits for the WebSocket API."""
        stage = self.apis.web_socket_stage
        return stage.metric(name, statistic="Sum", period=period, label=label)

    def orders_throttles(self) -> list[cloudwatch.Metric]:
        """The throttled requests to the orders table, by operation."""
        return _throttles(self.storage.orders, ORDERS_OPERATIONS)

    def other_throttles(self) -> list[cloudwatch.Metric]:
        """The throttled requests to the tables of connections and of keys, by operation."""
        connections = _throttles(self.storage.connections, CONNECTIONS_OPERATIONS)
        return connections + _throttles(self.storage.access, ACCESS_OPERATIONS)


def total(
    *metrics: cloudwatch.IMetric, period: Duration = ONE_MINUTE, label: str
) -> cloudwatch.MathExpression:
    """The sum of metrics; a metric without data counts as 0.

    The newest data point is 0 until CloudWatch has received the metrics; those of SQS are some
    minutes late. An alarm on the sum must evaluate earlier points too, or it may never begin:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
    """
    # The ids in a graph must be unique, so they begin with the first word of the label.
    word = label.split(maxsplit=1)[0].strip(",")
    named = {f"{word}{number}": metric for number, metric in enumerate(metrics)}
    return cloudwatch.MathExpression(
        expression=" + ".join(f"FILL({name}, 0)" for name in named),
        using_metrics=named,
        period=period,
        label=label,
    )


def _throttles(table: dynamodb.Table, operations: Sequence[str]) -> list[cloudwatch.Metric]:
    return [table.metric_throttled_requests_for_operation(name) for name in operations]
