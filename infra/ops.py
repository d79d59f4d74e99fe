"""`uv run ops`: what an operator of a stack does by hand."""

import argparse
import sys
from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from infra.deployed import LOCAL, Deployed, NotDeployed, find

RECEIVE_MAX = 10
SEEN_SECONDS = 60  # what was received and not moved, for a crash, is back in the queue after this


def redrive(stack: Deployed) -> Iterator[str]:
    """Move the dead letters back to the order queue; yields the body of each that was moved.

    A dead letter is taken by a function at once, which ends its order. What is found here is what
    that function could not treat either: for an error of ours, now mended, or a fault of AWS. It
    tries again and again; this gives the order back to the worker instead, to go on where it
    stood. One that the function holds at the moment is not seen, and stays. A message that is
    moved twice does no harm: an order is taken on by what is stored of it.
    """
    sqs = stack.client("sqs")
    source, target = stack.outputs["DeadLetterQueueUrl"], stack.outputs["OrderQueueUrl"]
    while messages := sqs.receive_message(
        QueueUrl=source, MaxNumberOfMessages=RECEIVE_MAX, VisibilityTimeout=SEEN_SECONDS
    ).get("Messages"):
        for message in messages:
            sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
            yield message["Body"]


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="uv run ops", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("redrive", help="give dead letters back to the worker")
    command.add_argument("--stack", default=LOCAL, help='a stack\'s name ("local")')
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    moved = 0
    try:
        for body in redrive(find(arguments.stack)):
            console.print(body, markup=False)
            moved += 1
    except (NotDeployed, BotoCoreError, ClientError) as error:
        sys.exit(f"✗ {error}")
    console.print(f"{moved} dead letters moved back to the order queue.")
