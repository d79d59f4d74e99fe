"""`uv run keys`: create, list and disable a stack's API keys, of which only hashes are stored."""

import argparse
import re
import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from functions.contract import API_KEY
from infra.cli.command import Problem, exit_on_problem, options
from infra.cli.deployed import Deployed, find
from infra.cli.printing import plain_console, print_json

NAME = r"[\w@.:+-]{1,64}"
ID_DIGITS = 12

Key = dict[str, str]


def create(stack: Deployed, name: str, owner: str = "", *, key: str = "") -> str:
    """Store a new key, or the given key, and return it; the default owner is `name`.

    Raises:
        Problem: the name or the owner is not allowed, or another key, which may be disabled, has
            the name.
    """
    key, owner = key or API_KEY.new(), owner or name
    for text in (name, owner):
        if not re.fullmatch(NAME, text):
            raise Problem(f"{text!r}: up to 64 letters, digits and any of _ @ . : + -")
    taken = [other for other in list_keys(stack) if other["name"] == name]
    if any(other["id"] != _short(API_KEY.item_id(key)) for other in taken):
        raise Problem(f"There is a key named {name} already; a name is never used again.")
    item = {"id": API_KEY.item_id(key), "name": name, "owner": owner, "createdAt": _now()}
    stack.client("dynamodb").put_item(
        TableName=stack.output("AccessTable"),
        Item={field: {"S": value} for field, value in item.items()},
    )
    return key


def list_keys(stack: Deployed) -> list[Key]:
    """All keys, oldest first: id (12 digits), name, owner, createdAt, perhaps disabledAt."""
    keys = [key | {"id": _short(key["id"])} for key in _items(stack)]
    return sorted(keys, key=lambda key: key["createdAt"])


def disable(stack: Deployed, name: str) -> None:
    """Disable the key with this name; API Gateway may accept it for `keyCacheSeconds` more.

    Raises:
        Problem: there is no such key.
    """
    ids = [key["id"] for key in _items(stack) if key["name"] == name]
    if not ids:
        raise Problem(f"There is no key named {name}.")
    for key_id in ids:
        stack.client("dynamodb").update_item(
            TableName=stack.output("AccessTable"),
            Key={"id": {"S": key_id}},
            UpdateExpression="SET disabledAt = if_not_exists(disabledAt, :now)",
            ExpressionAttributeValues={":now": {"S": _now()}},
        )


def _items(stack: Deployed) -> list[Key]:
    pages = (
        stack.client("dynamodb")
        .get_paginator("scan")  # the table has few keys, and the tickets of the last days
        .paginate(
            TableName=stack.output("AccessTable"),
            FilterExpression="begins_with(id, :key)",
            ExpressionAttributeValues={":key": {"S": API_KEY.item_prefix}},
            ConsistentRead=True,
        )
    )
    items = (item for page in pages for item in page["Items"])
    return [{field: value["S"] for field, value in item.items()} for item in items]


def _short(key_id: str) -> str:
    return key_id.removeprefix(API_KEY.item_prefix)[:ID_DIGITS]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="uv run keys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    common = options(json=True)

    text = "create a key and print it, once"
    creating = commands.add_parser("create", parents=[common], help=text, description=text)
    creating.add_argument("name", metavar="NAME", help="the key's name, which cannot be used again")
    creating.add_argument("--owner", default="", help="the owner of the orders (default: NAME)")
    creating.set_defaults(run=_create)

    text = "list all keys"
    listing = commands.add_parser("list", parents=[common], help=text, description=text)
    listing.set_defaults(run=_list)

    text = "disable a key"
    disabling = commands.add_parser("disable", parents=[common], help=text, description=text)
    disabling.add_argument("name", metavar="NAME", help="the key's name")
    disabling.set_defaults(run=_disable)

    arguments = parser.parse_args()
    with exit_on_problem():
        arguments.run(find(arguments.stack), arguments)


def _create(stack: Deployed, arguments: argparse.Namespace) -> None:
    key = create(stack, arguments.name, arguments.owner)
    owner = arguments.owner or arguments.name
    if arguments.json:
        print_json({"name": arguments.name, "owner": owner, "apiKey": key})
        return
    plain_console().print(key)
    sys.stderr.write("Save it now: only its hash is stored, so it cannot be shown again.\n")


def _list(stack: Deployed, arguments: argparse.Namespace) -> None:
    keys: Any = list_keys(stack)
    if arguments.json:
        print_json(keys)
        return
    table = Table("name", "owner", "created", "disabled", "id")
    for key in keys:
        row = (key["name"], key["owner"], key["createdAt"], key.get("disabledAt", ""))
        table.add_row(*row, key["id"])
    Console(highlight=False, markup=False).print(table)


def _disable(stack: Deployed, arguments: argparse.Namespace) -> None:
    disable(stack, arguments.name)
    if arguments.json:
        print_json({"name": arguments.name, "disabled": True})
    else:
        plain_console().print(f"{arguments.name} is disabled: it is refused within a minute.")
