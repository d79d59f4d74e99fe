"""The alarms, the SNS topic that they notify, and the dashboard."""

from aws_cdk import Aws, CfnMapping, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.settings import Settings
from infra.stack.alarms import Rule, rules
from infra.stack.apis import Apis
from infra.stack.compute import Compute
from infra.stack.dashboard import rows
from infra.stack.metrics import Metrics
from infra.stack.queues import Queues
from infra.stack.storage import Storage

CONSOLES = {
    "aws": {"domain": "console.aws.amazon.com"},
    "aws-cn": {"domain": "console.amazonaws.cn"},
    "aws-us-gov": {"domain": "console.amazonaws-us-gov.com"},
}


class Monitoring(Construct):
    """Every alarm notifies `topic` when it begins and when it ends."""

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
        metrics = Metrics(
            stack_name=settings.stack_name,
            storage=storage,
            queues=queues,
            compute=compute,
            apis=apis,
        )
        self.topic = self._topic(settings.alarm_email)
        # The emulator refuses alarms on metric math.
        alarms = [self._alarm(r) for r in rules(metrics) if not (settings.local and _is_math(r))]
        dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=self._stack_name,
            default_interval=Duration.hours(3),
            widgets=rows(metrics, alarms),
        )
        console = CfnMapping(self, "Console", mapping=CONSOLES)
        self.dashboard_url = (
            f"https://{console.find_in_map(Aws.PARTITION, 'domain')}/cloudwatch/home"
            f"?region={Aws.REGION}#dashboards:name={dashboard.dashboard_name}"
        )

    def _topic(self, email: str) -> sns.Topic:
        topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        # A topic with its own policy (TLS only) needs a statement that lets alarms publish.
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
            alarm_description=f"{rule.means} First: uv run ops {rule.first} "
            f"--stack {self._stack_name}. Then: infra/RUNBOOK.md, {rule.name}.",
            metric=rule.metric,
            threshold=rule.threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            datapoints_to_alarm=rule.datapoints,
            evaluation_periods=rule.periods,
            treat_missing_data=rule.missing_data,
        )
        notify = actions.SnsAction(self.topic)
        alarm.add_alarm_action(notify)
        alarm.add_ok_action(notify)
        return alarm


def _is_math(rule: Rule) -> bool:
    return isinstance(rule.metric, cloudwatch.MathExpression)
