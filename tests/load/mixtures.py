"""Compares routes with brute force: `uv run python -m tests.load.mixtures [--cases N] [--seed N]`.

Each case is a random pair, amount and slot. The brute force uses no curves: it distributes the
amount in steps of 1 % over the pools of each hop and over all paths, with exact outputs. The exit
code is 1 if it is better than the route by more than 0.01 bps, net of the cost of the legs. The
brute force may use any number of legs, so routes with the most legs that a transaction can hold are
reported separately.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Sequence
from itertools import pairwise

from functions.dex.errors import NoRoutesFound
from functions.dex.mixture import LEGS_MAX, Path
from functions.dex.pools import PoolSide
from functions.dex.router import find_route
from functions.dex.sides import Side, usable
from functions.dex.tokens import TOKENS, Token
from functions.simulation import market

STEPS = 100
TOLERANCE_BPS = 0.01
# The approximate value of a token in dollars.
DOLLARS = {
    "SOL": 150,
    "USDC": 1,
    "USDT": 1,
    "RAY": 2.4,
    "JUP": 0.45,
    "BONK": 0.000021,
    "MET": 0.35,
    "mSOL": 201,
    "JitoSOL": 186,
}

# The net output of 0, 1, … STEPS steps; None where the pools cannot take so much.
Table = list[int | None]
# An output and the number of its legs.
Option = tuple[int, int]


def paths_of(one: Token, other: Token, slot: int) -> list[Path]:
    """Every path of one or two hops over all venues."""

    def sides(token_in: Token, token_out: Token) -> list[PoolSide]:
        snapshots = market.snapshots(slot).values()
        pools = [pool for snapshot in snapshots for pool in snapshot.pools(token_in, token_out)]
        return [pool.side(token_in) for pool in pools]

    paths: list[Path] = [[sides(one, other)]]
    paths += [[sides(one, hub), sides(hub, other)] for hub in TOKENS.values()]
    return [path for path in paths if all(path)]


def steps_of(hop: Sequence[Side], amount: int) -> list[list[Option]]:
    """The outputs of 0, 1, … steps of `amount`, up to the most that the hop takes.

    For each number of steps: the output of the best split, and of the best single pool.
    """
    marks = [amount * step // STEPS for step in range(STEPS + 1)]
    most = [usable(side) for side in hop]
    parts, outs = [0] * len(hop), [0] * len(hop)
    table: list[list[Option]] = [[(0, 0)]]
    for before, after in pairwise(marks):
        gains = [
            side.amount_out(parts[i] + after - before) - outs[i]
            if parts[i] + after - before <= most[i]
            else -1
            for i, side in enumerate(hop)
        ]
        best = gains.index(max(gains))
        if gains[best] < 0:
            break
        parts[best] += after - before
        outs[best] += gains[best]
        table.append([(sum(outs), sum(1 for part in parts if part))])
        singles = [
            side.amount_out(after) for side, limit in zip(hop, most, strict=True) if after <= limit
        ]
        if singles:
            table[-1].append((max(singles), 1))
    return table


def table_of(path: Path, amount: int, leg_cost: int) -> Table:
    """The path's net output by steps of its input."""
    first = steps_of(path[0], amount)
    if len(path) == 1:
        return [max(out - legs * leg_cost for out, legs in options) for options in first]
    table: Table = [0]
    for options in first[1:]:
        nets = []
        for given, legs_before in options:
            second = steps_of(path[1], given)
            if len(second) > STEPS:
                nets += [out - (legs + legs_before) * leg_cost for out, legs in second[STEPS]]
        table.append(max(nets, default=None))
    return table


def brute_force(paths: Sequence[Path], amount: int, leg_cost: int) -> int | None:
    """The best net output over all paths in steps of 1 %."""
    best: Table = [0] + [None] * STEPS
    for path in paths:
        table = table_of(path, amount, leg_cost)
        best = [
            max(
                (
                    have + more
                    for step, more in enumerate(table[: total + 1])
                    if more is not None and (have := best[total - step]) is not None
                ),
                default=None,
            )
            for total in range(STEPS + 1)
        ]
    return best[STEPS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    drawn = random.Random(options.seed)
    worst, none, legs, full, worst_full = 0.0, 0, 0, 0, 0.0
    gains = []
    for _ in range(options.cases):
        one, other = drawn.sample(list(TOKENS.values()), 2)
        slot = drawn.randrange(4 * 10**9, 5 * 10**9)
        dollars = 10 ** drawn.uniform(0, 6.5)
        amount = int(dollars / DOLLARS[one.symbol] * 10**one.decimals)
        snapshots = market.snapshots(slot)
        cost = snapshots["raydium"].leg_cost(other)
        paths = paths_of(one, other, slot)
        brute = brute_force(paths, amount, cost)
        try:
            route = find_route(one, other, amount, 50, snapshots)
        except NoRoutesFound:
            none += 1
            if brute is not None and brute > 0:
                print(f"no route, but brute force has: {amount} {one.symbol} {other.symbol} {slot}")
                worst = max(worst, 10_000)
            continue
        net = route.out_amount - cost * len(route.route_plan)
        legs += len(route.route_plan)
        if brute is not None:
            short = (brute - net) * 10_000 / route.out_amount
            gains.append(-short)
            if len(route.route_plan) == LEGS_MAX:
                full, worst_full = full + 1, max(worst_full, short)
                continue
            if short > TOLERANCE_BPS:
                print(f"{short:.4f} bps short: {amount} {one.symbol} {other.symbol} at slot {slot}")
            worst = max(worst, short)
    found = options.cases - none
    print(
        f"{options.cases} cases, {none} beyond all depth, {legs / max(found, 1):.2f} legs a route"
    )
    print(f"better than brute force by {statistics.median(gains):.3f} bps (median)")
    print(
        f"{full} with {LEGS_MAX} legs, worse than brute force with any number of legs"
        f" by at most {worst_full:.5f} bps"
    )
    print(f"worse than brute force by at most {worst:.5f} bps (goal: {TOLERANCE_BPS})")
    return int(worst > TOLERANCE_BPS)


if __name__ == "__main__":
    sys.exit(main())
