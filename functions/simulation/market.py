"""The simulated market: prices and pools as a pure function of (seed, version, slot).

Nothing is stored, so every worker sees the same market and any moment can be replayed.

A deployment may replace this module while orders are under way. Each signed transaction names the
seed and the version of the market in which it executes, and this module must still be able to
compute that market. So:

- To change a reference price, or how prices move, add a version, and keep the earlier ones.
- To change a pool, close its listing and add another one. A closed pool is in no new route, and
  transactions that were routed over it still settle. Never delete a listing.
- A rollback must find the pools of the newer release. So release a new pool closed, and open it
  in the next release.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from math import isqrt

from functions.dex import base58, meteora, raydium
from functions.dex.errors import METEORA_DLMM, RAYDIUM_AMM_V4, RAYDIUM_CPMM
from functions.dex.pools import Pool
from functions.dex.router import HUBS
from functions.dex.tokens import TOKENS, Token, price_text

RAYDIUM = "raydium"
METEORA = "meteora"
VENUES = (RAYDIUM, METEORA)

VERSION = 1

SLOT_MS = 400
NOISE_SCALE = 10**8
# Seven octaves of at most 8 · 2**i · 10000: the price never leaves ±10.16 % of its base.
NOISE_MAX = 8 * 127 * 10_000
VENUE_NOISE_DIVISOR = 2_000
BINS_EACH_SIDE = 35


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a token's price moves: `base` units of `quote` per 10**lot base units of the token.

    A lot of many tokens keeps a cheap token's price an integer of enough digits. `calm` divides
    the noise: a stablecoin and a staked SOL hardly move against what they stand for.
    """

    quote: str
    base: int
    lot: int
    calm: int = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """A pool that exists: `depth` is its quote reserve, or for a DLMM the quote in each bin.

    `number` tells pools of the same program and pair apart. A `closed` pool is in no new route.
    """

    venue: str
    program: str
    base: str
    quote: str
    depth: int
    fee_rate: int = 2_500
    bin_step: int = 0
    base_factor: int = 10_000
    number: int = 1
    closed: bool = False

    @property
    def address(self) -> str:
        """The pool's made-up account, the same everywhere."""
        text = f"{self.program}|{self.base}/{self.quote}"
        if self.number > 1:
            text += f"#{self.number}"
        return base58.encode(sha256(text.encode()).digest())


REFERENCES: Mapping[str, Reference] = {
    "SOL": Reference("USDC", 150_000_000, lot=9),
    "USDT": Reference("USDC", 1_000_000_000, lot=9, calm=500),
    "RAY": Reference("USDC", 2_400_000_000, lot=9),
    "JUP": Reference("USDC", 450_000_000, lot=9),
    "BONK": Reference("USDC", 21_000_000, lot=11),
    "MET": Reference("USDC", 350_000_000, lot=9),
    "mSOL": Reference("SOL", 1_340_000_000, lot=9, calm=500),
    "JitoSOL": Reference("SOL", 1_240_000_000, lot=9, calm=500),
}

if _unpriced := TOKENS.keys() - REFERENCES.keys() - {"USDC"}:  # which is what prices are told in
    raise LookupError(f"tokens without a reference price: {', '.join(sorted(_unpriced))}")

_USD = 10**6
_SOL = 10**9

LISTINGS = (
    Listing(RAYDIUM, RAYDIUM_CPMM, "SOL", "USDC", 5_000_000 * _USD),
    Listing(RAYDIUM, RAYDIUM_CPMM, "SOL", "USDT", 1_500_000 * _USD),
    Listing(RAYDIUM, RAYDIUM_CPMM, "USDT", "USDC", 4_000_000 * _USD, fee_rate=100),
    Listing(RAYDIUM, RAYDIUM_CPMM, "RAY", "USDC", 2_400_000 * _USD),
    Listing(RAYDIUM, RAYDIUM_CPMM, "RAY", "SOL", 8_000 * _SOL),
    Listing(RAYDIUM, RAYDIUM_AMM_V4, "RAY", "SOL", 20_000 * _SOL),
    Listing(RAYDIUM, RAYDIUM_CPMM, "JUP", "USDC", 900_000 * _USD),
    Listing(RAYDIUM, RAYDIUM_CPMM, "JUP", "SOL", 5_000 * _SOL),
    Listing(RAYDIUM, RAYDIUM_CPMM, "BONK", "SOL", 9_000 * _SOL),
    Listing(RAYDIUM, RAYDIUM_CPMM, "mSOL", "SOL", 12_000 * _SOL),
    Listing(METEORA, METEORA_DLMM, "SOL", "USDC", 7_500 * _USD, bin_step=4),
    Listing(METEORA, METEORA_DLMM, "USDT", "USDC", 60_000 * _USD, bin_step=1),
    Listing(METEORA, METEORA_DLMM, "JUP", "USDC", 3_000 * _USD, bin_step=25),
    Listing(METEORA, METEORA_DLMM, "JUP", "SOL", 15 * _SOL, bin_step=25),
    Listing(METEORA, METEORA_DLMM, "BONK", "USDC", 2_500 * _USD, bin_step=20),
    Listing(METEORA, METEORA_DLMM, "BONK", "SOL", 20 * _SOL, bin_step=20),
    Listing(METEORA, METEORA_DLMM, "MET", "USDC", 4_000 * _USD, bin_step=20),
    Listing(METEORA, METEORA_DLMM, "MET", "SOL", 12 * _SOL, bin_step=25),
    Listing(METEORA, METEORA_DLMM, "mSOL", "SOL", 120 * _SOL, bin_step=1, base_factor=20_000),
    Listing(METEORA, METEORA_DLMM, "JitoSOL", "SOL", 200 * _SOL, bin_step=1, base_factor=20_000),
)


class UnknownMarket(Exception):
    """A transaction was signed in a version of the market that this release does not know."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One venue's pools at one slot; each pool is worked out when it is first asked for."""

    venue: str
    slot: int
    seed: str
    _found: dict[tuple[str, str], tuple[Pool, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def pools(self, one: Token, other: Token) -> tuple[Pool, ...]:
        """The open pools of these two tokens, in either order; empty where there is none."""
        key = (one.symbol, other.symbol)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = tuple(
                _pool_at(listing, seconds_at(self.slot), self.seed)
                for listing in _listed(*key)
                if listing.venue == self.venue
            )
        return found

    def pool(self, address: str) -> Pool:
        """The venue's pool at this address, open or closed; KeyError if it has none there."""
        listing = _BY_ADDRESS[address]
        if listing.venue != self.venue:
            raise KeyError(address)
        return _pool_at(listing, seconds_at(self.slot), self.seed)


def program_of(address: str) -> str:
    """The on-chain program of the pool at this address; KeyError if there is none."""
    return _BY_ADDRESS[address].program


def slot_at(unix_ms: int) -> int:
    """The slot at a time in milliseconds since 1970."""
    return unix_ms // SLOT_MS


def seconds_at(slot: int) -> int:
    """The whole second in which a slot begins; prices are drawn by the second."""
    return slot * SLOT_MS // 1000


@lru_cache(maxsize=64)
def snapshot(venue: str, slot: int, seed: str = "", version: int = VERSION) -> Snapshot:
    """The venue's pools at this slot of the market of this seed and version.

    Raises ValueError on another venue, UnknownMarket on a version from a newer release.
    """
    if venue not in VENUES:
        raise ValueError(f"{venue!r} is no venue")
    if version != VERSION:
        raise UnknownMarket(f"version {version} of the market is not known, only {VERSION}")
    return Snapshot(venue, slot, seed)


@lru_cache(maxsize=1 << 12)
def noise(text: str, second: int) -> int:
    """Bounded hash noise at a second, in parts per 10**8: seven octaves of 1 minute to 3 days."""
    total = 0
    for octave in range(7):
        period = 60 * 4**octave
        step, rest = divmod(second, period)
        level = _level(text, octave, step) * (period - rest) + _level(text, octave, step + 1) * rest
        total += 8 * 2**octave * 10_000 * level // (period * 32_768)
    return total


def reference_price(base: Token, quote: Token, slot: int, seed: str = "") -> int:
    """Quote base units per lot of the base token (`REFERENCES[symbol].lot`), venues aside."""
    return _price(base.symbol, quote.symbol, seconds_at(slot), seed)


def venue_price(venue: str, base: Token, quote: Token, slot: int, seed: str = "") -> int:
    """The reference price with the venue's own small offset; unit as `reference_price`."""
    return _venue_price(venue, base.symbol, quote.symbol, seconds_at(slot), seed)


def price_texts(base: Token, quote: Token, slot: int, seed: str = "") -> dict[str, str]:
    """Whole quote tokens for one base token, as text: by "reference", and by venue with a pool."""
    lot = _lot(base.symbol)
    prices = {"reference": reference_price(base, quote, slot, seed)}
    for venue in sorted({listing.venue for listing in _listed(base.symbol, quote.symbol)}):
        prices[venue] = venue_price(venue, base, quote, slot, seed)
    return {source: price_text(lot, base, price, quote) for source, price in prices.items()}


@lru_cache(maxsize=256)
def capacity(token_in: Token, token_out: Token) -> int:
    """The most base units that any route of this pair could take in at any slot of any world.

    A bound, not a promise: an amount below it may still find no route. 0 without a path.
    """
    if token_in == token_out:
        return 0
    paths = [_capacity_of_hop(token_in.symbol, token_out.symbol)]
    for hub in HUBS:
        if hub not in {token_in.symbol, token_out.symbol} and _listed(hub, token_out.symbol):
            paths.append(_capacity_of_hop(token_in.symbol, hub))
    return max(paths)


def _capacity_of_hop(token_in: str, token_out: str) -> int:
    return sum(_capacity_of(listing, token_in) for listing in _listed(token_in, token_out))


def _capacity_of(listing: Listing, token_in: str) -> int:
    """A pool takes most of a token when that token is cheapest."""
    cheapest, dearest = _price_range(listing.base, listing.quote)
    price = cheapest if token_in == listing.base else dearest
    return _pool(listing, price).side(TOKENS[token_in]).max_in


def _listed(one: str, other: str) -> tuple[Listing, ...]:
    pair = {one, other}
    return tuple(each for each in LISTINGS if {each.base, each.quote} == pair and not each.closed)


@lru_cache(maxsize=256)
def _pool_at(listing: Listing, second: int, seed: str) -> Pool:
    return _pool(listing, _venue_price(listing.venue, listing.base, listing.quote, second, seed))


def _pool(listing: Listing, price: int) -> Pool:
    """The listed pool at a venue price."""
    base, quote = TOKENS[listing.base], TOKENS[listing.quote]
    state = _ladder(listing, price) if listing.program == METEORA_DLMM else _curve(listing, price)
    return Pool(_ADDRESSES[listing], listing.venue, base, quote, state)


def _curve(listing: Listing, price: int) -> raydium.Pool:
    """Constant k: the reserves at which the pool stands at this price."""
    lot, mid = _lot_and_mid(listing)
    k = listing.depth * (listing.depth * lot // mid)
    x = isqrt(k * lot // price)
    if listing.program == RAYDIUM_AMM_V4:
        return raydium.amm_v4(x, k // x)
    return raydium.Pool(x, k // x, trade_fee_rate=listing.fee_rate)


def _ladder(listing: Listing, price: int) -> meteora.Pool:
    """Even bins around the one whose price is nearest; base above it, quote below, half of each."""
    lot, mid = _lot_and_mid(listing)
    x, y = listing.depth * lot // mid, listing.depth
    active = _nearest_bin(price, lot, listing.bin_step)
    bins = {
        active + i: (x, 0) if i > 0 else (0, y) for i in range(-BINS_EACH_SIDE, BINS_EACH_SIDE + 1)
    }
    bins[active] = (x // 2, y // 2)
    parameters = meteora.Parameters(listing.bin_step, listing.base_factor)
    return meteora.Pool(parameters, active, bins)


def _nearest_bin(price: int, lot: int, bin_step: int) -> int:
    """The bin whose price is nearest to `price` per `lot`, the lower one on a tie."""
    wanted = price << 64
    # A step is at most bin_step / 10^4 of a factor e, and Q64.64 holds e^±44.
    high = 44 * 10_000 // bin_step
    low = -high
    while low < high:
        middle = (low + high) // 2
        if meteora.price_of_bin(middle, bin_step) * lot < wanted:
            low = middle + 1
        else:
            high = middle
    above = meteora.price_of_bin(low, bin_step) * lot - wanted
    below = wanted - meteora.price_of_bin(low - 1, bin_step) * lot
    return low if above < below else low - 1


def _lot_and_mid(listing: Listing) -> tuple[int, int]:
    """The base token's lot in base units, and the pair's price without noise."""
    mid = _value(listing.base, {}) * _lot(listing.quote) // _value(listing.quote, {})
    return _lot(listing.base), mid


def _venue_price(venue: str, base: str, quote: str, second: int, seed: str) -> int:
    price = _price(base, quote, second, seed)
    return _offset(
        price, noise(f"{_world(seed, base, quote)}|{venue}", second) // VENUE_NOISE_DIVISOR
    )


@lru_cache(maxsize=1 << 12)
def _price(base: str, quote: str, second: int, seed: str) -> int:
    """Every pair's price comes from both tokens' values, so that no triangle is free money."""
    moved = {
        symbol: noise(_world(seed, symbol, reference.quote), second)
        for symbol, reference in REFERENCES.items()
        if symbol in {base, quote, "SOL"}
    }
    return _value(base, moved) * _lot(quote) // _value(quote, moved)


def _price_range(base: str, quote: str) -> tuple[int, int]:
    """Prices that no venue can undercut or exceed."""
    lows = dict.fromkeys(REFERENCES, -NOISE_MAX)
    highs = dict.fromkeys(REFERENCES, NOISE_MAX)
    edge = NOISE_MAX // VENUE_NOISE_DIVISOR + 1
    low = _value(base, lows) * _lot(quote) // _value(quote, highs)
    high = _value(base, highs) * _lot(quote) // _value(quote, lows) + 1
    return _offset(low, -edge), _offset(high, edge)


def _value(symbol: str, moved: Mapping[str, int]) -> int:
    """Micro-USDC per lot of the token, each price moved by its noise."""
    reference = REFERENCES.get(symbol)
    if reference is None:
        return _lot(symbol)
    price = _offset(reference.base, moved.get(symbol, 0) // reference.calm)
    return price * _value(reference.quote, moved) // _lot(reference.quote)


def _lot(symbol: str) -> int:
    reference = REFERENCES.get(symbol)
    lot: int = 10 ** (reference.lot if reference else TOKENS[symbol].decimals)
    return lot


def _offset(price: int, parts: int) -> int:
    return price + price * parts // NOISE_SCALE


def _world(seed: str, base: str, quote: str) -> str:
    return f"{seed}:{base}/{quote}" if seed else f"{base}/{quote}"


@lru_cache(maxsize=1 << 14)
def _level(text: str, octave: int, step: int) -> int:
    digest = sha256(f"{text}|{octave}|{step}".encode()).digest()
    return int.from_bytes(digest[:2], "big") - 32_768


_ADDRESSES = {listing: listing.address for listing in LISTINGS}
_BY_ADDRESS = {address: listing for listing, address in _ADDRESSES.items()}
