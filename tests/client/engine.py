"""A server that behaves as both APIs are documented, with faults that a test asks for."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from functions.contract import API_KEY
from infra.cli.deployed import Deployed

Json = dict[str, Any]
KEY = API_KEY.new()


class Engine:
    """The documented behaviour of both APIs, with faults that a test asks for."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.orders: dict[str, list[Json]] = {}
        self.connections: dict[ServerConnection, set[str]] = {}
        self.messages: list[Json] = []
        self.requests: list[str] = []
        self.connects = 0
        # What happens to the next messages, and to the next connections, instead of an answer.
        self.answers_instead: list[Json | None] = []
        self.refuse_connections: list[int] = []
        self.http_status = 200
        self.key = KEY
        self.page_size = 2
        self.web_socket: Server = serve(
            self._serve, "127.0.0.1", 0, process_request=self._admit, logger=None
        )
        handler = type("Handler", (_Http,), {"engine": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.threads = [
            threading.Thread(target=server.serve_forever, daemon=True)
            for server in (self.web_socket, self.http)
        ]
        for thread in self.threads:
            thread.start()

    @property
    def stack(self) -> Deployed:
        port = self.web_socket.socket.getsockname()[1]
        urls = {
            "WebSocketUrl": f"ws://127.0.0.1:{port}",
            "HttpUrl": f"http://127.0.0.1:{self.http.server_port}",
        }
        return Deployed(name="engine", outputs=urls, endpoint_url="local", api_key=KEY)

    def stop(self) -> None:
        self.web_socket.shutdown()
        self.http.shutdown()
        self.http.server_close()
        for thread in self.threads:
            thread.join()

    def update(self, order_id: str, status: str, *, age_s: float = 0) -> Json:
        """Store the next update of an order and push it to whom it concerns."""
        with self.lock:
            updates = self.orders.setdefault(order_id, [])
            at = datetime.now(UTC) - timedelta(seconds=age_s)
            update = {
                "orderId": order_id,
                "sequence": len(updates) + 1,
                "status": status,
                "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            }
            updates.append(update)
            for connection, followed in list(self.connections.items()):
                if followed & {"*", order_id}:
                    self.push(connection, update)
            return update

    def push(self, connection: ServerConnection, message: Json) -> None:
        with suppress(ConnectionClosed):
            connection.send(json.dumps(message))

    def cut(self) -> None:
        """End every connection."""
        with self.lock:
            cut, self.connections = list(self.connections), {}
        for connection in cut:
            connection.close()

    def followed(self, subject: str) -> bool:
        with self.lock:
            return any(subject in followed for followed in self.connections.values())

    def sent(self, **fields: Any) -> list[Json]:
        with self.lock:
            return [m for m in self.messages if fields.items() <= m.items()]

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
            self.messages.append(message)
            if connection not in self.connections:
                return
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
                self.push(connection, update)


class _Http(BaseHTTPRequestHandler):
    engine: Engine

    def do_GET(self) -> None:
        url, engine = urlsplit(self.path), self.engine
        with engine.lock:
            engine.requests.append(self.path)
            status, body = engine.http_status, self._body(url.path, parse_qs(url.query))
        if self.headers.get("Authorization") != f"Bearer {self.engine.key}":
            status = 401
        if body is None:
            status = 404
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _body(self, path: str, query: dict[str, list[str]]) -> Json | None:
        orders = {
            order_id: {
                "orderId": order_id,
                "createdAt": updates[0]["timestamp"],
                "updates": list(updates),
            }
            for order_id, updates in self.engine.orders.items()
        }
        if path != "/api/orders":
            return orders.get(path.rsplit("/", 1)[-1])
        start = int(query.get("cursor", ["0"])[0])
        end = start + self.engine.page_size
        newest = sorted(orders.values(), key=lambda order: str(order["createdAt"]), reverse=True)
        more = {"nextCursor": str(end)} if end < len(newest) else {}
        return {"orders": newest[start:end], **more}

    def log_message(self, *_: Any) -> None:
        pass
