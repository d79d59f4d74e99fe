"""The simulated market: prices and pools as a pure function of (seed, version, slot).

Nothing is stored, so every worker sees the same market and any moment can be replayed.

A deployment may replace this module while orders are under way. Each signed transaction names the
seed and the version of the market in which it executes, and this module must still be able to
compute that market. So:

- To change a reference price, or how prices move, add a version, and keep the earlier ones.
- To change a pool, close its listing and add another one. No new route uses a closed pool, but
  transactions that were routed over it still settle. Never delete a listing.
- After a rollback, the older release must know the pools and the version of the newer one. So
  release a new pool as closed, and open it in the next release. Release a new version as the last
  known one, and sign in it in the next release.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache, partial

from functions.dex.errors import Program
from functions.dex.pools import Pool, State
from functions.dex.tokens import TOKENS, Token, price_text
from functions.simulation import candles, first_prices, prices
from functions.simulation.listings import LISTINGS, REFERENCES, Listing

VERSION = 2  # the version in which this release quotes and signs
LAST_KNOWN_VERSION = 2  # the last version in which this release can settle a transaction
VENUES = tuple(dict.fromkeys(each.venue for each in LISTINGS if not each.closed))
VENUE_NAMES = tuple(dict.fromkeys(each.venue_name for each in LISTINGS if not each.closed))

SLOT_MS = 400
# By symbol: the lot of base units to which the token's price refers.
LOTS: Mapping[str, int] = {
    symbol: 10 ** (REFERENCES[symbol].lot if symbol in REFERENCES else token.decimals)
    for symbol, token in TOKENS.items()
}

# What a leg costs on the network: its compute units at the price that transactions bid.
UNIT_PRICE_MICRO_LAMPORTS = 50_000
UNITS_PER_LEG = 90_000


class UnknownMarket(Exception):
    """A transaction was signed in a version of the market that this release does not know."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One venue's pools at one slot; each pool is computed when it is first needed."""

    venue: str
    slot: int
    seed: str = ""
    version: int = VERSION
    _found: dict[tuple[str, str], tuple[Pool, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _open: Mapping[tuple[str, str], Sequence[Listing]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def pools(self, one: Token, other: Token) -> tuple[Pool, ...]:
        """The open pools of these two tokens, in either order; empty if there is none."""
        key = (one.symbol, other.symbol)
        listings = self._open.get(key)
        if listings is None:
            return ()
        found = self._found.get(key)
        if found is None:
            second = seconds_at(self.slot)
            found = self._found[key] = tuple(
                [_pool_at(listing, second, self.seed, self.version) for listing in listings]
            )
        return found

    def worth(self, amount: int, token_in: Token, token_out: Token) -> int:
        """What `amount` base units are worth at the reference price of the slot."""
        one, other = (
            _value_at(token.symbol, seconds_at(self.slot), self.seed, self.version)
            for token in (token_in, token_out)
        )
        return amount * one * LOTS[token_out.symbol] // (other * LOTS[token_in.symbol])

    def leg_cost(self, token_out: Token) -> int:
        """The network fee of one more leg, in base units of `token_out`."""
        lamports = UNITS_PER_LEG * UNIT_PRICE_MICRO_LAMPORTS // 10**6
        return self.worth(lamports, TOKENS["SOL"], token_out)

    def pool(self, address: str) -> Pool:
        """The venue's pool at this address, open or closed; KeyError if there is none."""
        listing = _by_address(LISTINGS)[address]
        if listing.venue != self.venue or listing.since > self.version:
            raise KeyError(address)
        return _pool_at(listing, seconds_at(self.slot), self.seed, self.version)


def program_of(address: str) -> Program:
    """The on-chain program of the pool at this address; KeyError if there is none."""
    return _by_address(LISTINGS)[address].program


def slot_at(unix_ms: int) -> int:
    """The slot at a time in milliseconds since 1970."""
    return unix_ms // SLOT_MS


def seconds_at(slot: int) -> int:
    """The whole second in which a slot begins; prices are drawn by the second."""
    return slot * SLOT_MS // 1000


@lru_cache(maxsize=64)
def snapshot(venue: str, slot: int, seed: str = "", version: int = VERSION) -> Snapshot:
    """The venue's pools at this slot of the market of this seed and version.

    Raises ValueError for an unknown venue, UnknownMarket for a version of a newer release.
    """
    if all(listing.venue != venue for listing in LISTINGS):
        raise ValueError(f"{venue!r} is no venue")
    if not 1 <= version <= LAST_KNOWN_VERSION:
        known = f"1 to {LAST_KNOWN_VERSION}"
        raise UnknownMarket(f"version {version} of the market is not known, only {known}")
    return Snapshot(venue, slot, seed, version, _open=_open_listings(LISTINGS, venue, version))


def snapshots(slot: int, seed: str = "") -> dict[str, Snapshot]:
    """Every venue's pools at this slot, by venue."""
    return {venue: snapshot(venue, slot, seed) for venue in VENUES}


def reference_price(
    base: Token, quote: Token, slot: int, seed: str = "", version: int = VERSION
) -> int:
    """The reference price: quote base units per lot of the base token (see `LOTS`)."""
    return _price(base.symbol, quote.symbol, seconds_at(slot), seed, version)


def exact_price(
    token_in: Token, token_out: Token, slot: int, seed: str = "", version: int = VERSION
) -> Fraction:
    """The reference price without rounding: whole `token_out` for one whole `token_in`."""
    second = seconds_at(slot)
    above = _value_at(token_in.symbol, second, seed, version) * LOTS[token_out.symbol]
    below = _value_at(token_out.symbol, second, seed, version) * LOTS[token_in.symbol]
    return Fraction(above * 10**token_in.decimals, below * 10**token_out.decimals)


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """The reference price of a pair by the second, for `candles`.

    Quote base units per lot of the base token.
    """

    base: str
    quote: str
    seed: str = ""

    block = prices.BLOCK

    def prices(self, first: int, count: int) -> list[int]:
        """The prices of `count` seconds from `first`."""
        offsets = {
            symbol: prices.offsets(self._text(symbol), first, count)
            for symbol in {*_chain(self.base), *_chain(self.quote)}
        }
        return self._quotients(offsets, offsets, count)

    def ranges(self, first: int, count: int) -> list[tuple[int, int]]:
        """A lower and an upper bound of the prices in each of `count` blocks from `first`."""
        lows: dict[str, list[int]] = {}
        highs: dict[str, list[int]] = {}
        for symbol in {*_chain(self.base), *_chain(self.quote)}:
            lows[symbol] = highs[symbol] = [0] * count
            # A movement that both tokens share cancels out.
            if symbol not in _chain(self.base) or symbol not in _chain(self.quote):
                found = prices.ranges(self._text(symbol), first, count)
                lows[symbol], highs[symbol] = [low for low, _ in found], [high for _, high in found]
        low, high = (
            self._quotients(lows, highs, count),
            self._quotients(highs, lows, count),
        )
        # Each value is rounded down to an integer of at least eight digits.
        return [
            (one - (one >> 20) - 1, other + (other >> 20) + 1)
            for one, other in zip(low, high, strict=True)
        ]

    def _quotients(
        self, ups: Mapping[str, list[int]], downs: Mapping[str, list[int]], count: int
    ) -> list[int]:
        """The prices if the base token's chain moves by `ups`, and the quote's by `downs`."""
        lot = LOTS[self.quote]
        bases = _values(self.base, ups, count)
        quotes = _values(self.quote, downs, count)
        return [base * lot // quote for base, quote in zip(bases, quotes, strict=True)]

    def _text(self, symbol: str) -> str:
        return _price_key(self.seed, symbol, REFERENCES[symbol].quote)


def _chain(symbol: str) -> list[str]:
    """The tokens whose movements make the token's value: itself, its quote, and so on."""
    reference = REFERENCES.get(symbol)
    return [] if reference is None else [symbol, *_chain(reference.quote)]


def _values(symbol: str, offsets: Mapping[str, list[int]], count: int) -> list[int]:
    """Micro-USDC per lot of the token at each of these offsets by symbol."""
    reference = REFERENCES.get(symbol)
    if reference is None:
        return [LOTS[symbol]] * count
    base, damping, lot = reference.base, reference.damping, LOTS[reference.quote]
    return [
        prices.moved(base, offset // damping) * quote // lot
        for offset, quote in zip(
            offsets[symbol], _values(reference.quote, offsets, count), strict=True
        )
    ]


def candle_texts(
    base: Token, quote: Token, length: int, *, first: int, last: int, seed: str = ""
) -> list[dict[str, str | dict[str, str]]]:
    """The candles of `length` seconds from second `first` to `last`, in the text of `price_texts`.

    "open", "high", "low" and "close" are of the reference price; "venues" has each venue's last
    price.
    """
    lot = LOTS[base.symbol]

    def text(price: int) -> str:
        return price_text(lot, base, price, quote)

    listed = _by_venue(base, quote)
    found: list[dict[str, str | dict[str, str]]] = []
    for candle in candles.candles(
        PriceSeries(base.symbol, quote.symbol, seed), length, first, last
    ):
        second = min(candle.start + length - 1, last)
        closes = {
            venue: text(_at_venue(listing, base, candle.close, second, seed=seed, version=VERSION))
            for venue, listing in listed.items()
        }
        found.append(
            {
                "open": text(candle.open),
                "high": text(candle.high),
                "low": text(candle.low),
                "close": text(candle.close),
                "venues": closes,
            }
        )
    return found


def pair_prices(
    base: Token, quote: Token, slot: int, seed: str = "", version: int = VERSION
) -> dict[str, int]:
    """The "reference" price, and that of each venue with a pool, as `reference_price` has it."""
    reference = reference_price(base, quote, slot, seed, version)
    second = seconds_at(slot)
    return {"reference": reference} | {
        venue: _at_venue(listing, base, reference, second, seed=seed, version=version)
        for venue, listing in _by_venue(base, quote, version).items()
    }


def price_texts(base: Token, quote: Token, slot: int, seed: str = "") -> dict[str, str]:
    """Whole quote tokens for one base token, as text: the "reference", and by venue with a pool."""
    return {
        source: price_text(LOTS[base.symbol], base, price, quote)
        for source, price in pair_prices(base, quote, slot, seed).items()
    }


def _by_venue(one: Token, other: Token, version: int = VERSION) -> dict[str, Listing]:
    """By venue: its first open listing of these two tokens, in either order."""
    found: dict[str, Listing] = {}
    for venue in sorted(VENUES):
        for listing in _open_listings(LISTINGS, venue, version).get((one.symbol, other.symbol), ()):
            found.setdefault(venue, listing)
    return found


def _at_venue(
    listing: Listing, base: Token, price: int, second: int, *, seed: str, version: int
) -> int:
    """The reference price of `base`, either token of the listing, moved to the venue's price."""
    parts = _venue_parts(listing, second, seed, version)
    if listing.base == base.symbol:
        return prices.moved(price, parts)
    return price * prices.SCALE // (prices.SCALE + parts)


@lru_cache(maxsize=64)
def _open_listings(
    listings: Sequence[Listing], venue: str, version: int
) -> Mapping[tuple[str, str], Sequence[Listing]]:
    """The venue's open listings by their two tokens, in both orders."""
    found: dict[tuple[str, str], list[Listing]] = {}
    for listing in listings:
        if listing.venue == venue and listing.since <= version and not listing.closed:
            for key in ((listing.base, listing.quote), (listing.quote, listing.base)):
                found.setdefault(key, []).append(listing)
    return found


@lru_cache(maxsize=64)
def _by_address(listings: Sequence[Listing]) -> Mapping[str, Listing]:
    return {listing.address: listing for listing in listings}


@lru_cache(maxsize=256)
def _pool_at(listing: Listing, second: int, seed: str, version: int) -> Pool:
    """The listed pool at a second; its state is computed when it is first needed."""
    own, reference = prices.SCALE + _venue_parts(listing, second, seed, version), prices.SCALE
    return Pool(
        listing.address,
        listing.venue,
        listing.program,
        TOKENS[listing.base],
        TOKENS[listing.quote],
        make=partial(_state_at, listing, second, seed, version, own - reference),
        rate_bounds=(listing.kept * own // reference + 1, listing.kept * reference // own + 1),
    )


def _state_at(listing: Listing, second: int, seed: str, version: int, parts: int) -> State:
    price = _price(listing.base, listing.quote, second, seed, version)
    return listing.state(prices.moved(price, parts), *_lot_and_mid(listing))


@lru_cache(maxsize=256)
def _lot_and_mid(listing: Listing) -> tuple[int, int]:
    """The base token's lot in base units, and the pair's price if no token has moved."""
    mid = _value(listing.base) * LOTS[listing.quote] // _value(listing.quote)
    return LOTS[listing.base], mid


def _venue_parts(listing: Listing, second: int, seed: str, version: int) -> int:
    """The deviation of the listing's venue from the reference price, in parts per 10**8."""
    text, reach, damping = _deviation_terms(listing, seed, version)
    if version == 1:
        return first_prices.venue_offset(text, second)
    return prices.venue_offset(text, second, reach) // damping


@lru_cache(maxsize=256)
def _deviation_terms(listing: Listing, seed: str, version: int) -> tuple[str, int, int]:
    """The text that the venue's offset is drawn by, its greatest size, and its divisor.

    The greatest size is the smallest band of the venue's pools of this pair, open or closed, so
    closing a pool changes no price.
    """
    reach = min(
        prices.band(each.fee_ppm, each.step_bps)
        for each in LISTINGS
        if (each.venue, each.base, each.quote) == (listing.venue, listing.base, listing.quote)
        and each.since <= version
    )
    text = f"{_price_key(seed, listing.base, listing.quote)}|{listing.venue}"
    return text, reach, REFERENCES[listing.base].damping


def _price(base: str, quote: str, second: int, seed: str, version: int) -> int:
    """Every pair's price follows from both tokens' values, so no cycle of pairs gains."""
    value = _value_at(base, second, seed, version)
    return value * LOTS[quote] // _value_at(quote, second, seed, version)


@lru_cache(maxsize=1 << 12)
def _value_at(symbol: str, second: int, seed: str, version: int) -> int:
    """Micro-USDC per lot of the token at a second."""
    reference = REFERENCES.get(symbol)
    if reference is None:
        return LOTS[symbol]
    offset = first_prices.offset if version == 1 else prices.offset
    parts = offset(_price_key(seed, symbol, reference.quote), second) // reference.damping
    value = _value_at(reference.quote, second, seed, version)
    return prices.moved(reference.base, parts) * value // LOTS[reference.quote]


def _value(symbol: str) -> int:
    """Micro-USDC per lot of the token if no token has moved."""
    reference = REFERENCES.get(symbol)
    if reference is None:
        return LOTS[symbol]
    return reference.base * _value(reference.quote) // LOTS[reference.quote]


def _price_key(seed: str, base: str, quote: str) -> str:
    return f"{seed}:{base}/{quote}" if seed else f"{base}/{quote}"
