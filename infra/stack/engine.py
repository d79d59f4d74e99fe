"""The stack: its constructs, and the functions' triggers and permissions."""

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from functions.contract import (
    API_KEY,
    BATCH_SIZE,
    PUBLISHERS_PER_SHARD,
    TICKET,
    WATCHED_PAIRS_ID,
)
from infra.settings import Settings
from infra.stack.apis import Apis
from infra.stack.compute import Compute
from infra.stack.monitoring import Monitoring
from infra.stack.queues import Queues
from infra.stack.storage import WAKE_INDEXES, Storage

PUBLISH_BATCH_SIZE = 100
NOTIFIERS_MAX = 5

# Lambda reads a function's queue or stream with the function's role.
RECEIVE = "ReceiveMessage DeleteMessage GetQueueAttributes"
READ_STREAM = "DescribeStream GetRecords GetShardIterator ListStreams"


class Engine(Stack):
    """The order execution engine of one stage."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id, description="Order execution engine")

        storage = Storage(self, "Storage", settings=settings)
        queues = Queues(self, "Queues")
        compute = Compute(
            self,
            "Compute",
            settings=settings,
            orders_table=storage.orders.table_name,
            connections_table=storage.connections.table_name,
            access_table=storage.access.table_name,
            queue_url=queues.orders.queue_url,
            webhook_queue_url=queues.webhooks.queue_url,
        )
        apis = Apis(
            self,
            "Apis",
            api=compute.published(compute.api),
            websocket=compute.published(compute.websocket),
            authorizer=compute.published(compute.authorizer),
            settings=settings,
        )
        monitoring = Monitoring(
            self,
            "Monitoring",
            settings=settings,
            storage=storage,
            queues=queues,
            compute=compute,
            apis=apis,
        )

        self._start(storage, queues, compute, settings=settings)
        self._permit(
            storage,
            queues,
            compute,
            push_arn=apis.push_arn,
            close_arn=apis.close_arn,
            local=settings.local,
        )
        for pusher in (compute.publisher, compute.websocket):
            pusher.add_environment("AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI", apis.push_url)
        compute.api.add_environment("WEB_SOCKET_URL", apis.web_socket_url)
        self._publish_names(storage, queues, apis, monitoring)

    def _start(
        self, storage: Storage, queues: Queues, compute: Compute, *, settings: Settings
    ) -> None:
        lambda_.EventSourceMapping(
            self,
            "WorkOrders",
            target=compute.worker,
            event_source_arn=queues.orders.queue_arn,
            batch_size=BATCH_SIZE,
            max_concurrency=settings.max_concurrency,
            report_batch_item_failures=True,
        )
        lambda_.EventSourceMapping(
            self,
            "EndDeadLetters",
            target=compute.dead_letters,
            event_source_arn=queues.dead_letters.queue_arn,
            batch_size=BATCH_SIZE,
            report_batch_item_failures=True,
        )
        # Slow receivers of webhooks must not use up the account's concurrency.
        lambda_.EventSourceMapping(
            self,
            "DeliverWebhooks",
            target=compute.notifier,
            event_source_arn=queues.webhooks.queue_arn,
            batch_size=BATCH_SIZE,
            max_concurrency=NOTIFIERS_MAX,
            report_batch_item_failures=True,
        )
        # Without a limit, Lambda retries a batch until the stream drops it after 24 hours. A
        # connection lasts two hours at most, so each follower has reconnected and resumed by then.
        lambda_.EventSourceMapping(
            self,
            "PublishUpdates",
            target=compute.publisher,
            event_source_arn=storage.orders.table_stream_arn,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=PUBLISH_BATCH_SIZE,
            parallelization_factor=PUBLISHERS_PER_SHARD,
            bisect_batch_on_error=True,
        )
        scheduled = [compute.sweeper]
        if settings.wake_indexes == len(WAKE_INDEXES):  # the watcher queries both
            scheduled.append(compute.watcher)
        events.Rule(
            self,
            "EveryMinute",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[targets.LambdaFunction(function) for function in scheduled],
        )

    def _permit(
        self,
        storage: Storage,
        queues: Queues,
        compute: Compute,
        *,
        push_arn: str,
        close_arn: str,
        local: bool,
    ) -> None:
        orders, connections = storage.orders.table_arn, storage.connections.table_arn
        stream, access = storage.orders.table_stream_arn or "", storage.access.table_arn
        queue, dead_letters = queues.orders.queue_arn, queues.dead_letters.queue_arn
        webhooks = queues.webhooks.queue_arn
        by_owner, open_orders = storage.owner_index_arn, storage.open_orders_index_arn

        _allow(compute.api, orders, "dynamodb", "PutItem GetItem BatchGetItem UpdateItem")
        _allow(compute.api, by_owner, "dynamodb", "Query")
        _allow(compute.api, open_orders, "dynamodb", "Query")
        _allow(compute.api, storage.open_by_owner_index_arn, "dynamodb", "Query")
        _allow(compute.api, access, "dynamodb", "PutItem", keys=f"{TICKET.item_prefix}*")
        _allow(compute.api, queue, "sqs", "SendMessage")

        _allow(compute.api, connections, "dynamodb", "PutItem GetItem DeleteItem Query")
        _allow(compute.api, webhooks, "sqs", "SendMessage")

        _allow(compute.authorizer, access, "dynamodb", "GetItem", keys=f"{API_KEY.item_prefix}*")
        _allow(compute.authorizer, access, "dynamodb", "DeleteItem", keys=f"{TICKET.item_prefix}*")

        _allow(compute.worker, orders, "dynamodb", "GetItem PutItem UpdateItem")
        _allow(compute.worker, queue, "sqs", f"SendMessage {RECEIVE}")

        _allow(compute.publisher, stream, "dynamodb", READ_STREAM)
        _allow(compute.publisher, orders, "dynamodb", "UpdateItem")
        _allow(compute.publisher, connections, "dynamodb", "Query DeleteItem")
        _allow(compute.publisher, webhooks, "sqs", "SendMessage")
        _allow(compute.publisher, push_arn, "execute-api", "ManageConnections")
        _allow(compute.publisher, close_arn, "execute-api", "ManageConnections")

        _allow(compute.notifier, connections, "dynamodb", "GetItem UpdateItem")
        _allow(compute.notifier, webhooks, "sqs", f"ChangeMessageVisibility {RECEIVE}")

        _allow(compute.websocket, orders, "dynamodb", "UpdateItem")
        _allow(compute.websocket, connections, "dynamodb", "PutItem UpdateItem DeleteItem Query")
        _allow(compute.websocket, push_arn, "execute-api", "ManageConnections")

        _allow(compute.sweeper, open_orders, "dynamodb", "Query")
        _allow(compute.sweeper, orders, "dynamodb", "UpdateItem")
        _allow(compute.sweeper, queue, "sqs", "SendMessage GetQueueAttributes")

        _allow(compute.watcher, orders, "dynamodb", "GetItem UpdateItem", keys=WATCHED_PAIRS_ID)
        for index in storage.wake_index_arns:
            _allow(compute.watcher, index, "dynamodb", "Query")
        _allow(compute.watcher, queue, "sqs", "SendMessage GetQueueAttributes")

        if local:
            # The emulator checks an action that AWS does not have: SendMessage covers batches.
            # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-batch-api.html
            for function in (compute.sweeper, compute.watcher):
                _allow(function, queue, "sqs", "SendMessageBatch")
            for function in (compute.api, compute.publisher):
                _allow(function, webhooks, "sqs", "SendMessageBatch")

        _allow(compute.dead_letters, orders, "dynamodb", "GetItem UpdateItem")
        _allow(compute.dead_letters, queue, "sqs", "SendMessage")
        _allow(compute.dead_letters, dead_letters, "sqs", RECEIVE)

    def _publish_names(
        self, storage: Storage, queues: Queues, apis: Apis, monitoring: Monitoring
    ) -> None:
        for name, value in {
            "HttpUrl": apis.http_url,
            "WebSocketUrl": apis.web_socket_url,
            "OrdersTable": storage.orders.table_name,
            "ConnectionsTable": storage.connections.table_name,
            "AccessTable": storage.access.table_name,
            "OrderQueueUrl": queues.orders.queue_url,
            "DeadLetterQueueUrl": queues.dead_letters.queue_url,
            "WebhookQueueUrl": queues.webhooks.queue_url,
            "WebhookDeadLetterQueueUrl": queues.webhook_dead_letters.queue_url,
            "DashboardUrl": monitoring.dashboard_url,
            "AlarmTopicArn": monitoring.topic.topic_arn,
        }.items():
            CfnOutput(self, name, value=value)


def _allow(
    function: lambda_.Function, resource: str, service: str, actions: str, *, keys: str = ""
) -> None:
    """Grant actions on a resource, or with `keys` on the items whose partition key matches it."""
    only = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [keys]}} if keys else None
    function.add_to_role_policy(
        iam.PolicyStatement(
            actions=[f"{service}:{action}" for action in actions.split()],
            resources=[resource],
            conditions=only,
        )
    )
