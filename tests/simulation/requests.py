"""The requests of a run's clients: orders of every type, with changes and cancellations."""

from __future__ import annotations

from random import Random
from typing import Any

from functions.contract import iso
from functions.dex import tokens
from functions.simulation.network import Network

Json = dict[str, Any]

FAULTS: tuple[Json | None, ...] = (
    None,
    None,
    None,
    {"fault": "dropped_transaction", "attempts": 1},
    {"fault": "slippage", "attempts": 1},
    {"fault": "venue_down", "attempts": 1},
    {"fault": "slippage"},
    {"fault": "dropped_transaction"},
    {"fault": "venue_down"},
)
# Prices as shares of the current one: some are reached at once, some after a while, some never.
LIMITS = (0.98, 0.9995, 0.9999, 1.0003, 1.001, 1.1)
NEAR_LIMIT = 1.0006  # the market mostly reaches it within a quarter of an hour
STOPS = (0.9, 0.998, 0.9988, 0.9993, 1.1)
FAULTLESS_EXPIRY_MS = (3_000, 40_000)
# In a run with faults a submission may be retried for long; the expiry must not pass meanwhile.
LATE_EXPIRY_MS = 1_200_000


def order(
    random: Random, now_ms: int, *, faultless: bool, waiting: bool
) -> tuple[Json, tuple[str, ...]]:
    """The body of a request, and the actions of its client after the submission."""
    body: Json = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1}
    if fault := random.choice(FAULTS):
        body["simulate"] = fault
    kind = random.choice(["limit", "stop", "oco", "twap"] if waiting else ["market"])
    actions = tuple(action for action in ("submit", "cancel") if random.random() < 0.3)
    if kind == "market":
        return body, actions
    body["type"] = kind
    if kind == "limit" and random.random() < 0.3:  # until its late end only a watcher wakes it
        return body | {"limitPrice": price(random, (NEAR_LIMIT,), now_ms)}, ("end late",)
    limited = kind in ("limit", "oco") or (kind == "twap" and random.random() < 0.5)
    if limited:
        body["limitPrice"] = price(random, LIMITS, now_ms)
    if kind in ("stop", "oco"):
        # Of two prices the stop must be the lower one.
        stops = STOPS if kind == "stop" else STOPS[:1]
        body["stopPrice"] = price(random, stops, now_ms)
    if kind == "twap":
        body |= {"slices": random.choice([2, 3, 4]), "intervalSeconds": random.choice([1, 5])}
        body["amount"] = random.choice(["1", "1", "0.1", "0.100000007", "0.000000007"])
        return body, ("end",) if random.random() < 0.3 else ()
    if random.random() < 0.15:
        body["timeInForce"] = "IOC"
    if faultless and random.random() < 0.7:
        body["expiresAt"] = iso(now_ms + random.randrange(*FAULTLESS_EXPIRY_MS))
    elif random.random() < 0.3:
        body["expiresAt"] = iso(now_ms + LATE_EXPIRY_MS)
    return body, ("change", "end") if random.random() < 0.5 else ("end",)


def change(random: Random, now_ms: int, body: Json) -> Json:
    """The body of a request that changes a resting order."""
    if random.random() < 0.5:
        return {"expiresAt": iso(now_ms + random.randrange(3_000, 30_000))}
    if "limitPrice" in body:
        return {"limitPrice": price(random, LIMITS, now_ms)}
    return {"stopPrice": price(random, STOPS, now_ms)}


def price(random: Random, shares: tuple[float, ...], now_ms: int) -> str:
    """A price of SOL in USDC near the current one."""
    network = Network(lambda: now_ms, lambda _seconds: None)
    now = network.reference(tokens.find("SOL"), tokens.find("USDC"))
    return f"{float(now) * random.choice(shares):.4f}"
