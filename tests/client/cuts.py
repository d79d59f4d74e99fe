"""Follows orders over random faults: `uv run python -m tests.client.cuts --cuts 1000`.

Orders are submitted and executed while connections are closed, networks fail, frames and answers
are lost, updates are pushed twice and the key is replaced. One follower follows all orders, and
every second order has its own follower. At the end every follower must have received every update
once and in order.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import pairwise

from functions.client import Client, Timeouts, Update
from functions.contract import API_KEY
from tests.engine import KEY, Engine, Json
from tests.eventually import SECONDS_MAX, eventually

# The client gives up after a minute, so that the run also passes on a slow machine.
QUICK = Timeouts(
    request=20, call=60, lost=60, answer=0.2, renew=0.3, backoff=0.002, backoff_max=0.02
)
STEPS = ("routing", "building", "submitted")
ENDS = ("confirmed", "confirmed", "confirmed", "failed")
ORDERS_AT_ONCE = 20
FOLLOWED_ALONE = 2  # one order in this many has its own follower
MESSAGES_LOST = 0.08
THREADS = 500
ALL = "*"
END = "00000000-0000-4000-8000-000000000000"  # the order that stops the follower of all orders


@dataclass
class Outcome:
    """The injected faults, and the received updates compared with the stored ones."""

    cuts: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    updates: int = 0
    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0
    duplicates: int = 0  # orders that the engine stored beyond those that the client submitted

    def count(self, received: list[Update], stored: list[Json]) -> None:
        """Count the updates of one order that one follower received."""
        sequences = [update.sequence for update in received]
        self.updates += len(sequences)
        self.lost += len({update["sequence"] for update in stored} - set(sequences))
        self.repeated += len(sequences) - len(set(sequences))
        self.out_of_order += sum(later < earlier for earlier, later in pairwise(sequences))

    @property
    def faults(self) -> int:
        return self.lost + self.repeated + self.out_of_order + self.duplicates


class Run:
    """One run of a seed."""

    def __init__(self, seed: int) -> None:
        self.drawn = random.Random(seed)
        self.engine = Engine()
        self.engine.page_size = 50
        self.outcome = Outcome()
        self.keys = [KEY]
        self.client = Client(
            self.engine.http_url, lambda: self.keys[-1], timeouts=QUICK, trust_env=False
        )
        # Received by the follower of all orders, and by the followers of one order.
        self.received: dict[str, list[Update]] = defaultdict(list)
        self.received_alone: dict[str, list[Update]] = {}
        self.submitted: list[str] = []

    def run(self, cuts: int) -> Outcome:
        """Inject this many faults; returns the outcome."""
        with ThreadPoolExecutor(THREADS) as threads:
            following = threads.submit(self._follow_all)
            alone: list[Future[None]] = []
            eventually(lambda: self.engine.followed(ALL))
            self.engine.loses_push = lambda: self.drawn.random() < MESSAGES_LOST
            while self.outcome.cuts.total() < cuts:
                open_ids = self._open()
                if len(open_ids) < ORDERS_AT_ONCE:
                    order_id = self.client.submit("SOL", "USDC", "1.5").order_id
                    self.submitted.append(order_id)
                    if len(self.submitted) % FOLLOWED_ALONE == 0:
                        alone.append(threads.submit(self._follow, order_id))
                for order_id in self.drawn.sample(open_ids, k=min(3, len(open_ids))):
                    self._advance(order_id)
                # A fault needs a connected follower.
                eventually(lambda: following.done() or self.engine.followed(ALL))
                time.sleep(self.drawn.choice([0, 0, 0.003]))
                self._cut()
            self._end_faults()
            while open_ids := self._open():
                for order_id in open_ids:
                    self._advance(order_id)
            wait(alone, SECONDS_MAX)
            stored = dict(self.engine.orders)
            eventually(
                lambda: (
                    following.done()
                    or all(len(self.received[i]) >= len(updates) for i, updates in stored.items())
                )
            )
            self.engine.update(END, "pending")
            following.result(SECONDS_MAX)
            for each in alone:
                each.result(SECONDS_MAX)
        self.client.close()
        self.engine.stop()
        return self._compared(stored)

    def _open(self) -> list[str]:
        with self.engine.lock:
            return [
                order_id
                for order_id, updates in self.engine.orders.items()
                if updates[-1]["status"] not in ENDS
            ]

    def _advance(self, order_id: str) -> None:
        with self.engine.lock:
            done = len(self.engine.orders[order_id]) - 1
            status = STEPS[done] if done < len(STEPS) else self.drawn.choice(ENDS)
            self.engine.update(order_id, status)

    def _cut(self) -> None:
        """Inject one fault."""
        engine, drawn = self.engine, self.drawn
        kind = drawn.choice(
            (
                *("server closed", "network cut", "network cut", "frame lost", "answer lost"),
                *("key", "pushed again"),
            )
        )
        self.outcome.cuts[kind] += 1
        with engine.lock:
            if kind == "server closed":
                engine.refuse_connections += drawn.choice([[], [429], [500, 403]])
            if kind == "frame lost":
                engine.answers_instead += [None, {"message": "Internal server error"}]
            if kind == "answer lost":
                engine.http_faults += drawn.choice(
                    [["lost before"], ["lost after"], [503], [429, 500]]
                )
            if kind == "pushed again":  # the stream retries a batch
                for connection, followed in engine.connections.items():
                    orders = followed - {ALL} or engine.orders.keys()
                    for updates in (engine.orders[order_id] for order_id in orders):
                        engine.push(connection, drawn.choice(updates))
            if kind == "key":  # a replaced key closes no open connection
                self.keys.append(API_KEY.new())
                engine.key = self.keys[-1]
        if kind in ("server closed", "network cut"):
            engine.cut(abruptly=kind == "network cut")

    def _end_faults(self) -> None:
        with self.engine.lock:
            self.engine.answers_instead.clear()
            self.engine.refuse_connections.clear()
            self.engine.http_faults.clear()
            self.engine.loses_push = lambda: False

    def _follow_all(self) -> None:
        for update in self.client.follow_all():
            if update.order_id == END:
                break
            self.received[update.order_id].append(update)

    def _follow(self, order_id: str) -> None:
        self.received_alone[order_id] = list(self.client.follow(order_id))

    def _compared(self, stored: dict[str, list[Json]]) -> Outcome:
        outcome = self.outcome
        outcome.orders = len(stored)
        outcome.duplicates = len(stored) - len(self.submitted)
        for order_id, updates in stored.items():
            outcome.count(self.received[order_id], updates)
            if order_id in self.received_alone:
                outcome.count(self.received_alone[order_id], updates)
        return outcome


def run(seed: int, cuts: int) -> Outcome:
    """Run a seed; returns its outcome."""
    return Run(seed).run(cuts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.client.cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    outcome = run(arguments.seed, arguments.cuts)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.cuts.items()))
    sys.stdout.write(
        f"{outcome.cuts.total()} faults ({kinds}), {outcome.orders} orders,"
        f" {outcome.updates} updates received: {outcome.lost} lost, {outcome.repeated} repeated,"
        f" {outcome.out_of_order} out of order, {outcome.duplicates} duplicate orders\n"
    )
    sys.exit(1 if outcome.faults else 0)


if __name__ == "__main__":
    main()
