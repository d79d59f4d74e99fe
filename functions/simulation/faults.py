"""Simulated faults: drawn from an order's identity and attempt, or requested by the order."""

from typing import Literal

from functions.orders.draws import draw
from functions.orders.failures import QuoteErrorCode
from functions.orders.order import FAULTS_OF_A_VENUE, Simulate

PPM = 1_000_000

Fate = Literal["land", "drop", "slip"]


def quote_error(
    identity: str, attempt: int, venue: str, simulate: Simulate | None, error_ppm: int
) -> QuoteErrorCode | None:
    """Why `venue` gives no quote in this attempt (counted from 1), or None.

    `error_ppm` is the chance of an error that the order did not request, in parts per million.
    """
    if simulate is not None and attempt <= simulate.attempts and simulate.venue in {None, venue}:
        asked = FAULTS_OF_A_VENUE.get(simulate.fault)
        if asked is not None:
            return asked
    drawn = draw(0, PPM - 1, "quote", identity, attempt, venue)
    return QuoteErrorCode.QUOTE_ERROR if drawn < error_ppm else None


def fate(identity: str, attempt: int, simulate: Simulate | None, drop_ppm: int) -> Fate:
    """What the network does with the transaction of this attempt (counted from 1).

    "drop": it never lands. "slip": it lands, but at a price worse than the order accepts.
    `drop_ppm` is the chance of a drop that the order did not request, in parts per million.
    """
    if simulate is not None and attempt <= simulate.attempts:
        if simulate.fault == "dropped_transaction":
            return "drop"
        if simulate.fault == "slippage":
            return "slip"
    return "drop" if draw(0, PPM - 1, "fate", identity, attempt) < drop_ppm else "land"
