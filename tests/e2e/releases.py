"""Other releases of this project, and an operator's hold on the stack that runs them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.local import ROOT, Stack

PACKAGES = ("functions", "infra")
SETTINGS = ("cdk.json", "pyproject.toml")


def release(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """A copy of the project in the new `folder` with changes: (file, old text, new text).

    Raises:
        ValueError: an old text is not in its file, so there would be no other release.
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
    stack.deployed.client("lambda").invoke(
        FunctionName=_name(stack, "AWS::Lambda::Function", "Sweeper")
    )


def messages(stack: Stack, queue: str) -> int:
    """How many messages are in the queue of this output, whether somebody holds them or not."""
    answer = stack.deployed.client("sqs").get_queue_attributes(
        QueueUrl=stack.outputs[queue], AttributeNames=["All"]
    )
    counts = ("Messages", "MessagesNotVisible", "MessagesDelayed")
    return sum(int(answer["Attributes"][f"ApproximateNumberOf{count}"]) for count in counts)


@contextmanager
def hidden_for(stack: Stack, seconds: int) -> Iterator[None]:
    """A message that was not treated is back after `seconds`, in both queues."""
    sqs, before = stack.deployed.client("sqs"), {}
    for queue in ("OrderQueueUrl", "DeadLetterQueueUrl"):
        url, attribute = stack.outputs[queue], "VisibilityTimeout"
        read = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[attribute])
        before[url] = read["Attributes"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={attribute: str(seconds)})
    try:
        yield
    finally:
        for url, attributes in before.items():
            sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)


@contextmanager
def no_sweeps(stack: Stack) -> Iterator[None]:
    """The sweeper's schedule is off."""
    events, name = stack.deployed.client("events"), _name(stack, "AWS::Events::Rule", "EveryMinute")
    events.disable_rule(Name=name)
    try:
        yield
    finally:
        events.enable_rule(Name=name)


@contextmanager
def dead_letters_kept(stack: Stack) -> Iterator[None]:
    """No function takes dead letters."""
    functions = stack.deployed.client("lambda")
    mapping = _name(stack, "AWS::Lambda::EventSourceMapping", "EndDeadLetters")
    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)


def _name(stack: Stack, kind: str, part: str) -> str:
    """The physical name of the one resource of its kind with this part in its logical name."""
    pages = (
        stack.deployed.client("cloudformation")
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
