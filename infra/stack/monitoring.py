"""Alarms, each with what it means and what to do first, and one dashboard: are orders flowing?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aws_cdk import Aws, CfnMapping, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from functions.contract import METRICS_NAMESPACE, Metric
from functions.orders.failures import FailureCode
from infra.settings import Settings
from infra.stack.apis import Apis
from infra.stack.compute import Compute
from infra.stack.queues import Queues
from infra.stack.storage import Storage

# What the functions call, table by table; an alarm's expression takes ten metrics at most.
ORDERS_OPERATIONS = ("PutItem", "GetItem", "BatchGetItem", "UpdateItem", "Query")
CONNECTIONS_OPERATIONS = ("PutItem", "UpdateItem", "DeleteItem", "Query")
ACCESS_OPERATIONS = ("PutItem", "GetItem", "DeleteItem")

ONE_MINUTE, FIVE_MINUTES = Duration.minutes(1), Duration.minutes(5)
WIDTH, HEIGHT = 8, 6
FULL_WIDTH = 24

CONSOLES = {
    "aws": {"domain": "console.aws.amazon.com"},
    "aws-cn": {"domain": "console.amazonaws.cn"},
    "aws-us-gov": {"domain": "console.amazonaws-us-gov.com"},
}

# Nothing happened, so nothing went wrong: most metrics are silent without traffic.
QUIET = cloudwatch.TreatMissingData.NOT_BREACHING
# The sweeper tells each minute how many orders it found, and be it none.
STOPPED = cloudwatch.TreatMissingData.BREACHING


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alarm: `metric` was `above` in `often` of the last `of` periods of the metric."""

    name: str
    metric: cloudwatch.Metric | cloudwatch.MathExpression
    above: int
    often: int = 1
    of: int = 1
    silence: cloudwatch.TreatMissingData = QUIET
    means: str
    first: str


class Monitoring(Construct):
    """The topic that every alarm tells when it begins and when it is over, and the dashboard."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: Storage,
        queues: Queues,
        compute: Compute,
        apis: Apis,
    ) -> None:
        super().__init__(scope, construct_id)
        self._stack_name = settings.stack_name
        self._storage, self._queues = storage, queues
        self._compute, self._apis = compute, apis

        self.topic = self._topic(settings.alarm_email)
        # The emulator takes no alarm on metric math.
        rules = [rule for rule in self._rules() if not (settings.local and _is_math(rule))]
        alarms = [self._alarm(rule) for rule in rules]
        dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=self._stack_name,
            default_interval=Duration.hours(3),
            widgets=[[_status(alarms)], *self._rows()],
        )
        console = CfnMapping(self, "Console", mapping=CONSOLES)
        self.dashboard_url = (
            f"https://{console.find_in_map(Aws.PARTITION, 'domain')}/cloudwatch/home"
            f"?region={Aws.REGION}#dashboards:name={dashboard.dashboard_name}"
        )

    def _topic(self, email: str) -> sns.Topic:
        topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        # A topic with a policy of its own is no longer open to the account's alarms.
        alarms = f"arn:{Aws.PARTITION}:cloudwatch:{Aws.REGION}:{Aws.ACCOUNT_ID}:alarm"
        topic.grant_publish(
            iam.ServicePrincipal(
                "cloudwatch.amazonaws.com",
                conditions={"ArnLike": {"aws:SourceArn": f"{alarms}:{self._stack_name}-*"}},
            )
        )
        if email:
            topic.add_subscription(subscriptions.EmailSubscription(email))
        return topic

    def _alarm(self, rule: Rule) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            rule.name,
            alarm_name=f"{self._stack_name}-{rule.name}",
            alarm_description=f"{rule.means} First: {rule.first}. "
            f"Then: infra/RUNBOOK.md, {rule.name}.",
            metric=rule.metric,
            threshold=rule.above,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            datapoints_to_alarm=rule.often,
            evaluation_periods=rule.of,
            treat_missing_data=rule.silence,
        )
        tell = actions.SnsAction(self.topic)
        alarm.add_alarm_action(tell)
        alarm.add_ok_action(tell)
        return alarm

    def _rules(self) -> Iterator[Rule]:
        """All alarms: first what harms an order, then what delays one, then what may."""
        queues, compute = self._queues, self._compute
        yield Rule(
            name="DeadLetters",
            # Its function takes a dead letter at once, so that hardly ever one is seen waiting.
            # What is moved here by SQS counts as received, but not as sent.
            metric=_sum(
                queues.dead_letters.metric_number_of_messages_received(statistic="Sum"),
                queues.dead_letters.metric_approximate_number_of_messages_visible(),
                period=FIVE_MINUTES,
                label="dead letters",
            ),
            above=0,
            of=2,
            means="The worker failed five times on an order. The dead-letter function ends such "
            "an order; an alarm that stays means that it cannot.",
            first=self._ops("stuck"),
        )
        yield Rule(
            name="InternalFailures",
            metric=self._own(Metric.ORDERS_FAILED, FIVE_MINUTES, code=FailureCode.INTERNAL.value),
            above=0,
            means="Orders failed by a fault of ours: neither the market nor the client is the "
            "reason.",
            first=self._ops("trace ORDER"),
        )
        yield Rule(
            name="OrdersWait",
            # The longest wait that we ask for is a minute. A message whose worker died comes back
            # after six: that alone is not "often", two in a row are.
            metric=queues.orders.metric_approximate_age_of_oldest_message(period=ONE_MINUTE),
            above=300,
            often=3,
            of=5,
            means="The oldest message of the order queue waits for more than five minutes: the "
            "worker does not run, or not fast enough.",
            first=self._ops("stats"),
        )
        yield Rule(
            name="ConfirmationsSlow",
            # One transaction in fifty is dropped, which is known after a minute: on a good day
            # the slowest hundredth takes just over that.
            metric=self._own(Metric.TIME_TO_CONFIRM, FIVE_MINUTES, "p99"),
            above=120_000,
            often=3,
            of=3,
            means="The slowest hundredth of orders takes more than two minutes to be confirmed.",
            first=self._ops("stats"),
        )
        yield Rule(
            name="OrdersSwept",
            # One sweep repairs one lost message, which is what it is for.
            metric=self._own(Metric.ORDERS_SWEPT, ONE_MINUTE),
            above=0,
            often=5,
            of=10,
            silence=STOPPED,
            means="Again and again orders stand still until the sweeper queues them: messages get "
            "lost, or the worker does not get on with them. Or the sweeper itself does not run.",
            first=self._ops("stuck"),
        )
        yield Rule(
            name="PushesLate",
            # A batch waits 15 s for its slowest connection: that is four of them in a row.
            metric=compute.publisher.metric("IteratorAge", statistic="Maximum", period=ONE_MINUTE),
            above=60_000,
            often=3,
            of=5,
            means="The publisher is more than a minute behind the orders' stream: followers see "
            "updates late.",
            first=self._ops("stats"),
        )
        yield Rule(
            name="FunctionErrors",
            # A single one is redelivered, or called again by its client.
            metric=_sum(
                *(f.metric_errors() for f in compute.all), period=FIVE_MINUTES, label="errors"
            ),
            above=0,
            often=2,
            of=3,
            means="Functions keep crashing or running out of time.",
            first=self._ops("stuck"),
        )
        yield Rule(
            name="FunctionThrottles",
            metric=_sum(
                *(f.metric_throttles() for f in compute.all), period=ONE_MINUTE, label="throttles"
            ),
            above=0,
            often=3,
            of=5,
            means="Lambda refuses to run functions: the account's concurrency is used up.",
            first=self._ops("stats"),
        )
        # Clients of a table try again, and an on-demand table takes a moment to double.
        yield Rule(
            name="OrdersTableThrottles",
            metric=_sum(*self._orders_throttles(), period=ONE_MINUTE, label="throttled requests"),
            above=0,
            often=3,
            of=5,
            means="DynamoDB refuses requests to the orders table: calls and orders fail or take "
            "longer.",
            first=self._ops("stats"),
        )
        yield Rule(
            name="OtherTablesThrottles",
            metric=_sum(*self._other_throttles(), period=ONE_MINUTE, label="throttled requests"),
            above=0,
            often=3,
            of=5,
            means="DynamoDB refuses requests to the tables of connections or of keys: clients "
            "cannot come in, or are not pushed to.",
            first=self._ops("stats"),
        )
        yield Rule(
            name="ApiErrors",
            # A share alone would ring for one error at night, a number alone at every peak.
            metric=cloudwatch.MathExpression(
                expression="IF(failed >= 5, 100 * failed / calls, 0)",
                using_metrics={
                    "failed": self._apis.http_stage.metric_server_error(statistic="Sum"),
                    "calls": self._apis.http_stage.metric_count(statistic="Sum"),
                },
                period=FIVE_MINUTES,
                label="calls answered with 5xx (%)",
            ),
            above=1,
            means="Five calls or more, and more than 1 % of all, were answered with a 5xx.",
            first=self._ops("stats"),
        )
        yield Rule(
            name="WebSocketErrors",
            # The function catches its failures, to answer them, and returns a 5xx instead.
            metric=_sum(
                self._web_socket("ExecutionError", FIVE_MINUTES),
                self._web_socket("IntegrationError", FIVE_MINUTES),
                period=FIVE_MINUTES,
                label="errors",
            ),
            above=4,
            of=2,
            means="The WebSocket API could not call its function, or the function failed, for five "
            "messages or more.",
            first=self._ops("stats"),
        )

    def _rows(self) -> list[list[cloudwatch.IWidget]]:
        """The dashboard from top to bottom: do orders flow, how fast, and if not, why not."""
        queues, compute, publisher = self._queues, self._compute, self._compute.publisher
        return [
            [
                _graph(
                    "Orders",
                    self._own(Metric.ORDERS_ACCEPTED, label="accepted"),
                    self._own(Metric.ORDERS_CONFIRMED, label="confirmed"),
                    self._failed("SUM({})", label="failed"),
                ),
                _graph(
                    "Failed, by code", self._failed("{}", label="${PROP('Dim.code')}"), stacked=True
                ),
                _graph(
                    "Attempts that an order needed",
                    self._own(Metric.ATTEMPTS, statistic="Average", label="mean"),
                    self._own(Metric.ATTEMPTS, statistic="Maximum", label="most"),
                ),
            ],
            [
                _graph("Accepted to confirmed (ms)", *self._spread(Metric.TIME_TO_CONFIRM)),
                _graph("Quotes (ms)", *self._spread(Metric.QUOTE_LATENCY)),
                _graph("Status written to pushed (ms)", *self._spread(Metric.PUSH_LAG)),
            ],
            [
                _graph(
                    "Order queue: messages, and age of the oldest (s)",
                    queues.orders.metric_approximate_number_of_messages_visible(label="waiting"),
                    queues.orders.metric_approximate_number_of_messages_not_visible(label="taken"),
                    queues.orders.metric_approximate_number_of_messages_delayed(label="delayed"),
                    right=[queues.orders.metric_approximate_age_of_oldest_message(label="age")],
                ),
                _graph(
                    "Worker and publisher: invocations at once; how far behind (ms)",
                    compute.worker.metric(
                        "ConcurrentExecutions", statistic="Maximum", label="worker"
                    ),
                    publisher.metric(
                        "ConcurrentExecutions", statistic="Maximum", label="publisher"
                    ),
                    right=[
                        publisher.metric("IteratorAge", statistic="Maximum", label="iterator age")
                    ],
                ),
                _graph(
                    "Left behind",
                    queues.dead_letters.metric_number_of_messages_received(
                        statistic="Sum", label="dead letters taken"
                    ),
                    self._own(Metric.ORDERS_SWEPT, label="swept"),
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
                    _sum(*self._orders_throttles(), label="orders"),
                    _sum(*self._other_throttles(), label="connections, keys"),
                ),
            ],
            [
                _graph(
                    "HTTP latency (ms)",
                    self._apis.http_stage.metric_latency(statistic="p50", label="p50"),
                    self._apis.http_stage.metric_latency(statistic="p99", label="p99"),
                ),
                _graph(
                    "HTTP calls",
                    self._apis.http_stage.metric_client_error(statistic="Sum", label="4xx"),
                    self._apis.http_stage.metric_server_error(statistic="Sum", label="5xx"),
                    right=[self._apis.http_stage.metric_count(statistic="Sum", label="all")],
                ),
                _graph(
                    "WebSocket",
                    self._web_socket("ConnectCount", label="connections opened"),
                    self._own(Metric.CONNECTIONS_GONE, label="connections gone"),
                    self._web_socket("ExecutionError", label="not handled"),
                    self._web_socket("IntegrationError", label="failed or refused"),
                    right=[self._web_socket("MessageCount", label="messages")],
                ),
            ],
        ]

    def _own(
        self,
        metric: Metric,
        period: Duration = ONE_MINUTE,
        statistic: str = "Sum",
        *,
        code: str = "",
        label: str | None = None,
    ) -> cloudwatch.Metric:
        """A metric that the functions emit, of this stack."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=metric.value,
            dimensions_map={"service": self._stack_name} | ({"code": code} if code else {}),
            statistic=statistic,
            period=period,
            label=label,
        )

    def _failed(self, expression: str, *, label: str) -> cloudwatch.MathExpression:
        """Failed orders, a line a code; found by a search, for the codes are the market's."""
        schema = f"{{{METRICS_NAMESPACE},code,service}}"
        search = f'{schema} MetricName="{Metric.ORDERS_FAILED}" service="{self._stack_name}"'
        return cloudwatch.MathExpression(
            expression=expression.format(f"SEARCH('{search}', 'Sum', 60)"),
            label=label,
            period=ONE_MINUTE,
        )

    def _spread(self, metric: Metric) -> list[cloudwatch.Metric]:
        return [self._own(metric, statistic=p, label=p) for p in ("p50", "p99")]

    def _web_socket(
        self, name: str, period: Duration = ONE_MINUTE, *, label: str | None = None
    ) -> cloudwatch.Metric:
        stage = self._apis.web_socket_stage
        return stage.metric(name, statistic="Sum", period=period, label=label)

    def _orders_throttles(self) -> list[cloudwatch.Metric]:
        return _throttles(self._storage.orders, ORDERS_OPERATIONS)

    def _other_throttles(self) -> list[cloudwatch.Metric]:
        connections = _throttles(self._storage.connections, CONNECTIONS_OPERATIONS)
        return connections + _throttles(self._storage.access, ACCESS_OPERATIONS)

    def _ops(self, command: str) -> str:
        return f"uv run ops {command} --stack {self._stack_name}"


def _is_math(rule: Rule) -> bool:
    return isinstance(rule.metric, cloudwatch.MathExpression)


def _throttles(table: dynamodb.Table, operations: Sequence[str]) -> list[cloudwatch.Metric]:
    return [table.metric_throttled_requests_for_operation(name) for name in operations]


def _sum(
    *metrics: cloudwatch.IMetric, period: Duration = ONE_MINUTE, label: str
) -> cloudwatch.MathExpression:
    """The sum of metrics; a metric without data counts as 0, or the sum would have none either.

    So the newest point is 0 until CloudWatch has its metrics, some minutes late for SQS. An alarm
    on it must look back further than this one point, or it may never ring:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
    """
    # A graph's ids are one name space; a word of the label keeps its sums apart.
    word = label.split(maxsplit=1)[0].strip(",")
    named = {f"{word}{number}": metric for number, metric in enumerate(metrics)}
    return cloudwatch.MathExpression(
        expression=" + ".join(f"FILL({name}, 0)" for name in named),
        using_metrics=named,
        period=period,
        label=label,
    )


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


def _status(alarms: Sequence[cloudwatch.Alarm]) -> cloudwatch.AlarmStatusWidget:
    return cloudwatch.AlarmStatusWidget(
        title="Alarms", alarms=list(alarms), width=FULL_WIDTH, height=3
    )
