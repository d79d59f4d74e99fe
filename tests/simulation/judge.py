"""Judges a finished run against the engine's promises.

The judge compares the table's history, the executions on the chain (`ledger.py`) and the clients'
updates. Of the product it uses the tokens' decimals, the names and limits of the contract, and the
functions that unpack a stored item.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from functions.contract import RECEIVES_MAX
from functions.dex import tokens
from functions.orders.stored import entries, request_of
from tests.errors import Violation
from tests.orders import TERMINAL, transactions
from tests.simulation.clients import ClientOrder, Follower
from tests.simulation.simulation import Simulation
from tests.simulation.waiting import judge_conditions, judge_slices

Json = dict[str, Any]

OPEN_KEYS = ("openOwner", "wakePair", "wakeAbove", "wakeBelow")


def judge(simulation: Simulation, orders: list[ClientOrder], followers: list[Follower]) -> None:
    """Raise Violation for a broken promise."""
    table = simulation.cloud.tables["orders"]
    stored = {item["orderId"]["S"]: item for item in simulation.stored_orders()}
    slices = _slices(stored, orders)
    if set(stored) != {order.order_id for order in (*orders, *slices)}:
        raise Violation(f"{len(orders)} orders were accepted, {len(stored)} are stored")
    for order in (*orders, *slices):
        history = _since_last_put(table.history[(order.order_id,)])
        _judge_history([item for _, item in history])
        _judge_order(simulation, order, history)
    for follower in followers:
        follower.read_frames()
    _judge_balances(simulation, stored, followers)
    for follower in followers:
        for order in (*follower.orders, *(slices if follower.all else ())):
            updates = _updates(stored[order.order_id])
            expected = {u["sequence"]: json.dumps(u, sort_keys=True) for u in updates}
            if follower.received[order.order_id].texts != expected:
                raise Violation(f"{follower.name} did not receive exactly the stored updates")


def _judge_history(history: list[Json]) -> None:
    """Updates are only ever appended, one at a time, with sequences from 1 without a gap."""
    for before, after in zip([None, *history], history, strict=False):
        known = before["updates"]["L"] if before else []
        updates = after["updates"]["L"]
        if updates[: len(known)] != known or len(updates) > len(known) + 1:
            raise Violation(f"history was rewritten: {known} became {updates}")
    sequences = [update["sequence"] for update in _updates(history[-1])]
    if sequences != list(range(1, len(sequences) + 1)):
        raise Violation(f"sequences with a gap: {sequences}")


def _updates(item: Json) -> list[Json]:
    return [json.loads(each.text) for each in entries(item)]


def _since_last_put(states: list[tuple[int, Json | None]]) -> list[tuple[int, Json]]:
    """The states of the item since its last put, each with its time (Unix ms)."""
    found: list[tuple[int, Json]] = []
    for at_ms, item in states:
        found = [*found, (at_ms, item)] if item is not None else []
    return found


def _judge_order(
    simulation: Simulation, order: ClientOrder, history: list[tuple[int, Json]]
) -> None:
    _, final = history[-1]
    updates = _updates(final)
    last = updates[-1]
    if [u["status"] for u in updates if u["status"] in TERMINAL] != [last["status"]]:
        raise Violation(f"not one terminal status: {[u['status'] for u in updates]}")
    partition = None if last["status"] == "confirmed" else f"{last['status']} {final['owner']['S']}"
    if final.get("openShard", {}).get("S") != partition or any(n in final for n in OPEN_KEYS):
        raise Violation("an ended order is still listed as open, or not by its end")
    if any(updates[sequence - 1] != update for sequence, update in order.updates.items()):
        raise Violation(f"the API answered with {order.updates}, stored is {updates}")
    request = request_of(final)
    if request.get("type") == "twap":
        _judge_twap(simulation, order.order_id, request, updates)
    else:
        _judge_execution(simulation, history, last)
        judge_conditions(request, updates, transactions(final), simulation.coverage)
    cancelled = last["status"] == "cancelled"
    if order.cancelled is not None and order.cancelled != cancelled:
        raise Violation(f"cancelled: {order.cancelled} by the API, but {last['status']}")
    if order.key and order.cancelled is None and cancelled:
        raise Violation("an order was cancelled without a request")
    code = last.get("error", {}).get("code")
    if code == "INTERNAL" and simulation.failures[order.order_id] < RECEIVES_MAX:
        raise Violation(f"INTERNAL after only {simulation.failures[order.order_id]} faults")
    simulation.coverage[f"orders {code or last['status']}"] += 1
    writers = simulation.writers[order.order_id]
    simulation.coverage["orders that two releases worked on"] += len(writers) > 1


def _slices(stored: dict[str, Json], orders: list[ClientOrder]) -> list[ClientOrder]:
    """The stored slices of the orders; each may be cancelled with its order."""
    parents = {order.order_id for order in orders}
    return [
        ClientOrder("", order_id=order_id)
        for order_id, item in stored.items()
        if request_of(item).get("parentId") in parents
    ]


def _judge_twap(simulation: Simulation, order_id: str, request: Json, updates: list[Json]) -> None:
    slices = []
    for item in simulation.stored_orders():
        child = request_of(item)
        if child.get("parentId") == order_id:
            slices.append((child, _updates(item)[-1]))
    judge_slices(request, updates, slices, simulation.coverage)


def _judge_execution(simulation: Simulation, history: list[tuple[int, Json]], last: Json) -> None:
    """Check that at most one of the order's transactions executed, as the order says."""
    ledger = simulation.ledger
    final = history[-1][1]
    texts = transactions(final)
    if unobserved := [text for text in texts if text not in ledger.observed]:
        raise Violation(f"the order ended without a request for the outcome of {unobserved}")
    executed = [ledger.executions[text] for text in texts if text in ledger.executions]
    if len(executed) > 1:
        raise Violation(f"the order executed {len(executed)} times")
    if bool(executed) != (last["status"] == "confirmed"):
        raise Violation(f"the order is {last['status']} and {len(executed)} transactions executed")
    for execution in executed:
        request = request_of(final)
        token_out = tokens.find(request["tokenOut"])
        out_amount = tokens.to_text(execution.out_amount, token_out.decimals)
        if (last["txHash"], last["outAmount"]) != (execution.transaction.signature, out_amount):
            raise Violation(f"confirmed as {last}, executed {out_amount}")
        stored_ms = next(
            at_ms for at_ms, item in history if len(item["updates"]["L"]) == last["sequence"]
        )
        skew_ms = max(map(abs, simulation.plan.skews_ms))
        if stored_ms + skew_ms < execution.landed_ms:
            raise Violation("the order was confirmed before its transaction landed")
        token_in = tokens.find(request["tokenIn"])
        if execution.transaction.amount_in != tokens.to_units(request["amount"], token_in):
            raise Violation("another amount was swapped than the order's")


def _judge_balances(
    simulation: Simulation, stored: dict[str, Json], followers: list[Follower]
) -> None:
    """Check that the chain's amounts equal those in the clients' updates, to the base unit."""
    everything = next(follower for follower in followers if follower.all)
    reported: Counter[str] = Counter()
    for order_id, item in stored.items():
        request = request_of(item)
        last = json.loads(everything.received[order_id].last_text())
        if last["status"] == "confirmed" and request.get("type") != "twap":
            token_in, token_out = (tokens.find(request[name]) for name in ("tokenIn", "tokenOut"))
            reported[token_in.symbol] -= tokens.to_units(request["amount"], token_in)
            reported[token_out.symbol] += tokens.to_units(last["outAmount"], token_out)
    moved: Counter[str] = Counter()
    for execution in simulation.ledger.take():
        moved[execution.transaction.token_in.symbol] -= execution.transaction.amount_in
        moved[execution.transaction.token_out.symbol] += execution.out_amount
    if moved != reported:
        raise Violation(f"the chain moved {moved}, the clients' updates add up to {reported}")
