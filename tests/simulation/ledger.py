"""The chain as the network sees it: the transactions that it received, and their executions.

It shares no state with the product. A transaction executes when it lands, whatever the engine has
stored by then; the market's arithmetic at that slot computes its output.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from functions.orders.settlement import Landed
from functions.simulation import chain, market
from tests.cloud import Cloud
from tests.orders import transactions
from tests.simulation.environments import Copy
from tests.simulation.scheduler import Scheduler


@dataclass(frozen=True)
class Execution:
    """A transaction that executed: its Unix time (ms), and the base units that it gave."""

    transaction: chain.Transaction
    landed_ms: int
    out_amount: int


@dataclass
class Ledger:
    """Every transaction that was sent to the network, and every execution."""

    cloud: Cloud
    scheduler: Scheduler
    later: list[tuple[int, Callable[[], Any]]]
    coverage: Counter[str]
    violations: list[str]
    observed: dict[str, str] = field(
        default_factory=dict
    )  # texts, each with the release that sent it
    executions: dict[str, Execution] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def observe(self, copy: Copy, text: str) -> None:
        """Record that a release sends a signed transaction, or asks for its outcome."""
        transaction = chain.Transaction.from_json(text)
        if text in self.observed:
            self._note_settler(copy, self.observed[text], transaction)
            return
        stored = [item for item in self.cloud.tables["orders"].items() if "updates" in item]
        if all(text not in transactions(item) for item in stored):
            self.violations.append("a transaction was sent that is not stored")
        names = {chain.Transaction.from_json(known).signature for known in self.observed}
        if transaction.signature in names:
            self.violations.append("two transactions have one signature")
        self.observed[text] = copy.release.name
        lands_ms = chain.landing_slot(transaction) * market.SLOT_MS
        wait_ms = max(0, lands_ms - self.scheduler.now_ms)
        self.later.append((self.scheduler.elapsed_ms + wait_ms, lambda: self._land(text)))

    def take(self) -> list[Execution]:
        """The executions since the last call."""
        found = [each for text, each in self.executions.items() if text not in self.taken]
        self.taken.update(self.executions)
        return found

    def _land(self, text: str) -> None:
        transaction = chain.Transaction.from_json(text)
        outcome = chain.outcome(transaction)
        if isinstance(outcome, Landed):
            now_ms = self.scheduler.now_ms
            self.executions[text] = Execution(transaction, now_ms, outcome.out_amount)
        else:
            self.coverage["transactions that did not execute"] += 1

    def _note_settler(self, copy: Copy, sender: str, transaction: chain.Transaction) -> None:
        if copy.release.name == sender:
            return
        self.coverage["transactions settled by another release"] += 1
        pairs = {
            (leg.venue, *pair)
            for leg in transaction.legs
            for pair in (
                (leg.token_in.symbol, leg.token_out.symbol),
                (leg.token_out.symbol, leg.token_in.symbol),
            )
        }
        if pairs & set(copy.release.closed):
            self.coverage["transactions settled over a pool that is closed meanwhile"] += 1
