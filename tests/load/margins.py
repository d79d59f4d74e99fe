"""Margins: `uv run python -m tests.load.margins` measures the margin that wake keys need.

A route's price is a little below the pair's best price. A resting order's wake key is computed from
the current loss, and must stay valid at any later time. For each pair and amount it compares the
losses at random times of a month: by how much the later output is better (which matters for a
limit) or worse (for a stop), less a quarter of the current loss.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import permutations

from rich.console import Console

from functions.dex import router, tokens
from functions.dex.errors import NoRoutesFound
from functions.orders.waiting import MARGIN, MARGIN_OF_LOSS
from functions.simulation import market
from tests.load.machine import figures

MONTH_SLOTS = 30 * 86_400 * 1000 // market.SLOT_MS
FIRST_SLOT = 4_400_000_000
TIMES = 25
DOLLARS = (3, 300, 3_000, 30_000, 100_000)


def efficiencies(dollars: int, slots: Sequence[int]) -> Iterator[list[float]]:
    """For each pair that routes the amount, at each slot: output / output at the best price."""
    usdc = tokens.TOKENS["USDC"]
    pools = [market.snapshots(slot) for slot in slots]
    worth = market.snapshot(market.VENUES[0], slots[0]).worth
    for one, other in permutations(tokens.TOKENS.values(), 2):
        units = worth(dollars * 10**6, usdc, one)
        with suppress(NoRoutesFound):
            yield [
                router.find_route(one, other, units, 0, at).out_amount
                / float(units * router.best_price(one, other, at))
                for at in pools
            ]


def main() -> None:
    """Print the greatest rise and fall of the outputs for each amount."""
    argparse.ArgumentParser(prog="python -m tests.load.margins", description=__doc__).parse_args()
    drawn = random.Random(1)
    slots = [FIRST_SLOT + drawn.randrange(MONTH_SLOTS) for _ in range(TIMES)]
    table = figures(
        "Changes of the output by that at the best price (bps)",
        *("dollars in", "mean loss", "most better", "most worse"),
    )
    for dollars in DOLLARS:
        losses: list[float] = []
        better = worse = 0.0
        for found in efficiencies(dollars, slots):
            high, low = max(found), min(found)
            for now in found:
                quarter = float(MARGIN_OF_LOSS) * (1 - now)
                losses.append(1 - now)
                better = max(better, high / now - 1 - quarter)
                worse = max(worse, now / low - 1 - quarter)
        table.add_row(
            f"{dollars:,}",
            *(f"{1e4 * value:.1f}" for value in (sum(losses) / len(losses), better, worse)),
        )
    console = Console()
    console.print(table)
    console.print(f"The margin allows for {float(MARGIN) * 1e4:.0f}.")


if __name__ == "__main__":
    main()
