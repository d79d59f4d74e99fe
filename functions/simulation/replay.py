"""Computes the market of any moment, and recomputes an order's routes and landing.

The market is a pure function of time, so the results must equal what was stored. Results are plain
JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from functions.contract import iso, unix_ms
from functions.dex import router, tokens
from functions.dex.errors import DexError, NoRoutesFound
from functions.dex.pools import Snapshot
from functions.dex.sides import usable
from functions.dex.tokens import Token
from functions.orders import routes, settlement
from functions.orders.failures import QuoteErrorCode
from functions.orders.order import (
    DEFAULT_SLIPPAGE_BPS,
    Order,
    OrderError,
    Route,
    Status,
    Update,
    order_of,
)
from functions.orders.stored import request_json
from functions.simulation import chain, market

Json = dict[str, Any]
# The errors that `moment` raises for a request that the exchange refuses.
Refused = DexError

# Why a venue gave no quote although the market has its pools.
_NO_ANSWER = {QuoteErrorCode.VENUE_DOWN, QuoteErrorCode.QUOTE_TIMEOUT, QuoteErrorCode.QUOTE_ERROR}


def moment(
    token_in: str, token_out: str, at_ms: int, amounts: Sequence[str], seed: str = ""
) -> Json:
    """Prices, the pair's pools, and for each amount the quotes and the route at a Unix time.

    Raises Refused for an unknown token or an invalid amount. For an amount that no route takes, the
    result has the reason.
    """
    source, target = tokens.find(token_in), tokens.find(token_out)
    slot = market.slot_at(at_ms)
    snapshots = market.snapshots(slot, seed)
    return {
        "tokenIn": source.symbol,
        "tokenOut": target.symbol,
        "at": iso(at_ms),
        "slot": slot,
        "seed": seed,
        "version": market.VERSION,
        "prices": market.price_texts(source, target, slot, seed),
        "pools": [
            _pool(pool.address, venue, source, snapshots)
            for venue, snapshot in snapshots.items()
            for pool in snapshot.pools(source, target)
        ],
        "routes": {amount: _route(source, target, amount, snapshots) for amount in amounts},
    }


def _pool(
    address: str, venue: str, source: Token, snapshots: Mapping[str, market.Snapshot]
) -> Json:
    pool = snapshots[venue].pool(address)
    state: object = pool.state if is_dataclass(pool.state) else {}
    return {
        "venue": venue,
        "program": str(pool.program),
        "pool": address,
        "base": pool.base.symbol,
        "quote": pool.quote.symbol,
        "takes": tokens.to_text(usable(pool.side(source)), source.decimals),
        "state": json.loads(json.dumps(state, default=_plain)),
    }


def _plain(value: object) -> object:
    """A dataclass as a dictionary, without its caches; anything else as text."""
    if not is_dataclass(value):
        return str(value)
    return {each.name: getattr(value, each.name) for each in fields(value) if each.compare}


def _route(source: Token, target: Token, amount: str, snapshots: Mapping[str, Snapshot]) -> Json:
    units = tokens.to_units(amount, source)
    try:
        route = router.find_route(source, target, units, DEFAULT_SLIPPAGE_BPS, snapshots)
        return _json(routes.to_client(route))
    except NoRoutesFound as none:
        return {"error": str(none)}


def explain(order: Order, signed: str | None, seed: str = "") -> Json:
    """The order's routes and its last transaction's landing, compared with what was stored.

    `differences` names each stored field whose computed value differs. There are none unless a
    later release routes better. Fields that an earlier release did not store are not compared.
    `signed` is the stored transaction, which names its market; `seed` is for an order without one.
    """
    transaction = None if signed is None else chain.Transaction.from_json(signed)
    version = market.VERSION
    if transaction is not None:
        seed, version = transaction.seed or seed, transaction.version
    found: Json = {"orderId": order.order_id, "seed": seed, "version": version}
    found["routes"] = [
        _explained(order, update, update.route, seed, version)
        for update in order.updates
        if update.status is Status.BUILDING and update.route
    ]
    found["landing"] = None if transaction is None else _landing(order, transaction, seed)
    parts = [*found["routes"], *([found["landing"]] if found["landing"] else [])]
    found["differs"] = any(part["differences"] for part in parts)
    return found


def _explained(order: Order, update: Update, stored: Route, seed: str, version: int) -> Json:
    source, target = tokens.find(order.token_in), tokens.find(order.token_out)
    snapshots: dict[str, Snapshot | str] = {
        quote.venue: quote.error
        if quote.error in _NO_ANSWER
        else market.snapshot(quote.venue, stored.slot, seed, version)
        for quote in stored.quotes
    }
    least_out = None
    if stored.slippage_bps is None:  # the order's limit price set it
        least_out = tokens.to_units(stored.other_amount_threshold, target)
    units = tokens.to_units(order.amount, source)
    try:
        route = router.find_route(source, target, units, stored.slippage_bps or 0, snapshots)
        derived = _json(routes.to_client(route, least_out=least_out))
    except NoRoutesFound as none:
        derived = {"reason": str(none)}
    return {
        "sequence": update.sequence,
        "slot": stored.slot,
        "at": iso(stored.slot * market.SLOT_MS),
        "route": derived,
        "differences": list(_differences(_json(stored), derived)),
    }


def _landing(order: Order, transaction: chain.Transaction, seed: str) -> Json:
    outcome = chain.outcome(transaction, seed)
    dropped = chain.never_lands(transaction)
    landing: Json = {
        "attempt": transaction.attempt,
        "txHash": transaction.signature,
        "signedAtSlot": transaction.recent_slot,
        "landsAtSlot": None if dropped else chain.landing_slot(transaction),
        "lastValidSlot": transaction.last_valid_slot,
        "differences": [],
    }
    if isinstance(outcome, OrderError):
        landing["error"] = _json(outcome)
    else:
        landing["outUnits"] = str(outcome.out_amount)
    sent = [i for i, each in enumerate(order.updates) if each.status is Status.SUBMITTED]
    if not sent:
        return landing
    submitted, after = order.updates[sent[-1]], order.updates[sent[-1] + 1 :]
    stored: Json = {"txHash": submitted.tx_hash}
    derived: Json = {"txHash": transaction.signature}
    if after and after[0].status is Status.CONFIRMED:
        stored |= _json(after[0])
        request = json.loads(request_json(order))
        before = order_of(request, order.updates[: sent[-1] + 1])

        def reference(token_in: Token, token_out: Token, at_ms: int) -> Any:
            return market.exact_price(token_in, token_out, market.slot_at(at_ms), seed)

        ended = settlement.ending_update(before, outcome, unix_ms(after[0].timestamp), reference)
        derived = _json(ended)
        landing["execution"] = derived.get("execution")
    elif after and after[0].error:
        stored["error"] = _json(after[0].error)
        derived["error"] = landing.get("error")
    landing["differences"] = list(_differences(stored, derived))
    return landing


def _differences(stored: Json, derived: Json) -> Iterator[Json]:
    for field, value in stored.items():
        if derived.get(field) != value:
            yield {"field": field, "stored": value, "derived": derived.get(field)}


def _json(model: Any) -> Json:
    parsed: Json = json.loads(model.to_json())
    return parsed
