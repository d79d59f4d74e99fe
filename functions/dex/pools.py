"""One pool of either venue, seen the same way: what it is, what goes in, what comes out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from functions.dex import meteora, raydium
from functions.dex.errors import METEORA_DLMM, ZeroOutput
from functions.dex.tokens import Token

# Price impacts are parts per 10**12: for reading, never part of a decision.
IMPACT_DECIMALS = 12
IMPACT_SCALE = 10**IMPACT_DECIMALS


@dataclass(frozen=True, slots=True)
class Fill:
    """One swap in one pool: base units in and out, the fee in the token in, impact per 10**12."""

    amount_in: int
    amount_out: int
    fee: int
    impact: int


@dataclass(frozen=True, slots=True)
class Side:
    """A pool from the side of one token in.

    `amount_out(amount)` is the exact output of 1 … `max_in` base units, 0 where nothing comes out.
    """

    pool: "Pool"
    x_to_y: bool
    max_in: int
    amount_out: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Pool:
    """A venue's pool at one moment; X is `base`, Y is `quote`."""

    address: str
    venue: str
    base: Token
    quote: Token
    state: raydium.Pool | meteora.Pool
    _sides: dict[bool, Side] = field(default_factory=dict, repr=False, compare=False)

    @property
    def program(self) -> str:
        """The on-chain program whose error numbers this pool speaks."""
        return self.state.program if isinstance(self.state, raydium.Pool) else METEORA_DLMM

    def side(self, token_in: Token) -> Side:
        """This pool for `token_in`, one of its two tokens; kept, so that bins are summed once."""
        x_to_y = token_in == self.base
        side = self._sides.get(x_to_y)
        if side is None:
            side = self._sides[x_to_y] = _side(self, x_to_y)
        return side

    def fill(self, token_in: Token, amount: int) -> Fill:
        """The whole account of a swap; raises PoolError as the program would."""
        x_to_y = token_in == self.base
        if isinstance(self.state, raydium.Pool):
            return _cpmm_fill(self.state, amount, x_to_y)
        return _dlmm_fill(self.state, amount, x_to_y)


class Snapshot(Protocol):
    """One venue's pools at one slot."""

    @property
    def slot(self) -> int:
        """The slot that the pools are of."""

    def pools(self, one: Token, other: Token) -> tuple[Pool, ...]:
        """The pools of these two tokens, in either order; empty where the venue has none."""


def _side(pool: Pool, x_to_y: bool) -> Side:
    state = pool.state
    if isinstance(state, raydium.Pool):
        # The curve has no end; past its own reserve (half the price gone) we call it empty.
        max_in = state.reserve_x if x_to_y else state.reserve_y
        return Side(pool, x_to_y, max_in, raydium.out_of(state, x_to_y))
    amount_out, max_in = meteora.out_of(state, x_to_y)
    return Side(pool, x_to_y, max_in, amount_out)


def _cpmm_fill(state: raydium.Pool, amount: int, x_to_y: bool) -> Fill:
    swap = raydium.swap_exact_in(state, amount, x_to_y)
    if swap.amount_out == 0:
        raise ZeroOutput(state.program, None, f"{amount} in gives nothing")
    reserve_in = state.reserve_x if x_to_y else state.reserve_y
    fee = swap.trade_fee + (swap.creator_fee if state.creator_on_input else 0)
    impact = IMPACT_SCALE * swap.net_in // (reserve_in + swap.net_in)
    return Fill(amount, swap.amount_out, fee, impact)


def _dlmm_fill(state: meteora.Pool, amount: int, x_to_y: bool) -> Fill:
    swap = meteora.swap_exact_in(state, amount, x_to_y)
    price = meteora.price_of_bin(state.active_id, state.parameters.bin_step)
    net = swap.amount_in - swap.fee
    worth, got = (
        (net * price, swap.amount_out << 64) if x_to_y else (net << 64, swap.amount_out * price)
    )
    return Fill(amount, swap.amount_out, swap.fee, IMPACT_SCALE * (worth - got) // worth)
