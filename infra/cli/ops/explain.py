"""`ops explain`: compute an order's routes and landing again, and compare with the stored ones."""

import argparse
from typing import Any

from functions.simulation import replay
from infra.cli.command import canonical_order_id
from infra.cli.deployed import Deployed
from infra.cli.ops import stored
from infra.cli.printing import plain_console, print_json

DIFFERS = 4

Json = dict[str, Any]


def add_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command `explain` to the command line."""
    text = "compute an order's routes and landing again, and print what is stored differently"
    command = commands.add_parser(
        "explain",
        parents=[common],
        help=text,
        description=f"{text}. Exit code {DIFFERS} if there is a difference.",
    )
    command.add_argument("order", metavar="ORDER", help="an orderId")
    command.add_argument("--seed", default="", help="the stack's marketSeed, for an unsigned order")
    command.set_defaults(run=run)


def run(stack: Deployed, arguments: argparse.Namespace) -> int:
    """Print the routes, the landing and the differences; returns the exit code."""
    order, _, transaction, _ = stored.read(stack, canonical_order_id(arguments.order))
    found = replay.explain(order, transaction, arguments.seed)
    if arguments.json:
        print_json(found)
    else:
        _show(found)
    return DIFFERS if found["differs"] else 0


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
        console.print(f"  is dropped; not valid after slot {landing['lastValidSlot']}")
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
            f"  DIFFERS {each['field']}: stored {each['stored']}, computed {each['derived']}"
        )
    if not part["differences"]:
        console.print("  as stored")
