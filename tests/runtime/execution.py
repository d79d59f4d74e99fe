"""A Lambda execution environment: a process with the Python client of Lambda's runtime.

The process calls a server in this module, which has the WebSocket API's @connections endpoint and
the Runtime API: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import unquote
from uuid import uuid4

Json = dict[str, Any]
API = "/2018-06-01/runtime"
CONNECTIONS = "/@connections/"
ANSWER_SECONDS_MAX = 300


class Runtime(NamedTuple):
    """A Python interpreter, its version ("3.13"), and the folders of the client and the layer."""

    python: str
    version: str
    client: Path
    layer: Path

    def command(self, *arguments: str) -> list[str]:
        """Python without the packages that are installed for it."""
        return [self.python, "-S", *arguments]

    def environment(self, asset: Path) -> dict[str, str]:
        """The variable that makes the asset, the layer and the client importable."""
        return {"PYTHONPATH": f"{asset}:{self.layer}:{self.client}"}


class Outcome(NamedTuple):
    """A function's answer to an event: "response" or "error", and its body."""

    kind: str
    body: Any


class ExecutionEnvironment:
    """One function in its own process, which handles one event after another."""

    def __init__(
        self, command: list[str], *, folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self.log = log
        self.pushed: Queue[tuple[str, Json]] = Queue()
        self._events: Queue[Json] = Queue()
        self._outcomes: Queue[Outcome] = Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        Thread(target=self._server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{self._server.server_port}"
        with log.open("wb") as output:  # standard output and error are one log in Lambda too
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={
                    **environment,
                    "AWS_LAMBDA_RUNTIME_API": host,
                    "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": f"http://{host}",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def invoke(self, event: Json) -> Outcome:
        """Let the function handle an event; returns its answer, or its error if it cannot start."""
        self._events.put(event)
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                return self._outcomes.get(timeout=0.2)
            except Empty:
                ended = self._process.poll()
                if ended is not None and self._outcomes.empty():
                    raise AssertionError(f"exit code {ended}:\n{self.log.read_text()}") from None
        raise AssertionError(f"no answer in {ANSWER_SECONDS_MAX} s:\n{self.log.read_text()}")

    def close(self) -> None:
        """End the process, as Lambda does: without notice."""
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        environment = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                assert self.path == f"{API}/invocation/next"
                event = environment._events.get()
                deadline_ms = int((time.time() + ANSWER_SECONDS_MAX) * 1000)
                function = "arn:aws:lambda:us-east-1:111122223333:function:function"
                self._answer(
                    200,
                    json.dumps(event).encode(),
                    {
                        "Content-Type": "application/json",
                        "Lambda-Runtime-Aws-Request-Id": str(uuid4()),
                        "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                        "Lambda-Runtime-Invoked-Function-Arn": function,
                        "Lambda-Runtime-Trace-Id": "Root=1-65f0c2a1-4f1b2c3d4e5f60718293a4b5",
                    },
                )

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.startswith(CONNECTIONS):
                    connection_id = unquote(self.path.removeprefix(CONNECTIONS))
                    environment.pushed.put((connection_id, body))
                    self._answer(200)
                else:
                    assert self.path.startswith(API)
                    environment._outcomes.put(Outcome(self.path.rsplit("/", 1)[-1], body))
                    self._answer(202)

            def _answer(
                self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
            ) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Log no requests."""

        return Handler
