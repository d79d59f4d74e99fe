"""One pool of any venue at one moment, and its side for each input token."""

from collections.abc import Callable, Sequence
from typing import Protocol

from functions.dex.errors import Program
from functions.dex.sides import DEPTH_UNREACHABLE, Fill, Piece, Side
from functions.dex.tokens import Token

# Rate bounds are billionths of the reference price.
RATE_BOUND_SCALE = 10**9


class State(Protocol):
    """The interface of a venue's own pool type."""

    def side(self, x_to_y: bool, /) -> Side:
        """The pool for an input of X (or of Y)."""


class Pool:
    """A venue's pool; X (or A) is `base`, Y (or B) is `quote`; `make` computes its state.

    The state is computed when it is first needed. `rate_bounds` are known without it: for an input
    of X and of Y, an upper bound of a swap's output, in billionths of the output at the pair's
    reference price. The router uses them to skip pools with bad prices.
    """

    __slots__ = (
        "_make",
        "_sides",
        "_state",
        "address",
        "base",
        "program",
        "quote",
        "rate_bounds",
        "venue",
    )

    def __init__(
        self,
        address: str,
        venue: str,
        program: Program,
        base: Token,
        quote: Token,
        *,
        make: Callable[[], State],
        rate_bounds: tuple[int, int] = (RATE_BOUND_SCALE, RATE_BOUND_SCALE),
    ) -> None:
        self.address, self.venue, self.program = address, venue, program
        self.base, self.quote = base, quote
        self.rate_bounds, self._make = rate_bounds, make
        self._state: State | None = None
        self._sides: dict[bool, Side] = {}

    @property
    def state(self) -> State:
        """The venue's own pool."""
        if self._state is None:
            self._state = self._make()
        return self._state

    def side(self, token_in: Token) -> "PoolSide":
        """This pool for `token_in`, one of its two tokens."""
        return PoolSide(self, x_to_y=token_in is self.base)

    def state_side(self, x_to_y: bool) -> Side:
        """The state for an input of X (or of Y); cached, so that its sums are computed once."""
        side = self._sides.get(x_to_y)
        if side is None:
            side = self._sides[x_to_y] = self.state.side(x_to_y)
        return side

    def fill(self, token_in: Token, amount: int) -> Fill:
        """The amounts, fee and price impact of a swap; raises PoolError as the program would."""
        return self.side(token_in).fill(amount)


class PoolSide:
    """A pool for one input token, as a Side, with the tokens that it swaps.

    `rate_bound` is an upper bound of a swap's output, in billionths of that at the reference price.
    """

    __slots__ = ("_side", "pool", "rate_bound", "token_in", "token_out", "x_to_y")

    def __init__(self, pool: Pool, x_to_y: bool) -> None:
        self.pool, self.x_to_y = pool, x_to_y
        self.token_in, self.token_out = (
            (pool.base, pool.quote) if x_to_y else (pool.quote, pool.base)
        )
        self.rate_bound = pool.rate_bounds[0 if x_to_y else 1]
        self._side: Side | None = None

    def amount_out(self, amount: int) -> int:
        """The exact output of `amount` base units; 0 if nothing would come out."""
        return self._known().amount_out(amount)

    def takes(self, amount: int) -> bool:
        """Whether `amount` gives an output and does not go beyond the end of `pieces`."""
        return self._known().takes(amount)

    def pieces(self, limit: int, depth_max: int = DEPTH_UNREACHABLE) -> Sequence[Piece]:
        """The curve, shallowest piece first: see `Side.pieces`."""
        return self._known().pieces(limit, depth_max)

    def fill(self, amount: int) -> Fill:
        """The amounts, fee and price impact of a swap; raises PoolError as the program would."""
        return self._known().fill(amount)

    def _known(self) -> Side:
        if self._side is None:
            self._side = self.pool.state_side(self.x_to_y)
        return self._side


class Snapshot(Protocol):
    """One venue's pools at one slot."""

    @property
    def slot(self) -> int:
        """The slot of the pools."""

    def pools(self, one: Token, other: Token) -> tuple[Pool, ...]:
        """The pools of these two tokens, in either order; empty if the venue has none."""

    def worth(self, amount: int, token_in: Token, token_out: Token) -> int:
        """What `amount` base units are worth at the reference price of the slot."""

    def leg_cost(self, token_out: Token) -> int:
        """The network fee of one more leg, in base units of `token_out`."""
