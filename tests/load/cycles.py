"""Searches for arbitrage: `uv run python -m tests.load.cycles [--slots N] [--seed N]`.

At each of N random slots it compares every pool's quote with the reference price, in both
directions, for small and large amounts. It also trades a random cycle of two to four tokens, each
hop by the best route at that slot. The exit code is 1 if a quote is better than the reference price
or a cycle gains a unit.
"""

from __future__ import annotations

import argparse
import random
import sys

from tests.arbitrage import better_quotes, gain_of_a_cycle


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--slots", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    drawn = random.Random(options.seed)
    found = 0
    for _ in range(options.slots):
        slot = drawn.randrange(4 * 10**9, 5 * 10**9)
        for better in better_quotes(slot):
            found += 1
            print(f"slot {slot}: {better}")
        gain = gain_of_a_cycle(drawn, slot)
        if gain > 0:
            found += 1
            print(f"slot {slot}: a cycle gains {gain}")
    print(f"{options.slots} slots: {found} quotes better than the reference or cycles that gain")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
