"""`ops redrive`: return dead letters to the worker, or to the notifier."""

import argparse
from collections.abc import Iterator
from typing import Any

from functions.contract import MalformedMessage, order_id_of
from infra.cli.deployed import Deployed
from infra.cli.ops.backlog import QUEUES, counts
from infra.cli.printing import plain_console, print_json, progress

# A dead-letter queue, and the queue that its messages came from.
ORDERS, WEBHOOKS = ("deadLetters", "orderQueue"), ("webhookDeadLetters", "webhookQueue")

RECEIVE_MAX = 10
# A short poll asks only some of SQS's servers, so it may miss all messages.
RECEIVE_WAIT_SECONDS = 1
VISIBILITY_TIMEOUT_SECONDS = 60


def add_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command `redrive` to the command line."""
    text = "return dead letters to the worker; prints a line for each"
    command = commands.add_parser("redrive", parents=[common], help=text, description=text)
    command.add_argument(
        "--webhooks", action="store_true", help="return dead letters of webhooks to the notifier"
    )
    command.set_defaults(run=run)


def run(stack: Deployed, arguments: argparse.Namespace) -> None:
    """Move all visible dead letters; print the order id of each, or its body if it has none."""
    console, moved = plain_console(), 0
    source, target = WEBHOOKS if arguments.webhooks else ORDERS
    with progress("Moving dead letters", among_answers=True) as report:
        total = counts(stack, source)["visible"]
        report(0, total)
        for body in redrive(stack, source, target):
            moved += 1
            report(moved, max(total, moved))
            if arguments.json:
                print_json({"orderId": _order_id(body), "body": body})
            else:
                console.print(_order_id(body) or body)
    if not arguments.json:
        queue = "webhook queue" if arguments.webhooks else "order queue"
        console.print(f"{moved} dead letters moved back to the {queue}.")


def redrive(stack: Deployed, dead_letters: str, queue: str) -> Iterator[str]:
    """Move dead letters to the queue that they came from; yields the body of each.

    `dead_letters` and `queue` are keys of `QUEUES`. The dead-letter function ends the orders of
    dead letters as they arrive, so the queue holds only messages that the function could not
    process. The worker continues their orders from the stored status. A message that the function
    has just received is hidden and is not moved. A message that is moved twice is harmless, because
    the worker follows the stored order, and receivers of webhooks ignore a repeated id. SQS's own
    redrive is not used, because the emulator does not have it.
    """
    sqs = stack.client("sqs")
    source, target = (stack.output(QUEUES[name]) for name in (dead_letters, queue))
    while messages := sqs.receive_message(
        QueueUrl=source,
        MaxNumberOfMessages=RECEIVE_MAX,
        VisibilityTimeout=VISIBILITY_TIMEOUT_SECONDS,
        WaitTimeSeconds=RECEIVE_WAIT_SECONDS,
    ).get("Messages"):
        for message in messages:
            sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
            yield message["Body"]


def _order_id(body: str) -> str | None:
    try:
        return order_id_of(body)
    except MalformedMessage:
        return None
