"""`ops explain`: an order's routes and landing, computed again beside the stored ones."""

import argparse
from typing import Any

from functions.orders.stored import StoredOrder, stored_order
from functions.simulation import replay
from infra.cli.command import UnknownOrder, canonical_order_id
from infra.cli.deployed import Deployed
from infra.cli.printing import plain_console, print_json

DIFFERS = 4

Json = dict[str, Any]


def add_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Let the command line take `explain`."""
    text = "work out an order's routes and landing again, and say where what is stored differs"
    command = commands.add_parser(
        "explain",
        parents=[common],
        help=text,
        description=f"{text}. Exit code {DIFFERS} if it differs.",
    )
    command.add_argument("order", metavar="ORDER", help="an orderId")
    command.add_argument("--seed", default="", help="the stack's marketSeed, for an unsigned order")
    command.set_defaults(run=run)


def run(stack: Deployed, arguments: argparse.Namespace) -> int:
    """Print the account; returns the exit code."""
    stored = _read(stack, canonical_order_id(arguments.order))
    found = replay.explain(stored.order, stored.transaction, arguments.seed)
    if arguments.json:
        print_json(found)
    else:
        _show(found)
    return DIFFERS if found["differs"] else 0


def _read(stack: Deployed, order_id: str) -> StoredOrder:
    item = (
        stack.client("dynamodb")
        .get_item(
            TableName=stack.output("OrdersTable"),
            Key={"orderId": {"S": order_id}},
            ConsistentRead=True,
        )
        .get("Item")
    )
    if item is None:
        raise UnknownOrder(order_id)
    return stored_order(item)


def _show(found: Json) -> None:
    console = plain_console()
    seed = f", seed {found['seed']}" if found["seed"] else ""
    console.print(f"Order {found['orderId']}, market version {found['version']}{seed}")
    for route in found["routes"]:
        console.print(f"Update {route['sequence']}, routed at {route['at']}, slot {route['slot']}")
        console.print(f"  {route['route']['reason']}")
        for leg in route["route"].get("routePlan", []):
            console.print(
                f"  {leg['venue']} {leg['pool']}: {leg['inAmount']} {leg['tokenIn']}"
                f" → {leg['outAmount']} {leg['tokenOut']}"
            )
        _show_differences(route)
    landing = found["landing"]
    if landing is None:
        console.print("No transaction was signed.")
        return
    console.print(f"Transaction of attempt {landing['attempt']}: {landing['txHash']}")
    if landing["landsAtSlot"] is None:
        console.print(f"  is dropped; dead after slot {landing['lastValidSlot']}")
    else:
        console.print(f"  signed at slot {landing['signedAtSlot']}, lands {landing['landsAtSlot']}")
    if "error" in landing:
        console.print(f"  {landing['error']['code']}: {landing['error']['message']}")
    else:
        console.print(f"  gives {landing['outUnits']} base units")
    _show_differences(landing)


def _show_differences(part: Json) -> None:
    console = plain_console()
    for each in part["differences"]:
        console.print(
            f"  DIFFERS {each['field']}: stored {each['stored']}, worked out {each['derived']}"
        )
    if not part["differences"]:
        console.print("  as stored")
