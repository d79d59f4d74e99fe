"""The contents of the simulated market: the tokens' reference prices and the pools.

To add a pool, add a listing. To add a venue, add its module to `functions/dex`, and here a kind of
listing and its listings. See `market` for the effect of a change on orders under way.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import isqrt
from typing import ClassVar

from functions.dex import base58, meteora, raydium, whirlpool
from functions.dex.errors import Program
from functions.dex.pools import RATE_BOUND_SCALE, State
from functions.dex.tokens import TOKENS

BINS_EACH_SIDE = 35
# A whirlpool's positions around its price: half their width in tick spacings, and their liquidity
# as a multiple of the full-range position's.
LAYERS = ((8, 500), (32, 200), (128, 75))
PROTOCOL_FEE_RATE = 1_300


@dataclass(frozen=True, slots=True)
class Reference:
    """The price around which a token moves: `base` units of `quote` per 10**lot base units of it.

    With a lot of many tokens, a cheap token's price is an integer with enough digits. `damping`
    divides the noise: a stablecoin and a staked SOL move little against their `quote`.
    """

    quote: str
    base: int
    lot: int
    damping: int = 1


REFERENCES: Mapping[str, Reference] = {
    "SOL": Reference("USDC", 150_000_000, lot=9),
    "USDT": Reference("USDC", 1_000_000_000, lot=9, damping=500),
    "RAY": Reference("USDC", 2_400_000_000, lot=9),
    "JUP": Reference("USDC", 450_000_000, lot=9),
    "BONK": Reference("USDC", 21_000_000, lot=11),
    "MET": Reference("USDC", 350_000_000, lot=9),
    "mSOL": Reference("SOL", 1_340_000_000, lot=9, damping=500),
    "JitoSOL": Reference("SOL", 1_240_000_000, lot=9, damping=500),
}

if _unpriced := TOKENS.keys() - REFERENCES.keys() - {"USDC"}:  # prices are in USDC
    raise LookupError(f"tokens without a reference price: {', '.join(sorted(_unpriced))}")


@dataclass(frozen=True, eq=False)
class Listing(ABC):
    """A pool of two tokens, which exists since the version `since` of the market.

    `number` distinguishes pools of the same program and pair. No new route uses a `closed` pool.
    """

    venue: ClassVar[str]
    venue_name: ClassVar[str]  # in sentences
    program: ClassVar[Program]

    base: str
    quote: str
    depth: int
    number: int = 1
    closed: bool = False
    since: int = 1

    @property
    @abstractmethod
    def fee_ppm(self) -> int:
        """The least fee of a swap, in parts per million."""

    @property
    def step_bps(self) -> int:
        """The distance between the prices that the pool can have; 0 if it can have any price."""
        return 0

    @abstractmethod
    def state(self, price: int, lot: int, mid: int, /) -> State:
        """The pool at a price: base units of the quote per `lot` base units of the base.

        `mid` is the price around which the pool was made.
        """

    @cached_property
    def kept(self) -> int:
        """An upper bound of a swap's output, as a share (RATE_BOUND_SCALE) of the venue's price.

        The pool's price can be half a step better than the venue's, and the fee is subtracted. A
        hundred-thousandth is added, because reserves and prices are rounded.
        """
        kept = (10**6 - self.fee_ppm) * (20_000 + self.step_bps)
        return kept * RATE_BOUND_SCALE // (20_000 * 10**6) + RATE_BOUND_SCALE // 10**5

    @cached_property
    def address(self) -> str:
        """The pool's invented address, the same in every deployment."""
        text = f"{self.program}|{self.base}/{self.quote}"
        if self.number > 1:
            text += f"#{self.number}"
        return base58.encode(sha256(text.encode()).digest())


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve(Listing):
    """A pool of Raydium; `depth` is its quote reserve, `fee_rate` parts per million."""

    venue, venue_name = "raydium", "Raydium"
    program = raydium.CPMM

    fee_rate: int = 2_500

    @property
    def fee_ppm(self) -> int:
        return self.fee_rate

    def state(self, price: int, lot: int, mid: int) -> State:
        """The product of the reserves is constant."""
        return raydium.Pool(*self._reserves(price, lot, mid), trade_fee_rate=self.fee_rate)

    def _reserves(self, price: int, lot: int, mid: int) -> tuple[int, int]:
        k = self.depth * (self.depth * lot // mid)
        x = isqrt(k * lot // price)
        return x, k // x


@dataclass(frozen=True, eq=False, kw_only=True)
class OldCurve(Curve):
    """A pool of Raydium's older program, whose fee stays in the pool."""

    program = raydium.AMM_V4

    def state(self, price: int, lot: int, mid: int) -> State:
        """The product of the reserves is constant."""
        return raydium.amm_v4(*self._reserves(price, lot, mid))


@dataclass(frozen=True, eq=False, kw_only=True)
class Ladder(Listing):
    """A pool of Meteora; `depth` is the quote in each bin."""

    venue, venue_name = "meteora", "Meteora"
    program = meteora.DLMM

    bin_step: int
    base_factor: int = 10_000

    @property
    def fee_ppm(self) -> int:
        return self.base_factor * self.bin_step // 100

    @property
    def step_bps(self) -> int:
        return self.bin_step

    def state(self, price: int, lot: int, mid: int) -> State:
        """Equal bins around the one whose price is nearest.

        The bins above it hold the base token, those below it the quote token, and it holds half of
        each.
        """
        active = meteora.nearest_bin(price, lot, self.bin_step)
        x, y = self.depth * lot // mid, self.depth
        holdings = [*[(0, y)] * BINS_EACH_SIDE, (x // 2, y // 2), *[(x, 0)] * BINS_EACH_SIDE]
        ids = range(active - BINS_EACH_SIDE, active + BINS_EACH_SIDE + 1)
        return meteora.Pool(self._parameters, active, dict(zip(ids, holdings, strict=True)))

    @cached_property
    def _parameters(self) -> meteora.Parameters:
        return meteora.Parameters(self.bin_step, self.base_factor)


@dataclass(frozen=True, eq=False, kw_only=True)
class Ranges(Listing):
    """A pool of Orca; `depth` is the liquidity of its full-range position."""

    venue, venue_name = "whirlpool", "Orca"
    program = whirlpool.WHIRLPOOL

    fee_rate: int
    tick_spacing: int

    @property
    def fee_ppm(self) -> int:
        return self.fee_rate

    def state(self, price: int, lot: int, _mid: int) -> State:
        """Positions in layers around the price, and one over the full range."""
        sqrt_price = isqrt((price << 128) // lot)
        tick = whirlpool.tick_of_sqrt_price(sqrt_price)
        spacing = self.tick_spacing
        middle = tick // spacing * spacing
        edge = whirlpool.TICK_MAX // spacing * spacing
        ticks = {-edge: self.depth, edge: -self.depth}
        for reach, weight in LAYERS:
            ticks[middle - reach * spacing] = weight * self.depth
            ticks[middle + reach * spacing] = -weight * self.depth
        liquidity = self.depth * (1 + sum(weight for _, weight in LAYERS))
        return whirlpool.Pool(
            spacing, self.fee_rate, PROTOCOL_FEE_RATE, liquidity, sqrt_price, tick, ticks
        )


_USD = 10**6
_SOL = 10**9

LISTINGS: tuple[Listing, ...] = (
    Curve("SOL", "USDC", 5_000_000 * _USD),
    Curve("SOL", "USDT", 1_500_000 * _USD),
    Curve("USDT", "USDC", 4_000_000 * _USD, fee_rate=100),
    Curve("RAY", "USDC", 2_400_000 * _USD),
    Curve("RAY", "SOL", 8_000 * _SOL),
    OldCurve("RAY", "SOL", 20_000 * _SOL),
    Curve("JUP", "USDC", 900_000 * _USD),
    Curve("JUP", "SOL", 5_000 * _SOL),
    Curve("BONK", "SOL", 9_000 * _SOL),
    Curve("mSOL", "SOL", 12_000 * _SOL),
    Ladder("SOL", "USDC", 7_500 * _USD, bin_step=4),
    Ladder("USDT", "USDC", 60_000 * _USD, bin_step=1),
    Ladder("JUP", "USDC", 3_000 * _USD, bin_step=25),
    Ladder("JUP", "SOL", 15 * _SOL, bin_step=25),
    Ladder("BONK", "USDC", 2_500 * _USD, bin_step=20),
    Ladder("BONK", "SOL", 20 * _SOL, bin_step=20),
    Ladder("MET", "USDC", 4_000 * _USD, bin_step=20),
    Ladder("MET", "SOL", 12 * _SOL, bin_step=25),
    Ladder("mSOL", "SOL", 120 * _SOL, bin_step=1, base_factor=20_000),
    Ladder("JitoSOL", "SOL", 200 * _SOL, bin_step=1, base_factor=20_000),
    Ranges("SOL", "USDC", 10**12, fee_rate=400, tick_spacing=4, since=2),
    Ranges("USDT", "USDC", 10**12, fee_rate=100, tick_spacing=1, since=2),
    Ranges("BONK", "SOL", 25 * 10**11, fee_rate=3_000, tick_spacing=64, since=2),
)
