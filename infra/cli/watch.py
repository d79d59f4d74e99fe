"""`uv run watch`: follow one order, or all of one's orders, in the terminal."""

import argparse
import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from functions.orders.order import Status
from infra.cli.command import LOCAL
from infra.cli.deployed import NotDeployed, find

STYLES = {"confirmed": "bold green", "failed": "bold red", "cancelled": "yellow"}


def main() -> None:
    """Print each update until the order's end, or until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="uv run watch", description=__doc__)
    parser.add_argument("order", nargs="?", default="*", help="an orderId (all from now on)")
    parser.add_argument(
        "--stack", default=LOCAL, help="a CloudFormation stack (local: that of `uv run local`)"
    )
    parser.add_argument(
        "--key", default=os.environ.get("OEE_API_KEY", ""), help="API key (OEE_API_KEY)"
    )
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    try:
        stack = find(arguments.stack)
        _watch(
            console,
            stack.outputs["WebSocketUrl"],
            arguments.key or stack.api_key,
            arguments.order,
        )
    except NotDeployed as error:
        sys.exit(f"✗ {error}")
    except InvalidStatus as error:
        sys.exit(f"✗ Refused with {error.response.status_code}: is the API key valid?")
    except (ConnectionClosed, InvalidHandshake, OSError) as error:
        sys.exit(f"✗ The connection failed: {error}")
    except KeyboardInterrupt:
        console.print("Stopped.")


def _watch(console: Console, url: str, key: str, order_id: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with connect(url, additional_headers=headers, proxy=None) as socket:
        socket.send(json.dumps({"orderId": order_id}))
        for text in socket:
            message = json.loads(text)
            console.print(_line(message))
            status = message.get("status")
            ended = Status(status).terminal if status else "error" in message
            if order_id != "*" and ended:
                return


def _line(message: dict[str, Any]) -> Text:
    if "status" not in message:
        return Text(message.get("error", {}).get("message") or "Watching all orders.", "dim")
    status = message["status"]
    names = ("attempt", "txHash", "outAmount")
    shown: dict[str, Any] = {name: message[name] for name in names if name in message}
    if "executedPrice" in message:
        shown["price"] = message["executedPrice"]
    if "route" in message:
        shown["route"] = message["route"]["reason"]
    if "error" in message:
        shown["error"] = f"{message['error']['code']}: {message['error']['message']}"
    return Text.assemble(
        (message["timestamp"][11:23], "dim"),
        (f"  {message['orderId']}  ", "cyan"),
        (f"{status:<10}", STYLES.get(status, "")),
        *(f" {name} {value}" for name, value in shown.items()),
    )
