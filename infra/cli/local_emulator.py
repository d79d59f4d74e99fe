"""`python -m infra.cli.local_emulator`: run ministack, the local stack's AWS emulator.

It runs ministack's application under uvicorn. `main` first replaces parts of ministack that take
most of the local stack's time under load. `tests/infra/cli/test_local_emulator.py` fails when
ministack no longer needs one of the replacements.
"""

import copy
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import uvicorn
from ministack import app  # type: ignore[import-untyped]
from ministack.core import lambda_runtime, responses, tls  # type: ignore[import-untyped]
from ministack.services import (  # type: ignore[import-untyped]
    cloudwatch_logs,
    dynamodb,
    lambda_svc,
)

Json = Any

# --- DynamoDB: an expression is parsed once, not for each item


def cache_syntax() -> None:
    """Cache the tokens and the syntax check of an expression, which depend on its text alone.

    A query evaluates its condition for each item, and ministack parses and checks it each time.
    """
    tokens = lru_cache(4096)(dynamodb._tokenize)
    dynamodb._tokenize = lambda text: list(tokens(text))
    dynamodb._condition_syntax_error = lru_cache(4096)(dynamodb._condition_syntax_error)


EQUALITY = re.compile(r"(#?\w+) = (:\w+)")
COUNTED = (
    "TableName",
    "IndexName",
    "KeyConditionExpression",
    "ExpressionAttributeValues",
    "Select",
)
# This many entries of an index have less than 1 MB, the size at which a query's page ends.
COUNT_MAX = 2_000


def look_up_partitions() -> None:
    """Answer a query of a whole partition of an index from ministack's list of its items.

    ministack evaluates the condition for each of these items, and computes the size of each. The
    first query of a form is passed to ministack, which validates it.
    """
    evaluate, query = dynamodb._evaluate_condition, dynamodb._query
    passed: set[Any] = set()

    def evaluated(text: str, item: Json, values: Json, names: Json, slot: str = "") -> bool:
        if slot != "KeyConditionExpression" or text not in passed:
            result: bool = evaluate(text, item, values, names, *filter(None, [slot]))
            if slot == "KeyConditionExpression" and EQUALITY.fullmatch(text):
                passed.add(text)
            return result
        name, value = text.split(" = ")
        return bool(item.get((names or {}).get(name, name)) == values[value])

    def queried(request: Json) -> Any:
        if request.get("Select") != "COUNT" or request.keys() != {*COUNTED}:
            return query(request)
        name, index, text, values, _ = (request[each] for each in COUNTED)
        shape = name, index, text, *((key, *value) for key, value in values.items())
        if shape in passed and (table := dynamodb._tables.get(name)):
            (value,) = values.values()
            partition = dynamodb._extract_key_val(value)
            count = len(dynamodb._index_members(table)[index].get(partition, ()))
            if count <= COUNT_MAX:
                return dynamodb.json_response({"Count": count, "ScannedCount": count})
        answer = query(request)
        if answer[0] == HTTPStatus.OK and EQUALITY.fullmatch(text):
            passed.add(shape)
        return answer

    dynamodb._evaluate_condition, dynamodb._query = evaluated, queried


def copied(value: Json) -> Json:
    """A deep copy of a JSON value, faster than that of `copy.deepcopy`."""
    if isinstance(value, dict):
        return {name: copied(each) for name, each in value.items()}
    if isinstance(value, list):
        return [copied(each) for each in value]
    if isinstance(value, str | bytes | int | float | None):
        return value
    return copy.deepcopy(value)


def copy_items_as_json() -> None:
    """Copy items with `copied`, because ministack copies an item twice for each write."""
    dynamodb.copy = SimpleNamespace(copy=copy.copy, deepcopy=copied)


# --- Streams: batches of different keys are published concurrently, as in Lambda

LANES_MAX = 3
GATHER_SECONDS = 0.01  # for more records to arrive before they are read
RETRY_SECONDS = 1.0
# The lanes hold the records that are not yet published, so the stream need not keep them.
STREAM_SECONDS = 600


class Lane:
    """Invokes a mapping's function with the stream records of some keys, in order, in batches."""

    def __init__(self, account: str, region: str, mapping: Json) -> None:
        self._account, self._region, self._mapping = account, region, mapping
        self._records: deque[Json] = deque()
        self._more = threading.Event()
        threading.Thread(target=self._run, daemon=True, name="stream-lane").start()

    def put(self, record: Json) -> None:
        """Append a record."""
        self._records.append(record)
        self._more.set()

    def _run(self) -> None:
        responses.set_request_account_id(self._account)
        responses.set_request_region(self._region)
        while True:
            self._more.wait()
            self._more.clear()
            while self._records:
                size = min(len(self._records), self._mapping.get("BatchSize", 100))
                batch = [self._records[number] for number in range(size)]
                while not self._published(batch):
                    time.sleep(RETRY_SECONDS)
                for _ in batch:
                    self._records.popleft()

    def _published(self, batch: list[Json]) -> bool:
        """Whether the function has accepted the batch, or its mapping is deleted."""
        name, qualifier = self._mapping["FunctionName"], self._mapping.get("Qualifier")
        if lambda_svc._esms.get(self._mapping["UUID"]) is None:
            return True
        function, _ = lambda_svc._get_func_record_for_qualifier(name, qualifier)
        if function is None:
            return False
        try:
            result = lambda_svc._execute_function(function, {"Records": batch})
        except Exception:  # noqa: BLE001 - the thread must go on with the stream
            lambda_svc.logger.exception("stream batch failed: %s", name)
            return False
        if not result.get("error"):
            self._mapping["LastProcessingResult"] = f"OK - {len(batch)} records"
            return True
        self._mapping["LastProcessingResult"] = "FAILED"
        lambda_svc.logger.warning("stream batch failed: %s\n%s", name, result.get("log", ""))
        return False


_lanes: dict[str, list[Lane]] = {}


def poll_streams() -> bool:
    """Pass each mapping's new stream records to its lanes, by key; returns whether any were new."""
    found = False
    for account, region, mapping in lambda_svc._iter_all_esms():
        source, identity = mapping.get("EventSourceArn", ""), mapping["UUID"]
        if ":dynamodb:" not in source or not mapping.get("Enabled", True):
            continue
        responses.set_request_account_id(account)
        responses.set_request_region(region)
        table_name = source.split("/")[1]
        table = dynamodb._tables.get(table_name)
        if not table or table.get("LatestStreamArn") != source:
            continue
        lambda_svc._init_stream_position(identity, source, mapping.get("StartingPosition"))
        oldest = dynamodb.stream_start_position(table_name)
        position = max(lambda_svc._dynamodb_stream_positions[identity], oldest)
        if dynamodb.stream_end_position(table_name) > position:
            time.sleep(GATHER_SECONDS)  # for fewer and larger batches under load
        records = dynamodb.stream_records_since(table_name, position, sys.maxsize)
        lambda_svc._dynamodb_stream_positions[identity] = position + len(records)
        if identity not in _lanes:
            count = min(LANES_MAX, mapping.get("ParallelizationFactor") or 1)
            _lanes[identity] = [Lane(account, region, mapping) for _ in range(count)]
        lanes = _lanes[identity]
        for record in lambda_svc._apply_filter_criteria(records, mapping):
            key = repr(record["dynamodb"]["Keys"]).encode()
            lanes[crc32(key) % len(lanes)].put(record)
        found = found or bool(records)
    return found


def publish_concurrently() -> None:
    """Invoke the functions of a stream in threads of their own, several for each mapping.

    ministack invokes them one batch at a time, in the only thread that polls all queues and
    streams, and ignores a mapping's ParallelizationFactor.
    """
    lambda_svc._poll_dynamodb_streams = poll_streams
    dynamodb._STREAM_RETENTION_SECONDS = STREAM_SECONDS


# --- Lambda: environments are forks of a process that has imported the function's code

# This code precedes ministack's script in the process of a function. When the script reads its
# first event, after the import, the process becomes a server that forks. Each fork has the imported
# code, and continues the script's loop with the standard streams that it receives.
FORK_SERVER = """
import socket, sys

class _ForkServer:
    def __init__(self, stdin):
        self._stdin, self._server = stdin, None

    def readline(self):
        if self._server is None:
            self._server = socket.socket(socket.AF_UNIX)
            self._server.bind("fork.sock")
            self._server.listen(100)
            return self._stdin.readline()
        import gc, os, signal
        gc.freeze()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            line, _ = self._server.accept()
            stream, files, _, _ = socket.recv_fds(line, 100, 3)
            if len(files) == 3 and os.fork() == 0:
                break
            for file in files:
                os.close(file)
            line.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._server.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.environ["AWS_LAMBDA_LOG_STREAM_NAME"] = stream.decode()
        line.sendall(str(os.getpid()).encode())
        line.detach()  # it ends with this process
        sys.stdin = open(0, closefd=False)
        return sys.stdin.readline()

sys.stdin = _ForkServer(sys.stdin)
"""


class Fork:
    """A forked process, with the parts of `subprocess.Popen` that ministack uses."""

    def __init__(self, parent: int, stderr: int) -> None:
        """Fork the FORK_SERVER with the process id `parent`; raises OSError if it has ended."""
        self._line = socket.socket(socket.AF_UNIX)
        stdin, to_stdin = os.pipe()
        from_stdout, stdout = os.pipe()
        self.stdin, self.stdout = os.fdopen(to_stdin, "w", 1), os.fdopen(from_stdout)
        self.stderr = None
        try:
            self._line.connect(f"/proc/{parent}/cwd/fork.sock")
            stream = str(responses.new_uuid()).encode()
            socket.send_fds(self._line, [stream], [stdin, stdout, stderr])
            self.pid = int(self._line.recv(20) or 0)
            if not self.pid:
                raise ConnectionError(f"process {parent} has ended")
        except BaseException:
            self._close()
            raise
        finally:
            os.close(stdin)
            os.close(stdout)

    def poll(self) -> int | None:
        """None while the process runs, afterwards 0."""
        return 0 if self._ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process; raises TimeoutExpired."""
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired("fork", timeout or 0)
        self._close()
        return 0

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _ended(self, timeout: float | None) -> bool:
        if self._line.fileno() < 0:
            return True
        waiting = select.poll()
        waiting.register(self._line, select.POLLIN | select.POLLHUP)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))

    def _close(self) -> None:
        for each in (self.stdin, self.stdout, self._line):
            with suppress(OSError):
                each.close()


# The fields of a function's configuration that its process reads only when it starts.
READ_AT_START = (
    "CodeSha256",
    "Environment",
    "Handler",
    "Layers",
    "MemorySize",
    "Role",
    "Runtime",
    "Timeout",
)
LOG_BYTES_MAX = 1_000_000
_parents: dict[str, Any] = {}
_parents_lock = threading.Lock()
_locks: dict[str, threading.Lock] = {}
# The time between two forks of a function. Ten environments that create their AWS clients at the
# same time can time out on a busy machine with two cores.
FORK_INTERVAL_SECONDS = 0.5
_next_fork_at: dict[str, float] = {}  # by the function's ARN, on the monotonic clock


class ForkedWorker(lambda_runtime.Worker):  # type: ignore[misc]
    """An environment that is a fork, and whose standard error is a file in memory.

    The log is therefore complete when the function has answered. ministack's own worker waits for
    more lines.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._log = os.memfd_create("log")
        self._read = 0

    def __del__(self) -> None:
        os.close(self._log)

    def _spawn(self) -> None:
        self._start_time = time.time()
        with _parents_lock:
            lock = _locks.setdefault(self.config["FunctionArn"], threading.Lock())
        with lock:
            time.sleep(
                max(0.0, _next_fork_at.get(self.config["FunctionArn"], 0.0) - time.monotonic())
            )
            _next_fork_at[self.config["FunctionArn"]] = time.monotonic() + FORK_INTERVAL_SECONDS
            try:
                self._proc = Fork(self._parent(), self._log)
            except OSError:  # the parent has ended, or is ending
                self._end_parent()
                self._proc = Fork(self._parent(), self._log)

    def _parent(self) -> int:
        """The id of the process that has imported the current code of the function."""
        now = [copied(self.config.get(field)) for field in READ_AT_START]
        known, as_of = _parents.get(self.config["FunctionArn"], (None, None))
        if known is None or as_of != now or known._proc.poll() is not None:
            self._end_parent()
            known = lambda_runtime.Worker(self.func_name, copied(self.config), self.code_zip)
            known._spawn()
            _parents[self.config["FunctionArn"]] = known, now
        return int(known._proc.pid)

    def _end_parent(self) -> None:
        known, _ = _parents.pop(self.config["FunctionArn"], (None, None))
        if known is not None:
            known.kill()

    def _drain_stderr(self) -> str:
        size = os.fstat(self._log).st_size
        text = os.pread(self._log, size - self._read, self._read)
        self._read = size
        if size > LOG_BYTES_MAX:
            os.ftruncate(self._log, 0)
            os.lseek(self._log, 0, os.SEEK_SET)
            self._read = 0
        return text.decode(errors="replace").rstrip("\n")

    def _drain_stderr_bounded(self, *_: Any, **__: Any) -> str:
        return self._drain_stderr()


def fork_environments() -> None:
    """Fork the environments of Python functions, from one process for each function.

    ministack unpacks the code and the layers for each environment, which then imports them. This
    replacement is only for Linux, because macOS's own libraries do not support a fork.
    """
    if sys.platform != "linux":
        return
    lambda_runtime._PYTHON_WORKER_SCRIPT = FORK_SERVER + lambda_runtime._PYTHON_WORKER_SCRIPT
    chosen: Callable[[Json], type] = lambda_runtime._worker_class_for

    def worker_class_for(config: Json) -> type:
        python = str(config.get("Runtime", "")).startswith("python")
        return ForkedWorker if python else chosen(config)

    lambda_runtime._worker_class_for = worker_class_for


# --- CloudWatch Logs: a log group keeps only its newest streams

LOG_STREAMS_MAX = 2_000


def bound_logs() -> None:
    """Drop the oldest streams of a log group; ministack creates one for each invocation."""
    append = cloudwatch_logs._append_log_events

    def appended(stream: Json, events: list[Json]) -> Any:
        for group in list(cloudwatch_logs._log_groups._data.values()):
            streams = group["streams"]
            while len(streams) > LOG_STREAMS_MAX:
                streams.pop(next(iter(streams)), None)
        return append(stream, events)

    cloudwatch_logs._append_log_events = appended


def main() -> None:
    """Serve until SIGTERM; ministack reads its settings from the environment variables."""
    for adapt in (
        cache_syntax,
        look_up_partitions,
        copy_items_as_json,
        publish_concurrently,
        fork_environments,
        bound_logs,
    ):
        adapt()
    certificate, key = tls.resolve_tls_material() if tls.use_ssl_enabled() else (None, None)
    uvicorn.run(
        app.app,
        host=os.environ["BIND_HOST"],
        port=int(os.environ["GATEWAY_PORT"]),
        http="httptools",
        ws="websockets-sansio",
        ws_ping_interval=None,  # like API Gateway, which sends no pings
        lifespan="on",
        log_config=None,
        log_level="warning",  # at "info", uvicorn logs the URLs of WebSockets with their tickets
        access_log=False,
        server_header=False,
        date_header=False,  # ministack sends a date; the CDK does not accept two
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


if __name__ == "__main__":
    main()
