"""Random cuts: `uv run python -m tests.client.cuts --cuts 1000` follows orders over all of them.

Orders are submitted and executed while connections are closed, networks fail, frames and answers
are lost, updates are pushed twice and the key is replaced. One follower follows all orders, and
some orders have a follower of their own. At the end every follower must have received every update
once and in order.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import pairwise

from functions.client import Client, Patience, Update
from functions.contract import API_KEY
from tests.client.engine import KEY, Engine, Json

# A busy machine is slow, so a wait fails only after a minute.
QUICK = Patience(
    request=20, call=60, lost=60, answer=0.2, renew=0.3, backoff=0.002, backoff_max=0.02
)
ROUTES = (("confirmed",) * 3 + ("failed",), ("routing", "building", "submitted"))
ORDERS_AT_ONCE = 20
FOLLOWED_APART = 2  # one order in this many has a follower of its own
MESSAGES_LOST = 0.08
SECONDS_MAX = 60
THREADS = 500
ALL = "*"
END = "00000000-0000-4000-8000-000000000000"  # the order after which the follower of all leaves


@dataclass
class Outcome:
    """What the followers received, against what the engine stored."""

    cuts: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    updates: int = 0
    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0
    made_twice: int = 0

    def count(self, seen: list[Update], stored: list[Json]) -> None:
        """Count what one follower received of one order."""
        sequences = [update.sequence for update in seen]
        self.updates += len(sequences)
        self.lost += len({update["sequence"] for update in stored} - set(sequences))
        self.repeated += len(sequences) - len(set(sequences))
        self.out_of_order += sum(later < earlier for earlier, later in pairwise(sequences))

    @property
    def faults(self) -> int:
        return self.lost + self.repeated + self.out_of_order + self.made_twice


class Run:
    """One run of a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.engine = Engine()
        self.engine.page_size = 50
        self.outcome = Outcome()
        self.keys = [KEY]
        self.client = Client(
            self.engine.http_url, lambda: self.keys[-1], patience=QUICK, trust_env=False
        )
        self.seen: dict[str, list[Update]] = defaultdict(list)  # by the follower of all orders
        self.apart: dict[str, list[Update]] = {}
        self.submitted: list[str] = []

    def go(self, cuts: int) -> Outcome:
        """Make this many cuts and return the outcome."""
        with ThreadPoolExecutor(THREADS) as threads:
            following = threads.submit(self._follow_all)
            apart: list[Future[None]] = []
            _wait_until(lambda: self.engine.followed(ALL))  # it follows new orders now
            self.engine.loses_push = lambda: self.chance.random() < MESSAGES_LOST
            while self.outcome.cuts.total() < cuts:
                open_ids = self._open()
                if len(open_ids) < ORDERS_AT_ONCE:
                    order_id = self.client.submit("SOL", "USDC", "1.5").order_id
                    self.submitted.append(order_id)
                    if len(self.submitted) % FOLLOWED_APART == 0:
                        apart.append(threads.submit(self._follow, order_id))
                for order_id in self.chance.sample(open_ids, k=min(3, len(open_ids))):
                    self._advance(order_id)
                # A cut needs a follower that is connected.
                _wait_until(lambda: following.done() or self.engine.followed(ALL))
                time.sleep(self.chance.choice([0, 0, 0.003]))
                self._cut()
            self._calm()
            while open_ids := self._open():
                for order_id in open_ids:
                    self._advance(order_id)
            wait(apart, SECONDS_MAX)
            stored = dict(self.engine.orders)
            _wait_until(
                lambda: (
                    following.done()
                    or all(len(self.seen[i]) >= len(updates) for i, updates in stored.items())
                )
            )
            self.engine.update(END, "pending")
            following.result(SECONDS_MAX)
            for each in apart:
                each.result(SECONDS_MAX)
        self.client.close()
        self.engine.stop()
        return self._judged(stored)

    def _open(self) -> list[str]:
        with self.engine.lock:
            return [
                order_id
                for order_id, updates in self.engine.orders.items()
                if updates[-1]["status"] not in ROUTES[0]
            ]

    def _advance(self, order_id: str) -> None:
        ends, life = ROUTES
        with self.engine.lock:
            done = len(self.engine.orders[order_id]) - 1
            status = life[done] if done < len(life) else self.chance.choice(ends)
            self.engine.update(order_id, status)

    def _cut(self) -> None:
        """Inject one fault."""
        engine, chance = self.engine, self.chance
        kind = chance.choice(
            (
                *("server closed", "network cut", "network cut", "frame lost", "answer lost"),
                *("key", "pushed again"),
            )
        )
        self.outcome.cuts[kind] += 1
        with engine.lock:
            if kind == "server closed":
                engine.refuse_connections += chance.choice([[], [429], [500, 403]])
            if kind == "frame lost":
                engine.answers_instead += [None, {"message": "Internal server error"}]
            if kind == "answer lost":
                engine.http_faults += chance.choice(
                    [["lost before"], ["lost after"], [503], [429, 500]]
                )
            if kind == "pushed again":  # the stream retries a batch
                for connection, followed in engine.connections.items():
                    orders = followed - {ALL} or engine.orders.keys()
                    for updates in (engine.orders[order_id] for order_id in orders):
                        engine.push(connection, chance.choice(updates))
            if kind == "key":  # a replaced key ends no connection that is open
                self.keys.append(API_KEY.new())
                engine.key = self.keys[-1]
        if kind in ("server closed", "network cut"):
            engine.cut(abruptly=kind == "network cut")

    def _calm(self) -> None:
        with self.engine.lock:
            self.engine.answers_instead.clear()
            self.engine.refuse_connections.clear()
            self.engine.http_faults.clear()
            self.engine.loses_push = lambda: False

    def _follow_all(self) -> None:
        for update in self.client.follow_all():
            if update.order_id == END:
                break
            self.seen[update.order_id].append(update)

    def _follow(self, order_id: str) -> None:
        self.apart[order_id] = list(self.client.follow(order_id))

    def _judged(self, stored: dict[str, list[Json]]) -> Outcome:
        outcome = self.outcome
        outcome.orders = len(stored)
        outcome.made_twice = len(stored) - len(self.submitted)
        for order_id, updates in stored.items():
            outcome.count(self.seen[order_id], updates)
            if order_id in self.apart:
                outcome.count(self.apart[order_id], updates)
        return outcome


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def run(seed: int, cuts: int) -> Outcome:
    """Run a seed and return its outcome."""
    return Run(seed).go(cuts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.client.cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    outcome = run(arguments.seed, arguments.cuts)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.cuts.items()))
    sys.stdout.write(
        f"{outcome.cuts.total()} cuts ({kinds}), {outcome.orders} orders, {outcome.updates} updates"
        f" handed over: {outcome.lost} lost, {outcome.repeated} repeated,"
        f" {outcome.out_of_order} out of order, {outcome.made_twice} orders made twice\n"
    )
    sys.exit(1 if outcome.faults else 0)


if __name__ == "__main__":
    main()
