"""The local stack's changes of ministack have their effect, and ministack still needs them."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import os
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from ministack.core import lambda_runtime  # type: ignore[import-untyped]
from ministack.services import (  # type: ignore[import-untyped]
    cloudwatch_logs,
    dynamodb,
    lambda_svc,
)

from infra.cli import local_emulator
from tests.eventually import SECONDS_MAX, eventually

# ministack leaves the files of a process that it ended to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
Json = Any
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f"
TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/t"


def test_ministack_still_parses_an_expression_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    original = dynamodb._condition_syntax_error

    def counted(text: str, slot: str) -> Any:
        parsed.append(text)
        return original(text, slot)

    def evaluate() -> None:
        for number in range(10):
            assert dynamodb._evaluate_condition("a = :a", {"a": {"N": "1"}}, {":a": {"N": "1"}}, {})
            parts = dynamodb._tokenize(f"b = :b{number % 2}")
            parts.clear()  # this must not change the cached list

    monkeypatch.setattr(dynamodb, "_tokenize", dynamodb._tokenize)
    monkeypatch.setattr(dynamodb, "_condition_syntax_error", counted)
    evaluate()
    assert len(parsed) == 10
    local_emulator.cache_syntax()
    parsed.clear()
    evaluate()
    assert len(parsed) == 1
    assert dynamodb._tokenize("b = :b1")


def request(action: str, **body: Any) -> Json:
    headers = {"x-amz-target": f"DynamoDB_20120810.{action}"}
    text = json.dumps(body).encode()
    _, _, answer = asyncio.run(dynamodb.handle_request("POST", "/", headers, text, {}))
    return json.loads(answer)


@pytest.fixture
def query_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Json]]:
    """Queries the index of desks in a table with four items of desk a and one of desk b."""
    for name in ("_evaluate_condition", "_query"):
        monkeypatch.setattr(dynamodb, name, getattr(dynamodb, name))
    keys = [{"AttributeName": name, "AttributeType": "S"} for name in ("id", "desk")]
    request(
        "CreateTable",
        TableName="people",
        AttributeDefinitions=keys,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "byDesk",
                "KeySchema": [{"AttributeName": "desk", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    for number, desk in enumerate("aaaab"):
        item = {"id": {"S": str(number)}, "desk": {"S": desk}}
        request("PutItem", TableName="people", Item=item)

    def query(desk: Json, condition: str = "desk = :d", **more: Any) -> Json:
        return request(
            "Query",
            TableName="people",
            IndexName="byDesk",
            KeyConditionExpression=condition,
            ExpressionAttributeValues={":d": desk},
            **more,
        )

    yield query
    request("DeleteTable", TableName="people")


def test_ministack_still_evaluates_a_condition_for_each_member_of_a_partition(
    query_index: Callable[..., Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated = []
    original = dynamodb._evaluate_condition

    def counted(*arguments: Any, **named: Any) -> Any:
        evaluated.append(arguments)
        return original(*arguments, **named)

    monkeypatch.setattr(dynamodb, "_evaluate_condition", counted)
    assert query_index({"S": "a"}, Select="COUNT")["Count"] == 4
    assert len(evaluated) == 4


def test_queries_of_a_partition_answer_as_ministack_does(query_index: Callable[..., Json]) -> None:
    def answers() -> list[Json]:
        return [
            *(query_index({"S": desk}, Select="COUNT") for desk in "aabc"),
            *(query_index({"S": desk}, Limit=3) for desk in "aab"),
            query_index({"S": "a"}, "#d = :d", ExpressionAttributeNames={"#d": "desk"}),
            query_index({"S": "a"}, Select="COUNT", Limit=2),
            query_index({"N": "1"}, Select="COUNT"),
            query_index({"S": "a"}, "desk = :d AND desk = :d", Select="COUNT"),
            query_index({"S": "a"}, "id = :d", Select="COUNT"),
        ]

    without = answers()
    local_emulator.look_up_partitions()
    assert answers() == without
    assert [answer.get("Count") for answer in answers()[:4]] == [4, 4, 1, 0]
    request("DeleteItem", TableName="people", Key={"id": {"S": "0"}})
    assert query_index({"S": "a"}, Select="COUNT") == {"Count": 3, "ScannedCount": 3}


def test_ministack_still_copies_items_as_any_objects() -> None:
    assert dynamodb.copy.deepcopy is copy.deepcopy


def test_a_copied_item_shares_no_mutable_value() -> None:
    item = {"a": {"L": [{"S": "x"}, {"M": {"n": {"N": "1"}}}]}, "b": {"BOOL": True}, "c": None}
    other = local_emulator.copied(item)
    assert other == item
    other["a"]["L"][1]["M"]["n"]["N"] = "2"
    assert item["a"]["L"][1] == {"M": {"n": {"N": "1"}}}  # type: ignore[index]


# --- streams


class Stream:
    """A table's stream with a mapping, and a function that records its batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[list[str]] = []
        self.failures = 0
        self.released = threading.Event()  # the function waits for this if it gets a "slow" record
        source = f"{TABLE}/stream/s"
        self.mapping = {
            "UUID": str(uuid4()),
            "EventSourceArn": source,
            "FunctionName": "f",
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": 3,
            "ParallelizationFactor": 10,
        }
        monkeypatch.setitem(dynamodb._tables, "t", {"LatestStreamArn": source})
        monkeypatch.setitem(dynamodb._stream_records, "t", [])
        monkeypatch.setitem(lambda_svc._esms, self.mapping["UUID"], self.mapping)
        monkeypatch.setattr(lambda_svc, "_get_func_record_for_qualifier", lambda *_: ({}, {}))
        monkeypatch.setattr(lambda_svc, "_execute_function", self._execute)
        monkeypatch.setattr(local_emulator, "RETRY_SECONDS", 0.01)

    def write(self, *keys: str) -> None:
        for key in keys:
            record = {"dynamodb": {"Keys": {"id": {"S": key.rstrip("0123456789")}}, "text": key}}
            dynamodb._stream_records["t"].append(record)

    @property
    def received(self) -> list[str]:
        return [each for batch in self.batches for each in batch]

    def _execute(self, _function: Any, event: Any) -> Any:
        batch = [record["dynamodb"]["text"] for record in event["Records"]]
        if any(each.startswith("slow") for each in batch):
            self.released.wait(SECONDS_MAX)
        if self.failures:
            self.failures -= 1
            if self.failures % 2:
                raise ConnectionError
            return {"error": True}
        self.batches.append(batch)
        return {}


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    stream = Stream(monkeypatch)
    yield stream
    stream.released.set()


def test_ministack_still_polls_nothing_while_a_streams_function_runs(stream: Stream) -> None:
    stream.write("slow1")
    polling = threading.Thread(target=lambda_svc._poll_dynamodb_streams)
    polling.start()
    polling.join(0.2)
    assert polling.is_alive()
    stream.released.set()
    polling.join(SECONDS_MAX)
    assert stream.batches == [["slow1"]]


def test_the_records_of_other_keys_do_not_wait_for_a_slow_batch(stream: Stream) -> None:
    stream.write("slow1", *"abcdefghij")
    assert local_emulator.poll_streams()
    eventually(lambda: len(stream.received) >= 5)
    assert "slow1" not in stream.received
    stream.released.set()
    eventually(lambda: len(stream.received) == 11)
    assert not local_emulator.poll_streams()


def test_the_records_of_a_key_are_published_in_order_although_batches_fail(stream: Stream) -> None:
    stream.failures = 4
    for number in range(20):
        stream.write(*(f"{key}{number}" for key in "abcde"))
        local_emulator.poll_streams()
    eventually(lambda: len(stream.received) == 100)
    for key in "abcde":
        numbers = [int(each[1:]) for each in stream.received if each[0] == key]
        assert numbers == list(range(20))
    assert max(map(len, stream.batches)) <= 3


# --- environments

CODE = """
import os, sys
imported_by = os.getpid()
def handler(event, context):
    print("first", flush=True)
    if event == "die":
        os._exit(1)
    if event == "slow":
        import time; time.sleep(60)
    sys.stderr.write("x" * event + "\\\\n" if isinstance(event, int) else "")
    print("last")
    return [os.getpid(), imported_by, event, os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]]
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes environments of a function: as the local stack does, or as ministack does."""
    if sys.platform != "linux":
        pytest.skip("environments are forked on Linux only")
    made = []
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("code.py", "")
        code.writestr("app.py", CODE.replace("\\\\", "\\"))
    config = {
        "FunctionName": "f",
        "FunctionArn": FUNCTION,
        "Runtime": f"python3.{sys.version_info.minor}",
        "Handler": "app.handler",
        "Timeout": 60,
        "CodeSha256": str(time.time()),
        "Role": "arn:aws:iam::000000000000:role/r",
    }
    for name in ("_PYTHON_WORKER_SCRIPT", "_worker_class_for"):
        monkeypatch.setattr(lambda_runtime, name, getattr(lambda_runtime, name))
    monkeypatch.setattr(local_emulator, "_parents", {})
    monkeypatch.setattr(local_emulator, "FORK_INTERVAL_SECONDS", 0)

    def make(*, forked: bool = True, **fields: Any) -> Any:
        if forked and lambda_runtime._worker_class_for(config) is lambda_runtime.Worker:
            local_emulator.fork_environments()
        kind = lambda_runtime._worker_class_for(config)
        made.append(kind("f", config | fields, archive.getvalue()))
        return made[-1]

    yield make
    lambda_runtime.kill_workers(made + [parent for parent, _ in local_emulator._parents.values()])


def test_ministack_still_imports_the_code_for_each_environment(
    environment: Callable[..., Any],
) -> None:
    imported = {environment(forked=False).invoke(1, "r")["result"][1] for _ in range(2)}
    assert len(imported) == 2


def test_environments_share_the_import_and_have_their_own_logs(
    environment: Callable[..., Any],
) -> None:
    one, other = environment(), environment()
    answers = [each.invoke(number, "r") for number in range(3) for each in (one, other)]
    assert {answer["status"] for answer in answers} == {"ok"}
    results = [answer["result"] for answer in answers]
    assert len({pid for pid, *_ in results}) == 2
    assert len({imported for _, imported, *_ in results}) == 1
    assert len({stream for *_, stream in results}) == 2
    assert [event for _, _, event, _ in results] == [0, 0, 1, 1, 2, 2]
    assert answers[4]["log"].split() == ["first", "xx", "last"]


def test_a_long_log_does_not_block_the_invocation_and_is_complete(
    environment: Callable[..., Any],
) -> None:
    one = environment()
    for _ in range(3):
        assert len(one.invoke(2_000_000, "r")["log"]) == 2_000_000 + len("first\n\nlast")
    assert os.fstat(one._log).st_size <= 2_000_100


def test_an_environment_that_died_or_hangs_or_lost_its_parent_is_replaced(
    environment: Callable[..., Any],
) -> None:
    one = environment()
    assert one.invoke("die", "r")["status"] == "error"
    assert one.invoke(1, "r")["status"] == "ok"
    seconds, one.config["Timeout"] = one.config["Timeout"], 1
    assert "timed out" in one.invoke("slow", "r")["error"]
    one.config["Timeout"] = seconds
    first = one.invoke(1, "r")["result"]
    for pid in first[:2]:
        os.kill(pid, 9)
    eventually(lambda: one._proc.poll() is not None)
    again = one.invoke(1, "r")["result"]
    assert set(again[:2]).isdisjoint(first[:2])


def test_an_environment_started_after_a_change_has_the_new_settings(
    environment: Callable[..., Any],
) -> None:
    old = environment().invoke(1, "r")["result"]
    new = environment(MemorySize=256).invoke(1, "r")["result"]
    assert old[1] != new[1]


# --- logs


def test_ministack_still_makes_a_log_stream_for_each_invocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(cloudwatch_logs._log_groups, "/aws/lambda/g", {"streams": {}})
    group = cloudwatch_logs._log_groups["/aws/lambda/g"]
    group |= {"subscriptionFilters": {}, "arn": "", "tags": {}}
    for number in range(3):
        lambda_svc._emit_lambda_logs({"config": {"FunctionName": "g"}}, str(number), "", False, 1)
    assert len(group["streams"]) == 3


def test_a_log_group_keeps_its_newest_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudwatch_logs, "_append_log_events", lambda *_: None)
    monkeypatch.setattr(local_emulator, "LOG_STREAMS_MAX", 3)
    streams: dict[str, Any] = {str(number): {} for number in range(5)}
    monkeypatch.setitem(cloudwatch_logs._log_groups, "g", {"streams": streams})
    local_emulator.bound_logs()
    cloudwatch_logs._append_log_events(streams["4"], [])
    assert json.dumps(list(streams)) == '["2", "3", "4"]'
