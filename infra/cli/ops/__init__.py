"""`uv run ops`: examine a stack's orders and queues, re-queue orders, redrive dead letters."""

import argparse
import sys

from infra.cli.command import exit_on_problem, options
from infra.cli.deployed import find
from infra.cli.ops import explain, redrive, stats, stuck, trace

EXIT_CODES = (
    "Exit code: 0 done, 1 not possible (one line says why), 2 a wrong command line,"
    f" {stuck.FOUND} `stuck` found orders and did not re-queue them,"
    f" {explain.DIFFERS} `explain` found a difference."
)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="uv run ops", description=__doc__, epilog=EXIT_CODES)
    commands = parser.add_subparsers(dest="command", required=True)
    common = options(json=True)
    for command in (trace, explain, stuck, redrive, stats):
        command.add_command(commands, common)
    arguments = parser.parse_args()
    with exit_on_problem():
        code = arguments.run(find(arguments.stack), arguments)
    sys.exit(code)
