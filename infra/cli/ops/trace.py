"""`ops trace`: show an order's updates and log lines by time, and its messages."""

import argparse
import json
import time
from collections import defaultdict
from typing import Any

from rich.text import Text

from functions.contract import RECEIVES_MAX, iso, unix_ms
from functions.orders.order import Status
from functions.orders.stored import request_json
from infra.cli.command import canonical_order_id
from infra.cli.deployed import Deployed
from infra.cli.ops import backlog, stored
from infra.cli.ops.logs import Line, search
from infra.cli.printing import STYLES, plain_console, print_json, progress, update_details

CLOCK_SKEW_MS = 5_000
VISIBILITY_TIMEOUT_MS = 6 * 60_000  # of the order queue
# For this time after an order's end, a message of the order may be received and logged.
AFTER_THE_END_MS = RECEIVES_MAX * VISIBILITY_TIMEOUT_MS

# Fields that every log line of an order has, or that say nothing about the order.
_LEFT_OUT = {"timestamp", "order_id", "service", "cold_start"}
_SHOWN = ("sequence", "attempt", "code", "reason", "status", "exception_name")

Json = dict[str, Any]


def add_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command `trace` to the command line."""
    text = "show an order's updates and log lines by time, and its messages"
    command = commands.add_parser("trace", parents=[common], help=text, description=text)
    command.add_argument("order", metavar="ORDER", help="an orderId")
    command.set_defaults(run=run)


def run(stack: Deployed, arguments: argparse.Namespace) -> None:
    """Print the trace of the order."""
    found = trace(stack, canonical_order_id(arguments.order))
    if arguments.json:
        print_json(found)
    else:
        _show(found)


def trace(stack: Deployed, order_id: str) -> Json:
    """The order as JSON, with its `timeline` (updates and log lines by time), `messages`, `queues`.

    SQS cannot be searched: receiving a message would hide it from its function, and count as a
    receive. So `messages` contains the messages that the log names, and `queues` counts the
    messages of all orders.

    Raises:
        UnknownOrder: there is no such order.
    """
    order = _read(stack, order_id)
    updates = order.pop("updates")
    start_ms = unix_ms(order["createdAt"]) - CLOCK_SKEW_MS
    end_ms = time.time_ns() // 1_000_000 + CLOCK_SKEW_MS
    if Status(order["status"]).terminal:
        end_ms = min(end_ms, unix_ms(order["updatedAt"]) + AFTER_THE_END_MS)
    with progress("Searching the log") as report:
        lines = search(stack, order_id, start_ms, end_ms, report)
    timeline = [_of_update(update) for update in updates]
    timeline += [_of_line(line) for line in lines if "_aws" not in line.record]  # not a metric
    return {
        **order,
        "timeline": sorted(timeline, key=lambda entry: str(entry["at"])),
        "messages": _messages(lines),
        "queues": {name: backlog.counts(stack, name) for name in backlog.QUEUES},
    }


def _read(stack: Deployed, order_id: str) -> Json:
    order, owner, *_ = stored.read(stack, order_id)
    return {
        "orderId": order_id,
        "owner": owner,
        "status": order.status,
        "createdAt": order.created_at,
        "updatedAt": order.updated_at,
        "request": json.loads(request_json(order)),
        "updates": [json.loads(update.to_json()) for update in order.updates],
    }


def _messages(lines: list[Line]) -> list[Json]:
    """The messages that the log names: how many invocations received each, and how many failed."""
    taken: dict[str, set[str]] = defaultdict(set)
    failed: dict[str, int] = defaultdict(int)
    for line in lines:
        message_id = line.record.get("message_id")
        if message_id:
            taken[message_id].add(str(line.record.get("function_request_id")))
            failed[message_id] += "exception" in line.record
    return [
        {"messageId": message_id, "taken": len(invocations), "failed": failed[message_id]}
        for message_id, invocations in taken.items()
    ]


def _of_update(update: Json) -> Json:
    rest = {k: v for k, v in update.items() if k not in ("timestamp", "orderId")}
    return {"at": update["timestamp"], "source": "update", **rest}


def _of_line(line: Line) -> Json:
    rest = {k: v for k, v in line.record.items() if k not in _LEFT_OUT}
    return {"at": iso(line.at_ms), "source": line.function, **rest}


def _show(found: Json) -> None:
    console, request = plain_console(), found["request"]
    asked = f"{request['amount']} {request['tokenIn']} → {request['tokenOut']}"
    extras = {
        name: json.dumps(value) if isinstance(value, dict) else value
        for name, value in request.items()
        if name not in ("amount", "tokenIn", "tokenOut")
    }
    console.print(Text(f"Order {found['orderId']} of {found['owner']}", "bold"))
    console.print(Text.assemble(asked, _pairs(extras)))
    for entry in found["timeline"]:
        console.print(_update(entry) if entry["source"] == "update" else _line(entry))
    for message in found["messages"]:
        times = f"taken {message['taken']} times, failed {message['failed']} times"
        console.print(f"message {message['messageId']}  {times}")
    console.print("messages of all orders together (SQS cannot be searched):")
    for name, held in found["queues"].items():
        console.print(f"  {name:<12} {backlog.in_words(held)}")


def _update(entry: Json) -> Text:
    return Text.assemble(
        *_head(entry),
        (f"{entry['status']:<10}", STYLES.get(entry["status"], "bold")),
        f"sequence {entry['sequence']}",
        _pairs(update_details(entry)),
    )


def _line(entry: Json) -> Text:
    shown = {name: entry[name] for name in _SHOWN if name in entry}
    level = str(entry.get("level", ""))
    return Text.assemble(
        *_head(entry),
        (f"{level:<10}", STYLES.get(level, "green")),
        str(entry.get("message", "")),
        (_pairs(shown), "dim"),
    )


def _head(entry: Json) -> tuple[tuple[str, str], tuple[str, str]]:
    at = entry["at"].replace("T", " ").rstrip("Z")
    return (f"{at}  ", "dim"), (f"{entry['source']:<13}", "cyan")


def _pairs(values: Json) -> str:
    return "".join(f"  {name} {value}" for name, value in values.items())
