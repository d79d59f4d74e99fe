"""`ops redrive`: return dead letters to the worker."""

import argparse
from collections.abc import Iterator
from typing import Any

from functions.contract import MalformedMessage, order_id_of
from infra.cli.deployed import Deployed
from infra.cli.ops.backlog import counts
from infra.cli.printing import plain_console, print_json, progress

RECEIVE_MAX = 10
# Without a wait SQS asks a part of its servers only, and may answer none although there are some.
RECEIVE_WAIT_SECONDS = 1
HIDDEN_SECONDS = 60  # a message that was received but not moved is visible again after this


def add_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Let the command line take `redrive`."""
    text = "return dead letters to the worker; with --json a line for each"
    commands.add_parser("redrive", parents=[common], help=text, description=text).set_defaults(
        run=run
    )


def run(stack: Deployed, arguments: argparse.Namespace) -> None:
    """Move all dead letters and print each."""
    console, moved = plain_console(), 0
    with progress("Moving dead letters", among_answers=True) as report:
        total = counts(stack, "deadLetters")["visible"]
        report(0, total)
        for body in redrive(stack):
            moved += 1
            report(moved, max(total, moved))
            if arguments.json:
                print_json({"orderId": _order_id(body), "body": body})
            else:
                console.print(_order_id(body) or body)
    if not arguments.json:
        console.print(f"{moved} dead letters moved back to the order queue.")


def redrive(stack: Deployed) -> Iterator[str]:
    """Move the dead letters back to the order queue; yields the body of each that was moved.

    The dead-letter function takes each dead letter at once and ends its order. So what is found
    here is what that function could not process either, because of a defect that has been mended
    since, or a fault of AWS. It tries again and again. This command returns the order to the
    worker instead, which continues where the order stands. A message that the function holds at
    the moment is not seen and stays. A message that is moved twice does no harm, since the worker
    obeys what is stored of the order. (SQS can move messages by itself, but the emulator cannot.)
    """
    sqs = stack.client("sqs")
    source, target = stack.output("DeadLetterQueueUrl"), stack.output("OrderQueueUrl")
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
