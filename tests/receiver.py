"""A server that receives webhooks and answers as a test chooses."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from standardwebhooks import Webhook

from tests.events import Json


class Received(NamedTuple):
    """One request: its path, headers and body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Json:
        return dict(json.loads(self.body))

    def verified(self, secret: str) -> Json:
        """The message, if its signature is valid for the secret; the library raises otherwise."""
        return dict(Webhook(secret).verify(self.body, self.headers))


Handle = Callable[[BaseHTTPRequestHandler], None]


def answer_with(status: int, **headers: str) -> Handle:
    """Answer with a status and headers."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def close_early(request: BaseHTTPRequestHandler) -> None:
    """Close the connection in the middle of the answer's first line."""
    request.wfile.write(b"HTTP/1.1 ")
    request.wfile.flush()
    request.connection.close()


def no_answer_until(released: threading.Event) -> Handle:
    """Send no answer, and close the connection when the event is set."""

    def wait(_request: BaseHTTPRequestHandler) -> None:
        released.wait(60)

    return wait


def trickle_until(released: threading.Event) -> Handle:
    """Send an endless header, one byte at a time, until the event is set."""

    def trickle(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        end = time.monotonic() + 60
        while not released.wait(0.05) and time.monotonic() < end:
            try:
                request.wfile.write(b"x")
                request.wfile.flush()
            except OSError:
                return

    return trickle


class Receiver:
    """The server: `received` holds its requests, and `handle` answers the next one."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.handle: Handle = answer_with(204)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                handle = receiver.handle  # a test may replace `handle` once it sees the request
                receiver.received.append(Received(self.path, headers, body))
                handle(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # It checks at this interval (in seconds) whether to stop.
        serve = partial(self._server.serve_forever, poll_interval=0.01)
        threading.Thread(target=serve, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/orders?desk=1"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that runs during the block."""
    receiver = Receiver()
    yield receiver
    receiver.stop()
