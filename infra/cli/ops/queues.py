"""What a stack's queues hold, and messages for its worker."""

import json

from infra.cli.deployed import Deployed

QUEUES = {
    "orderQueue": "OrderQueueUrl",
    "deadLetters": "DeadLetterQueueUrl",
    "unpublished": "UnpublishedQueueUrl",
}
_COUNTS = {
    "visible": "ApproximateNumberOfMessages",
    "inFlight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}

Counts = dict[str, int]


def counts(stack: Deployed, queue: str) -> Counts:
    """About how many messages of one of `QUEUES` are visible, in flight and delayed."""
    attributes = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.outputs[QUEUES[queue]], AttributeNames=list(_COUNTS.values())
    )["Attributes"]
    return {name: int(attributes[attribute]) for name, attribute in _COUNTS.items()}


def in_words(held: Counts) -> str:
    """Counts as text."""
    return f"{held['visible']} visible, {held['inFlight']} in flight, {held['delayed']} delayed"


def message_body(order_id: str) -> str:
    """What asks the worker for an order; functions/store.py has the same, and a test holds both."""
    return json.dumps({"orderId": order_id})


def order_of(body: str) -> str | None:
    """The order that a message asks for; None if it names none."""
    try:
        return str(json.loads(body)["orderId"])
    except (ValueError, KeyError, TypeError):
        return None
