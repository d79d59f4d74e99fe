"""Other releases of this project, and an operator's actions on the stack that runs them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.cli.local import ROOT, Stack

PACKAGES = ("functions", "infra")
SETTINGS = ("cdk.json", "pyproject.toml")
MOMENT_SECONDS = 2


def release(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """A copy of the project in the new `folder` with changes: (file, old text, new text).

    Raises:
        ValueError: an old text is not in its file.
    """
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SETTINGS:
        shutil.copy(ROOT / name, folder)
    for name, old, new in changes:
        text = (folder / name).read_text()
        if old not in text:
            raise ValueError(f"{old!r} is not in {name}")
        (folder / name).write_text(text.replace(old, new))
    return folder


def sweep(stack: Stack) -> None:
    """Run the sweeper now, as its schedule does each minute."""
    stack.client("lambda").invoke(FunctionName=_name(stack, "AWS::Lambda::Function", "Sweeper"))


@contextmanager
def impatient(stack: Stack) -> Iterator[None]:
    """Make a message a dead letter after one failure, and retry dead letters every two seconds.

    In AWS a message becomes a dead letter after five failures, six minutes apart. The usual
    visibility timeout is long so that no two workers hold the same message; here it can be short,
    because the order queue delivers each message only once.
    """
    sqs = stack.client("sqs")
    orders, dead = stack.outputs["OrderQueueUrl"], stack.outputs["DeadLetterQueueUrl"]
    patient = {url: _attributes(stack, url, "VisibilityTimeout") for url in (orders, dead)}
    patient[orders] |= _attributes(stack, orders, "RedrivePolicy")
    policy = json.loads(patient[orders]["RedrivePolicy"]) | {"maxReceiveCount": 1}
    moment = {"VisibilityTimeout": str(MOMENT_SECONDS)}
    sqs.set_queue_attributes(QueueUrl=dead, Attributes=moment)
    sqs.set_queue_attributes(
        QueueUrl=orders, Attributes=moment | {"RedrivePolicy": json.dumps(policy)}
    )
    try:
        yield
    finally:
        for url, attributes in patient.items():
            sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)


@contextmanager
def no_sweeps(stack: Stack) -> Iterator[None]:
    """Disable the sweeper's schedule for the block."""
    events, name = stack.client("events"), _name(stack, "AWS::Events::Rule", "EveryMinute")
    events.disable_rule(Name=name)
    try:
        yield
    finally:
        events.enable_rule(Name=name)


def _attributes(stack: Stack, url: str, *names: str) -> dict[str, str]:
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=list(names))
    attributes: dict[str, str] = answer["Attributes"]
    return attributes


def _name(stack: Stack, kind: str, part: str) -> str:
    """The physical name of the only resource of this type whose logical id contains `part`."""
    pages = (
        stack.client("cloudformation")
        .get_paginator("list_stack_resources")
        .paginate(StackName=stack.name)
    )
    resources: list[Any] = [r for page in pages for r in page["StackResourceSummaries"]]
    (name,) = [
        str(r["PhysicalResourceId"])
        for r in resources
        if r["ResourceType"] == kind and part in r["LogicalResourceId"]
    ]
    return name
