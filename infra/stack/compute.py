"""The Lambda functions: one asset for all, and a role, log group and environment for each."""

from pathlib import Path

from aws_cdk import Annotations, Duration, IgnoreMode
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from functions.contract import METRICS_NAMESPACE
from infra.settings import Settings
from infra.stack.dependencies import dependency_layer
from infra.stack.logs import log_group

ROOT = Path(__file__).parents[2]
PUBLISHED_ALIAS = "live"
PUBLISHER_MB = 256  # the publisher mostly waits for its pushes

REQUEST_TIMEOUT = Duration.seconds(10)
DEAD_LETTERS_TIMEOUT = Duration.seconds(30)
NOTIFIER_TIMEOUT = Duration.seconds(30)
PUBLISHER_TIMEOUT = Duration.seconds(60)
SWEEPER_TIMEOUT = Duration.seconds(30)
# A watcher ticks until the next one has started: after one minute, or two if one start fails.
WATCHER_TIMEOUT = Duration.seconds(150)
WORKER_TIMEOUT = Duration.seconds(60)


class Compute(Construct):
    """The engine's functions; `all` lists them, and `Engine` grants their permissions."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        orders_table: str,
        connections_table: str,
        access_table: str,
        queue_url: str,
        webhook_queue_url: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self.all: list[lambda_.Function] = []
        self._code = lambda_.Code.from_asset(
            str(ROOT),
            exclude=["/*", "!/functions", "__pycache__", "*.pyc", "*.md"],
            ignore_mode=IgnoreMode.GIT,
        )
        # The emulator runs the functions in its own Python, which has the dependencies.
        self._layers = (
            [] if settings.local else [dependency_layer(self, "Dependencies", uv=settings.uv)]
        )

        orders = {"ORDERS_TABLE": orders_table}
        connections = {"CONNECTIONS_TABLE": connections_table}
        access = {"ACCESS_TABLE": access_table}
        queue = {"QUEUE_URL": queue_url}
        webhooks = {"WEBHOOK_QUEUE_URL": webhook_queue_url}

        self.api = self._function(
            "api",
            REQUEST_TIMEOUT,
            orders | connections | access | queue | webhooks,
            snap_start=settings.snap_start,
        )
        self.authorizer = self._function(
            "authorizer", REQUEST_TIMEOUT, access, snap_start=settings.snap_start
        )
        self.worker = self._function(
            "worker",
            WORKER_TIMEOUT,
            orders | queue,
            memory_mb=settings.worker_memory_mb,
            # The worker re-queues an order that waits or retries. Lambda would detect a recursive
            # loop, and move the message to the dead-letter queue after 16 invocations:
            # https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
        )
        self.publisher = self._function(
            "publisher",
            PUBLISHER_TIMEOUT,
            orders | connections | webhooks,
            memory_mb=PUBLISHER_MB,
        )
        self.notifier = self._function("notifier", NOTIFIER_TIMEOUT, connections | webhooks)
        self.websocket = self._function(
            "websocket",
            REQUEST_TIMEOUT,
            orders | connections,
            snap_start=settings.snap_start,
        )
        self.sweeper = self._function("sweeper", SWEEPER_TIMEOUT, orders | queue)
        self.watcher = self._function(
            "watcher", WATCHER_TIMEOUT, orders | queue, memory_mb=settings.watcher_memory_mb
        )
        # A retry would come too late to be useful: the next watcher starts within a minute.
        lambda_.EventInvokeConfig(
            self,
            "WatcherInvocations",
            function=self.watcher,
            qualifier="$LATEST",
            retry_attempts=0,
            max_event_age=Duration.minutes(1),
        )
        self.dead_letters = self._function("dead_letters", DEAD_LETTERS_TIMEOUT, orders | queue)

    def published(self, function: lambda_.Function) -> lambda_.IFunction:
        """What an API calls: the function, or with SnapStart the alias of its version."""
        return function.add_alias(PUBLISHED_ALIAS) if self._settings.snap_start else function

    def _function(
        self,
        module: str,
        timeout: Duration,
        environment: dict[str, str],
        *,
        memory_mb: int | None = None,
        snap_start: bool = False,
        recursive_loop: lambda_.RecursiveLoop | None = None,
    ) -> lambda_.Function:
        settings = self._settings
        name = module.title().replace("_", "")
        group = log_group(self, f"{name}Logs", settings=settings)
        role = iam.Role(
            self, f"{name}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")
        )
        group.grant_write(role)
        function = lambda_.Function(
            self,
            name,
            code=self._code,
            handler=f"functions.{module}.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            layers=self._layers,
            role=role,
            timeout=timeout,
            recursive_loop=recursive_loop,
            memory_size=memory_mb or settings.memory_mb,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
            log_group=group,
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=_lambda_log_level(settings.log_level),
            # Platform lines of each invocation would cost money; metrics count the invocations.
            system_log_level_v2=lambda_.SystemLogLevel.WARN,
            environment={
                **environment,
                **settings.environment(),
                "POWERTOOLS_SERVICE_NAME": settings.stack_name,
                "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
                "POWERTOOLS_LOG_LEVEL": settings.log_level,
            },
        )
        if snap_start:  # `published` creates the version
            Annotations.of(function).acknowledge_warning(
                "@aws-cdk/aws-lambda:snapStartRequirePublish"
            )
        self.all.append(function)
        return function


def _lambda_log_level(level: str) -> lambda_.ApplicationLogLevel:
    """The level below which Lambda drops log lines: DEBUG for DEBUG, else INFO.

    Lambda treats a line without a level, such as a line of metrics, as INFO, so a higher level
    would drop the metrics. The functions' logger applies higher levels (functions/runtime.py):
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    """
    debug = level == "DEBUG"
    return lambda_.ApplicationLogLevel.DEBUG if debug else lambda_.ApplicationLogLevel.INFO
