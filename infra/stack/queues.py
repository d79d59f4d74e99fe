"""The order queue, its dead letters, and stream records that no publisher could take."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_sqs as sqs
from constructs import Construct

RECEIVES_MAX = 3
RETENTION = Duration.days(14)


class Queues(Construct):
    """A message stays hidden for six times its reader's timeout.

    So it outlives its reader's throttled retries, and never do two workers hold the same one: a
    worker that finds its order moved on may let its message go.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        worker_timeout: Duration,
        dead_letters_timeout: Duration,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = self._queue("DeadLetters", read_for=dead_letters_timeout)
        self.orders = self._queue(
            "Orders",
            read_for=worker_timeout,
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letters, max_receive_count=RECEIVES_MAX
            ),
        )
        self.unpublished = self._queue("Unpublished")

    def _queue(
        self,
        construct_id: str,
        *,
        read_for: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        return sqs.Queue(
            self,
            construct_id,
            visibility_timeout=read_for and Duration.seconds(6 * read_for.to_seconds()),
            retention_period=RETENTION,
            dead_letter_queue=dead_letter_queue,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            removal_policy=RemovalPolicy.DESTROY,
        )
