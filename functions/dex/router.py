"""The best route for an amount: every venue's quote, splits over venues, paths of two hops.

The names are Jupiter's: routePlan, otherAmountThreshold, slippageBps, priceImpactPct.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import NamedTuple

from functions.dex.errors import CircularArbitrage, InvalidAmount, NoRoutesFound
from functions.dex.mixture import (
    Flow,
    Mixer,
    Mixture,
    Path,
    Share,
    TooShallow,
    TooSmall,
    most_of,
)
from functions.dex.pools import PoolSide, Snapshot
from functions.dex.sides import DEPTH_UNREACHABLE, IMPACT_DECIMALS, IMPACT_SCALE, Fill
from functions.dex.tokens import TOKENS, UNITS_MAX, Token, bps_text, to_text

BPS = 10_000

NO_POOL = "NO_POOL"
INSUFFICIENT_LIQUIDITY = "INSUFFICIENT_LIQUIDITY"
AMOUNT_TOO_SMALL = "AMOUNT_TOO_SMALL"


@dataclass(frozen=True, slots=True)
class Leg:
    """One swap in one pool; amounts in base units, `percent` of its hop's input."""

    venue: str
    pool: str
    token_in: Token
    token_out: Token
    in_amount: int
    out_amount: int
    fee_amount: int
    percent: int


@dataclass(frozen=True, slots=True)
class Quote:
    """One venue's offer for the whole amount, net of fees, or the `error` if it made none.

    `fee_amount` is in the route's token in; a second hop's fee is converted at the path's own rate.
    """

    venue: str
    out_amount: int = 0
    price_impact_pct: str = ""
    fee_amount: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """The plan of an order: its legs, the least output that it accepts, and the reason.

    Amounts are in base units. `advantage_bps`, the gain over the best single venue, is decimal
    text, or None if no venue alone has a route. `reference_difference_bps`, decimal text too, is
    how much less comes out than at the reference price, all fees and the impact included.
    """

    token_in: Token
    token_out: Token
    in_amount: int
    out_amount: int
    other_amount_threshold: int
    slippage_bps: int
    price_impact_pct: str
    reference_difference_bps: str | None
    route_plan: tuple[Leg, ...]
    quotes: tuple[Quote, ...]
    slot: int
    reason: str
    advantage_bps: str | None


def threshold_exact_in(out_amount: int, slippage_bps: int) -> int:
    """The least an ExactIn order accepts, in base units: out − ⌊out·bps/10000⌋."""
    return out_amount - out_amount * slippage_bps // BPS


def threshold_exact_out(in_amount: int, slippage_bps: int) -> int:
    """The most an ExactOut order pays, in base units: in + ⌊in·bps/10000⌋."""
    return in_amount + in_amount * slippage_bps // BPS


def find_route(
    token_in: Token,
    token_out: Token,
    amount_in: int,
    slippage_bps: int,
    snapshots: Mapping[str, Snapshot | str],
) -> Route:
    """The route with the greatest net output for `amount_in` base units; on a tie, fewer legs.

    `snapshots` gives each venue's pools, or the reason why the venue could not answer, which does
    not stop the others. Each further leg must add more output than its network fee.

    Raises:
        InvalidAmount: `amount_in` is not positive.
        CircularArbitrage: both tokens are the same.
        NoRoutesFound: no route takes the whole amount; with each venue's reason.
    """
    if amount_in <= 0:
        raise InvalidAmount("must be greater than 0")
    if token_in == token_out:
        raise CircularArbitrage(token_in.symbol)
    live = [snapshot for snapshot in snapshots.values() if not isinstance(snapshot, str)]
    worth = live[0].worth(amount_in, token_in, token_out) if live else 0
    mixer = Mixer(amount_in, live[0].leg_cost(token_out) if live else 0, worth)
    search = _Search(token_in, token_out, amount_in, mixer, live)
    mixed = search.mixture()
    alone = {
        venue: snapshot if isinstance(snapshot, str) else search.alone(venue)
        for venue, snapshot in snapshots.items()
    }
    best_alone = _best(alone.values())
    best = _best([*alone.values(), mixed])
    if best is None:
        reasons = {venue: why for venue, why in alone.items() if isinstance(why, str)}
        raise _no_route(token_in, token_out, amount_in, reasons)
    legs, account = search.plan(best)
    return Route(
        token_in=token_in,
        token_out=token_out,
        in_amount=amount_in,
        out_amount=best.amount_out,
        other_amount_threshold=threshold_exact_in(best.amount_out, slippage_bps),
        slippage_bps=slippage_bps,
        price_impact_pct=account.impact,
        reference_difference_bps=bps_text(worth - best.amount_out, worth),
        route_plan=legs,
        quotes=tuple(search.quote(venue, offer) for venue, offer in alone.items()),
        slot=live[0].slot,
        reason=_reason(search, best, best_alone, alone),
        advantage_bps=None if best_alone is None else _advantage(best, best_alone),
    )


def pool_takes(
    token_in: Token, token_out: Token, amount_in: int, snapshots: Mapping[str, Snapshot | str]
) -> bool:
    """Whether one pool alone takes `amount_in` base units, so that there is a route.

    This is much cheaper than finding the best route.
    """
    live = [snapshot for snapshot in snapshots.values() if not isinstance(snapshot, str)]
    return any(side.takes(amount_in) for side in _sides(token_in, token_out, live))


def best_price(
    token_in: Token, token_out: Token, snapshots: Mapping[str, Snapshot | str]
) -> Fraction:
    """The output of the first unit of `token_in`, fees included, in base units of `token_out`.

    A pool never gives more for a further unit, so no amount gets more per unit on any route. 0 if
    there is no route.
    """
    live = [snapshot for snapshot in snapshots.values() if not isinstance(snapshot, str)]
    prices = [
        prod((max(map(_first_price, hop)) for hop in path), start=Fraction(1))
        for path in _paths(token_in, token_out, live)
    ]
    return max(prices, default=Fraction(0))


def _first_price(side: PoolSide) -> Fraction:
    pieces = side.pieces(1)
    if not pieces:
        return Fraction(0)
    first = pieces[0]
    # On a constant-product curve the price falls with the square of the depth, so that the mean
    # price of a piece is the first one times start / end.
    return Fraction(first.amount_out * first.end, first.amount_in * first.start)


def largest_amount(
    token_in: Token, token_out: Token, snapshots: Mapping[str, Snapshot | str]
) -> int:
    """The most base units of `token_in` for which `find_route` finds a route; 0 if there are none.

    The search calls `find_route` itself, so that its result always agrees with `find_route`.
    """

    def routes(amount: int) -> bool:
        try:
            find_route(token_in, token_out, amount, 0, snapshots)
        except NoRoutesFound:
            return False
        return True

    # The search begins at the top, because amounts that are too small have no route either.
    high = UNITS_MAX + 1
    while high > 1 and not routes(high // 2):
        high //= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if routes(middle) else (low, middle)
    return low


Offer = Mixture | str
# By flow and hop.
Fills = Sequence[Sequence[Sequence[Fill]]]


class _Account(NamedTuple):
    """A mixture's price impact as text, and its fee in the token in."""

    impact: str
    fee: int


class _Search:
    """The paths from one token to another at one moment, and the impact and fee of mixtures."""

    def __init__(
        self,
        token_in: Token,
        token_out: Token,
        amount: int,
        mixer: Mixer,
        live: Sequence[Snapshot],
    ) -> None:
        self._token_in, self._amount, self._mixer, self._live = token_in, amount, mixer, live
        self._paths = _paths(token_in, token_out, live)
        self._most = [mixer.most(path) for path in self._paths]
        self._known: dict[int, tuple[Fills, _Account]] = {}

    def mixture(self) -> Offer:
        """The best mixture over all venues and paths."""
        return self._offer(self._paths)

    def alone(self, venue: str) -> Offer:
        """The venue's best mixture alone: directly or over one hub, whichever gives more."""
        best: Mixture | None = None
        reasons = []
        for path, most in zip(self._paths, self._most, strict=True):
            if best is not None and most <= best.net:
                continue
            own = [[side for side in hop if side.pool.venue == venue] for hop in path]
            if not all(own) or (best is not None and self._most_over_a_hub(own) <= best.net):
                continue
            offer = self._offer([own])
            if isinstance(offer, str):
                reasons.append(offer)
            else:
                best = _best([best or offer, offer])
        return best or (reasons[0] if reasons else NO_POOL)

    def _most_over_a_hub(self, path: Path) -> int:
        """An upper bound of the path's output, for which only its first pool is computed."""
        first, *rest = path
        if len(first) > 1 or not rest:
            return DEPTH_UNREACHABLE
        (side,) = first
        given = side.amount_out(self._amount) if side.takes(self._amount) else 0
        hub, token_out = side.token_out, rest[0][0].token_out
        return most_of(self._live[0].worth(given, hub, token_out), rest)

    def _offer(self, paths: Sequence[Path]) -> Offer:
        if not paths:
            return NO_POOL
        try:
            return self._mixer.best(paths)
        except TooShallow:
            return INSUFFICIENT_LIQUIDITY
        except TooSmall:
            return AMOUNT_TOO_SMALL

    def plan(self, mixture: Mixture) -> tuple[tuple[Leg, ...], _Account]:
        """The legs in the order of execution: first those from the token in, then those from hubs.

        A leg's percent is its share of the input of all legs from the same token. The legs from a
        hub get the output of the legs into the hub.
        """
        fills, account = self._account(mixture)
        pairs = [
            pair
            for flow, flow_fills in zip(mixture.flows, fills, strict=True)
            for hop, filled in zip(flow, flow_fills, strict=True)
            for pair in zip(hop.shares, filled, strict=True)
        ]
        pairs.sort(key=lambda pair: pair[0].side.token_in is not self._token_in)
        return _legs(pairs), account

    def quote(self, venue: str, offer: Offer) -> Quote:
        """The venue's offer as clients read it."""
        if isinstance(offer, str):
            return Quote(venue, error=offer)
        _, account = self._account(offer)
        return Quote(venue, offer.amount_out, account.impact, account.fee)

    def _account(self, mixture: Mixture) -> tuple[Fills, _Account]:
        known = self._known.get(id(mixture))
        if known is None:
            known = self._known[id(mixture)] = self._compute_account(mixture)
        return known

    def _compute_account(self, mixture: Mixture) -> tuple[Fills, _Account]:
        fills = [
            [[share.side.fill(share.amount_in) for share in hop.shares] for hop in flow]
            for flow in mixture.flows
        ]
        impact = fee = 0
        for flow, flow_fills in zip(mixture.flows, fills, strict=True):
            kept, flow_fee = IMPACT_SCALE, 0
            for hop, filled in zip(reversed(flow), reversed(flow_fills), strict=True):
                hop_in = hop.amount_in
                weighted = sum(fill.impact * fill.amount_in for fill in filled) // hop_in
                kept = kept * (IMPACT_SCALE - weighted) // IMPACT_SCALE
                flow_fee = sum(fill.fee for fill in filled) + flow_fee * hop_in // hop.amount_out
            impact += (IMPACT_SCALE - kept) * flow[0].amount_in
            fee += flow_fee
        return fills, _Account(to_text(impact // self._amount, IMPACT_DECIMALS), fee)

    def name(self, mixture: Mixture) -> str:
        """A mixture in words: "meteora", "raydium-cpmm 40% + meteora-dlmm 30% + via SOL 30%"."""
        if len(mixture.flows) == 1 and len(mixture.flows[0]) > 1:
            return self._path_name(mixture.flows[0])
        parts = [
            part
            for flow in mixture.flows
            for part in (
                [(share.side.pool.program, share.amount_in) for share in flow[0].shares]
                if len(flow) == 1
                else [(f"via {self._hub(flow).symbol}", flow[0].amount_in)]
            )
        ]
        if len(parts) == 1:
            return mixture.flows[0][0].shares[0].side.pool.venue
        shares = percents([amount for _, amount in parts])
        return " + ".join(
            f"{name} {share}%" for (name, _), share in zip(parts, shares, strict=True)
        )

    def _path_name(self, flow: Flow) -> str:
        """Two hops in words: "raydium via SOL", "raydium via SOL, then meteora"."""
        names = []
        for hop in flow:
            pools = [share.side.pool for share in hop.shares]
            shares = percents([share.amount_in for share in hop.shares])
            parts = [f"{pool.program} {share}%" for pool, share in zip(pools, shares, strict=True)]
            names.append(" + ".join(parts) if len(parts) > 1 else pools[0].venue)
        # A venue that does both hops alone is named once.
        rest = f", then {names[1]}" if names[0] != names[1] or "+" in names[0] else ""
        return f"{names[0]} via {self._hub(flow).symbol}{rest}"

    def _hub(self, flow: Flow) -> Token:
        return flow[0].shares[0].side.token_out


def _paths(token_in: Token, token_out: Token, live: Sequence[Snapshot]) -> list[Path]:
    """The direct path, then the paths over each token that has pools with both tokens."""
    paths = [[_sides(token_in, token_out, live)]]
    for hub in TOKENS.values():
        if hub is not token_in and hub is not token_out and (first := _sides(token_in, hub, live)):
            paths.append([first, _sides(hub, token_out, live)])
    return [path for path in paths if all(path)]


def _sides(one: Token, other: Token, live: Sequence[Snapshot]) -> list[PoolSide]:
    return [pool.side(one) for snapshot in live for pool in snapshot.pools(one, other)]


def _legs(pairs: Sequence[tuple[Share, Fill]]) -> tuple[Leg, ...]:
    amounts: dict[str, list[int]] = {}
    for share, _ in pairs:
        amounts.setdefault(share.side.token_in.symbol, []).append(share.amount_in)
    shares = {symbol: iter(percents(parts)) for symbol, parts in amounts.items()}
    return tuple(
        Leg(
            venue=share.side.pool.venue,
            pool=share.side.pool.address,
            token_in=share.side.token_in,
            token_out=share.side.token_out,
            in_amount=fill.amount_in,
            out_amount=fill.amount_out,
            fee_amount=fill.fee,
            percent=next(shares[share.side.token_in.symbol]),
        )
        for share, fill in pairs
    )


def _best(offers: Iterable[Offer]) -> Mixture | None:
    """The mixture with the most net output; on a tie that with the fewest legs, then the first."""
    found = [offer for offer in offers if not isinstance(offer, str)]
    return max(found, key=lambda mixture: (mixture.net, -mixture.legs), default=None)


def percents(amounts: Sequence[int]) -> list[int]:
    """Whole percents of positive amounts that sum to 100, each at least 1."""
    total = sum(amounts)
    shares = [max(amount * 100 // total, 1) for amount in amounts]
    shares[amounts.index(max(amounts))] += 100 - sum(shares)
    return shares


def _advantage(best: Mixture, other: Mixture) -> str:
    """By how many bps `best` gives more net: text with two decimal places, rounded down."""
    return bps_text(best.net - other.net, other.amount_out)


def _reason(
    search: _Search, best: Mixture, best_alone: Mixture | None, alone: Mapping[str, Offer]
) -> str:
    """Why the route was chosen, in one line: its name, the second best, and the difference."""
    name = search.name(best)
    if best_alone is None:
        return f"{name}: no venue has a path alone"
    if best is not best_alone:
        bps = _advantage(best, best_alone)
        return f"{name} beats {search.name(best_alone)} alone by {bps} bps"
    second = _best(offer for offer in alone.values() if offer is not best)
    if second is not None:
        bps = _advantage(best, second)
        return f"{name} beats {search.name(second)} by {bps} bps; no split is better"
    others = ", ".join(f"{venue} {why}" for venue, why in alone.items() if isinstance(why, str))
    return f"{name} is the only quote" + (f": {others}" if others else "")


def _no_route(
    token_in: Token, token_out: Token, amount: int, reasons: Mapping[str, str]
) -> NoRoutesFound:
    whole = to_text(amount, token_in.decimals)
    listed = ", ".join(f"{venue} {why}" for venue, why in reasons.items()) or "no venues"
    message = f"No route takes {whole} {token_in.symbol} to {token_out.symbol}: {listed}."
    return NoRoutesFound(message, reasons)
