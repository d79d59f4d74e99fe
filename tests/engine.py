"""A server of both documented APIs, with faults that a test injects."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit
from uuid import NAMESPACE_OID, uuid4, uuid5

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from functions.contract import API_KEY
from infra.cli.deployed import Deployed
from tests.orders import TERMINAL

Json = dict[str, Any]
KEY = API_KEY.new()
PRICES = {
    "tokenIn": "SOL",
    "tokenOut": "USDC",
    "points": [
        {"timestamp": f"2026-01-31T12:0{minute}:00.000Z", "reference": f"15{minute}.5"}
        for minute in range(5)
    ],
}
QUOTE = {
    "tokenIn": "SOL",
    "tokenOut": "USDC",
    "inAmount": "1.5",
    "outAmount": "230.1",
    "otherAmountThreshold": "228.9",
    "priceImpactPct": "0.0001",
    "referenceDifferenceBps": "12.5",
    "referencePrice": "153.7",
    "limitPrice": "153.4",
    "slippageBps": 50,
    "routePlan": [
        {
            "venue": "whirlpool",
            "pool": "p",
            "tokenIn": "SOL",
            "tokenOut": "USDC",
            "inAmount": "1.5",
            "outAmount": "230.1",
            "feeAmount": "0.001",
            "percent": 100,
        }
    ],
    "quotes": [
        {"venue": "whirlpool", "outAmount": "230.1"},
        {"venue": "meteora", "error": "VENUE_DOWN"},
    ],
    "reason": "Whirlpool gives most.",
    "slot": 7,
}
# The faults of an HTTP request: a status as the answer; not executed; executed but not answered.
HttpFault = int | Literal["lost before", "lost after"]


class Engine:
    """The server, its orders and connections, and the faults to inject."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.orders: dict[str, list[Json]] = {}
        self.requested: dict[str, Json] = {}  # the body of each posted order
        self.connections: dict[ServerConnection, set[str]] = {}
        self.messages: list[Json] = []
        self.requests: list[str] = []
        self.connects = 0
        # Frames to send instead of the next answers (None: no answer), and the HTTP statuses that
        # refuse the next connections.
        self.answers_instead: list[Json | None] = []
        self.refuse_connections: list[int] = []
        self.http_faults: list[HttpFault] = []
        self.loses_push: Callable[[], bool] = lambda: False
        self.http_status = 200
        self.key = KEY
        self.page_size = 2
        self.web_socket: Server = serve(
            self._serve, "127.0.0.1", 0, process_request=self._admit, logger=None
        )
        handler = type("Handler", (_Http,), {"engine": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.threads = [
            threading.Thread(target=serve_forever, daemon=True)
            for serve_forever in (
                self.web_socket.serve_forever,
                # It checks at this interval (in seconds) whether to stop.
                partial(self.http.serve_forever, poll_interval=0.01),
            )
        ]
        for thread in self.threads:
            thread.start()

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    @property
    def web_socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.web_socket.socket.getsockname()[1]}"

    @property
    def stack(self) -> Deployed:
        urls = {"WebSocketUrl": self.web_socket_url, "HttpUrl": self.http_url}
        return Deployed(name="engine", outputs=urls, endpoint_url="local", api_key=KEY)

    def stop(self) -> None:
        self.cut()
        self.web_socket.shutdown()
        self.http.shutdown()
        self.http.server_close()
        for thread in self.threads:
            thread.join()

    def update(self, order_id: str, status: str, *, age_s: float = 0, **more: str) -> Json:
        """Store the order's next update, with more fields, and push it to the order's followers."""
        with self.lock:
            updates = self.orders.setdefault(order_id, [])
            at = datetime.now(UTC) - timedelta(seconds=age_s)
            update = {
                "orderId": order_id,
                "sequence": len(updates) + 1,
                "status": status,
                "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                **more,
            }
            updates.append(update)
            for connection, followed in list(self.connections.items()):
                if followed & {"*", order_id} and not self.loses_push():
                    self.push(connection, update)
            return update

    def new_order(self, *statuses: str, age_s: float = 0) -> str:
        """Store an order with these updates, or a pending one; returns its id."""
        order_id = str(uuid4())
        for status in statuses or ("pending",):
            self.update(order_id, status, age_s=age_s)
        return order_id

    def push(self, connection: ServerConnection, message: Json) -> None:
        with suppress(ConnectionClosed):
            connection.send(json.dumps(message))

    def cut(self, *, abruptly: bool = False) -> None:
        """End every connection: with a close frame, or without one, as when the network fails."""
        with self.lock:
            cut, self.connections = list(self.connections), {}
        for connection in cut:
            if abruptly:
                with suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)
            else:
                connection.close()

    def followed(self, subject: str) -> bool:
        """Whether a connection follows an order, or all orders ("*")."""
        with self.lock:
            return any(subject in followed for followed in self.connections.values())

    def sent(self, **fields: Any) -> list[Json]:
        """The messages with these fields that clients have sent."""
        with self.lock:
            return [m for m in self.messages if fields.items() <= m.items()]

    def order(self, order_id: str) -> Json:
        """The order as the HTTP API returns it."""
        updates = self.orders[order_id]
        return {
            "orderId": order_id,
            "tokenIn": "SOL",
            "tokenOut": "USDC",
            "amount": "1",
            "slippageBps": 50,
            **self.requested.get(order_id, {}),
            "status": updates[-1]["status"],
            "sequence": len(updates),
            "attempt": 1,
            "createdAt": updates[0]["timestamp"],
            "updatedAt": updates[-1]["timestamp"],
            "updates": list(updates),
        }

    def _admit(self, connection: ServerConnection, request: Any) -> Any:
        with self.lock:
            self.connects += 1
            status = self.refuse_connections.pop(0) if self.refuse_connections else 0
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            status = 403
        return connection.respond(status, "refused") if status else None

    def _serve(self, connection: ServerConnection) -> None:
        with self.lock:
            self.connections[connection] = set()
        with suppress(ConnectionClosed):
            for text in connection:
                self._answer(connection, json.loads(text))
        with self.lock:
            self.connections.pop(connection, None)

    def _answer(self, connection: ServerConnection, message: Json) -> None:
        with self.lock:
            if connection not in self.connections:
                return
            self.messages.append(message)
            if message.get("action") == "ping":
                self.push(connection, {"type": "pong"})
                return
            if self.answers_instead:
                instead = self.answers_instead.pop(0)
                if instead:
                    self.push(connection, instead)
                return
            order_id = message["orderId"]
            if order_id != "*" and order_id not in self.orders:
                error = {"code": "ORDER_NOT_FOUND", "message": f"There is no order {order_id}."}
                self.push(connection, {"error": error})
                return
            self.connections[connection].add(order_id)
            if order_id == "*":
                self.push(connection, {"type": "subscribed", "orderId": "*"})
            for update in self.orders.get(order_id, [])[message.get("sinceSequence", 0) :]:
                if not self.loses_push():
                    self.push(connection, update)


class _Http(BaseHTTPRequestHandler):
    engine: Engine

    def _handle(self) -> None:
        url, engine = urlsplit(self.path), self.engine
        length = int(self.headers.get("Content-Length") or 0)
        sent = json.loads(self.rfile.read(length)) if length else None
        with engine.lock:
            engine.requests.append(self.path)
            fault = engine.http_faults.pop(0) if engine.http_faults else engine.http_status
            if fault == "lost before":
                return
            if self.headers.get("Authorization") != f"Bearer {engine.key}":
                status, body = 401, _problem(401, "UNAUTHORIZED")
            elif isinstance(fault, int) and fault != 200:
                status, body = fault, {"message": "the gateway's own"}
            elif self.command == "POST":
                status, body = self._posted(url.path, sent)
            elif self.command == "PATCH":
                status, body = self._changed(url.path, sent)
            elif self.command == "DELETE":
                status, body = self._cancelled(url.path)
            else:
                status, body = self._got(url.path, parse_qs(url.query))
        if fault == "lost after":
            return
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _posted(self, path: str, body: Json | None) -> tuple[int, Json]:
        engine = self.engine
        if path == "/api/tickets":
            ticket = {"ticket": "oet_", "expiresAt": "", "webSocketUrl": engine.web_socket_url}
            return 201, ticket
        assert body
        order_id = str(uuid5(NAMESPACE_OID, self.headers["Idempotency-Key"]))
        if order_id in engine.orders:
            same = engine.requested[order_id] == body
            if not same:
                return 422, _problem(422, "IDEMPOTENCY_KEY_REUSED")
            return 200, engine.order(order_id)
        if body["tokenIn"] == body["tokenOut"]:
            return 400, _problem(400, "CIRCULAR_ARBITRAGE_IS_DISABLED")
        engine.requested[order_id] = body
        engine.update(order_id, "pending")
        return 202, engine.order(order_id)

    def _changed(self, path: str, body: Json | None) -> tuple[int, Json]:
        engine, order_id = self.engine, path.rsplit("/", 1)[-1]
        if engine.orders[order_id][-1]["status"] != "resting":
            return 409, _problem(409, "ORDER_NOT_CHANGEABLE")
        engine.requested[order_id] |= body or {}
        engine.update(order_id, "resting")
        return 200, engine.order(order_id)

    def _cancelled(self, path: str) -> tuple[int, Json]:
        engine, order_id = self.engine, path.rsplit("/", 1)[-1]
        if order_id not in engine.orders:
            return 404, _problem(404, "ORDER_NOT_FOUND")
        status = engine.orders[order_id][-1]["status"]
        if status == "pending":
            engine.update(order_id, "cancelled")
        elif status != "cancelled":
            return 409, _problem(409, "ORDER_NOT_CANCELLABLE")
        return 200, engine.order(order_id)

    def _got(self, path: str, query: dict[str, list[str]]) -> tuple[int, Json]:
        engine = self.engine
        if path == "/api/prices":
            return 200, PRICES
        if path == "/api/quote":
            return 200, QUOTE
        if path == "/api/me":
            return 200, {"owner": "desk"}
        if path != "/api/orders":
            order_id = path.rsplit("/", 1)[-1]
            if order_id not in engine.orders:
                return 404, _problem(404, "ORDER_NOT_FOUND")
            return 200, engine.order(order_id)
        orders = [engine.order(order_id) for order_id in engine.orders]
        (wanted,) = query.get("status", [""])
        if wanted == "open":
            orders = [order for order in orders if order["status"] not in TERMINAL]
        elif wanted:
            orders = [order for order in orders if order["status"] == wanted]
        start = int(query.get("cursor", ["0"])[0])
        end = start + engine.page_size
        newest = sorted(orders, key=lambda order: str(order["createdAt"]), reverse=True)
        more = {"nextCursor": str(end)} if end < len(newest) else {}
        return 200, {"orders": newest[start:end], **more}

    def log_message(self, *_: Any) -> None:
        pass


def _problem(status: int, code: str) -> Json:
    return {
        "type": "about:blank",
        "title": "refused",
        "status": status,
        "detail": f"Refused: {code}.",
        "code": code,
        "errors": [{"field": "a", "rule": "b"}] if status == 400 else [],
    }
