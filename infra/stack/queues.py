"""The order queue and the webhook queue, each with its dead-letter queue."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.contract import RECEIVES_MAX, WEBHOOK_RECEIVES_MAX
from infra.stack.compute import DEAD_LETTERS_TIMEOUT, NOTIFIER_TIMEOUT, WORKER_TIMEOUT

RETENTION = Duration.days(14)


class Queues(Construct):
    """The queues; a queue's visibility timeout is six times the timeout of its function.

    AWS recommends this, so that a message stays hidden while Lambda retries a throttled function.
    Two workers therefore never have the same message at the same time, and a worker may acknowledge
    its message when another writer has taken the order over.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = self._queue("DeadLetters", timeout=DEAD_LETTERS_TIMEOUT)
        self.orders = self._queue(
            "Orders",
            timeout=WORKER_TIMEOUT,
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letters, max_receive_count=RECEIVES_MAX
            ),
        )
        self.webhook_dead_letters = self._queue("WebhookDeadLetters", timeout=NOTIFIER_TIMEOUT)
        self.webhooks = self._queue(
            "Webhooks",
            timeout=NOTIFIER_TIMEOUT,
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.webhook_dead_letters, max_receive_count=WEBHOOK_RECEIVES_MAX
            ),
        )

    def _queue(
        self,
        construct_id: str,
        *,
        timeout: Duration,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        return sqs.Queue(
            self,
            construct_id,
            visibility_timeout=Duration.seconds(6 * timeout.to_seconds()),
            retention_period=RETENTION,
            dead_letter_queue=dead_letter_queue,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            removal_policy=RemovalPolicy.DESTROY,
        )
