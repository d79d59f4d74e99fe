"""Prints new lines of the functions' log, and new warnings of the emulator."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.text import Text

from infra.cli.deployed import Deployed
from infra.cli.ops.logs import log_record

POLL_SECONDS = 0.5
OVERLAP_MS = 10_000  # how much later than its time an event may appear in the list
PLATFORM_LINES = ("START RequestId:", "END RequestId:", "REPORT RequestId:", "INIT_START")
STYLES = {"DEBUG": "dim", "INFO": "green", "WARNING": "yellow"}


def follow(console: Console, stack: Deployed, emulator_log: Path) -> None:
    """Print what the stack's functions and the emulator log from now on; does not return.

    Raises:
        ConnectionError: the endpoint no longer answers.
    """
    try:
        with emulator_log.open() as warnings:
            warnings.seek(0, 2)
            for line in _lines(stack, warnings):
                console.print(line)
    except (BotoCoreError, ClientError) as error:
        raise ConnectionError(str(error)) from error


def _lines(stack: Deployed, warnings: IO[str]) -> Iterator[Text]:
    logs, groups = stack.client("logs"), stack.log_groups()
    seen: dict[tuple[str, int, str], int] = {}
    began = _now_ms()
    while True:
        since = max(began, _now_ms() - OVERLAP_MS)
        seen = {event: at for event, at in seen.items() if at >= since}
        found = []
        for function, group in groups.items():
            for event in logs.filter_log_events(logGroupName=group, startTime=since)["events"]:
                # The emulator's events have no id.
                record = event["logStreamName"], event["timestamp"], event["message"]
                if record not in seen:
                    seen[record] = event["timestamp"]
                    found.append((event["timestamp"], function, event["message"]))
        for at, function, message in sorted(found, key=lambda record: record[0]):
            line = _readable(at, function, message)
            if line is not None:
                yield line
        yield from _warnings(warnings)
        time.sleep(POLL_SECONDS)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _warnings(log: IO[str]) -> Iterator[Text]:
    for line in log:
        found = re.match(r"\S+ (\S+) (WARNING|ERROR) \[(\w+)\] (.*)", line)
        if found:
            clock, level, service, message = found.groups()
            yield _line(f"{clock}.000", f"({service})", level, message)


def _readable(at_ms: int, function: str, message: str) -> Text | None:
    if not message.strip() or message.startswith(PLATFORM_LINES):
        return None
    record = log_record(message)
    if "_aws" in record:  # a metric
        return None
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    with suppress(ValueError, KeyError):  # the record's own time, if it has one
        at = datetime.fromisoformat(record["timestamp"])
    clock = at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    level = str(record.get("level", ""))
    line = _line(clock, function, level, str(record.get("message", message)))
    order_id = record.get("order_id") or record.get("orderId")
    if order_id:
        line.append(f"  {order_id}", "dim")
    if "exception" in record:
        line.append(f"\n{record['exception']}", "red")
    return line


def _line(clock: str, source: str, level: str, message: str) -> Text:
    return Text.assemble(
        (clock, "dim"),
        (f"  {source:<12} ", "cyan"),
        (f"{level:<8}", STYLES.get(level, "bold red")),
        message.rstrip(),
    )
