"""Counts the messages of a stack's queues."""

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
    """The approximate numbers of visible, in-flight and delayed messages of one of `QUEUES`."""
    attributes = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.output(QUEUES[queue]), AttributeNames=list(_COUNTS.values())
    )["Attributes"]
    return {name: int(attributes[attribute]) for name, attribute in _COUNTS.items()}


def in_words(held: Counts) -> str:
    """The result of `counts` as text."""
    return f"{held['visible']} visible, {held['inFlight']} in flight, {held['delayed']} delayed"
