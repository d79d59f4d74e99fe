"""Runs of the simulation: one seed, or many seeds on all cores, and their results."""

from __future__ import annotations

import gc
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from botocore.auth import SigV4Auth
from botocore.retries.quota import RetryQuota

from tests.environment import AWS
from tests.simulation.clients import ClientOrder, Follower, Trader
from tests.simulation.environments import Copy, Release
from tests.simulation.judge import judge
from tests.simulation.programs import programs
from tests.simulation.simulation import Simulation

CHUNK = 10
# The newer release opens a pool that the older one knows but has not opened yet, and closes one.
RELEASES = (
    Release("older", {"ORDER_EXPIRY_DAYS": "1"}, (("whirlpool", "SOL", "USDC"),)),
    Release(
        "newer",
        {
            "ORDER_EXPIRY_DAYS": "1",
            "MARKET_SEED": "another market",
            "HOLD_MS": "0",
            "RETRY_BASE_MS": "4000",
            "DROP_PPM": "100000",
        },
        (("meteora", "SOL", "USDC"),),
    ),
)
# The cases that the runs must cover; otherwise the simulation proves too little.
EXPECTED_COVERAGE = (
    "kill before",
    "kill after",
    "lose the answer",
    "take effect late",
    "throttle for a while",
    "slow answers",
    "stale writers",
    "own writes that come again",
    "connections cut",
    "connections closed by the engine",
    "dead letters",
    "deployments with orders under way",
    "rollbacks with orders under way",
    "orders that two releases worked on",
    "transactions settled by another release",
    "transactions settled over a pool that is closed meanwhile",
    "monotonic clocks stood still",
    "wall clocks set",
    "messages lost",
    "messages duplicated",
    "workers killed by a poisonous order",
    "items expired",
    "orders made again after they had expired",
    "environments ended between invocations",
    "invocations timed out",
    "redeliveries",
    "batches of the stream sent again",
    "failed batches of the stream divided",
    "batches of the stream given up",
    "updates pushed again",
    "orders re-queued by the sweeper",
    "subscriptions that resume",
    "transactions that did not execute",
    "watchers started twice, or not at all",
    "watchers killed",
    "orders woken by the watcher",
    "times that an order rests",
    "orders that rest again after a refusal",
    "orders triggered by their limit",
    "orders triggered by their stop",
    "changes answered 200",
    "changes answered 409",
    "slices executed",
    "orders executed in slices as a whole",
    "orders expired",
    "orders confirmed",
    "orders cancelled",
    "orders INTERNAL",
    "orders SLIPPAGE_TOLERANCE_EXCEEDED",
    "orders FAILED_TO_LAND",
    "orders QUOTES_UNAVAILABLE",
)


@dataclass
class Tally:
    """The results of some runs."""

    runs: int = 0
    steps: int = 0
    coverage: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.runs += other.runs
        self.steps += other.steps
        self.coverage += other.coverage
        self.failures += other.failures


class Runner:
    """The copies of the product, which a process makes once, and the run that they serve."""

    def __init__(self) -> None:
        self.simulation: Simulation | None = None
        self.releases = [
            [Copy(f"{release.name}{number}", release) for number in range(2)]
            for release in RELEASES
        ]
        for each in chain.from_iterable(self.releases):
            each.answer_calls(self._before_send)

    def run(self, seed: int, *, with_programs: bool = False) -> Simulation:
        """Run one seed, and judge the run; raises Violation.

        `with_programs`: `functions.client` follows the orders too.
        """
        random.seed(seed)  # botocore draws its backoff from the global generator
        simulation = self.simulation = Simulation(seed, self.releases)
        draw = simulation.random
        orders = []
        traders: list[Trader] = []
        followers: list[Follower] = []
        for number in range(draw.choice([1, 1, 1, 2, 2, 3])):
            orders.append(ClientOrder(f"{seed}-{number}"))
            if simulation.plan.poison and number == 0:
                # A market order, because a dead letter leaves a resting order open.
                orders[0].body = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1}
            traders.append(Trader(simulation, orders[-1]))
        followers.append(Follower(simulation, "all", orders, all_=True))
        followers += [
            Follower(simulation, f"follower{n}", [draw.choice(orders)], all_=False)
            for n in range(draw.choice([1, 2]))
        ]
        if with_programs:
            followers += programs(simulation, orders)
        self._run_clients(simulation, traders, followers)
        if simulation.plan.expires:
            simulation.pass_two_days()
            body = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 2}
            repeated = ClientOrder(orders[0].key, body)
            simulation.coverage["orders made again after they had expired"] += 1
            self._run_clients(
                simulation,
                [Trader(simulation, repeated)],
                [Follower(simulation, "later", [repeated], all_=True)],
            )
        simulation.stop()
        return simulation

    @staticmethod
    def _run_clients(
        simulation: Simulation, traders: list[Trader], followers: list[Follower]
    ) -> None:
        """Run until all clients have finished, and judge the run."""
        orders = [trader.order for trader in traders]
        runs = [(c.name, c.run) for c in traders] + [(c.name, c.run) for c in followers]
        for name, run in runs:
            simulation.clients.append(simulation.scheduler.start(name, run))

        def at_rest() -> bool:
            if simulation.plan.poison and orders[0].order_id:
                simulation.poisonous = orders[0].order_id
            clients_done = all(t.done for t in traders) and all(f.complete for f in followers)
            return clients_done and not simulation.open_orders()

        simulation.run(at_rest)
        for follower in followers:
            follower.done = True
        judge(simulation, orders, followers)

    def _before_send(self, request: Any, **more: Any) -> Any:
        assert self.simulation is not None
        return self.simulation.before_send(request, **more)


@contextmanager
def new_runner() -> Iterator[Runner]:
    """A runner, for the block; the metrics of its runs are not printed."""
    with (
        Path(os.devnull).open("w") as null,
        redirect_stdout(null),  # the handlers print their metrics
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in AWS.items():
            patch.setenv(name, value)
        runner = Runner()

        def sleep(seconds: float) -> None:
            if runner.simulation is not None:
                runner.simulation.sleep(seconds)

        patch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=sleep))
        # The cloud verifies no signatures; to compute them would take a seventh of a run's time.
        patch.setattr(SigV4Auth, "add_auth", lambda _auth, _request: None)
        # botocore's quota of retries is refilled in real time, and a run must not depend on that.
        patch.setattr(RetryQuota, "acquire", lambda _quota, _capacity: True)
        yield runner


def run_all(seeds: range, jobs: int) -> Iterator[Tally]:
    """Run the seeds in `jobs` processes; yields a tally each time some are done."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    with get_context("spawn").Pool(jobs, _start_process) as pool:
        yield from pool.imap_unordered(_run, chunks)


_runners: list[Runner] = []
_cleanup = ExitStack()


def _start_process() -> None:
    _runners.append(_cleanup.enter_context(new_runner()))
    gc.freeze()  # the copies of the product stay, so collections need not visit them
    gc.set_threshold(20_000)  # a collection finds little, because runs end their tasks


def _run(seeds: range) -> Tally:
    (runner,) = _runners
    tally = Tally()
    for seed in seeds:
        tally.runs += 1
        try:
            runner.run(seed)
        except BaseException as error:  # noqa: BLE001 - any exception is a finding
            tally.failures.append(
                f"{error!r:.500}\n  uv run python -m tests.simulation --replay {seed}"
            )
        simulation = runner.simulation
        assert simulation is not None
        tally.steps += len(simulation.scheduler.log)
        tally.coverage += simulation.coverage
    return tally
