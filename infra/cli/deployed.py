"""Finds deployed stacks: a local stack by its file, any stack in AWS by CloudFormation."""

import json
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.cli.command import LOCAL, Problem

# `uv run local` keeps the files of a stack in a subfolder that has the port as its name.
LOCAL_FOLDER = Path(__file__).parents[2] / ".local"
STACK_FILE = "stack.json"
CONNECT_SECONDS_MAX = 2


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A stack: its outputs, and clients for its resources. The defaults are for a stack in AWS."""

    name: str
    outputs: dict[str, str]
    region: str | None = None
    endpoint_url: str | None = None
    ca_bundle: Path | None = None
    api_key: str = ""

    @property
    def http_url(self) -> str:
        """The URL of the HTTP API."""
        return self.output("HttpUrl")

    @property
    def web_socket_url(self) -> str:
        """The URL of the WebSocket API."""
        return self.output("WebSocketUrl")

    def client(self, service: str) -> Any:
        """A boto3 client for the stack's account, or for the emulator of a local stack."""
        return client(service, self.region, self.endpoint_url, self.ca_bundle)

    def output(self, name: str) -> str:
        """The stack's output with this name; raises Problem if the stack is not an engine."""
        try:
            return self.outputs[name]
        except KeyError:
            raise Problem(
                f"Stack {self.name} is no order execution engine: it has no output {name}."
            ) from None

    def functions(self) -> dict[str, str]:
        """The physical name of each Lambda function, by its module, for example "dead_letters"."""
        return self._resources("AWS::Lambda::Function", r"Compute(\w+)[0-9A-F]{8}")

    def log_groups(self) -> dict[str, str]:
        """The log group of each function, by its module."""
        return self._resources("AWS::Logs::LogGroup", r"Compute(\w+)Logs[0-9A-F]{8}")

    def _resources(self, kind: str, logical_id: str) -> dict[str, str]:
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        found = {}
        for page in pages.paginate(StackName=self.name):
            for resource in page["StackResourceSummaries"]:
                named = re.fullmatch(logical_id, resource["LogicalResourceId"])
                if named and resource["ResourceType"] == kind:
                    module = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", named[1]).lower()
                    found[module] = resource["PhysicalResourceId"]
        return found


def find(stack: str) -> Deployed:
    """The stack with this name, or a local stack for "local" or "local:PORT".

    Raises:
        Problem: there is no such stack, or it cannot be reached.
    """
    local: dict[str, str] = {}
    if re.fullmatch(rf"{LOCAL}(:.*)?", stack):
        local = _local_stack(stack.removeprefix(LOCAL).removeprefix(":"))
        stack = local["stackName"]
    region, endpoint_url = local.get("region"), local.get("awsEndpointUrl")
    try:
        cloudformation = client("cloudformation", region, endpoint_url)
        (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise Problem(f"Stack {stack} cannot be read: {error}") from error
    outputs = {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", [])}
    return Deployed(
        name=stack,
        outputs=outputs,
        region=region,
        endpoint_url=endpoint_url,
        api_key=local.get("apiKey", ""),
    )


def _local_stack(port: str) -> dict[str, str]:
    files = _files()
    ready = [found for found, file in files.items() if file.exists()]
    if not port and len(ready) > 1:
        raise Problem(f"Several local stacks are running; choose one: {_named(ready)}.")
    port = port or next(iter(ready), next(iter(files), ""))
    if port not in files:
        where = f" on port {port}: start one with `uv run local --port {port}`" if port else ""
        others = f" Running: {_named(ready)}." if ready else ""
        raise Problem(
            f"No local stack is running{where or ': start one with `uv run local`'}.{others}"
        )
    try:
        stack: dict[str, str] = json.loads(files[port].read_text())
        if "stackName" not in stack:
            raise ValueError(f"{files[port]} names no stack")
    except (OSError, TypeError, ValueError) as error:
        raise Problem("The local stack is not ready yet: try again in a moment.") from error
    return stack


def _named(ports: list[str]) -> str:
    return ", ".join(f"--stack {LOCAL}:{port}" for port in ports)


def _files() -> dict[str, Path]:
    """The file of each local stack whose port accepts connections, by port.

    The file of a stack that is starting does not exist yet. A killed stack could not remove its
    file, so the file is removed here.
    """
    found = {}
    for folder in sorted(LOCAL_FOLDER.glob("*/")):
        file = folder / STACK_FILE
        if folder.name.isdecimal() and _answers(int(folder.name)):
            found[folder.name] = file
        else:
            file.unlink(missing_ok=True)
    return found


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS_MAX).close()
    except (OSError, OverflowError):
        return False
    return True


def client(
    service: str,
    region: str | None = None,
    endpoint_url: str | None = None,
    ca_bundle: Path | None = None,
) -> Any:
    """A boto3 client for the configured account, or for the emulator at `endpoint_url`.

    `ca_bundle` is the emulator's certificate if it uses TLS.
    """
    session: Any
    if endpoint_url is None:
        session = boto3.Session(region_name=region)
        return session.client(service)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):  # a profile may not exist
        os.environ.pop(name, None)
    session = boto3.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the emulator's password
        region_name=region,
    )
    verify = str(ca_bundle) if ca_bundle else None
    return session.client(service, endpoint_url=endpoint_url, verify=verify)
