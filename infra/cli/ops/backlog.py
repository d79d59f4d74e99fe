"""How many messages a stack's queues hold."""

from infra.cli.deployed import Deployed

QUEUES = {
    "orderQueue": "OrderQueueUrl",
    "deadLetters": "DeadLetterQueueUrl",
    "webhookQueue": "WebhookQueueUrl",
    "webhookDeadLetters": "WebhookDeadLetterQueueUrl",
}
_COUNTS = {
    "visible": "ApproximateNumberOfMessages",
    "inFlight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}

Counts = dict[str, int]


def counts(stack: Deployed, queue: str) -> Counts:
    """How many messages of one of `QUEUES` are visible, in flight and delayed, approximately."""
    attributes = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.output(QUEUES[queue]), AttributeNames=list(_COUNTS.values())
    )["Attributes"]
    return {name: int(attributes[attribute]) for name, attribute in _COUNTS.items()}


def in_words(held: Counts) -> str:
    """The result of `counts` as text."""
    return f"{held['visible']} visible, {held['inFlight']} in flight, {held['delayed']} delayed"
