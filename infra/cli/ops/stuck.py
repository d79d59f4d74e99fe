"""`ops stuck`: list open orders without an update for some time, and re-queue them."""

import argparse
import time
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from functions.contract import (
    BATCH_GET_MAX,
    OPEN_ORDERS_INDEX,
    OPEN_SHARDS,
    iso,
    order_message,
    unix_ms,
)
from functions.orders import waiting
from functions.orders.stored import stored_order
from infra.cli.command import whole_number
from infra.cli.deployed import Deployed
from infra.cli.printing import plain_console, print_json, progress

FOUND = 3  # exit code 1 means that the command failed, 2 that the command line is wrong
OLDER_THAN_SECONDS, OLDER_THAN_SECONDS_MAX = 300, 366 * 24 * 3600

Json = dict[str, Any]


def add_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command `stuck` to the command line."""
    text = "list open orders without an update for some time"
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
        help=f"the time without an update (default: {OLDER_THAN_SECONDS})",
    )
    command.add_argument("--requeue", action="store_true", help="re-queue each for the worker")
    command.set_defaults(run=run)


def run(stack: Deployed, arguments: argparse.Namespace) -> int:
    """Print each order, and re-queue it if requested; returns the exit code."""
    console, now_ms, orders = plain_console(), time.time_ns() // 1_000_000, 0
    sqs, queue = stack.client("sqs"), stack.output("OrderQueueUrl")
    with progress("Looking for idle orders", among_answers=True) as report:
        for order in stuck(stack, now_ms - arguments.older_than * 1000):
            orders += 1
            report(orders, None)
            if arguments.requeue:  # harmless for an order that a worker is executing
                sqs.send_message(QueueUrl=queue, MessageBody=order_message(order["orderId"]))
            if arguments.json:
                print_json(order)
            else:
                console.print(_line(order, now_ms))
    if not arguments.json:
        done = ", all re-queued" if arguments.requeue else ""
        console.print(f"{orders} orders without an update for {arguments.older_than} s{done}.")
    return FOUND if orders and not arguments.requeue else 0


def stuck(stack: Deployed, before_ms: int) -> Iterator[Json]:
    """Open orders (JSON) whose last update is before `before_ms` (Unix time in milliseconds).

    For an order that waits for its next attempt or slice, or rests until its expiry, that time
    counts instead. All orders in the index's shards are read, because a sweep restarts an order's
    idle time in the index. Within a page of a shard the orders are sorted.
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
            # The index lags behind the table, so some of these orders have ended.
            found = [_order(item) for item in read]
            still_open = [order for order in found if not order["status"].terminal]
            idle = [order for order in still_open if (order["idleSince"] or before) < before]
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
    due_ms = waiting.due_ms(order)
    return {
        "orderId": order.order_id,
        "owner": owner,
        "status": order.status,
        "attempt": order.attempt,
        "sequence": order.sequence,
        "createdAt": order.created_at,
        "updatedAt": order.updated_at,
        "idleSince": None if due_ms is None else iso(due_ms),
    }


def _line(order: Json, now_ms: int) -> Text:
    age_s, idle_s = ((now_ms - unix_ms(order[at])) // 1000 for at in ("createdAt", "updatedAt"))
    return Text.assemble(
        (f"{order['orderId']}  ", "cyan"),
        (f"{order['status']:<10}", "yellow"),
        f"attempt {order['attempt']}, {age_s} s old, "
        f"last update {idle_s} s ago at {order['updatedAt']}",
    )
