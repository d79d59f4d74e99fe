"""A pool seen from the side of one token in: all that the router knows of any venue."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from functions.dex.tokens import UNITS_MAX

# Price impacts are parts per 10**12: for reading, never part of a decision.
IMPACT_DECIMALS = 12
IMPACT_SCALE = 10**IMPACT_DECIMALS

# A ladder of bins or a range of ticks is used up to this share of what it holds: prices that move
# until a transaction lands move its end too, and a first hop may give more than planned.
USABLE_PERCENT = 94
# A depth is 1/√(marginal output per input), Q64: it grows as more goes in. This one is beyond all.
NOWHERE = 1 << 192


class Piece(NamedTuple):
    """A stretch of a pool, as a whole: from depth `start` to `end`, base units in and out.

    Between them the pool is a constant-product curve; where `end` is `start`, one price.
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
        # Output goes with 1/q: start/q is this part of the way from 1 to start/end.
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
    """A pool from the side of one token in. More in never gives less out, and ever less a unit."""

    def amount_out(self, amount: int, /) -> int:
        """The exact output of `amount` base units; 0 where nothing would come out."""

    def takes(self, amount: int, /) -> bool:
        """Whether `amount` gives something and should go in as a whole: see `pieces`."""

    def pieces(self, limit: int, depth_max: int = NOWHERE, /) -> Sequence[Piece]:
        """The curve, shallowest piece first.

        At least as far as an input of `limit` reaches, or to the depth `depth_max` if that is less.
        It ends where no more should be put in. Empty only if the pool holds nothing.
        """

    def fill(self, amount: int, /) -> Fill:
        """The whole account of a swap; raises PoolError as the program would."""


def usable(side: Side) -> int:
    """The most base units that should be put in."""
    return sum(piece.amount_in for piece in side.pieces(UNITS_MAX))
