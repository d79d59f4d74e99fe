"""Options, argument types and errors that the commands share."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError

from functions.client import EngineError
from functions.orders.order import DEFAULT_SLIPPAGE_BPS, SLIPPAGE_BPS_MAX

LOCAL = "local"
STACK_HELP = (
    "a CloudFormation stack's name, `local` for the stack of `uv run local`, or"
    " `local:PORT` if several run (default: local)"
)


class Problem(Exception):
    """A command cannot be executed; the text is the reason, in one line for the user."""


class UnknownOrder(Problem):
    """No order has this id."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"There is no order {order_id}.")


def canonical_order_id(text: str) -> str:
    """The order id in lower case with hyphens; raises UnknownOrder for text that is not a UUID."""
    try:
        return str(UUID(text))
    except ValueError:
        raise UnknownOrder(text) from None


@contextmanager
def exit_on_problem() -> Iterator[None]:
    """If the block raises a known error, print one line on stderr and exit with code 1."""
    try:
        yield
        sys.stdout.flush()
    except (Problem, EngineError, BotoCoreError, ClientError) as problem:
        line = " ".join(str(problem).split())
        sys.exit("✗ " + line.encode(errors="backslashreplace").decode())
    except BrokenPipeError:  # the reader has exited, as in `uv run ops … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit("Stopped.")


def options(*, json: bool = False, key: bool = False) -> argparse.ArgumentParser:
    """A parent parser with `--stack` and, if requested, `--json` and `--key`."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--stack", default=LOCAL, help=STACK_HELP)
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    if key:
        parser.add_argument(
            "--key",
            default=os.environ.get("OEE_API_KEY", ""),
            help="an API key (default: that of OEE_API_KEY, or else the local stack's own)",
        )
    return parser


def swap_options() -> argparse.ArgumentParser:
    """A parent parser with the common options, the tokens, the amount and the slippage."""
    parser = argparse.ArgumentParser(add_help=False, parents=[options(json=True, key=True)])
    parser.add_argument("token_in", metavar="TOKEN_IN", help="the token to sell, such as SOL")
    parser.add_argument("token_out", metavar="TOKEN_OUT", help="the token to buy, such as USDC")
    parser.add_argument("amount", metavar="AMOUNT", help="of TOKEN_IN")
    parser.add_argument(
        "--slippage",
        type=whole_number(0, SLIPPAGE_BPS_MAX),
        metavar="BPS",
        help="how much less than quoted an order accepts, in 0.01 %%"
        f" (default: {DEFAULT_SLIPPAGE_BPS})",
    )
    return parser


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """An argparse type: a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        # No more digits than `most` has, because Python refuses to convert thousands of digits.
        digits = re.fullmatch(f"0*([0-9]{{1,{len(str(most))}}})", text)
        if not digits or not least <= int(digits[1]) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
        return int(digits[1])

    return parse
