"""Searches the market for what it may not have: arbitrage, and quotes above the reference."""

from __future__ import annotations

import random
from collections.abc import Iterator

from functions.dex.errors import NoRoutesFound
from functions.dex.router import find_route
from functions.dex.sides import usable
from functions.dex.tokens import TOKENS
from functions.simulation import market
from functions.simulation.listings import LISTINGS


def better_quotes(slot: int) -> Iterator[str]:
    """Quotes of this slot that are better than the reference price: there must be none."""
    for listing in LISTINGS:
        base, quote = TOKENS[listing.base], TOKENS[listing.quote]
        price = market.reference_price(base, quote, slot)
        lot = market.LOTS[base.symbol]
        pool = market.snapshot(listing.venue, slot).pool(listing.address)
        for token_in in (base, quote):
            side = pool.side(token_in)
            most = usable(side)
            for amount in (most // 10**6 + 1, most // 10, most):
                out = side.amount_out(amount)
                # A price is rounded down by less than a unit a lot.
                fair = (
                    amount * (price + 1) // lot if token_in == base else amount * lot // price + 1
                )
                if out > fair:
                    yield f"{out} for {amount} {token_in.symbol} in {pool.address}, fair is {fair}"


def gain_of_a_cycle(drawn: random.Random, slot: int) -> int:
    """The gain of a random cycle in base units; 0 if it cannot be traded."""
    tokens = drawn.sample(list(TOKENS.values()), drawn.randint(2, 4))
    snapshots = market.snapshots(slot)
    start: int = 10 ** drawn.randint(2, tokens[0].decimals + 5)
    held = start
    for one, other in zip(tokens, [*tokens[1:], tokens[0]], strict=True):
        try:
            held = find_route(one, other, held, 0, snapshots).out_amount
        except NoRoutesFound:
            return 0
    return held - start
