"""The deterministic simulation: all handlers on one clock, one at a time, under faults.

Every AWS call is a point at which any other invocation may run first. Around the handlers stand
small models of Lambda, SQS, the stream, API Gateway's connections and deployments. Clients follow
the documented recipe and nothing else (`clients.py`). `judge.py` says what must be true at the end.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from random import Random
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from functions.contract import RECEIVES_MAX
from tests.clock import START_MS
from tests.cloud import Cloud, http_answer, http_response
from tests.errors import Killed, Violation
from tests.events import Json, event, sqs_event, sqs_message
from tests.orders import transactions
from tests.simulation.environments import Copy, Environment
from tests.simulation.ledger import Ledger
from tests.simulation.scheduler import Scheduler, Task

FAULTS_MS_MAX = 600_000
END_MS_MAX = 4 * 3_600_000  # every order must end within this time after the last fault
ENVIRONMENTS_MAX = 2  # of one function on one release
BATCH_MAX = 10
RECORDS_MAX = 10
LATE_MS_MAX = 400_000
EXPIRY_MS = 2 * 86_400_000  # after this time every ended order and connection has expired
SLOW_MS_MAX = 4_000
LAG_MS_MAX = 2_000
MINUTE_MS = 60_000
STREAM_RETRY_MS = 1_000
# Seconds, as infra/stack/compute.py sets them; visibility is six times the timeout.
TIMEOUTS = {
    "api": 10,
    "websocket": 10,
    "worker": 60,
    "publisher": 60,
    "sweeper": 30,
    "dead_letters": 30,
    "watcher": 150,
}


class CallFault(StrEnum):
    """The fault of a call."""

    KILL_BEFORE = "kill before"
    KILL_AFTER = "kill after"
    LOSE = "lose the answer"
    LATE = "take effect late"
    THROTTLE = "throttle for a while"


FAILED = object()  # the answer that `finished` gets for an invocation that did not return


class Invocation:
    """One event that a function handles, its deadline, and the callback for its answer."""

    def __init__(
        self, environment: Environment, task: Task, deadline_ms: int, order_ids: set[str]
    ) -> None:
        self.environment, self.task, self.deadline_ms = environment, task, deadline_ms
        self.order_ids = order_ids
        self.finished: Callable[[Any], None] = lambda _answer: None


@dataclass
class Message:
    """A message of a queue."""

    number: int
    body: str
    visible_ms: int
    receives: int = 0


@dataclass(frozen=True)
class Plan:
    """The decisions of a seed for a whole run."""

    fault_share: float
    slow_share: float
    faults_until_ms: int
    deploys_ms: tuple[int, ...]
    cut_share: float  # the share of pushes after which the connection is cut
    poison: bool  # whether the first order kills every worker that takes it
    poison_late: bool  # the order kills its workers only once its transaction is stored
    skews_ms: tuple[int, ...]
    loss_share: float  # the share of messages that SQS loses
    stream_gives_up: bool  # whether the stream can give up a batch that fails
    waiting: bool  # whether there are orders of other types than market
    expires: bool  # whether the run goes on after ended orders have expired

    @classmethod
    def draw(cls, random: Random) -> Plan:
        """Draw a plan; one run in ten has no faults."""
        faultless = random.random() < 0.1
        until = 0 if faultless else random.randrange(FAULTS_MS_MAX)
        # Half of the deployments come while the first attempts of most orders are under way.
        until_ms = random.choice([5_000, 30_000])
        deploys = sorted(random.randrange(until_ms) for _ in range(random.choice([0, 1, 2])))
        return cls(
            fault_share=random.choice([0.005, 0.02, 0.02, 0.08]),
            slow_share=random.choice([0, 0.05, 0.2]),
            faults_until_ms=until,
            deploys_ms=tuple(deploys),
            cut_share=0 if faultless else random.choice([0, 0.02, 0.1]),
            poison=random.random() < 0.1,
            poison_late=random.random() < 0.5,
            skews_ms=(0,) if faultless else (-800, -50, 0, 30, 900),
            loss_share=0 if faultless else random.choice([0, 0.02, 0.1]),
            stream_gives_up=random.random() < 0.6,
            waiting=random.random() < 0.4,
            expires=random.random() < 0.1,
        )


@dataclass(frozen=True)
class Connection:
    """An open connection of a client: who receives its frames, and when (Unix ms) it opened."""

    receive: Callable[[str], None]
    opened_ms: int


@dataclass
class Simulation:
    """A run of one seed over the releases' copies; the first release is deployed at the start."""

    seed: int
    releases: list[list[Copy]]
    coverage: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.plan = Plan.draw(self.random)
        self.scheduler = Scheduler(self.random, START_MS + self.seed * 1_000)
        self.cloud = Cloud(lambda: self.scheduler.now_ms, self._lag_ms, waiting=self._waiting)
        self.release = 0
        self.environments: list[Environment] = []
        self.used: dict[tuple[str, str], Environment] = {}
        self.running: list[Invocation] = []
        self.orders_queue: list[Message] = []
        self.dead_queue: list[Message] = []
        # By order, because Lambda reads the records of one order in sequence: those in the stream,
        # the time at which the next batch of them may begin, and how many failed in one batch.
        self.records: dict[str, list[Json]] = defaultdict(list)
        self.readable_at_ms: dict[str, int] = {}
        self.failed_records: dict[str, int] = {}
        self.streamed = 0
        self.later: list[tuple[int, Callable[[], Any]]] = [
            (at_ms, self._deploy) for at_ms in self.plan.deploys_ms
        ]
        self.throttled_until: dict[str, int] = {}
        self.connections: dict[str, Connection] = {}
        self.disconnects: list[str] = []  # connections of which $disconnect is still to be invoked
        self.violations: list[str] = []  # found while a handler ran
        self.failures: Counter[str] = Counter()  # by order: failed deliveries of its messages
        self.writers: dict[str, set[str]] = defaultdict(set)  # the releases that wrote to an order
        self.ledger = Ledger(self.cloud, self.scheduler, self.later, self.coverage, self.violations)
        self.poisonous: str | None = None
        self.numbers = 0
        self.clients: list[Task] = []
        self.next_sweep_ms = MINUTE_MS
        self.next_watch_ms = self.random.randrange(10_000)
        for copies in self.releases:
            for each in copies:
                each.reset_globals()
                each.use(self, self.scheduler.at_once, self.ledger.observe)

    # --- the clock of the handlers

    def now_ms(self) -> int:
        """The wall clock of the environment that asks."""
        environment = self.scheduler.current().environment
        skew = environment.skew_ms if isinstance(environment, Environment) else 0
        return self.scheduler.now_ms + skew

    def monotonic(self) -> float:
        """The monotonic clock of the environment that asks, in seconds."""
        environment = self.scheduler.current().environment
        stood_still = environment.stood_still_ms if isinstance(environment, Environment) else 0
        return (self.scheduler.elapsed_ms - stood_still) / 1000

    def sleep(self, seconds: float) -> None:
        """Let other tasks run for at least this long."""
        self.scheduler.pause("sleeps", delay_ms=round(seconds * 1000))

    # --- running

    def run(self, at_rest: Callable[[], bool]) -> None:
        """Run until `at_rest`; raises Violation END_MS_MAX after the last fault."""
        bound_ms = max(self.plan.faults_until_ms, self.scheduler.elapsed_ms) + END_MS_MAX
        while not (at_rest() and self._services_idle()):
            self._reap()
            if self.scheduler.step(list(self._events())):
                for task in self.clients:
                    if task.error is not None:
                        raise task.error
                if self.violations:
                    raise Violation(self.violations[0])
                continue
            due_ms = min(self._times(), default=None)
            if due_ms is None:
                raise Violation("nothing can happen any more, and the run is not at rest")
            if due_ms > bound_ms:
                raise Violation(f"not at rest after {bound_ms / 60_000:.0f} minutes")
            self.scheduler.pass_time(max(due_ms, self.scheduler.elapsed_ms))

    def stop(self) -> None:
        """End the remaining tasks: a suspended greenlet would keep the whole run in memory."""
        for environment in [*self.environments, None]:  # None: the clients' tasks
            self.scheduler.kill(environment)
        while self.scheduler.step():
            pass

    def pass_two_days(self) -> None:
        """Let days pass after the run: connections end, and DynamoDB deletes what has expired."""
        self.scheduler.pass_time(self.scheduler.elapsed_ms + EXPIRY_MS)
        self.next_sweep_ms = self.next_watch_ms = self.scheduler.elapsed_ms
        self.connections.clear()
        for table in self.cloud.tables.values():
            for item in table.items():
                if (
                    "expiresAt" in item
                    and int(item["expiresAt"]["N"]) < self.scheduler.now_ms // 1000
                ):
                    self.coverage["items expired"] += 1
                    table.put(table.key_of(item), None, self.scheduler.now_ms)

    def _services_idle(self) -> bool:
        # A watcher goes on for some minutes after the last order that rested.
        running = any(each.environment.function != "watcher" for each in self.running)
        return not (running or self.later or any(self.records.values())) and (
            self.streamed == len(self.cloud.tables["orders"].stream)
        )

    def _events(self) -> Iterator[Callable[[], None]]:
        """The events that the services around the functions could cause now."""
        now = self.scheduler.elapsed_ms
        self._collect()
        yield from (partial(self._do_later, each) for each in self.later if each[0] <= now)
        if any(m.visible_ms <= now for m in self.orders_queue) and self._free("worker"):
            yield self._deliver_orders
        if any(m.visible_ms <= now for m in self.dead_queue) and self._free("dead_letters"):
            yield self._deliver_dead_letters
        if any(self._readable_orders()) and self._free("publisher"):
            yield self._deliver_records
        if self.next_sweep_ms <= now:
            yield self._sweep
        if self.next_watch_ms <= now:
            yield self._watch
        if self.disconnects and self._free("websocket"):
            yield self._deliver_disconnect

    def _times(self) -> Iterator[int]:
        """The times at which a task or an event becomes possible."""
        now = self.scheduler.elapsed_ms
        if (due := self.scheduler.next_due_ms()) is not None:
            yield due
        yield from (at_ms for at_ms, _ in self.later)
        yield from (invocation.deadline_ms for invocation in self.running)
        for message in (*self.orders_queue, *self.dead_queue):
            if message.visible_ms > now:
                yield message.visible_ms
        yield from (
            at
            for order_id, at in self.readable_at_ms.items()
            if at > now and self.records[order_id]
        )
        yield min(self.next_sweep_ms, self.next_watch_ms)

    def _collect(self) -> None:
        """Pass the functions' messages and stream records to their readers."""
        now = self.scheduler.elapsed_ms
        for sent in self.cloud.sent:
            copies = 1
            if self._faulty() and self.random.random() < self.plan.loss_share:
                copies = 0
                self.coverage["messages lost"] += 1
            elif self._faulty() and self.random.random() < 0.02:
                copies = 2
                self.coverage["messages duplicated"] += 1
            for _ in range(copies):
                self.numbers += 1
                self.orders_queue.append(Message(self.numbers, sent.body, now + sent.delay_ms))
        self.cloud.sent.clear()
        stream = self.cloud.tables["orders"].stream
        for record in stream[self.streamed :]:
            image = record["dynamodb"].get("NewImage") or record["dynamodb"]["OldImage"]
            self.records[image["orderId"]["S"]].append(record)
        self.streamed = len(stream)

    def _do_later(self, each: tuple[int, Callable[[], Any]]) -> None:
        self.later.remove(each)
        each[1]()

    # --- Lambda

    def invoke(
        self,
        function: str,
        event: Json,
        finished: Callable[[Any], None],
        order_ids: set[str] | None = None,
    ) -> bool:
        """Invoke a function with an event; `finished` gets the answer or FAILED.

        Returns False, without an invocation, if every environment is busy.
        """
        environment = self._free(function)
        if environment is None:
            return False
        environment.busy = True
        self._thaw(environment)
        handler = environment.copy.handler(function)
        seconds = TIMEOUTS[function]
        context = SimulatedContext(self, self.scheduler.elapsed_ms + seconds * 1000)
        task = self.scheduler.start(environment.name, partial(handler, event, context), environment)
        invocation = Invocation(environment, task, context.end_ms, order_ids or set())
        invocation.finished = finished
        self.running.append(invocation)
        return True

    def _free(self, function: str) -> Environment | None:
        """An idle environment of the deployed release, a new one, or none."""
        own = [
            e
            for e in self.environments
            if e.function == function and e.copy in self.releases[self.release]
        ]
        idle = [e for e in own if not e.busy]
        if idle:
            return idle[0]
        for copy in self.releases[self.release][:ENVIRONMENTS_MAX]:
            if all(e.copy is not copy or e.function != function for e in self.environments):
                self.numbers += 1
                skew_ms = self.random.choice(self.plan.skews_ms)
                created = Environment(
                    function,
                    copy,
                    self.numbers,
                    skew_ms=skew_ms,
                    stands_still=self.random.random() < 0.3,
                )
                self.environments.append(created)
                return created
        return None

    def _reap(self) -> None:
        """End the invocations that have returned, died or run out of time."""
        for invocation in list(self.running):
            task, environment = invocation.task, invocation.environment
            timed_out = self.scheduler.elapsed_ms >= invocation.deadline_ms
            if not task.done and not timed_out and not environment.ended:
                continue
            self.running.remove(invocation)
            environment.busy = False
            if environment.ended or not task.done:
                self.coverage["invocations timed out"] += not environment.ended
                self._end(environment)
                self._count_failure(invocation)
                invocation.finished(FAILED)
                continue
            self.scheduler.freeze(environment, frozen=True)
            environment.frozen_at_ms = self.scheduler.elapsed_ms
            if task.error is not None:
                self.scheduler.log.append(f"  {task.name} failed: {task.error!r}")
                self._count_failure(invocation)
                invocation.finished(FAILED)
                if not isinstance(task.error, (BotoCoreError, ClientError)):
                    raise task.error
            else:
                invocation.finished(task.result)
            if environment.copy not in self.releases[self.release]:
                self._end(environment)
            elif self._faulty() and self.random.random() < 0.05:
                self.coverage["environments ended between invocations"] += 1
                self._end(environment)

    def _thaw(self, environment: Environment) -> None:
        self.scheduler.freeze(environment, frozen=False)
        if environment.frozen_at_ms is None:
            return
        if environment.stands_still:
            environment.stood_still_ms += self.scheduler.elapsed_ms - environment.frozen_at_ms
            self.coverage["monotonic clocks stood still"] += 1
        environment.frozen_at_ms = None

    def _end(self, environment: Environment) -> None:
        environment.ended = True
        self.scheduler.kill(environment)
        if environment in self.environments:
            self.environments.remove(environment)

    def _count_failure(self, invocation: Invocation) -> None:
        self.failures.update(invocation.order_ids)

    def _deploy(self) -> None:
        """Deploy the next release: new invocations get it, running ones end on the old one."""
        self.release = (self.release + 1) % len(self.releases)
        kind = "deployments" if self.release else "rollbacks"
        self.coverage[f"{kind} with orders under way"] += bool(self.open_orders())
        for environment in list(self.environments):
            if not environment.busy:
                self._end(environment)

    # --- SQS

    def _deliver_orders(self) -> None:
        now = self.scheduler.elapsed_ms
        due = [message for message in self.orders_queue if message.visible_ms <= now]
        batch = self.random.sample(due, self.random.randint(1, min(BATCH_MAX, len(due))))
        for message in [m for m in batch if m.receives >= RECEIVES_MAX]:
            batch.remove(message)
            self.orders_queue.remove(message)
            self.dead_queue.append(Message(message.number, message.body, now))
            self.coverage["dead letters"] += 1
        if batch:
            self._deliver("worker", "order", self.orders_queue, batch)

    def _deliver_dead_letters(self) -> None:
        now = self.scheduler.elapsed_ms
        batch = [m for m in self.dead_queue if m.visible_ms <= now][:BATCH_MAX]
        self._deliver("dead_letters", "dead_letter", self.dead_queue, batch)

    def _deliver(
        self, function: str, kind: str, queue: list[Message], batch: list[Message]
    ) -> None:
        hidden_ms = 6 * TIMEOUTS[function] * 1000
        for message in batch:
            message.receives += 1
            message.visible_ms = self.scheduler.elapsed_ms + hidden_ms
            self.coverage["redeliveries"] += message.receives > 1
        order_ids = {str(json.loads(message.body)["orderId"]) for message in batch}

        def finished(answer: Any) -> None:
            kept = {str(m.number) for m in batch}
            if answer is not FAILED:
                kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            for message in batch:
                if str(message.number) in kept:
                    self.failures.update(
                        {json.loads(message.body)["orderId"]} if answer is not FAILED else ()
                    )
                elif message in queue and not (self._faulty() and self.random.random() < 0.02):
                    queue.remove(message)

        messages = [sqs_message(m.body, str(m.number), m.receives) for m in batch]
        self.invoke(function, sqs_event(kind, messages), finished, order_ids)

    # --- the stream

    def _readable_orders(self) -> Iterator[str]:
        now = self.scheduler.elapsed_ms
        for order_id, records in self.records.items():
            if records and self.readable_at_ms.get(order_id, 0) <= now:
                yield order_id

    def _deliver_records(self) -> None:
        """Deliver one batch with records of some orders, each order's records in sequence."""
        readable = list(self._readable_orders())
        chosen = self.random.sample(readable, self.random.randint(1, len(readable)))
        batch: list[Json] = []
        taken: dict[str, int] = {}
        for order_id in chosen:
            taken[order_id] = self.random.randint(1, min(RECORDS_MAX, len(self.records[order_id])))
            divided = taken[order_id] < self.failed_records.pop(order_id, 0)
            self.coverage["failed batches of the stream divided"] += divided
            batch += self.records[order_id][: taken[order_id]]
            self.readable_at_ms[order_id] = self.scheduler.elapsed_ms + END_MS_MAX

        def finished(answer: Any) -> None:
            ok = answer is not FAILED
            given_up = self.plan.stream_gives_up and self._faulty() and self.random.random() < 0.5
            for order_id, count in taken.items():
                if not ok and given_up:
                    self._give_up(self.records[order_id][:count])
                if ok or given_up:
                    del self.records[order_id][:count]
                else:
                    self.failed_records[order_id] = count
                retry_ms = 0 if ok else STREAM_RETRY_MS
                self.readable_at_ms[order_id] = self.scheduler.elapsed_ms + retry_ms
            self.coverage["batches of the stream sent again"] += not ok

        self.invoke("publisher", {"Records": batch}, finished)

    def _give_up(self, records: list[Json]) -> None:
        """Drop these records from the stream, without a push to any client.

        It keeps a record for 24 hours and a connection lasts at most two, so each connection that
        was open when one of them was stored has ended by then.
        """
        self.coverage["batches of the stream given up"] += 1
        stored_ms = records[-1]["dynamodb"]["ApproximateCreationDateTime"] * 1000
        for connection_id, connection in list(self.connections.items()):
            if connection.opened_ms <= stored_ms:
                self.cut(connection_id)

    # --- the schedule, and the ends of connections

    def _sweep(self) -> None:
        self.next_sweep_ms = self.scheduler.elapsed_ms + MINUTE_MS
        self.invoke("sweeper", {}, self._swept)

    def _watch(self) -> None:
        """Start a watcher; now and then, as a schedule may do, start two or none."""
        self.next_watch_ms = self.scheduler.elapsed_ms + MINUTE_MS
        odd = self._faulty() and self.random.random() < 0.1
        count = self.random.choice([0, 2]) if odd else 1
        self.coverage["watchers started twice, or not at all"] += odd
        for _ in range(count):
            self.invoke("watcher", {}, _ignore)

    def _swept(self, answer: Any) -> None:
        if answer is not FAILED:
            self.coverage["orders re-queued by the sweeper"] += answer["swept"]

    def _deliver_disconnect(self) -> None:
        connection_id = self.disconnects.pop()
        self.invoke(
            "websocket", websocket_event("disconnect", connection_id, self.new_id()), _ignore
        )

    def new_id(self) -> str:
        """An id that this run has not used yet."""
        self.numbers += 1
        return f"n{self.numbers}"

    def cut(self, connection_id: str) -> None:
        """End a connection; API Gateway may or may not tell the engine."""
        if self.connections.pop(connection_id, None) and self.random.random() < 0.5:
            self.disconnects.append(connection_id)

    # --- AWS calls

    def before_send(self, request: Any, **_: Any) -> Any:
        """The answer to one HTTP request of a handler's AWS client, and its fault."""
        operation = operation_of(request)
        self.scheduler.pause(f"calls {operation}")
        environment = self.scheduler.current().environment
        assert isinstance(environment, Environment)
        self._set_clock(environment)
        effect = partial(self._effect, request, environment)
        fault = self._draw_fault(operation, request)
        if fault is None:
            answer = effect()
            self.scheduler.pause(f"has called {operation}", delay_ms=self._slowness_ms())
            return answer
        self.coverage[fault] += 1
        self.scheduler.log.append(f"  {fault}")
        match fault:
            case CallFault.KILL_BEFORE | CallFault.KILL_AFTER:
                if fault is CallFault.KILL_AFTER:
                    effect()
                self.coverage["watchers killed"] += environment.function == "watcher"
                environment.ended = True
                self.scheduler.kill(environment)
                raise Killed
            case CallFault.LOSE:
                effect()
            case CallFault.LATE:
                due_ms = self.scheduler.elapsed_ms + self.random.randrange(LATE_MS_MAX)
                self.later.append((due_ms, effect))
            case CallFault.THROTTLE:
                code = "ThrottlingException"
                return http_response(request.url, 400, {"__type": code}, {"x-amzn-ErrorType": code})
        self.scheduler.pause("waits for an answer until its timeout", delay_ms=5_000)
        raise ReadTimeoutError(endpoint_url=request.url)

    def _draw_fault(self, operation: str, request: Any) -> CallFault | None:
        now = self.scheduler.elapsed_ms
        environment = self.scheduler.current().environment
        function = environment.function if isinstance(environment, Environment) else ""
        if function == "worker" and self._is_poisoned(request):
            self.coverage["workers killed by a poisonous order"] += 1
            return CallFault.KILL_BEFORE
        if self.throttled_until.get(operation, 0) > now:
            return CallFault.THROTTLE
        if not self._faulty() or self.random.random() >= self.plan.fault_share:
            return None
        fault = self.random.choice(list(CallFault))
        if fault is CallFault.THROTTLE:
            until_ms = now + self.random.choice([100, 5_000, 200_000])
            self.throttled_until[operation] = min(until_ms, self.plan.faults_until_ms)
        return fault

    def _is_poisoned(self, request: Any) -> bool:
        """Whether the call is for the poisonous order, and must kill its worker."""
        if not self.poisonous or self.poisonous.encode() not in (request.body or b""):
            return False
        item = self.cloud.tables["orders"].get((self.poisonous,))
        return not self.plan.poison_late or bool(item and transactions(item))

    def _slowness_ms(self) -> int:
        """How long the answer to a call takes; less than the timeout of the clients."""
        if not self._faulty() or self.random.random() >= self.plan.slow_share:
            return 0
        self.coverage["slow answers"] += 1
        return self.random.randrange(SLOW_MS_MAX)

    def _set_clock(self, environment: Environment) -> None:
        """Sometimes set the wall clock, unless the environment's monotonic clock can stop."""
        steps = len(self.plan.skews_ms) > 1 and not environment.stands_still
        if steps and self._faulty() and self.random.random() < 0.02:
            self.coverage["wall clocks set"] += 1
            environment.skew_ms = self.random.choice(self.plan.skews_ms)

    def _effect(self, request: Any, environment: Environment) -> Any:
        if "/@connections/" in request.url:
            return self._connection_answer(request)
        answer = http_answer(self.cloud, request)
        body = json.loads(request.body)
        if environment.function == "watcher":
            self.coverage["orders woken by the watcher"] += len(body.get("Entries", []))
        update = body.get("ExpressionAttributeValues", {}).get(":update")
        if update is not None:
            self._note_append(body["Key"], update["L"], environment, answer.status_code == 400)
        return answer

    def _note_append(
        self, key: Json, update: list[Json], environment: Environment, refused: bool
    ) -> None:
        """Count the result of a write of an order's next update."""
        if not refused:
            self.writers[key["orderId"]["S"]].add(environment.copy.release.name)
            return
        orders = self.cloud.tables["orders"]
        stored = orders.get(orders.key_of(key))
        own = stored is not None and update[0] in stored["updates"]["L"]
        self.coverage["own writes that come again" if own else "stale writers"] += 1

    def _connection_answer(self, request: Any) -> Any:
        connection_id = request.url.rpartition("/")[2].replace("%3D", "=")
        connection = self.connections.get(connection_id)
        if connection is None:
            return http_response(request.url, 410, {}, {"x-amzn-ErrorType": "GoneException"})
        if request.method == "DELETE":
            self.coverage["connections closed by the engine"] += 1
            self.connections.pop(connection_id)
        else:
            text = request.body if isinstance(request.body, str) else request.body.decode()
            connection.receive(text)
            if self._faulty() and self.random.random() < self.plan.cut_share:
                self.coverage["connections cut"] += 1
                self.cut(connection_id)
        return http_response(request.url, 200)

    def _faulty(self) -> bool:
        return self.scheduler.elapsed_ms < self.plan.faults_until_ms

    def _waiting(self) -> int:
        now = self.scheduler.elapsed_ms
        return sum(message.visible_ms <= now for message in self.orders_queue)

    def _lag_ms(self) -> int:
        return self.random.randrange(LAG_MS_MAX) if self._faulty() else 0

    # --- what is stored

    def open_orders(self) -> list[Json]:
        """The stored orders that have not ended."""
        return [item for item in self.stored_orders() if "openOwner" in item]

    def stored_orders(self) -> list[Json]:
        """The items of orders; the table has one other item, which names the watched pairs."""
        return [item for item in self.cloud.tables["orders"].items() if "updates" in item]


def _ignore(_answer: Any) -> None:
    """Ignore the answer of this invocation."""


class SimulatedContext:
    """Lambda's context of an invocation."""

    function_name = "function"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:function"
    aws_request_id = "52fdfc07-2182-154f-163f-5f0f9a621d72"

    def __init__(self, simulation: Simulation, end_ms: int) -> None:
        self._simulation, self.end_ms = simulation, end_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.end_ms - self._simulation.scheduler.elapsed_ms


def websocket_event(
    kind: str, connection_id: str, request_id: str, body: str | None = None
) -> Json:
    """An event of a connection of the one owner."""
    template = event(f"websocket_{kind}")
    template["requestContext"] |= {"connectionId": connection_id, "requestId": request_id}
    if body is not None:
        template["body"] = body
    return template


def operation_of(request: Any) -> str:
    """The name of the AWS operation that an HTTP request asks for."""
    if "/@connections/" in request.url:
        return "DeleteConnection" if request.method == "DELETE" else "PostToConnection"
    target = request.headers["X-Amz-Target"]
    text = target.decode() if isinstance(target, bytes) else str(target)
    return re.sub(r".*\.", "", text)
