"""The alarms' rules: when each rings, what it means and what to do first."""

from collections.abc import Iterator
from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch

from functions.contract import Metric
from functions.orders.failures import FailureCode
from infra.stack.metrics import FIVE_MINUTES, ONE_MINUTE, Metrics, total

# Most metrics have no data without traffic, which is no fault.
QUIET = cloudwatch.TreatMissingData.NOT_BREACHING
# The sweeper emits each minute how many orders it found, 0 as well; the watcher how late it was.
STOPPED = cloudwatch.TreatMissingData.BREACHING


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alarm rings if `metric` was `above` in `often` of the last `of` periods of the metric."""

    name: str
    metric: cloudwatch.Metric | cloudwatch.MathExpression
    above: int
    often: int = 1
    of: int = 1
    silence: cloudwatch.TreatMissingData = QUIET
    means: str
    first: str  # the first command of `uv run ops` to run


def rules(metrics: Metrics) -> Iterator[Rule]:
    """All alarms: first what harms an order, then what delays one, then what may do so."""
    queues, compute = metrics.queues, metrics.compute
    yield Rule(
        name="DeadLetters",
        # Counts receives too, because the queue's function receives a dead letter at once. Sends do
        # not count: SQS itself moves the messages here.
        metric=total(
            queues.dead_letters.metric_number_of_messages_received(statistic="Sum"),
            queues.dead_letters.metric_approximate_number_of_messages_visible(),
            period=FIVE_MINUTES,
            label="dead letters",
        ),
        above=0,
        of=2,
        means="The worker failed five times on an order. The dead-letter function ends such "
        "an order; an alarm that stays means that it cannot.",
        first="stuck",
    )
    yield Rule(
        name="InternalFailures",
        metric=metrics.own(Metric.ORDERS_FAILED, FIVE_MINUTES, code=FailureCode.INTERNAL.value),
        above=0,
        means="Orders failed by a fault of ours: neither the market nor the client is the reason.",
        first="trace ORDER",
    )
    yield Rule(
        name="OrdersWait",
        # The engine delays a message by a minute at most. A message whose worker died returns after
        # six minutes: one such message does not ring, two in a row do.
        metric=queues.orders.metric_approximate_age_of_oldest_message(period=ONE_MINUTE),
        above=300,
        often=3,
        of=5,
        means="The oldest message of the order queue waits for more than five minutes: the "
        "worker does not run, or not fast enough.",
        first="stats",
    )
    yield Rule(
        name="ConfirmationsSlow",
        # One transaction in fifty is dropped, which the worker knows after a minute: on a good day
        # the slowest hundredth takes a little longer than that.
        metric=metrics.own(Metric.TIME_TO_CONFIRM, FIVE_MINUTES, "p99"),
        above=120_000,
        often=3,
        of=3,
        means="The slowest hundredth of orders takes more than two minutes to be confirmed.",
        first="stats",
    )
    yield Rule(
        name="OrdersSwept",
        # One sweep that repairs one lost message is normal.
        metric=metrics.own(Metric.ORDERS_SWEPT, ONE_MINUTE),
        above=0,
        often=5,
        of=10,
        silence=STOPPED,
        means="Orders repeatedly stand still until the sweeper queues them: messages are lost, or "
        "the worker makes no progress. Or the sweeper itself does not run.",
        first="stuck",
    )
    yield Rule(
        name="WatcherLate",
        # A watcher of which one tick is slow is no fault, nor is one that starts cold.
        metric=metrics.own(Metric.WATCHER_LAG, ONE_MINUTE, "Maximum"),
        above=5_000,
        often=3,
        of=5,
        silence=STOPPED,
        means="Resting orders are woken more than five seconds late, or not at all: the watcher "
        "has too much to do, fails, or does not run.",
        first="stats",
    )
    yield Rule(
        name="PushesLate",
        # A batch waits 15 s for its slowest connection: this is four such batches in a row.
        metric=compute.publisher.metric("IteratorAge", statistic="Maximum", period=ONE_MINUTE),
        above=60_000,
        often=3,
        of=5,
        means="The publisher is more than a minute behind the orders' stream: followers see "
        "updates late.",
        first="stats",
    )
    yield Rule(
        name="FunctionErrors",
        # After a single error the message is delivered again, or the client calls again.
        metric=total(
            *(f.metric_errors() for f in compute.all), period=FIVE_MINUTES, label="errors"
        ),
        above=0,
        often=2,
        of=3,
        means="Functions keep crashing or running out of time.",
        first="stuck",
    )
    yield Rule(
        name="FunctionThrottles",
        metric=total(
            *(f.metric_throttles() for f in compute.all),
            period=ONE_MINUTE,
            label="throttles",
        ),
        above=0,
        often=3,
        of=5,
        means="Lambda refuses to run functions: the account's concurrency is used up.",
        first="stats",
    )
    yield Rule(
        name="WebhookDeadLetters",
        metric=queues.webhook_dead_letters.metric_approximate_number_of_messages_visible(
            period=FIVE_MINUTES
        ),
        above=0,
        means="A delivery to a webhook has failed for a day. Usually its receiver is at fault.",
        first="stats",
    )
    # Requests are retried, and an on-demand table needs a moment to double its capacity.
    yield Rule(
        name="OrdersTableThrottles",
        metric=total(*metrics.orders_throttles(), period=ONE_MINUTE, label="throttled requests"),
        above=0,
        often=3,
        of=5,
        means="DynamoDB refuses requests to the orders table: calls and orders fail or take "
        "longer.",
        first="stats",
    )
    yield Rule(
        name="OtherTablesThrottles",
        metric=total(*metrics.other_throttles(), period=ONE_MINUTE, label="throttled requests"),
        above=0,
        often=3,
        of=5,
        means="DynamoDB refuses requests to the tables of connections or of keys: clients "
        "cannot connect, or receive no pushes.",
        first="stats",
    )
    yield Rule(
        name="ApiErrors",
        # Only a share would ring for one error at night, only a number at every peak.
        metric=cloudwatch.MathExpression(
            expression="IF(failed >= 5, 100 * failed / calls, 0)",
            using_metrics={
                "failed": metrics.apis.http_stage.metric_server_error(statistic="Sum"),
                "calls": metrics.apis.http_stage.metric_count(statistic="Sum"),
            },
            period=FIVE_MINUTES,
            label="calls answered with 5xx (%)",
        ),
        above=1,
        means="Five calls or more, and more than 1 % of all, were answered with a 5xx.",
        first="stats",
    )
    yield Rule(
        name="WebSocketErrors",
        # The function catches its failures, to answer them, and returns a 5xx instead.
        metric=total(
            metrics.web_socket("ExecutionError", FIVE_MINUTES),
            metrics.web_socket("IntegrationError", FIVE_MINUTES),
            period=FIVE_MINUTES,
            label="errors",
        ),
        above=4,
        of=2,
        means="The WebSocket API could not call its function, or the function failed, for five "
        "messages or more.",
        first="stats",
    )
