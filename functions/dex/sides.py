"""The interface of a pool for one input token: all that the router knows of a venue."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from functions.dex.tokens import UNITS_MAX

# Price impacts are parts per 10**12: for reading, never part of a decision.
IMPACT_DECIMALS = 12
IMPACT_SCALE = 10**IMPACT_DECIMALS

# The share of the liquidity in bins or ticks that a route may use. Until a transaction lands, the
# prices can move, and with them the end of the liquidity; a first hop can give more than planned.
USABLE_PERCENT = 94
# A depth is 1/√(marginal output per input), Q64: it grows with the input. No pool reaches this one.
DEPTH_UNREACHABLE = 1 << 192


class Piece(NamedTuple):
    """A section of a pool's curve: from depth `start` to `end`, with its base units in and out.

    In it, the pool is a constant-product curve, or has one price if `end` equals `start`.
    """

    start: int
    end: int
    amount_in: int
    amount_out: int

    def cut(self, amount_out: int) -> "Piece":
        """The beginning of the piece that gives `amount_out`, or all of it if it gives less."""
        if amount_out >= self.amount_out:
            return self
        if self.start == self.end:
            taken = -(-self.amount_in * amount_out // self.amount_out)
            return Piece(self.start, self.end, taken, amount_out)
        length = self.end - self.start
        # The output is linear in 1/q, from 1/start to 1/end.
        below = self.end * self.amount_out - length * amount_out
        end = self.start * self.end * self.amount_out // below
        taken = -(-self.amount_in * (end - self.start) // length)
        return Piece(self.start, end, taken, amount_out)


class Fill(NamedTuple):
    """One swap in one pool: base units in and out, the fee in the token in, impact per 10**12."""

    amount_in: int
    amount_out: int
    fee: int
    impact: int


class Side(Protocol):
    """A pool for one input token. More input never gives less output, nor more output per unit."""

    def amount_out(self, amount: int, /) -> int:
        """The exact output of `amount` base units; 0 if nothing would come out."""

    def takes(self, amount: int, /) -> bool:
        """Whether `amount` gives an output and does not go beyond the end of `pieces`."""

    def pieces(self, limit: int, depth_max: int = DEPTH_UNREACHABLE, /) -> Sequence[Piece]:
        """The curve, shallowest piece first; empty only if the pool holds nothing.

        It reaches at least an input of `limit` or the depth `depth_max`, whichever comes first,
        unless it ends before: at its end, no more should be put in.
        """

    def fill(self, amount: int, /) -> Fill:
        """The amounts, fee and price impact of a swap; raises PoolError as the program would."""


def usable(side: Side) -> int:
    """The most base units that should be put in."""
    return sum(piece.amount_in for piece in side.pieces(UNITS_MAX))
