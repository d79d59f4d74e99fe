"""Clients of a simulated run: they do only what functions/README.md asks of clients."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from functions.contract import unix_ms
from tests.errors import Violation
from tests.events import Json, event
from tests.orders import TERMINAL
from tests.simulation import requests
from tests.simulation.simulation import (
    FAILED,
    Connection,
    Simulation,
    websocket_event,
)

OWNER = "owner"
REQUEST_MS_MAX = 30_000
RETRY_MS = 2_000
ANSWER_MS_MAX = 5_000  # a subscription without an answer is repeated after this time
LISTEN_MS = 400_000
LATE_MS = 900_000
# The list lags by a moment, so a client reads it back to this long before its last list.
OVERLAP_MS = 60_000
# After this time, the list has every order that was created before the answer to "*".
LIST_LAG_MS = 3_000


class Unanswered(Exception):
    """The request failed, or its answer did not arrive; it may have taken effect."""


@dataclass
class ClientOrder:
    """An order as its client knows it; one without a key is a slice, which the engine made."""

    key: str
    body: Json = field(default_factory=dict)
    order_id: str = ""
    # Whether the order was cancelled, by the API's answer; None: not requested, or not answered.
    cancelled: bool | None = None
    # The updates in the answers to the client, by sequence.
    updates: dict[int, Json] = field(default_factory=dict)

    def record(self, order: Json) -> None:
        """Record the updates in an answer; raises Violation if they contradict an earlier one."""
        for update in order["updates"]:
            if self.updates.setdefault(update["sequence"], update) != update:
                raise Violation(f"two answers show two different updates {update['sequence']}")


class Client:
    """A client, with requests and one WebSocket connection at a time."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self.simulation, self.name = simulation, name
        self.connection_id = ""
        self.frames: list[Json] = []
        # By order: the sequence up to which this connection needs no update. The next update must
        # arrive before any later one.
        self.pushed: dict[str, int] = {}
        self.follows_all = False

    def wait(self, milliseconds: int) -> None:
        self.simulation.scheduler.pause("waits", delay_ms=milliseconds)

    def wait_for_frame(self, milliseconds: int) -> bool:
        """Wait for a frame or for the end of the connection; returns whether there is a frame."""
        task = self.simulation.scheduler.current()
        task.waits_for = lambda: bool(self.frames) or not self.connected
        self.simulation.scheduler.pause("waits for a frame", delay_ms=milliseconds)
        task.waits_for = None
        return bool(self.frames)

    def http(self, name: str, **changes: Any) -> Json:
        """The JSON of an answer of the API, with its status; raises Unanswered."""
        request = event(f"http_{name}")
        request["headers"].pop("idempotency-key", None)
        request["isBase64Encoded"] = False
        request["body"] = json.dumps(changes["body"]) if "body" in changes else None
        request["headers"] |= changes.get("headers", {})
        request["queryStringParameters"] = changes.get("query", {})
        request["rawQueryString"] = "&".join(
            f"{k}={v}" for k, v in changes.get("query", {}).items()
        )
        if "path" in changes:
            request["rawPath"] = request["requestContext"]["http"]["path"] = changes["path"]
        answer = self._invoke("api", request)
        status = int(answer["statusCode"])
        if status >= 500 or status == 429:
            raise Unanswered(status)
        return {"status": status, "body": json.loads(answer["body"])}

    def connect(self) -> bool:
        """Open a connection in place of the former one; False if that fails."""
        connection_id = f"{self.name}-{self.simulation.new_id()}"
        self.frames.clear()
        self.pushed.clear()
        self.follows_all = False
        try:
            answer = self._websocket("connect", connection_id)
        except Unanswered:
            return False
        if answer["statusCode"] != 200:
            return False
        self.connection_id = connection_id
        now_ms = self.simulation.scheduler.now_ms
        self.simulation.connections[connection_id] = Connection(self._receive, now_ms)
        self.simulation.coverage["connections"] += 1
        return True

    def send(self, message: Json) -> None:
        """Send a frame. An answer may or may not follow."""
        with suppress(Unanswered):
            self._websocket("subscribe", self.connection_id, json.dumps(message))

    @property
    def connected(self) -> bool:
        return self.connection_id in self.simulation.connections

    def _receive(self, text: str) -> None:
        frame = json.loads(text)
        self.frames.append(frame)
        if frame.get("type") == "subscribed":
            # From this answer on no update may be missed; earlier ones may be.
            for item in self.simulation.stored_orders():
                stored = len(item["updates"]["L"])
                self.pushed[item["orderId"]["S"]] = stored
            self.follows_all = True
        if "sequence" in frame:
            self._record_push(frame["orderId"], frame["sequence"])

    def _record_push(self, order_id: str, sequence: int) -> None:
        last = self.pushed.get(order_id, 0 if self.follows_all else None)
        if last is None:
            return
        if sequence > last + 1:
            self.simulation.violations.append(f"{self.name} got update {sequence} after {last}")
        self.simulation.coverage["updates pushed again"] += sequence <= last
        self.pushed[order_id] = max(last, sequence)

    def _websocket(self, kind: str, connection_id: str, body: str | None = None) -> Json:
        return self._invoke(
            "websocket", websocket_event(kind, connection_id, self.simulation.new_id(), body)
        )

    def _invoke(self, function: str, request: Json) -> Json:
        scheduler = self.simulation.scheduler
        answers: list[Any] = []
        while not self.simulation.invoke(function, request, answers.append):
            self.wait(200)  # every environment is busy, so Lambda throttles the request
        task = scheduler.current()
        task.waits_for = lambda: bool(answers)
        scheduler.pause(f"asks {function}", delay_ms=REQUEST_MS_MAX)
        task.waits_for = None
        if not answers or answers[0] is FAILED:
            raise Unanswered(function)
        found: Json = answers[0]
        return found


class Trader(Client):
    """Submits one order with an idempotency key until it is answered.

    Then it takes its actions, in order: `submit` again, `change`, `cancel`, or `end`, which cancels
    until the order has ended; `end late` first waits for the order to end by itself. An order
    without a body gets a body and actions at the first submission.
    """

    def __init__(
        self, simulation: Simulation, order: ClientOrder, actions: tuple[str, ...] = ()
    ) -> None:
        super().__init__(simulation, f"trader-{order.key}")
        self.order, self.actions = order, actions
        self.done = False

    def run(self) -> None:
        """Make all of this client's requests, each until there is a definite answer."""
        draw = self.simulation.random
        self.wait(draw.randrange(draw.choice([3_000, 3_000, 200_000])))
        if not self.order.body:
            self.order.body, self.actions = requests.order(
                draw,
                self.simulation.scheduler.now_ms,
                faultless=not self.simulation.plan.faults_until_ms,
                waiting=self.simulation.plan.waiting,
            )
        self._until_done(self._submit)
        for action in self.actions:
            longest_ms = {"change": 10_000, "end": 30_000}.get(action, 3_000)
            self.wait(draw.randrange(draw.choice([1, longest_ms])))
            match action:
                case "submit":
                    self._until_done(self._submit)
                case "change":
                    body = requests.change(draw, self.simulation.scheduler.now_ms, self.order.body)
                    self._until_done(lambda body=body: self._change(body))  # type: ignore[misc]
                case "end late":
                    self._wait_for_the_end()
                    self._until_done(self._end)
                case _:
                    self._until_done(self._cancel if action == "cancel" else self._end)
        self.done = True

    def _wait_for_the_end(self) -> None:
        until_ms = self.simulation.scheduler.elapsed_ms + LATE_MS
        while self.simulation.open_orders() and self.simulation.scheduler.elapsed_ms < until_ms:
            self.wait(LATE_MS // 30)

    def _until_done(self, request: Callable[[], bool]) -> None:
        while not request():
            self.wait(RETRY_MS)

    def _submit(self) -> bool:
        headers = {"idempotency-key": self.order.key}
        try:
            answer = self.http("execute_order", body=self.order.body, headers=headers)
        except Unanswered:
            return False
        order_id = answer["body"].get("orderId", "")
        if answer["status"] not in (200, 202):
            raise Violation(f"a valid order was answered {answer}")
        if self.order.order_id not in ("", order_id):
            raise Violation(f"key {self.order.key} made two orders")
        self.order.order_id = order_id
        self.order.record(answer["body"])
        return True

    def _change(self, body: Json) -> bool:
        try:
            answer = self.http("change_order", path=f"/api/orders/{self.order.order_id}", body=body)
        except Unanswered:
            return False
        # A repeat can be refused with 400 because the new expiry has passed meanwhile.
        if answer["status"] not in (200, 409) and "expiresAt" not in body:
            raise Violation(f"a change was answered {answer}")
        self.simulation.coverage[f"changes answered {answer['status']}"] += 1
        if answer["status"] == 200:
            self.order.record(answer["body"])
        return True

    def _end(self) -> bool:
        """Cancel the order; True once it has ended, with any status."""
        if not self._cancel():
            return False
        if self.order.cancelled:
            return True
        try:
            order = self.http("get_order", path=f"/api/orders/{self.order.order_id}")["body"]
        except Unanswered:
            return False
        self.order.record(order)
        self.order.cancelled = order["status"] == "cancelled"
        return order["status"] in TERMINAL

    def _cancel(self) -> bool:
        try:
            answer = self.http("cancel_order", path=f"/api/orders/{self.order.order_id}")
        except Unanswered:
            return False
        if answer["status"] not in (200, 409):
            raise Violation(f"cancel answered {answer}")
        self.order.cancelled = answer["status"] == 200
        if self.order.cancelled:
            self.order.record(answer["body"])
        return True


@dataclass
class Received:
    """The updates that a follower has received of one order."""

    texts: dict[int, str] = field(default_factory=dict)
    ended: bool = False

    def last_text(self) -> str:
        """The last update."""
        return self.texts[max(self.texts)]

    def last_without_a_gap(self) -> int:
        return next(n for n in count() if n + 1 not in self.texts)


class Follower(Client):
    """Follows one order, or every order ("*"), over lost connections, until it is `done`."""

    def __init__(
        self, simulation: Simulation, name: str, orders: list[ClientOrder], *, all_: bool
    ) -> None:
        super().__init__(simulation, name)
        self.orders, self.all = orders, all_
        self.received: dict[str, Received] = defaultdict(Received)
        self.listed_ms = 0  # Unix time of the last list of all orders
        self.listed = False  # since the last connect
        self.done = False

    @property
    def complete(self) -> bool:
        """Whether the terminal update of each order has arrived, with all before it.

        A follower of every order waits for slices too, which are orders like any other.
        """
        if self.all and not (self.connected and self.listed):
            return False
        if not all(order.order_id in self.received for order in self.orders):
            return False
        return all(
            received.ended and not self._gap(order_id)
            for order_id, received in self.received.items()
        )

    def run(self) -> None:
        """Follow until `done`."""
        self.wait(self.simulation.random.randrange(20_000))
        if not self.all:
            while not self.orders[0].order_id:
                self.wait(500)
        while not self.done:
            if not self.connected:
                self.listed = False
                if not self.connect():
                    self.wait(RETRY_MS)
                    continue
                if not (self._follow_all() if self.all else self._follow_one()):
                    continue
            self._listen()

    def _follow_one(self) -> bool:
        return self._subscribe(self.orders[0].order_id)

    def _subscribe(self, order_id: str) -> bool:
        """Subscribe until a frame of the order arrives, or the connection ends."""
        while self.connected:
            since = self.received[order_id].last_without_a_gap()
            self.simulation.coverage["subscriptions that resume"] += since > 0
            self.pushed[order_id] = max(self.pushed.get(order_id, 0), since)
            self.send({"orderId": order_id} | ({"sinceSequence": since} if since else {}))
            if self._await_update(order_id, ANSWER_MS_MAX):
                return True
            if self.received[order_id].ended:
                return True
        return False

    def _follow_all(self) -> bool:
        """Follow every order, then read the updates of the time without a connection."""
        while self.connected and not self._await_subscribed():
            self.send({"orderId": "*"})
        if not self.connected:
            return False
        began_ms = self.simulation.scheduler.now_ms
        listed = self._list(self.listed_ms - OVERLAP_MS)
        for order in listed:
            self._read_updates(order["updates"])
        older = self.received.keys() - {order["orderId"] for order in listed}
        for order_id in sorted(older):
            if not self.received[order_id].ended:
                self.simulation.coverage["older orders read after a reconnect"] += 1
                self._read_updates(self._get(order_id)["updates"])
        self.wait(LIST_LAG_MS)
        for order in self._list(began_ms - OVERLAP_MS):
            self.simulation.coverage["orders that only the second list has"] += (
                order["orderId"] not in self.received
            )
            self._read_updates(order["updates"])
        self.listed_ms = began_ms
        self.listed = True
        return True

    def _await_subscribed(self) -> bool:
        end_ms = self.simulation.scheduler.elapsed_ms + ANSWER_MS_MAX
        while (left := end_ms - self.simulation.scheduler.elapsed_ms) > 0 and self.connected:
            self.wait_for_frame(left)
            answered = any(frame.get("type") == "subscribed" for frame in self.frames)
            self.read_frames()
            if answered:
                return True
        return False

    def _list(self, back_to_ms: int) -> list[Json]:
        """The owner's orders that were created since this time, newest first."""
        found: list[Json] = []
        cursor = None
        while True:
            query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            try:
                page = self.http("list_orders", query=query)["body"]
            except Unanswered:
                self.wait(RETRY_MS)
                continue
            found += page["orders"]
            cursor = page.get("nextCursor")
            if cursor is None or unix_ms(found[-1]["createdAt"]) < back_to_ms:
                return found

    def _get(self, order_id: str) -> Json:
        while True:
            try:
                answer: Json = self.http("get_order", path=f"/api/orders/{order_id}")["body"]
            except Unanswered:
                self.wait(RETRY_MS)
                continue
            return answer

    def _listen(self) -> None:
        """Take frames as they arrive; after a gap, subscribe again."""
        self.wait_for_frame(LISTEN_MS)
        self.read_frames()
        for order_id in [order_id for order_id in self.received if self._gap(order_id)]:
            self.simulation.coverage["gaps received by followers"] += 1
            self._subscribe(order_id)

    def _await_update(self, order_id: str, milliseconds: int) -> bool:
        """Whether an update of the order arrives in time."""
        end_ms = self.simulation.scheduler.elapsed_ms + milliseconds
        while (left := end_ms - self.simulation.scheduler.elapsed_ms) > 0 and self.connected:
            self.wait_for_frame(left)
            of_order = any(frame.get("orderId") == order_id for frame in self.frames)
            self.read_frames()
            if of_order:
                return True
        return False

    def _gap(self, order_id: str) -> bool:
        received = self.received[order_id]
        return len(received.texts) != received.last_without_a_gap()

    def read_frames(self) -> None:
        """Take the frames that have arrived."""
        self._read_updates([frame for frame in self.frames if "sequence" in frame])
        self.frames.clear()

    def _read_updates(self, updates: list[Json]) -> None:
        for update in updates:
            received, sequence = self.received[update["orderId"]], update["sequence"]
            text = json.dumps(update, sort_keys=True)
            if received.texts.setdefault(sequence, text) != text:
                raise Violation(f"{self.name} received two different updates {sequence}")
            received.ended |= update["status"] in TERMINAL
