"""`uv run order SOL USDC 1.5`: place an order."""

import argparse
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic.alias_generators import to_camel

from functions.client import NoAnswer
from functions.orders.terms import INTERVAL_SECONDS_MAX, SLICES_MAX, SLICES_MIN, type_of
from infra.cli.command import exit_on_problem, swap_options, whole_number
from infra.cli.connect import connected
from infra.cli.orders import table_of
from infra.cli.printing import print_json, print_table
from infra.cli.watch import UNKNOWN, as_json, exit_code, print_updates

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
EXIT_CODES = (
    "Exit code: 0 the order was accepted (with --watch: confirmed), 3 with --watch it ended"
    f" otherwise, {UNKNOWN} its state is not known, 1 it was refused (one line says why), 2 a wrong"
    " command line."
)


def moment(text: str) -> datetime:
    """An argparse type: a duration from now, such as 30m or 1d, or a time in ISO 8601."""
    if found := re.fullmatch(r"([0-9]{1,6})([smhd])", text):
        return datetime.now(UTC) + timedelta(**{UNITS[found[2]]: int(found[1])})
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        rule = "must be a duration such as 30m or 1d, or a time such as 2026-01-31T12:00:00Z"
        raise argparse.ArgumentTypeError(rule) from None


def main() -> None:
    """Place an order; the engine validates the arguments."""
    parser = argparse.ArgumentParser(
        prog="uv run order",
        description=__doc__,
        epilog=EXIT_CODES,
        parents=[swap_options()],
    )
    parser.add_argument(
        "--limit", metavar="PRICE", help="execute once one TOKEN_IN gives at least PRICE TOKEN_OUT"
    )
    parser.add_argument(
        "--stop", metavar="PRICE", help="execute once one TOKEN_IN gives at most PRICE TOKEN_OUT"
    )
    parser.add_argument(
        "--expires", type=moment, metavar="WHEN", help="when the order expires: 30m, 1d, or a time"
    )
    parser.add_argument("--ioc", action="store_true", help="execute at once or not at all")
    parser.add_argument(
        "--slices", type=whole_number(SLICES_MIN, SLICES_MAX), help="the number of slices"
    )
    parser.add_argument(
        "--every",
        type=whole_number(1, INTERVAL_SECONDS_MAX),
        metavar="SECONDS",
        help="the interval of the slices",
    )
    parser.add_argument("--id", default="", help="the idempotency key (default: a new one)")
    parser.add_argument("--watch", action="store_true", help="print each update until the end")
    arguments = parser.parse_args()
    with exit_on_problem():
        code = _order(arguments)
    sys.exit(code)


def _order(arguments: argparse.Namespace) -> int:
    key = arguments.id or str(uuid4())
    try:
        with connected(arguments) as client:
            order = client.submit(
                arguments.token_in,
                arguments.token_out,
                arguments.amount,
                key=key,
                **_fields(arguments),
            )
            if not arguments.watch:
                shown = as_json(order)
                print_json(shown) if arguments.json else print_table(table_of([order]))
                return 0
            last = print_updates(client.follow(order), as_lines_of_json=arguments.json)
            return exit_code(last)
    except NoAnswer as problem:
        sys.stderr.write(
            f"✗ {problem}\nThe order may have been accepted: run the same command with --id {key}\n"
        )
    except KeyboardInterrupt:
        sys.stderr.write(f"Stopped. The order's idempotency key is {key}.\n")
    return UNKNOWN


def _fields(arguments: argparse.Namespace) -> dict[str, Any]:
    terms = {
        "slippage_bps": arguments.slippage,
        "limit_price": arguments.limit,
        "stop_price": arguments.stop,
        "expires_at": arguments.expires,
        "time_in_force": "IOC" if arguments.ioc else None,
        "slices": arguments.slices,
        "interval_seconds": arguments.every,
    }
    given = {to_camel(name) for name, value in terms.items() if value is not None}
    return {"type": type_of(given), **terms}
