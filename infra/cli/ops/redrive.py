"""`ops redrive`: return dead letters to the worker, or to the notifier."""

import argparse
from collections.abc import Iterator
from typing import Any

from functions.contract import MalformedMessage, order_id_of
from infra.cli.deployed import Deployed
from infra.cli.ops.backlog import QUEUES, counts
from infra.cli.printing import plain_console, print_json, progress

# A queue of dead letters, and the queue that its messages come from.
ORDERS, WEBHOOKS = ("deadLetters", "orderQueue"), ("webhookDeadLetters", "webhookQueue")

RECEIVE_MAX = 10
# Without a wait SQS asks only some of its servers, and may find no message although there are some.
RECEIVE_WAIT_SECONDS = 1
HIDDEN_SECONDS = 60  # after this time a message that was received but not moved is visible again


def add_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Let the command line take `redrive`."""
    text = "return dead letters to the worker; with --json a line for each"
    command = commands.add_parser("redrive", parents=[common], help=text, description=text)
    command.add_argument(
        "--webhooks", action="store_true", help="return those of webhooks, to be delivered"
    )
    command.set_defaults(run=run)


def run(stack: Deployed, arguments: argparse.Namespace) -> None:
    """Move all dead letters and print each."""
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
        whose = "webhook queue" if arguments.webhooks else "order queue"
        console.print(f"{moved} dead letters moved back to the {whose}.")


def redrive(stack: Deployed, dead_letters: str, queue: str) -> Iterator[str]:
    """Move dead letters to their source queue, both named in `QUEUES`; yields each one's body.

    The dead-letter function takes each dead letter of an order at once and ends its order. So the
    queue holds only messages that the function could not process either, because of a defect that
    has been mended since, or a fault of AWS. The function retries them. This command returns the
    order to the worker instead, which continues from the order's status. A message that the
    function holds at the moment is hidden and stays. A message that is moved twice does no harm,
    because the worker follows the stored order, and receivers of webhooks ignore a repeated id.
    (SQS can move messages by itself, but the emulator cannot.)
    """
    sqs = stack.client("sqs")
    source, target = (stack.output(QUEUES[name]) for name in (dead_letters, queue))
    while messages := sqs.receive_message(
        QueueUrl=source,
        MaxNumberOfMessages=RECEIVE_MAX,
        VisibilityTimeout=HIDDEN_SECONDS,
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
