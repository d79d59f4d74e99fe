"""Searches the log lines of a stack's functions for a term."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from functions.contract import unix_ms
from infra.cli.deployed import Deployed
from infra.cli.printing import Report


@dataclass(frozen=True)
class Line:
    """A log line: its time (Unix time in milliseconds), its function and its fields."""

    at_ms: int
    function: str
    record: dict[str, Any]


def search(stack: Deployed, term: str, start_ms: int, end_ms: int, report: Report) -> list[Line]:
    """The lines with this term whose event time is from `start_ms` to `end_ms`, in order of time.

    A line's own timestamp may be earlier, because the emulator gives all lines of an invocation the
    time at which it ended. `report` receives the number of searched log groups.
    """
    groups = stack.log_groups()
    client = stack.client("logs")
    found: list[Line] = []

    def read(function: str, group: str) -> list[Line]:
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=start_ms, endTime=end_ms, filterPattern=f'"{term}"'
        )
        return list(_lines(function, (event for page in pages for event in page["events"])))

    with ThreadPoolExecutor(max(len(groups), 1)) as pool:
        searches = [pool.submit(read, *item) for item in groups.items()]
        for done, finished in enumerate(as_completed(searches), start=1):
            found += finished.result()
            report(done, len(searches))
    return sorted(found, key=lambda line: line.at_ms)


def _lines(function: str, events: Iterator[dict[str, Any]]) -> Iterator[Line]:
    for event in events:
        record = log_record(event["message"])
        try:
            at_ms = unix_ms(record["timestamp"])
        except (KeyError, TypeError, ValueError):
            at_ms = event["timestamp"]
        yield Line(at_ms, function, record)


def log_record(message: str) -> dict[str, Any]:
    """The fields of a log line; a line that is no JSON object is its own `message`."""
    try:
        record = json.loads(message)
    except ValueError:
        return {"message": message.rstrip()}
    return record if isinstance(record, dict) else {"message": message.rstrip()}
