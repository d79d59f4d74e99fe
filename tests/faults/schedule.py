"""One schedule: orders, subscribers and faults drawn from a seed, run to rest, and judged."""

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
from typing import Any, cast

from functions import dead_letters, notifier, publisher, worker
from functions.contract import BATCH_SIZE, RECEIVES_MAX, WEBHOOK_RECEIVES_MAX, ended_partition
from functions.orders.order import Order, Status
from functions.orders.settlement import Landed
from functions.orders.stored import entries, stored_order
from functions.simulation import chain
from functions.simulation.network import Network
from tests.events import sqs_event, sqs_message
from tests.faults.injection import Bench, Kind
from tests.functions.world import Context, FailingNetwork
from tests.stepping import Killed

EPOCH_MS = 1_800_000_000_000
VISIBILITY_MS = 360_000
DEAD_LETTER_VISIBILITY_MS = 180_000
WEBHOOK_VISIBILITY_MS = 180_000
STREAM_RETRIES_MAX = 10
SWEEP_AFTER_MS = 151_000  # idle for 120 s, counted from the next half minute
TURNS_MAX = 400
CALLS_TYPICAL = 50  # a fault beyond a schedule's last call does not happen, and is not counted

WEBHOOK_SHARE = 0.3  # of the schedules

# The schedules in which every call gets every fault: a retried, a cancelled and a poisonous order,
# and one whose owner has a webhook.
BASES = (24, 10, 30, 7)

Json = dict[str, Any]
# The fault that an order asks for, and how the order must end if there is no other fault.
LIVES: list[tuple[Json | None, str]] = [
    (None, "confirmed"),
    ({"fault": "dropped_transaction", "attempts": 1}, "confirmed"),
    ({"fault": "slippage", "attempts": 1}, "confirmed"),
    ({"fault": "venue_down", "attempts": 1}, "confirmed"),
    ({"fault": "slippage"}, "SLIPPAGE_TOLERANCE_EXCEEDED"),
    ({"fault": "dropped_transaction"}, "FAILED_TO_LAND"),
    ({"fault": "venue_down"}, "QUOTES_UNAVAILABLE"),
]


class Violation(AssertionError):
    """The engine broke its promise."""


@dataclass
class Asked:
    """An order as its client knows it."""

    key: str
    simulate: Json | None
    ending: str
    order_id: str = ""
    cancelled: bool | None = None  # None: not requested, or not answered yet
    wants: list[str] = field(default_factory=list)  # what the client will still do


@dataclass
class Message:
    """A message of the queue, or of the dead-letter queue."""

    number: int
    body: str
    due_ms: int
    receives: int = 0


@dataclass
class Subscriber:
    """A client that follows one order, or all orders, and reconnects when it is cut off."""

    name: str
    asked: Asked | None  # None: follows all
    connection_id: str = ""
    connections: int = 0
    following: bool = False
    # Orders that are older than this subscription: their live updates may precede their replay.
    older: set[str] = field(default_factory=set)
    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    complaints: list[str] = field(default_factory=list)

    def last_without_a_gap(self, order_id: str) -> int:
        numbers = {json.loads(text)["sequence"] for text in self.seen[order_id]}
        return next(n for n in count() if n + 1 not in numbers)

    def receive(self, text: str) -> None:
        message = json.loads(text)
        if "error" in message and "status" not in message:
            if message["error"]["code"] == "INTERNAL":  # after a fault the client tries again
                return
            self.complaints.append(f"{self.name} was refused: {text}")
        if "sequence" not in message:
            self.following |= message.get("type") == "subscribed"
            return
        seen, sequence = self.seen[message["orderId"]], message["sequence"]
        if text in seen:
            return
        expected = len(seen) + 1
        if sequence != expected and message["orderId"] not in self.older:
            self.complaints.append(f"{self.name} saw {sequence} where {expected} was next")
        seen.append(text)
        if self.asked:
            self.following = True


# The call of the network that the worker makes in each status.
_CALL_OF = {Status.ROUTING: "ask", Status.BUILDING: "sign", Status.SUBMITTED: "outcome"}


class Ledger:
    """Every write to each order: transactions on the simulated chain, and the order's history."""

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

    def __init__(self, bench: Bench, seed: int, plan: dict[int, Kind] | None = None) -> None:
        self.bench, self.seed = bench, seed
        self.random = Random(seed)
        drawn = {
            self.random.randrange(CALLS_TYPICAL): self.random.choice(list(Kind))
            for _ in range(self.random.choice([1, 2, 2, 2, 3]))
        }
        self.plan = drawn if plan is None else plan
        self.poison = self.random.choice(list(_CALL_OF)) if self._chance(0.05) else None
        self.orders = [self._asked(n) for n in range(1 if self._chance(0.7) else 2)]
        self.subscribers = [Subscriber("all", None)]
        self.subscribers += [
            Subscriber(f"s{n}", self.random.choice(self.orders))
            for n in range(self.random.choice([1, 2]))
        ]
        self.queue: list[Message] = []
        self.dead: list[Message] = []
        # A webhook for all updates, from before the first order. Its own chance leaves the other
        # draws of a seed as they are.
        self.has_webhook = Random(f"webhook {seed}").random() < WEBHOOK_SHARE
        self.notices: list[Message] = []
        self.hidden: dict[int, int] = {}  # by message: for how long (ms) the notifier hides it
        self.received: dict[str, list[Json]] = defaultdict(list)  # by the id of the message
        self.goodbyes: list[str] = []
        self.records: list[Json] = []
        self.stream_retries = 0
        self.ledger = Ledger()
        self.numbers = count()
        self.faulted: set[str] = set()  # invocations that retries could not save
        self.log: list[str] = []

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _asked(self, number: int) -> Asked:
        # Most orders ask for no fault.
        simulate, ending = LIVES[0] if self._chance(0.5) else self.random.choice(LIVES)
        wants = [w for w, share in (("repeat", 0.2), ("cancel", 0.15)) if self._chance(share)]
        return Asked(f"{self.seed}-{number}", simulate, ending, wants=["submit", *wants])

    # --- running

    def run(self) -> None:
        """Run until no event is left; raises Violation."""
        self.bench.reset({}, EPOCH_MS + self.seed * 1000)
        self.bench.connections.deliver = self._deliver
        self.bench.receiver.take, self.bench.receiver.hide = self._take_notice, self._hide_notice
        if self.has_webhook:
            self.bench.world.create_webhook("https://receiver.example/updates")
        self.bench.calls.begin(self.plan)
        with self._poisoned():
            for _ in range(TURNS_MAX):
                turns = list(self._turns())
                if turns:
                    self.random.choice(turns)()
                elif not self._wait():
                    break
            else:
                raise Violation(f"no rest after {TURNS_MAX} turns; {self.log[-5:]}")
        self._judge()

    @contextmanager
    def _poisoned(self) -> Iterator[None]:
        if self.poison is None:
            yield
            return

        healthy = worker.network
        poisoned = FailingNetwork(healthy, _CALL_OF[self.poison], Killed())
        worker.network = cast(Network, poisoned)
        try:
            yield
        finally:
            worker.network = healthy

    def _turns(self) -> Iterator[Callable[[], None]]:
        """The events that could happen next."""
        now = self.bench.clock.at_ms
        for asked in self.orders:
            if asked.wants:
                yield partial(self._client, asked)
        for subscriber in self.subscribers:
            if subscriber.connection_id not in self.bench.connections.open:
                yield partial(self._connect, subscriber)
            elif not subscriber.following and (
                subscriber.asked is None or subscriber.asked.order_id
            ):
                yield partial(self._subscribe, subscriber)
        if self.goodbyes:
            yield self._say_goodbye
        if any(message.due_ms <= now for message in self.queue):
            yield self._work
        if any(message.due_ms <= now for message in self.dead):
            yield self._bury
        if any(message.due_ms <= now for message in self.notices):
            yield self._notify
        if self.records:
            yield self._publish
            yield self._publish  # the stream delivers soon

    def _wait(self) -> bool:
        """Let time pass until the next event; False if there is none."""
        messages = self.queue + self.dead + self.notices
        if messages:
            self.bench.clock.at_ms = min(message.due_ms for message in messages)
            return True
        if any(not order.status.terminal for order in self._stored()):
            if "submit" not in self.faulted:
                raise Violation(f"an order was left to the sweeper: {self.log[-8:]}")
            self.bench.clock.at_ms += SWEEP_AFTER_MS
            self._invoke("sweep", self.bench.world.sweep)
            return True
        return False

    def _invoke(self, name: str, call: Callable[[], Any]) -> Any:
        """Invoke a function; None if it failed. Then collect its messages and stream records."""
        hit = len(self.bench.calls.hit)
        try:
            answer = call()
        except (Killed, Exception) as error:  # noqa: BLE001 - Lambda counts any failure
            answer = None
            self.log.append(f"{name}: {type(error).__name__}")
        else:
            self.log.append(name)
        if any(kind is not Kind.REPEAT for kind in self.bench.calls.hit[hit:]):
            self.faulted.add(name)
        now = self.bench.clock.at_ms
        for queue, queued in (("orders", self.queue), ("webhooks", self.notices)):
            sent = self.bench.world.messages(queue)
            for message in sent:
                delay_ms = round(max(0, message.delayed_until - message.sent_timestamp))
                queued.append(Message(next(self.numbers), message.body, now + delay_ms))
            sent.clear()
        shard = self.bench.world.tables("orders").stream_shard
        for record in shard.items:
            change = record.to_json()
            change["dynamodb"].pop("ApproximateCreationDateTime", None)
            self.ledger.observe(change["dynamodb"])
            self.records.append(change)
        shard.items.clear()
        if self._chance(0.03):
            self._invoke("sweep early", self.bench.world.sweep)
        return answer

    def _succeeds(self, name: str, call: Callable[[], None]) -> bool:
        def succeed() -> bool:
            call()
            return True

        return self._invoke(name, succeed) is True

    # --- clients

    def _client(self, asked: Asked) -> None:
        want = asked.wants[0]
        if want == "cancel":
            path = f"/api/orders/{asked.order_id}"
            answer = self._invoke(want, lambda: self.bench.world.http("cancel_order", path=path))
            if answer is None or answer.status >= 500:
                return  # the client tries again
            if answer.status not in (200, 409):
                raise Violation(f"cancel answered {answer.status}: {answer.text}")
            asked.cancelled = answer.status == 200
        else:
            body = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1}
            if asked.simulate:
                body["simulate"] = asked.simulate
            headers = {"idempotency-key": asked.key}
            answer = self._invoke(
                want,
                lambda: self.bench.world.http("execute_order", body=body, headers=headers),
            )
            if answer is None or answer.status >= 500:
                return
            if answer.status not in (200, 202):
                raise Violation(f"submit answered {answer.status}: {answer.text}")
            if asked.order_id not in ("", answer.json["orderId"]):
                raise Violation(f"key {asked.key} made two orders")
            asked.order_id = answer.json["orderId"]
        asked.wants.pop(0)

    def _connect(self, subscriber: Subscriber) -> None:
        subscriber.connections += 1
        connection_id = f"{subscriber.name}-{subscriber.connections}"
        subscriber.following = False
        if self._invoke("connect", lambda: self.bench.world.connect(connection_id)):
            subscriber.connection_id = connection_id
            self.bench.connections.open.add(connection_id)

    def _subscribe(self, subscriber: Subscriber) -> None:
        connection_id = subscriber.connection_id

        def send(order_id: str) -> None:
            since = subscriber.last_without_a_gap(order_id)
            message = {"orderId": order_id} | ({"sinceSequence": since} if since else {})
            self.bench.world.send(connection_id, message)

        if subscriber.asked is None:
            listed = [order.order_id for order in self._stored()]
            subscriber.older.update(listed)
            self._invoke("follow all", lambda: send("*"))
            if subscriber.following:
                # If one call fails, the client subscribes again from the start.
                subscriber.following = all(
                    self._succeeds("follow", partial(send, order_id)) for order_id in listed
                )
            return
        order_id = subscriber.asked.order_id
        # The answer is the replay. A subscription from the terminal update on needs no answer.
        subscriber.following = self._succeeds("follow", partial(send, order_id))

    def _deliver(self, connection_id: str, data: bytes) -> None:
        subscriber = next(s for s in self.subscribers if s.connection_id == connection_id)
        subscriber.receive(data.decode())
        if self._chance(0.02):  # the connection ends, and the engine may or may not learn of it
            self.bench.connections.open.discard(connection_id)
            if self._chance(0.5):
                self.goodbyes.append(connection_id)

    def _say_goodbye(self) -> None:
        connection_id = self.goodbyes.pop()
        self._invoke("disconnect", lambda: self.bench.world.disconnect(connection_id))

    # --- SQS and the stream

    def _work(self) -> None:
        batch = self._receive(self.queue)
        for message in [message for message in batch if message.receives > RECEIVES_MAX]:
            batch.remove(message)
            self.queue.remove(message)
            dead = Message(message.number, message.body, self.bench.clock.at_ms)
            self.dead.append(dead)
        if batch:
            self._consume(self.queue, batch, "order", worker.handler, VISIBILITY_MS)

    def _bury(self) -> None:
        batch = self._receive(self.dead)
        self._consume(
            self.dead, batch, "dead_letter", dead_letters.handler, DEAD_LETTER_VISIBILITY_MS
        )

    def _notify(self) -> None:
        batch = self._receive(self.notices)
        if any(message.receives > WEBHOOK_RECEIVES_MAX for message in batch):
            raise Violation("a notice was given up though its receiver answers")
        self._consume(self.notices, batch, "webhook", notifier.handler, WEBHOOK_VISIBILITY_MS)

    def _take_notice(self, message_id: str, body: bytes) -> int:
        """Take a message, or refuse it, or answer with an error although it is taken."""
        if self._chance(0.1):
            return 503
        self.received[message_id].append(json.loads(body))
        return 504 if self._chance(0.05) else 200

    def _hide_notice(self, receipt_handle: str, seconds: int) -> None:
        self.hidden[int(receipt_handle)] = seconds * 1000

    def _receive(self, queue: list[Message]) -> list[Message]:
        due = [message for message in queue if message.due_ms <= self.bench.clock.at_ms]
        batch = self.random.sample(due, self.random.randint(1, min(BATCH_SIZE, len(due))))
        for message in batch:
            message.receives += 1
        return batch

    def _consume(
        self, queue: list[Message], batch: list[Message], name: str, handler: Any, hidden_ms: int
    ) -> None:
        messages = [sqs_message(m.body, str(m.number), m.receives) for m in batch]
        event = sqs_event(name, messages)
        self.hidden.clear()
        answer = self._invoke(name, lambda: handler(event, Context()))
        kept = {message.number for message in batch}
        if answer is not None:
            kept = {int(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]}
        for message in batch:
            if message.number in kept:
                hidden_for_ms = self.hidden.get(message.number, hidden_ms)
                message.due_ms = self.bench.clock.at_ms + hidden_for_ms
            elif self._chance(0.03):  # a server of SQS missed the delete
                message.receives = 0
            else:
                queue.remove(message)

    def _publish(self) -> None:
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
        # Reads the table without a numbered call.
        items = self.bench.world.tables("orders").items.values()
        return [stored_order(item.to_json()["Attributes"]).order for item in items]

    def _judge(self) -> None:
        orders = {order.order_id: order for order in self._stored()}
        for asked in self.orders:
            if asked.order_id not in orders:
                raise Violation(f"accepted order {asked.order_id} is lost")
            self._judge_order(asked, orders[asked.order_id])
        if len(orders) != len(self.orders):
            raise Violation(f"{len(self.orders)} orders were asked for, {len(orders)} made")
        for item in self.bench.world.tables("orders").items.values():
            self._judge_keys(item.to_json()["Attributes"])
        for subscriber in self.subscribers:
            self._judge_subscriber(subscriber, orders)
        if self.has_webhook:
            self._judge_webhook(orders)

    def _judge_keys(self, item: Json) -> None:
        """An ended order counts as open nowhere; it is listed by its end unless it is confirmed."""
        order, owner, *_ = stored_order(item)
        confirmed = order.status is Status.CONFIRMED
        listed = None if confirmed else ended_partition(owner, order.status)
        if "openOwner" in item or item.get("openShard", {}).get("S") != listed:
            raise Violation("an ended order still counts as open, or is not listed by its end")

    def _judge_order(self, asked: Asked, order: Order) -> None:
        self.ledger.judge(order)
        if asked.cancelled is not None and asked.cancelled != (order.status is Status.CANCELLED):
            raise Violation(f"cancellation answered {asked.cancelled}, order {order.status}")
        ending = order.error.code if order.error else str(order.status)
        # Five faults, or a poisonous step, may use up the deliveries of a message.
        allowed = {asked.ending} | ({"cancelled"} if asked.cancelled else set())
        if self.poison or len(self.bench.calls.hit) >= RECEIVES_MAX:
            allowed |= {"INTERNAL"}
        if self.poison is Status.SUBMITTED:
            # The dead-letter function makes no further attempt: the transaction decides.
            allowed |= {"SLIPPAGE_TOLERANCE_EXCEEDED", "FAILED_TO_LAND"}
        if ending not in allowed:
            raise Violation(f"the order ended as {ending}, not {allowed}")

    def _judge_subscriber(self, subscriber: Subscriber, orders: dict[str, Order]) -> None:
        if subscriber.complaints:
            raise Violation("; ".join(subscriber.complaints))
        followed = [subscriber.asked] if subscriber.asked else self.orders
        for asked in followed:
            stored = [update.to_json() for update in orders[asked.order_id].updates]
            seen = subscriber.seen[asked.order_id]
            if asked.order_id in subscriber.older:
                seen = sorted(seen, key=lambda text: int(json.loads(text)["sequence"]))
            if seen != stored:
                raise Violation(
                    f"{subscriber.name} saw {len(seen)} of {len(stored)} updates: {seen}"
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


def every_call(bench: Bench, seed: int) -> int:
    """The number of calls in the schedule of `seed` without any fault."""
    Schedule(bench, seed, {}).run()
    return len(bench.calls.names)
