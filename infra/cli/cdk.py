"""`uv run cdk`: run the pinned CDK command line on the Node that the project installs."""

import os
import shlex
import sys
from pathlib import Path

from infra.cli.node import cdk_command, with_node

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Replace this process with the CDK command line, in the project's folder and with its app."""
    arguments = sys.argv[1:]
    if not {"-a", "--app"}.intersection(arguments):
        arguments = ["--app", shlex.join([sys.executable, "-m", "infra.app"]), *arguments]
    command = cdk_command(*arguments)
    os.chdir(ROOT)
    os.execve(command[0], command, with_node(dict(os.environ)))  # noqa: S606
