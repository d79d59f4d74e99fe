"""A deployed stack, found by its name: the local one by its file, others by CloudFormation."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

STACK_FILE = Path(__file__).parents[2] / ".local" / "stack.json"
LOCAL = "local"


class Problem(Exception):
    """Why a command cannot be done, in one line for the user."""


class NotDeployed(Problem):
    """The stack cannot be reached."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A stack's outputs, and how to reach what they name."""

    name: str
    outputs: dict[str, str]
    region: str | None = None
    endpoint_url: str | None = None
    ca_bundle: Path | None = None
    api_key: str = ""

    def client(self, service: str) -> Any:
        """A boto3 client of the stack's account; of the emulator, whatever else is configured."""
        return _client(service, self.region, self.endpoint_url, self.ca_bundle)

    def log_groups(self) -> dict[str, str]:
        """The log group of each function, by the function's module."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        groups = {}
        for page in pages.paginate(StackName=self.name):
            for resource in page["StackResourceSummaries"]:
                named = re.fullmatch(r"Compute(\w+)Logs[0-9A-F]{8}", resource["LogicalResourceId"])
                if named and resource["ResourceType"] == "AWS::Logs::LogGroup":
                    module = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", named[1]).lower()
                    groups[module] = resource["PhysicalResourceId"]
        return groups


def find(stack: str) -> Deployed:
    """The stack of this name, or "local" for that of `uv run local`; raises NotDeployed."""
    local: dict[str, str] = {}
    if stack == LOCAL:
        if not STACK_FILE.exists():
            raise NotDeployed("No local stack is running: start one with `uv run local`.")
        try:
            local = json.loads(STACK_FILE.read_text())
            stack = local["stackName"]
        except (KeyError, ValueError) as error:
            raise NotDeployed("The local stack is not ready yet: try again in a moment.") from error
    region, endpoint_url = local.get("region"), local.get("awsEndpointUrl")
    try:
        client = _client("cloudformation", region, endpoint_url, None)
        (described,) = client.describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise NotDeployed(f"Stack {stack} cannot be read: {error}") from error
    outputs = {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", [])}
    return Deployed(
        name=stack,
        outputs=outputs,
        region=region,
        endpoint_url=endpoint_url,
        api_key=local.get("apiKey", ""),
    )


@contextmanager
def problems_told() -> Iterator[None]:
    """End the program with exit code 1 and one line for what its user can put right."""
    try:
        yield
    except (Problem, BotoCoreError, ClientError) as problem:
        sys.exit("✗ " + " ".join(str(problem).split()))


def _client(
    service: str, region: str | None, endpoint_url: str | None, ca_bundle: Path | None
) -> Any:
    session: Any
    if endpoint_url is None:
        session = boto3.Session()
        return session.client(service)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):  # of a real account, or of none
        os.environ.pop(name, None)
    session = boto3.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the emulator's own
        region_name=region,
    )
    verify = str(ca_bundle) if ca_bundle else None
    return session.client(service, endpoint_url=endpoint_url, verify=verify)
