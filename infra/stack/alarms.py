"""The alarms: the condition of each, its meaning, and the first command to run."""

from collections.abc import Iterator
from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch

from functions.contract import RECEIVES_MAX, Metric
from functions.orders.failures import FailureCode
from infra.stack.metrics import FIVE_MINUTES, ONE_MINUTE, Metrics, total

# Most metrics have no data without traffic.
NO_TRAFFIC = cloudwatch.TreatMissingData.NOT_BREACHING
# The sweeper and the watcher emit a metric each minute; missing data mean that they do not run.
NOT_RUNNING = cloudwatch.TreatMissingData.BREACHING


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alarm begins when `metric` exceeds `threshold` in `datapoints` of `periods` periods.

    `means` tells the operator what the alarm means, and `first` which `uv run ops` command to run.
    """

    name: str
    metric: cloudwatch.Metric | cloudwatch.MathExpression
    threshold: int
    datapoints: int = 1
    periods: int = 1
    missing_data: cloudwatch.TreatMissingData = NO_TRAFFIC
    means: str
    first: str


def rules(metrics: Metrics) -> Iterator[Rule]:
    """The rule of each alarm."""
    queues, compute = metrics.queues, metrics.compute
    yield Rule(
        name="DeadLetters",
        # The number of visible messages alone would miss a dead letter that the function receives
        # at once. SQS moves the messages itself and does not count them as sent.
        metric=total(
            queues.dead_letters.metric_number_of_messages_received(statistic="Sum"),
            queues.dead_letters.metric_approximate_number_of_messages_visible(),
            period=FIVE_MINUTES,
            label="dead letters",
        ),
        threshold=0,
        periods=2,
        means=f"The worker failed {RECEIVES_MAX} times on an order. The dead-letter function ends"
        " such an order; if the alarm stays, that function fails as well.",
        first="stuck",
    )
    yield Rule(
        name="InternalFailures",
        metric=metrics.own(Metric.ORDERS_FAILED, FIVE_MINUTES, code=FailureCode.INTERNAL.value),
        threshold=0,
        means="Orders failed by a fault of the engine, not of the market or of a client.",
        first="trace ORDER",
    )
    yield Rule(
        name="OrdersWait",
        # A message whose worker crashed is received again after six minutes. One crash does not
        # start the alarm; two in a row do.
        metric=queues.orders.metric_approximate_age_of_oldest_message(period=ONE_MINUTE),
        threshold=300,
        datapoints=3,
        periods=5,
        means="The oldest message of the order queue waits for more than five minutes: the "
        "worker does not run, or not fast enough.",
        first="stats",
    )
    yield Rule(
        name="ConfirmationsSlow",
        # By default one transaction in fifty is dropped. The worker knows this after a minute, so
        # the usual p99 is a little more than a minute.
        metric=metrics.own(Metric.TIME_TO_CONFIRM, FIVE_MINUTES, "p99"),
        threshold=120_000,
        datapoints=3,
        periods=3,
        means="The 99th percentile of the time to confirmation is more than two minutes.",
        first="stats",
    )
    yield Rule(
        name="OrdersSwept",
        # A single sweep that repairs a lost message is normal.
        metric=metrics.own(Metric.ORDERS_SWEPT, ONE_MINUTE),
        threshold=0,
        datapoints=5,
        periods=10,
        missing_data=NOT_RUNNING,
        means="The sweeper re-queues idle orders repeatedly: messages are lost, or the worker "
        "makes no progress. Or the sweeper itself does not run.",
        first="stuck",
    )
    yield Rule(
        name="WatcherLate",
        # A single slow tick or a cold start is normal.
        metric=metrics.own(Metric.WATCHER_LAG, ONE_MINUTE, "Maximum"),
        threshold=5_000,
        datapoints=3,
        periods=5,
        missing_data=NOT_RUNNING,
        means="Resting orders are woken more than five seconds late, or not at all: the watcher "
        "has too much to do, fails, or does not run.",
        first="stats",
    )
    yield Rule(
        name="PushesLate",
        # A batch waits for a slow connection for at most 15 s, so a minute is four such batches.
        metric=compute.publisher.metric("IteratorAge", statistic="Maximum", period=ONE_MINUTE),
        threshold=60_000,
        datapoints=3,
        periods=5,
        means="The publisher is more than a minute behind the orders' stream: followers see "
        "updates late.",
        first="stats",
    )
    yield Rule(
        name="FunctionErrors",
        # After a single error the message is redelivered, or the client retries.
        metric=total(
            *(f.metric_errors() for f in compute.all), period=FIVE_MINUTES, label="errors"
        ),
        threshold=0,
        datapoints=2,
        periods=3,
        means="Functions crash or time out in two of three periods of five minutes.",
        first="stuck",
    )
    yield Rule(
        name="FunctionThrottles",
        metric=total(
            *(f.metric_throttles() for f in compute.all),
            period=ONE_MINUTE,
            label="throttles",
        ),
        threshold=0,
        datapoints=3,
        periods=5,
        means="Lambda throttles functions: the account's concurrency is used up.",
        first="stats",
    )
    yield Rule(
        name="WebhookDeadLetters",
        metric=queues.webhook_dead_letters.metric_approximate_number_of_messages_visible(
            period=FIVE_MINUTES
        ),
        threshold=0,
        means="A delivery to a webhook has failed for a day. Usually its receiver is at fault.",
        first="stats",
    )
    # The functions retry throttled requests, and an on-demand table takes time to scale up.
    yield Rule(
        name="OrdersTableThrottles",
        metric=total(*metrics.orders_throttles(), period=ONE_MINUTE, label="throttled requests"),
        threshold=0,
        datapoints=3,
        periods=5,
        means="DynamoDB throttles requests to the orders table: API requests and orders fail or "
        "take longer.",
        first="stats",
    )
    yield Rule(
        name="OtherTablesThrottles",
        metric=total(*metrics.other_throttles(), period=ONE_MINUTE, label="throttled requests"),
        threshold=0,
        datapoints=3,
        periods=5,
        means="DynamoDB throttles requests to the tables of connections or of keys: clients "
        "cannot connect, or receive no pushes.",
        first="stats",
    )
    yield Rule(
        name="ApiErrors",
        # A percentage alone would start the alarm for one error without traffic, and a number
        # alone at every peak of traffic.
        metric=cloudwatch.MathExpression(
            expression="IF(failed >= 5, 100 * failed / calls, 0)",
            using_metrics={
                "failed": metrics.apis.http_stage.metric_server_error(statistic="Sum"),
                "calls": metrics.apis.http_stage.metric_count(statistic="Sum"),
            },
            period=FIVE_MINUTES,
            label="requests answered with 5xx (%)",
        ),
        threshold=1,
        means="At least five requests, and more than 1 % of all, were answered with a 5xx.",
        first="stats",
    )
    yield Rule(
        name="WebSocketErrors",
        # The function catches an error to answer the client, and then returns a 5xx.
        metric=total(
            metrics.web_socket("ExecutionError", FIVE_MINUTES),
            metrics.web_socket("IntegrationError", FIVE_MINUTES),
            period=FIVE_MINUTES,
            label="errors",
        ),
        threshold=4,
        periods=2,
        means="The WebSocket API could not call its function, or the function failed, for at "
        "least five messages.",
        first="stats",
    )
