"""`uv run keys`: make, list and disable a stack's API keys, of which only hashes are stored."""

import argparse
import json
import re
import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from functions.contract import API_KEY
from infra.cli.command import LOCAL, Problem, exit_on_problem
from infra.cli.deployed import Deployed, find

NAME = r"[\w@.:+-]{1,64}"
ID_DIGITS = 12

Key = dict[str, str]


class KeyProblem(Problem):
    """A key cannot be made or disabled."""


def create(stack: Deployed, name: str, owner: str = "", *, key: str = "") -> str:
    """Store a new key of the owner (by default its name), or a given one, and return it.

    Raises:
        KeyProblem: the name is taken by another key.
    """
    key, owner = key or API_KEY.new(), owner or name
    for text in (name, owner):
        if not re.fullmatch(NAME, text):
            raise KeyProblem(f"{text!r}: up to 64 letters, digits and any of _ @ . : + -")
    taken = [other for other in list_keys(stack) if other["name"] == name]
    if any(other["id"] != _short(API_KEY.item_id(key)) for other in taken):
        raise KeyProblem(f"There is a key named {name} already; names are not used again.")
    item = {"id": API_KEY.item_id(key), "name": name, "owner": owner, "createdAt": _now()}
    stack.client("dynamodb").put_item(
        TableName=_table(stack), Item={field: {"S": value} for field, value in item.items()}
    )
    return key


def list_keys(stack: Deployed) -> list[Key]:
    """All keys, oldest first: id, name, owner, createdAt, and disabledAt if they are."""
    pages = (
        stack.client("dynamodb")
        .get_paginator("scan")  # a table of a few keys and the tickets of the last days
        .paginate(
            TableName=_table(stack),
            FilterExpression="begins_with(id, :key)",
            ExpressionAttributeValues={":key": {"S": API_KEY.item_prefix}},
            ConsistentRead=True,
        )
    )
    found = [
        {field: value["S"] for field, value in item.items()}
        for page in pages
        for item in page["Items"]
    ]
    keys = [key | {"id": _short(key["id"])} for key in found]
    return sorted(keys, key=lambda key: key["createdAt"])


def disable(stack: Deployed, name: str) -> None:
    """Refuse the key of this name from now on; what was cached of it goes within a minute.

    Raises:
        KeyProblem: there is no such key.
    """
    client, table = stack.client("dynamodb"), _table(stack)
    pages = client.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="begins_with(id, :key) AND #name = :name",
        ExpressionAttributeNames={"#name": "name"},
        ExpressionAttributeValues={":key": {"S": API_KEY.item_prefix}, ":name": {"S": name}},
        ConsistentRead=True,
    )
    ids = [item["id"] for page in pages for item in page["Items"]]
    if not ids:
        raise KeyProblem(f"There is no key named {name}.")
    for key_id in ids:
        client.update_item(
            TableName=table,
            Key={"id": key_id},
            UpdateExpression="SET disabledAt = if_not_exists(disabledAt, :now)",
            ExpressionAttributeValues={":now": {"S": _now()}},
        )


def _table(stack: Deployed) -> str:
    return stack.outputs["AccessTable"]


def _short(key_id: str) -> str:
    return key_id.removeprefix(API_KEY.item_prefix)[:ID_DIGITS]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="uv run keys", description=__doc__)
    add_commands(parser)
    arguments = parser.parse_args()
    with exit_on_problem():
        run(find(arguments.stack), arguments)


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Let the parser take `create`, `list` and `disable`, which `run` then does."""
    commands = parser.add_subparsers(dest="key_command", required=True)
    creating = commands.add_parser("create", help="make a key and print it, once")
    creating.add_argument("name", metavar="NAME", help="of the key, never used again")
    creating.add_argument("--owner", default="", help="whose orders it is for (NAME)")
    listing = commands.add_parser("list", help="list all keys")
    disabling = commands.add_parser("disable", help="refuse a key from now on")
    disabling.add_argument("name", metavar="NAME", help="of the key")
    for command in (creating, listing, disabling):
        command.add_argument(
            "--stack", default=LOCAL, help="a CloudFormation stack (local: that of `uv run local`)"
        )
        command.add_argument("--json", action="store_true", help="answer for programs")


def run(stack: Deployed, arguments: argparse.Namespace) -> None:
    """Do what the arguments say, and print the answer."""
    answer = _answer(stack, arguments)
    if arguments.json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        _show(arguments.key_command, answer)


def _answer(stack: Deployed, arguments: argparse.Namespace) -> Any:
    match arguments.key_command:
        case "create":
            key = create(stack, arguments.name, arguments.owner)
            return {
                "name": arguments.name,
                "owner": arguments.owner or arguments.name,
                "apiKey": key,
            }
        case "disable":
            disable(stack, arguments.name)
            return {"name": arguments.name, "disabled": True}
    return list_keys(stack)


def _show(command: str, answer: Any) -> None:
    console = Console(highlight=False, soft_wrap=True)
    match command:
        case "create":
            console.print(answer["apiKey"], markup=False)
            notice = "Keep it now: only its hash is stored, so it cannot be shown again."
            Console(stderr=True).print(notice)
        case "disable":
            console.print(f"{answer['name']} is refused, everywhere within a minute.", markup=False)
        case _:
            table = Table("name", "owner", "created", "disabled", "id")
            for key in answer:
                row = (key["name"], key["owner"], key["createdAt"], key.get("disabledAt", ""))
                table.add_row(*row, key["id"])
            console.print(table)
