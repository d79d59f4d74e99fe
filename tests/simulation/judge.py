"""What must be true of a run that has come to rest.

The judge reads the table's history and what the clients saw. Of the product it uses only the
simulated network, which decides what a transaction does when it lands, and the order's model.
"""

from __future__ import annotations

import json
from typing import Any

from functions.contract import RECEIVES_MAX, unix_ms
from functions.dex import tokens
from functions.orders.settlement import Landed
from functions.simulation import chain, market
from tests.simulation.clients import Asked, Follower
from tests.simulation.simulation import Simulation, Violation

Json = dict[str, Any]

TERMINAL = ("confirmed", "failed", "cancelled")


def judge(simulation: Simulation, orders: list[Asked], followers: list[Follower]) -> None:
    """Raise Violation for a broken promise."""
    table = simulation.cloud.tables["orders"]
    stored = {item["orderId"]["S"]: item for item in table.items()}
    if set(stored) != {asked.order_id for asked in orders}:
        raise Violation(f"{len(orders)} orders were accepted, {len(stored)} are stored")
    for asked in orders:
        history = [item for _, item in table.history[(asked.order_id,)] if item is not None]
        _judge_history(history)
        _judge_order(simulation, asked, history)
    for follower in followers:
        for asked in follower.orders:
            updates = [json.loads(update["S"]) for update in stored[asked.order_id]["updates"]["L"]]
            wanted = {u["sequence"]: json.dumps(u, sort_keys=True) for u in updates}
            if follower.seen[asked.order_id].texts != wanted:
                raise Violation(f"{follower.name} did not receive exactly the stored updates")


def _judge_history(history: list[Json]) -> None:
    """Updates are only ever appended, one at a time, with sequences from 1 without a gap."""
    for before, after in zip([None, *history], history, strict=False):
        known = before["updates"]["L"] if before else []
        updates = after["updates"]["L"]
        if updates[: len(known)] != known or len(updates) > len(known) + 1:
            raise Violation(f"history was rewritten: {known} became {updates}")
    sequences = [json.loads(update["S"])["sequence"] for update in history[-1]["updates"]["L"]]
    if sequences != list(range(1, len(sequences) + 1)):
        raise Violation(f"sequences with a gap: {sequences}")


def _judge_order(simulation: Simulation, asked: Asked, history: list[Json]) -> None:
    final = history[-1]
    updates = [json.loads(update["S"]) for update in final["updates"]["L"]]
    last = updates[-1]
    if [u["status"] for u in updates if u["status"] in TERMINAL] != [last["status"]]:
        raise Violation(f"not one terminal status: {[u['status'] for u in updates]}")
    if any(name in final for name in ("openShard", "openOwner", "idleSince")):
        raise Violation("an ended order is still listed as open")
    _judge_execution(simulation, history, last)
    cancelled = last["status"] == "cancelled"
    if asked.cancelled is not None and asked.cancelled != cancelled:
        raise Violation(f"a cancel was answered {asked.cancelled}, the order is {last['status']}")
    if asked.cancelled is None and cancelled:
        raise Violation("an order was cancelled that no client asked to cancel")
    code = last.get("error", {}).get("code")
    if code == "INTERNAL" and simulation.harmed[asked.order_id] < RECEIVES_MAX:
        raise Violation(f"INTERNAL after only {simulation.harmed[asked.order_id]} faults")
    simulation.coverage[f"orders {code or last['status']}"] += 1


def _judge_execution(simulation: Simulation, history: list[Json], last: Json) -> None:
    """Every transaction that was ever stored executes when it lands: at most one may succeed."""
    texts = dict.fromkeys(item["transaction"]["S"] for item in history if "transaction" in item)
    executed = []
    for text in texts:
        transaction = chain.Transaction.from_json(text)
        outcome = chain.outcome(transaction)
        if isinstance(outcome, Landed):
            executed.append((transaction, outcome))
    simulation.coverage["transactions that did not execute"] += len(texts) - len(executed)
    if len(executed) > 1:
        raise Violation(f"the order executed {len(executed)} times")
    if bool(executed) != (last["status"] == "confirmed"):
        raise Violation(f"the order is {last['status']} and {len(executed)} transactions executed")
    for transaction, outcome in executed:
        request = json.loads(history[-1]["request"]["S"])
        token_out = tokens.find(request["tokenOut"])
        out_amount = tokens.to_text(outcome.out_amount, token_out.decimals)
        if (last["txHash"], last["outAmount"]) != (transaction.signature, out_amount):
            raise Violation(f"confirmed as {last}, executed {out_amount}")
        landed_ms = chain.landing_slot(transaction) * market.SLOT_MS
        skew_ms = max(map(abs, simulation.plan.skews_ms))
        if unix_ms(last["timestamp"]) + skew_ms < landed_ms:
            raise Violation("the order was confirmed before its transaction landed")
        token_in = tokens.find(request["tokenIn"])
        if transaction.amount_in != tokens.to_units(request["amount"], token_in):
            raise Violation("another amount was swapped than the order's")
