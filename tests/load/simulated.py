"""The delays of one order by the simulated venues and chain."""

from __future__ import annotations

from collections.abc import Sequence

from functions.dex.tokens import find
from functions.orders.draws import draw
from functions.simulation import chain, market
from functions.simulation.network import BUILDING_MS, QUOTE_MS


def quoting_ms(identity: str) -> int:
    """Milliseconds until the slowest venue has quoted for the first attempt."""
    return max(draw(*QUOTE_MS, identity, 1, "quote", venue) for venue in market.VENUES)


def landing_ms(identity: str, signed_ms: int) -> int:
    """Milliseconds from the signature (at Unix ms) to the slot in which the first attempt lands."""
    slot = market.slot_at(signed_ms)
    transaction = chain.Transaction(
        identity=identity,
        attempt=1,
        token_in=find("SOL"),
        token_out=find("USDC"),
        amount_in=0,
        other_amount_threshold=0,
        recent_slot=slot,
        last_valid_slot=slot + chain.VALID_SLOTS,
        legs=(),
        instructions=(),
        fate="land",
    )
    return chain.landing_slot(transaction) * market.SLOT_MS - signed_ms


def held_ms(identity: str, begun_ms: int) -> int:
    """All delays in milliseconds, for an order that a worker begins at this time."""
    signed_ms = begun_ms + quoting_ms(identity) + BUILDING_MS
    return signed_ms - begun_ms + landing_ms(identity, signed_ms)


def batch_ms(identities: Sequence[str], begun_ms: int) -> int:
    """Milliseconds for which a worker holds these orders, which it begins together."""
    return max(held_ms(identity, begun_ms) for identity in identities)
