"""`ops redrive`: give dead letters back to the worker."""

import argparse
from collections.abc import Iterator
from typing import Any

from functions.contract import MalformedMessage, order_id_of
from infra.cli.deployed import Deployed
from infra.cli.ops.queues import counts
from infra.cli.ops.shown import answers, progress, write_json

RECEIVE_MAX = 10
RECEIVE_WAIT_SECONDS = 1  # a queue that is not waited for may say that it is empty when it is not
SEEN_SECONDS = 60  # what was received and not moved, for a crash, is back in the queue after this


def add_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Let the command line take `redrive`."""
    text = "give dead letters back to the worker; with --json a line for each"
    commands.add_parser("redrive", parents=[common], help=text, description=text).set_defaults(
        run=run
    )


def run(stack: Deployed, arguments: argparse.Namespace) -> None:
    """Move all there are and print each."""
    console, moved = answers(), 0
    with progress("Moving dead letters", among_answers=True) as report:
        total = counts(stack, "deadLetters")["visible"]
        report(0, total)
        for body in redrive(stack):
            moved += 1
            report(moved, max(total, moved))
            if arguments.json:
                write_json({"orderId": _order_id(body), "body": body})
            else:
                console.print(_order_id(body) or body)
    if not arguments.json:
        console.print(f"{moved} dead letters moved back to the order queue.")


def redrive(stack: Deployed) -> Iterator[str]:
    """Move the dead letters back to the order queue; yields the body of each that was moved.

    A dead letter is taken by a function at once, which ends its order. What is found here is what
    that function could not treat either: for an error of ours, now mended, or a fault of AWS. It
    tries again and again; this gives the order back to the worker instead, to go on where it
    stood. One that the function holds at the moment is not seen, and stays. A message that is
    moved twice does no harm: an order is taken on by what is stored of it. (A move task of SQS
    would do the same, but the emulator has none.)
    """
    sqs = stack.client("sqs")
    source, target = stack.outputs["DeadLetterQueueUrl"], stack.outputs["OrderQueueUrl"]
    while messages := sqs.receive_message(
        QueueUrl=source,
        MaxNumberOfMessages=RECEIVE_MAX,
        VisibilityTimeout=SEEN_SECONDS,
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
