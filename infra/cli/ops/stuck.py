"""`ops stuck`: list open orders without an update for some time, and queue them again."""

import argparse
import time
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from functions.contract import OPEN_ORDERS_INDEX, OPEN_SHARDS, iso, order_message, unix_ms
from functions.orders.stored import stored_order
from infra.cli.command import whole_number
from infra.cli.deployed import Deployed
from infra.cli.printing import plain_console, print_json, progress

FOUND = 3  # exit code 1 means that the command failed, 2 that the command line is wrong
OLDER_THAN_SECONDS, OLDER_THAN_SECONDS_MAX = 300, 366 * 24 * 3600
BATCH_GET_MAX = 100

Json = dict[str, Any]


def add_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Let the command line take `stuck`."""
    text = "list open orders without an update for some time; with --json a line for each"
    command = commands.add_parser(
        "stuck",
        parents=[common],
        help=text,
        description=f"{text}. Exit code {FOUND} if there are any and --requeue is not given.",
    )
    command.add_argument(
        "--older-than",
        type=whole_number(0, OLDER_THAN_SECONDS_MAX),
        default=OLDER_THAN_SECONDS,
        metavar="SECONDS",
        help=f"how long they have had no update ({OLDER_THAN_SECONDS})",
    )
    command.add_argument("--requeue", action="store_true", help="queue each for the worker again")
    command.set_defaults(run=run)


def run(stack: Deployed, arguments: argparse.Namespace) -> int:
    """Print each order, and re-queue it if requested; returns the exit code."""
    console, now_ms, orders = plain_console(), time.time_ns() // 1_000_000, 0
    sqs, queue = stack.client("sqs"), stack.output("OrderQueueUrl")
    with progress("Looking for idle orders", among_answers=True) as report:
        for order in stuck(stack, now_ms - arguments.older_than * 1000):
            orders += 1
            report(orders, None)
            if arguments.requeue:  # an order that a worker is executing takes no harm
                sqs.send_message(QueueUrl=queue, MessageBody=order_message(order["orderId"]))
            if arguments.json:
                print_json(order)
            else:
                console.print(_line(order, now_ms))
    if not arguments.json:
        done = ", each of them queued again" if arguments.requeue else ""
        console.print(f"{orders} orders without an update for {arguments.older_than} s{done}.")
    return FOUND if orders and not arguments.requeue else 0


def stuck(stack: Deployed, before_ms: int) -> Iterator[Json]:
    """Open orders without an update since before `before_ms` (Unix), a page of a shard at a time.

    An order that waits for its next attempt is idle only from the time of that attempt on. Every
    open order is read, because a sweep restarts an order's idle time in the index.
    """
    client, table = stack.client("dynamodb"), stack.output("OrdersTable")
    pages = client.get_paginator("query")
    before = iso(before_ms)
    for shard in OPEN_SHARDS:
        for page in pages.paginate(
            TableName=table,
            IndexName=OPEN_ORDERS_INDEX,
            KeyConditionExpression="openShard = :shard",
            ExpressionAttributeValues={":shard": {"S": shard}},
            PaginationConfig={"PageSize": BATCH_GET_MAX},
        ):
            keys = [{"orderId": item["orderId"]} for item in page["Items"]]
            read = _read(client, table, keys)
            # The index lags the table by a moment: some orders have ended since.
            found = [_order(item) for item in read]
            still_open = [order for order in found if not order["status"].terminal]
            idle = [order for order in still_open if order["idleSince"] < before]
            yield from sorted(idle, key=lambda order: str(order["idleSince"]))


def _read(client: Any, table: str, keys: list[Json]) -> list[Json]:
    items: list[Json] = []
    wanted: Any = {table: {"Keys": keys, "ConsistentRead": True}} if keys else {}
    while wanted:
        answer = client.batch_get_item(RequestItems=wanted)
        items += answer["Responses"][table]
        wanted = answer["UnprocessedKeys"]
    return items


def _order(item: Json) -> Json:
    order, owner, *_ = stored_order(item)
    return {
        "orderId": order.order_id,
        "owner": owner,
        "status": order.status,
        "attempt": order.attempt,
        "sequence": order.sequence,
        "createdAt": order.created_at,
        "updatedAt": order.updated_at,
        "idleSince": order.next_retry_at or order.updated_at,
    }


def _line(order: Json, now_ms: int) -> Text:
    age_s, still_s = ((now_ms - unix_ms(order[at])) // 1000 for at in ("createdAt", "updatedAt"))
    return Text.assemble(
        (f"{order['orderId']}  ", "cyan"),
        (f"{order['status']:<10}", "yellow"),
        f"attempt {order['attempt']}, {age_s} s old, "
        f"last update {still_s} s ago at {order['updatedAt']}",
    )
