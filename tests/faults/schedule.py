"""One schedule: orders, subscribers and faults drawn from a seed, run to the end, and judged."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from operator import itemgetter
from random import Random
from typing import Any

from functions import dead_letters, notifier, publisher, worker
from functions.contract import BATCH_SIZE, RECEIVES_MAX, WEBHOOK_RECEIVES_MAX, ended_partition
from functions.orders.order import Order, Status
from functions.orders.settlement import Landed
from functions.orders.stored import entries, stored_order
from functions.simulation import chain
from tests.clock import START_MS
from tests.errors import Killed, Violation
from tests.events import sqs_event, sqs_message
from tests.faults.injection import Harness, Kind
from tests.world import Context, failing_network

VISIBILITY_MS = 360_000
DEAD_LETTER_VISIBILITY_MS = 180_000
WEBHOOK_VISIBILITY_MS = 180_000
STREAM_RETRIES_MAX = 10
SWEEP_AFTER_MS = 151_000  # idle for 120 s, counted from the next half minute
EVENTS_MAX = 400
CALLS_TYPICAL = 50  # a fault beyond a schedule's last call does not happen, and is not counted

WEBHOOK_SHARE = 0.3  # of the schedules

# The schedules in which every call gets every fault: a retried, a cancelled and a poisonous order,
# and one whose owner has a webhook.
BASE_SEEDS = (24, 10, 30, 7)

Json = dict[str, Any]
# The fault that an order asks for, and its ending if there is no other fault.
CASES: list[tuple[Json | None, str]] = [
    (None, "confirmed"),
    ({"fault": "dropped_transaction", "attempts": 1}, "confirmed"),
    ({"fault": "slippage", "attempts": 1}, "confirmed"),
    ({"fault": "venue_down", "attempts": 1}, "confirmed"),
    ({"fault": "slippage"}, "SLIPPAGE_TOLERANCE_EXCEEDED"),
    ({"fault": "dropped_transaction"}, "FAILED_TO_LAND"),
    ({"fault": "venue_down"}, "QUOTES_UNAVAILABLE"),
]


@dataclass
class ClientOrder:
    """An order as its client knows it."""

    key: str
    simulate: Json | None
    ending: str
    order_id: str = ""
    cancelled: bool | None = None  # None: not requested, or not answered yet
    requests: list[str] = field(default_factory=list)  # still to make: submit, repeat, cancel


@dataclass
class Message:
    """A message of the queue, or of the dead-letter queue."""

    number: int
    body: str
    due_ms: int
    receives: int = 0


@dataclass
class Subscriber:
    """A client that follows one order, or all orders, and reconnects after a cut."""

    name: str
    order: ClientOrder | None  # None: it follows all orders
    connection_id: str = ""
    connections: int = 0
    following: bool = False
    answered: bool = False  # whether "*" was answered on this connection
    # Orders that are older than that answer: their live updates may come before their replay.
    older: set[str] = field(default_factory=set)
    received: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    violations: list[str] = field(default_factory=list)

    def last_without_a_gap(self, order_id: str) -> int:
        numbers = {json.loads(text)["sequence"] for text in self.received[order_id]}
        return next(n for n in count() if n + 1 not in numbers)

    def receive(self, text: str) -> None:
        message = json.loads(text)
        if "error" in message and "status" not in message:
            if message["error"]["code"] == "INTERNAL":  # after a fault the client tries again
                return
            self.violations.append(f"{self.name} was refused: {text}")
        if "sequence" not in message:
            self.answered |= message.get("type") == "subscribed"
            self.following |= self.answered
            return
        received, sequence = self.received[message["orderId"]], message["sequence"]
        if text in received:
            return
        if self.order is None and not self.answered:
            self.older.add(message["orderId"])
        expected = len(received) + 1
        if sequence != expected and message["orderId"] not in self.older:
            self.violations.append(f"{self.name} received {sequence} where {expected} was next")
        received.append(text)
        if self.order:
            self.following = True


# The worker's call of the network in each status.
_CALL_OF = {Status.ROUTING: "ask", Status.BUILDING: "sign", Status.SUBMITTED: "outcome"}


class Ledger:
    """Observes every write to each order, and keeps the transactions stored with it."""

    def __init__(self) -> None:
        self._transactions: dict[str, dict[str, str]] = defaultdict(dict)

    def observe(self, change: Json) -> None:
        """Record one write; raises Violation if it reverts an earlier one."""
        new, old = change["NewImage"], change.get("OldImage", {})
        before, after = old.get("updates", {}).get("L", []), new["updates"]["L"]
        if after[: len(before)] != before:
            raise Violation(f"history was rewritten: {before} became {after}")
        for text in filter(None, (each.transaction for each in entries(new))):
            signature = chain.Transaction.from_json(text).signature
            known = self._transactions[new["orderId"]["S"]].setdefault(signature, text)
            if known != text:
                raise Violation(f"transaction {signature} was stored twice, and differs")

    def judge(self, order: Order) -> None:
        """Check for one terminal status, no gap, and one executed swap if confirmed, else none."""
        sequences = [update.sequence for update in order.updates]
        if sequences != list(range(1, len(sequences) + 1)):
            raise Violation(f"sequences with a gap: {sequences}")
        terminal = [update.status for update in order.updates if update.status.terminal]
        if terminal != [order.status]:
            raise Violation(f"terminal statuses: {terminal}")
        submitted = {u.tx_hash for u in order.updates if u.status is Status.SUBMITTED}
        stored = self._transactions[order.order_id]
        if submitted != set(stored):
            raise Violation(f"submitted {submitted}, stored {set(stored)}")
        executed = [
            signature
            for signature, text in stored.items()
            if isinstance(chain.outcome(chain.Transaction.from_json(text)), Landed)
        ]
        if executed != ([order.tx_hash] if order.status is Status.CONFIRMED else []):
            raise Violation(f"order {order.status} ({order.tx_hash}) executed {executed}")


class Schedule:
    """The schedule of `seed`; `plan` replaces the faults that the seed draws."""

    def __init__(self, harness: Harness, seed: int, plan: dict[int, Kind] | None = None) -> None:
        self.harness, self.seed = harness, seed
        self.random = Random(seed)
        drawn = {
            self.random.randrange(CALLS_TYPICAL): self.random.choice(list(Kind))
            for _ in range(self.random.choice([1, 2, 2, 2, 3]))
        }
        self.plan = drawn if plan is None else plan
        self.poison = self.random.choice(list(_CALL_OF)) if self._chance(0.05) else None
        self.orders = [self._draw_order(n) for n in range(1 if self._chance(0.7) else 2)]
        self.subscribers = [Subscriber("all", None)]
        self.subscribers += [
            Subscriber(f"s{n}", self.random.choice(self.orders))
            for n in range(self.random.choice([1, 2]))
        ]
        self.queue: list[Message] = []
        self.dead_letter_queue: list[Message] = []
        # Whether the owner has a webhook for all updates. It is drawn from a generator of its own,
        # so that the other draws of a seed stay the same.
        self.has_webhook = Random(f"webhook {seed}").random() < WEBHOOK_SHARE
        self.notices: list[Message] = []
        self.hidden_ms: dict[int, int] = {}  # by message: how long the notifier hides it
        self.received: dict[str, list[Json]] = defaultdict(list)  # by the id of the message
        self.disconnects: list[str] = []
        self.records: list[Json] = []
        self.stream_retries = 0
        self.ledger = Ledger()
        self.numbers = count()
        self.faulted: set[str] = set()  # invocations that had a fault other than a repeat
        self.log: list[str] = []

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _draw_order(self, number: int) -> ClientOrder:
        # Most orders ask for no fault.
        simulate, ending = CASES[0] if self._chance(0.5) else self.random.choice(CASES)
        later = (("repeat", 0.2), ("cancel", 0.15))
        requests = ["submit", *(kind for kind, share in later if self._chance(share))]
        return ClientOrder(f"{self.seed}-{number}", simulate, ending, requests=requests)

    # --- running

    def run(self) -> None:
        """Run until no event is left; raises Violation."""
        self.harness.reset({}, START_MS + self.seed * 1000)
        self.harness.connections.deliver = self._deliver
        self.harness.receiver.receive = self._receive_notice
        self.harness.receiver.hide = self._hide_notice
        if self.has_webhook:
            self.harness.world.create_webhook("https://receiver.example/updates")
        self.harness.calls.reset(self.plan)
        with self._poisoned():
            for _ in range(EVENTS_MAX):
                events = list(self._events())
                if events:
                    self.random.choice(events)()
                elif not self._pass_time():
                    break
            else:
                raise Violation(f"not ended after {EVENTS_MAX} events; {self.log[-5:]}")
        self._judge()

    @contextmanager
    def _poisoned(self) -> Iterator[None]:
        if self.poison is None:
            yield
            return
        with failing_network(_CALL_OF[self.poison], Killed()):
            yield

    def _events(self) -> Iterator[Callable[[], None]]:
        """The events that could happen next."""
        now = self.harness.clock.at_ms
        for order in self.orders:
            if order.requests:
                yield partial(self._request, order)
        for subscriber in self.subscribers:
            if subscriber.connection_id not in self.harness.connections.open:
                yield partial(self._connect, subscriber)
            elif not subscriber.following and (
                subscriber.order is None or subscriber.order.order_id
            ):
                yield partial(self._subscribe, subscriber)
        if self.disconnects:
            yield self._deliver_disconnect
        if any(message.due_ms <= now for message in self.queue):
            yield self._deliver_orders
        if any(message.due_ms <= now for message in self.dead_letter_queue):
            yield self._deliver_dead_letters
        if any(message.due_ms <= now for message in self.notices):
            yield self._deliver_notices
        if self.records:
            # Twice as likely as the others, because the stream delivers soon.
            yield from [self._deliver_records] * 2

    def _pass_time(self) -> bool:
        """Let time pass until the next event; False if there is none."""
        messages = self.queue + self.dead_letter_queue + self.notices
        if messages:
            self.harness.clock.at_ms = min(message.due_ms for message in messages)
            return True
        if any(not order.status.terminal for order in self._stored()):
            if "submit" not in self.faulted:
                raise Violation(f"an order was left without a message: {self.log[-8:]}")
            self.harness.clock.at_ms += SWEEP_AFTER_MS
            self._invoke("sweep", self.harness.world.sweep)
            return True
        return False

    def _invoke(self, name: str, call: Callable[[], Any]) -> Any:
        """Invoke a function; None if it failed. Then collect its messages and stream records."""
        injected = len(self.harness.calls.injected)
        try:
            answer = call()
        except (Killed, Exception) as error:  # noqa: BLE001 - Lambda counts any failure
            answer = None
            self.log.append(f"{name}: {type(error).__name__}")
        else:
            self.log.append(name)
        if any(kind is not Kind.REPEAT for kind in self.harness.calls.injected[injected:]):
            self.faulted.add(name)
        now = self.harness.clock.at_ms
        for sent in self.harness.sent():
            queue = self.notices if sent.queue == "webhooks" else self.queue
            queue.append(Message(next(self.numbers), sent.body, now + sent.delay_ms))
        for record in self.harness.records():
            self.ledger.observe(record["dynamodb"])
            self.records.append(record)
        if self._chance(0.03):
            self._invoke("sweep early", self.harness.world.sweep)
        return answer

    def _succeeds(self, name: str, call: Callable[[], None]) -> bool:
        def succeed() -> bool:
            call()
            return True

        return self._invoke(name, succeed) is True

    # --- clients

    def _request(self, order: ClientOrder) -> None:
        kind = order.requests[0]
        if kind == "cancel":
            answer = self._invoke(kind, lambda: self.harness.world.cancel(order.order_id))
            if answer is None or answer.status >= 500:
                return  # the client tries again
            if answer.status not in (200, 409):
                raise Violation(f"cancel answered {answer.status}: {answer.text}")
            order.cancelled = answer.status == 200
        else:
            body = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1}
            if order.simulate:
                body["simulate"] = order.simulate
            headers = {"idempotency-key": order.key}
            answer = self._invoke(
                kind,
                lambda: self.harness.world.http("execute_order", body=body, headers=headers),
            )
            if answer is None or answer.status >= 500:
                return
            if answer.status not in (200, 202):
                raise Violation(f"submit answered {answer.status}: {answer.text}")
            if order.order_id not in ("", answer.json["orderId"]):
                raise Violation(f"key {order.key} made two orders")
            order.order_id = answer.json["orderId"]
        order.requests.pop(0)

    def _connect(self, subscriber: Subscriber) -> None:
        subscriber.connections += 1
        connection_id = f"{subscriber.name}-{subscriber.connections}"
        subscriber.following = subscriber.answered = False
        if self._invoke("connect", lambda: self.harness.world.connect(connection_id)):
            subscriber.connection_id = connection_id
            self.harness.connections.open.add(connection_id)

    def _subscribe(self, subscriber: Subscriber) -> None:
        connection_id = subscriber.connection_id

        def send(order_id: str) -> None:
            since = subscriber.last_without_a_gap(order_id)
            message = {"orderId": order_id} | ({"sinceSequence": since} if since else {})
            self.harness.world.send(connection_id, message)

        if subscriber.order is None:
            listed = [order.order_id for order in self._stored()]
            subscriber.older.update(listed)
            self._invoke("follow all", lambda: send("*"))
            if subscriber.following:
                # If one call fails, the client subscribes again from the start.
                subscriber.following = all(
                    self._succeeds("follow", partial(send, order_id)) for order_id in listed
                )
            return
        order_id = subscriber.order.order_id
        # The answer is the replay. A subscription from the terminal update on needs no answer.
        subscriber.following = self._succeeds("follow", partial(send, order_id))

    def _deliver(self, connection_id: str, data: bytes) -> None:
        subscriber = next(s for s in self.subscribers if s.connection_id == connection_id)
        subscriber.receive(data.decode())
        if self._chance(0.02):  # the connection ends, and the engine may or may not learn of it
            self.harness.connections.open.discard(connection_id)
            if self._chance(0.5):
                self.disconnects.append(connection_id)

    def _deliver_disconnect(self) -> None:
        connection_id = self.disconnects.pop()
        self._invoke("disconnect", lambda: self.harness.world.disconnect(connection_id))

    # --- SQS and the stream

    def _deliver_orders(self) -> None:
        batch = self._receive(self.queue)
        for message in [message for message in batch if message.receives > RECEIVES_MAX]:
            batch.remove(message)
            self.queue.remove(message)
            dead_letter = Message(message.number, message.body, self.harness.clock.at_ms)
            self.dead_letter_queue.append(dead_letter)
        if batch:
            self._consume(self.queue, batch, "order", worker.handler, VISIBILITY_MS)

    def _deliver_dead_letters(self) -> None:
        queue = self.dead_letter_queue
        handler, hidden_ms = dead_letters.handler, DEAD_LETTER_VISIBILITY_MS
        self._consume(queue, self._receive(queue), "dead_letter", handler, hidden_ms)

    def _deliver_notices(self) -> None:
        batch = self._receive(self.notices)
        if any(message.receives > WEBHOOK_RECEIVES_MAX for message in batch):
            raise Violation("a notice was given up though its receiver answers")
        self._consume(self.notices, batch, "webhook", notifier.handler, WEBHOOK_VISIBILITY_MS)

    def _receive_notice(self, message_id: str, body: bytes) -> int:
        """Receive a message, or refuse it, or receive it and answer with an error."""
        if self._chance(0.1):
            return 503
        self.received[message_id].append(json.loads(body))
        return 504 if self._chance(0.05) else 200

    def _hide_notice(self, receipt_handle: str, seconds: int) -> None:
        self.hidden_ms[int(receipt_handle)] = seconds * 1000

    def _receive(self, queue: list[Message]) -> list[Message]:
        due = [message for message in queue if message.due_ms <= self.harness.clock.at_ms]
        batch = self.random.sample(due, self.random.randint(1, min(BATCH_SIZE, len(due))))
        for message in batch:
            message.receives += 1
        return batch

    def _consume(
        self, queue: list[Message], batch: list[Message], name: str, handler: Any, hidden_ms: int
    ) -> None:
        messages = [sqs_message(m.body, str(m.number), m.receives) for m in batch]
        event = sqs_event(name, messages)
        self.hidden_ms.clear()
        answer = self._invoke(name, lambda: handler(event, Context()))
        kept = {message.number for message in batch}
        if answer is not None:
            kept = {int(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]}
        for message in batch:
            if message.number in kept:
                wait_ms = self.hidden_ms.get(message.number, hidden_ms)
                message.due_ms = self.harness.clock.at_ms + wait_ms
            elif self._chance(0.03):  # a server of SQS missed the delete
                message.receives = 0
            else:
                queue.remove(message)

    def _deliver_records(self) -> None:
        batch = self.records[: self.random.randint(1, len(self.records))]
        event = {"Records": batch}
        if not self._succeeds("publish", lambda: publisher.handler(event, Context())):
            self.stream_retries += 1
            if self.stream_retries > STREAM_RETRIES_MAX:
                raise Violation("a batch of the stream was given up")
            return
        self.stream_retries = 0
        del self.records[: len(batch)]

    # --- judging

    def _stored(self) -> list[Order]:
        return [stored_order(item).order for item in self.harness.orders()]

    def _judge(self) -> None:
        orders = {order.order_id: order for order in self._stored()}
        for submitted in self.orders:
            if submitted.order_id not in orders:
                raise Violation(f"accepted order {submitted.order_id} is lost")
            self._judge_order(submitted, orders[submitted.order_id])
        if len(orders) != len(self.orders):
            raise Violation(f"{len(self.orders)} orders were submitted, {len(orders)} made")
        for item in self.harness.orders():
            self._judge_keys(item)
        for subscriber in self.subscribers:
            self._judge_subscriber(subscriber, orders)
        if self.has_webhook:
            self._judge_webhook(orders)

    def _judge_keys(self, item: Json) -> None:
        """An ended order has no key of open orders; unless confirmed, it is listed by its end."""
        order, owner, *_ = stored_order(item)
        confirmed = order.status is Status.CONFIRMED
        listed = None if confirmed else ended_partition(owner, order.status)
        if "openOwner" in item or item.get("openShard", {}).get("S") != listed:
            raise Violation("an ended order still counts as open, or is not listed by its end")

    def _judge_order(self, submitted: ClientOrder, order: Order) -> None:
        self.ledger.judge(order)
        cancelled = order.status is Status.CANCELLED
        if submitted.cancelled is not None and submitted.cancelled != cancelled:
            raise Violation(f"cancelled: {submitted.cancelled} by the API, but {order.status}")
        ending = order.error.code if order.error else str(order.status)
        # Five faults, or a poisonous step, may use up the deliveries of a message.
        allowed = {submitted.ending} | ({"cancelled"} if submitted.cancelled else set())
        if self.poison or len(self.harness.calls.injected) >= RECEIVES_MAX:
            allowed |= {"INTERNAL"}
        if self.poison is Status.SUBMITTED:
            # The dead-letter function makes no further attempt: the transaction decides.
            allowed |= {"SLIPPAGE_TOLERANCE_EXCEEDED", "FAILED_TO_LAND"}
        if ending not in allowed:
            raise Violation(f"the order ended as {ending}, not {allowed}")

    def _judge_subscriber(self, subscriber: Subscriber, orders: dict[str, Order]) -> None:
        if subscriber.violations:
            raise Violation("; ".join(subscriber.violations))
        followed = [subscriber.order] if subscriber.order else self.orders
        for order in followed:
            stored = [update.to_json() for update in orders[order.order_id].updates]
            received = subscriber.received[order.order_id]
            if order.order_id in subscriber.older:
                received = sorted(received, key=lambda text: int(json.loads(text)["sequence"]))
            if received != stored:
                raise Violation(
                    f"{subscriber.name} received {len(received)} of {len(stored)}: {received}"
                )

    def _judge_webhook(self, orders: dict[str, Order]) -> None:
        """Each update must have been received, and a repeated one under its first id."""
        stored = [update for order in orders.values() for update in order.updates]
        received = [notices[0]["data"] for notices in self.received.values()]
        if any(notice != notices[0] for notices in self.received.values() for notice in notices):
            raise Violation("one id of a webhook's message had two contents")
        key = itemgetter("orderId", "sequence")
        expected = [json.loads(update.to_json()) for update in stored]
        if sorted(received, key=key) != sorted(expected, key=key):
            raise Violation(f"the webhook received {len(received)} of {len(expected)} updates")


def count_calls(harness: Harness, seed: int) -> int:
    """The number of AWS calls in the schedule of `seed` without any fault."""
    Schedule(harness, seed, {}).run()
    return len(harness.calls.names)
