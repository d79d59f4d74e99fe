"""`uv run preflight`: find what would stop a deployment; it changes nothing."""

import argparse

import boto3
from rich.text import Text

from infra.cli.command import LOCAL, Problem, exit_on_problem
from infra.cli.deployed import client, find
from infra.cli.preflight.checks import Account, account_findings, caller_finding
from infra.cli.preflight.finding import Finding, Level
from infra.cli.preflight.plan import Plan, make_plan, plan_findings
from infra.cli.printing import plain_console, progress
from infra.settings import SettingError

MARKS = {Level.FINE: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.BLOCKER: ("✗", "red")}
EXIT_CODES = (
    "Exit code: 0 nothing stops the deployment, 1 something does or the checks cannot run,"
    " 2 a wrong command line."
)


def main() -> None:
    """Print the findings; the exit code is 1 if one of them would stop a deployment."""
    parser = argparse.ArgumentParser(
        prog="uv run preflight", description=__doc__, epilog=EXIT_CODES
    )
    parser.add_argument(
        "-c",
        "--context",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting, as for `uv run cdk deploy`",
    )
    parser.add_argument(
        "--region", help="the AWS region (default: that of the environment or the profile)"
    )
    parser.add_argument(
        "--stack",
        type=_local,
        help="`local` or `local:PORT`: check the account of a local stack instead of AWS",
    )
    arguments = parser.parse_args()
    blockers = 0
    with exit_on_problem():
        try:
            for finding in findings(arguments.context, arguments.region, arguments.stack):
                plain_console().print(line(finding))
                blockers += finding.level is Level.BLOCKER
        except SettingError as error:
            parser.error(str(error))
        if blockers:
            raise Problem(f"{blockers} of these findings would stop a deployment.")


def findings(context: list[str], region: str | None, stack: str | None) -> list[Finding]:
    """All findings: first about the account, then about the stack.

    Raises:
        SettingError: a setting is unknown, or its value is not allowed.
        Problem: the local stack cannot be reached.
    """
    local = find(stack) if stack else None
    with progress("Synthesizing the stack") as report:
        plan = make_plan(context, local.endpoint_url if local else None)
        report(1, 1)
    if local:
        region, endpoint = local.region, local.endpoint_url
    else:
        region, endpoint = region or boto3.Session().region_name, None
    account = Account(
        region=region or "",
        local=local is not None,
        client=lambda service, other=None: client(service, other or region, endpoint),
    )
    return [*_of_account(account, plan), *plan_findings(plan)]


def _of_account(account: Account, plan: Plan) -> list[Finding]:
    caller = caller_finding(account)
    if caller.level is Level.BLOCKER:  # without credentials no other check can run
        return [caller]
    with progress("Checking the account") as report:
        return [caller, *account_findings(account, plan, report)]


def line(finding: Finding) -> Text:
    """One line for a finding: the fact, why it matters, and how to fix it."""
    mark, style = MARKS[finding.level]
    text = Text.assemble((f"{mark} ", style), finding.what)
    if finding.why:
        text.append(f": {finding.why}")
    text.append(".")
    if finding.fix:
        text.append(f" Fix: {finding.fix}", "bold")
    return text


def _local(text: str) -> str:
    if text.partition(":")[0] != LOCAL:
        raise argparse.ArgumentTypeError(
            "must be local or local:PORT; a stack in AWS is chosen by -c stage=…"
        )
    return text
