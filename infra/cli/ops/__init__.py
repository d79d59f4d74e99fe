"""`uv run ops`: what an operator of a stack does by hand."""

import argparse
import sys

from infra.cli import keys
from infra.cli.command import LOCAL, exit_on_problem
from infra.cli.deployed import find
from infra.cli.ops import redrive, stats, stuck, trace

EXIT_CODES = (
    "Exit code: 0 done, 1 not possible (one line says why), 2 a wrong command line,"
    f" {stuck.FOUND} `stuck` has found orders and left them as they are."
)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="uv run ops", description=__doc__, epilog=EXIT_CODES)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--stack", default=LOCAL, help="a CloudFormation stack (local: that of `uv run local`)"
    )
    common.add_argument("--json", action="store_true", help="answer for programs")
    for command in (trace, stuck, redrive, stats):
        command.add_command(commands, common)
    about_keys = commands.add_parser("keys", help="make, list and disable API keys")
    about_keys.set_defaults(run=keys.run)
    keys.add_commands(about_keys)
    arguments = parser.parse_args()
    try:
        with exit_on_problem():
            code = arguments.run(find(arguments.stack), arguments)
    except KeyboardInterrupt:
        sys.exit("Stopped.")
    sys.exit(code)
