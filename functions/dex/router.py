"""The best route for an amount: every venue's quote, splits over venues, paths of two hops.

Words are Jupiter's: routePlan, otherAmountThreshold, slippageBps, priceImpactPct.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from functions.dex import raydium
from functions.dex.errors import CircularArbitrage, InvalidAmount, NoRoutesFound
from functions.dex.pools import IMPACT_DECIMALS, IMPACT_SCALE, Fill, Pool, Side, Snapshot
from functions.dex.tokens import TOKENS, UNITS_MAX, Token, to_text, to_units

# A path of two hops may turn around in these.
HUBS = ("USDC", "SOL")

BPS = 10_000
GRID_BPS = 500
# A 5 % step is rough where a ladder ends inside it, so the best step is halved this many times.
_HALVINGS = 24

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

    def to_json(self) -> dict[str, str | int]:
        """The leg in whole tokens; the fee is in the token in."""
        return {
            "venue": self.venue,
            "pool": self.pool,
            "tokenIn": self.token_in.symbol,
            "tokenOut": self.token_out.symbol,
            "inAmount": to_text(self.in_amount, self.token_in.decimals),
            "outAmount": to_text(self.out_amount, self.token_out.decimals),
            "feeAmount": to_text(self.fee_amount, self.token_in.decimals),
            "percent": self.percent,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Leg":
        """The leg that `to_json` wrote."""
        token_in, token_out = TOKENS[data["tokenIn"]], TOKENS[data["tokenOut"]]
        return cls(
            venue=data["venue"],
            pool=data["pool"],
            token_in=token_in,
            token_out=token_out,
            in_amount=to_units(data["inAmount"], token_in),
            out_amount=to_units(data["outAmount"], token_out),
            fee_amount=_units(data["feeAmount"], token_in),
            percent=data["percent"],
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """One venue's offer for the whole amount, net of fees, or the `error` why it made none.

    `fee_amount` is in the route's token in; a second hop's fee is converted at the path's own rate.
    """

    venue: str
    out_amount: int = 0
    price_impact_pct: str = ""
    fee_amount: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """What an order will do: the legs, the least it accepts, and why this way.

    Amounts in base units. `advantage_bps` is decimal text, None where no venue could do it alone.
    """

    token_in: Token
    token_out: Token
    in_amount: int
    out_amount: int
    other_amount_threshold: int
    slippage_bps: int
    price_impact_pct: str
    route_plan: tuple[Leg, ...]
    quotes: tuple[Quote, ...]
    slot: int
    reason: str
    advantage_bps: str | None

    def to_json(self) -> dict[str, Any]:
        """The route as clients read it: camelCase, amounts as decimal text of whole tokens."""
        decimals_in, decimals_out = self.token_in.decimals, self.token_out.decimals
        return {
            "inAmount": to_text(self.in_amount, decimals_in),
            "outAmount": to_text(self.out_amount, decimals_out),
            "otherAmountThreshold": to_text(self.other_amount_threshold, decimals_out),
            "priceImpactPct": self.price_impact_pct,
            "slippageBps": self.slippage_bps,
            "routePlan": [leg.to_json() for leg in self.route_plan],
            "quotes": [self._quote_json(quote) for quote in self.quotes],
            "reason": self.reason,
            "advantageBps": self.advantage_bps,
            "slot": self.slot,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Route":
        """The route that `to_json` wrote, less the quotes it won against."""
        plan = tuple(Leg.from_json(leg) for leg in data["routePlan"])
        token_in, token_out = plan[0].token_in, plan[-1].token_out
        return cls(
            token_in=token_in,
            token_out=token_out,
            in_amount=to_units(data["inAmount"], token_in),
            out_amount=to_units(data["outAmount"], token_out),
            other_amount_threshold=_units(data["otherAmountThreshold"], token_out),
            slippage_bps=data["slippageBps"],
            price_impact_pct=data["priceImpactPct"],
            route_plan=plan,
            quotes=(),
            slot=data["slot"],
            reason=data["reason"],
            advantage_bps=data.get("advantageBps"),
        )

    def _quote_json(self, quote: Quote) -> dict[str, str]:
        if quote.error is not None:
            return {"venue": quote.venue, "error": quote.error}
        return {
            "venue": quote.venue,
            "outAmount": to_text(quote.out_amount, self.token_out.decimals),
            "priceImpactPct": quote.price_impact_pct,
            "feeAmount": to_text(quote.fee_amount, self.token_in.decimals),
        }


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop's split: what each pool takes in base units, and what all give together."""

    token_in: Token
    token_out: Token
    shares: tuple[tuple[Side, int], ...]
    out_amount: int


Shares = tuple[tuple[Side, int], ...]
Path = tuple[Hop, ...]


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
    not stop the others. Raises InvalidAmount unless `amount_in` is positive, CircularArbitrage for
    one token twice, NoRoutesFound with each venue's reason where nothing takes the whole amount.
    """
    if amount_in <= 0:
        raise InvalidAmount("must be greater than 0")
    if token_in == token_out:
        raise CircularArbitrage(token_in.symbol)
    alone = {
        venue: snapshot
        if isinstance(snapshot, str)
        else _venue_path(token_in, token_out, amount_in, snapshot)
        for venue, snapshot in snapshots.items()
    }
    live = [snapshot for snapshot in snapshots.values() if not isinstance(snapshot, str)]
    best_alone = _best(alone.values())
    best = _best([*alone.values(), *_paths(token_in, token_out, amount_in, live)])
    if best is None:
        reasons = {venue: why for venue, why in alone.items() if isinstance(why, str)}
        raise _no_route(token_in, token_out, amount_in, reasons)
    out_amount = best[-1].out_amount
    fills = _fills(best)
    return Route(
        token_in=token_in,
        token_out=token_out,
        in_amount=amount_in,
        out_amount=out_amount,
        other_amount_threshold=threshold_exact_in(out_amount, slippage_bps),
        slippage_bps=slippage_bps,
        price_impact_pct=_impact_text(fills),
        route_plan=_legs(best, fills),
        quotes=tuple(_quote(venue, path) for venue, path in alone.items()),
        slot=live[0].slot,
        reason=_reason(best, best_alone, alone),
        advantage_bps=_advantage(best, best_alone),
    )


def largest_amount(
    token_in: Token, token_out: Token, snapshots: Mapping[str, Snapshot | str]
) -> int:
    """The most base units of `token_in` for which `find_route` finds a route; 0 if there are none.

    A search that asks `find_route` itself, so that the answer holds for whatever routes it knows.
    """

    def routes(amount: int) -> bool:
        try:
            find_route(token_in, token_out, amount, 0, snapshots)
        except NoRoutesFound:
            return False
        return True

    # Not from below, for amounts that are too small have no route either.
    high = UNITS_MAX + 1
    while high > 1 and not routes(high // 2):
        high //= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if routes(middle) else (low, middle)
    return low


def split(token_in: Token, token_out: Token, amount: int, pools: Sequence[Pool]) -> Hop | str:
    """The best way to spread `amount` base units over the pools of one hop, or why there is none.

    At most two curves, which share by the closed form, and one ladder of bins, which takes what a
    5 % grid, and then ever smaller steps from its best, find for it. ValueError for more pools.
    """
    if not pools:
        return NO_POOL
    sides = [pool.side(token_in) for pool in pools]
    if amount > sum(side.max_in for side in sides):
        return INSUFFICIENT_LIQUIDITY
    # Whole amounts come first: of equal outputs, max keeps the one with fewer legs.
    candidates: list[Shares] = [((side, amount),) for side in sides if amount <= side.max_in]
    if len(sides) > 1:
        candidates.extend(_mixed(sides, amount))
    shares = max(candidates, key=_output)
    out_amount = _output(shares)
    if out_amount == 0:
        return AMOUNT_TOO_SMALL
    return Hop(token_in, token_out, tuple(share for share in shares if share[1]), out_amount)


def _output(shares: Shares) -> int:
    """What all shares give together; 0 if one gives nothing, for its swap would fail on chain."""
    total = 0
    for side, amount in shares:
        if amount:
            out = side.amount_out(amount)
            if out == 0:
                return 0
            total += out
    return total


def _mixed(sides: Sequence[Side], amount: int) -> Iterable[Shares]:
    """The splits over several pools that may be best, fewer legs first."""
    curves = [side for side in sides if isinstance(side.pool.state, raydium.Pool)]
    ladders = [side for side in sides if not isinstance(side.pool.state, raydium.Pool)]
    if not 1 <= len(curves) <= 2 or len(ladders) > 1:
        raise ValueError("a hop has one or two curves and at most one ladder")
    over_curves = _over_curves(curves)
    curves_max = sum(side.max_in for side in curves)
    if len(curves) == 2 and amount <= curves_max:
        yield over_curves(amount)
    if ladders:
        low, high = max(0, amount - curves_max), min(amount, ladders[0].max_in)
        yield _with_ladder(ladders[0], over_curves, amount, low, high)


def _with_ladder(
    ladder: Side, over_curves: Callable[[int], Shares], amount: int, low: int, high: int
) -> Shares:
    """The best split whose ladder takes from `low` to `high` and whose curves take the rest."""

    def shares(to_ladder: int) -> Shares:
        return ((ladder, to_ladder), *over_curves(amount - to_ladder))

    return shares(_peak(lambda to_ladder: _output(shares(to_ladder)), amount, low, high))


def _over_curves(curves: Sequence[Side]) -> Callable[[int], Shares]:
    """How one or two curves share an amount that they can take."""
    first, second = curves[0], curves[-1]
    if first is second:
        return lambda amount: ((first, amount),)
    states = [side.pool.state for side in curves if isinstance(side.pool.state, raydium.Pool)]
    to_first = raydium.best_split(states[0], states[1], first.x_to_y)

    def shares(amount: int) -> Shares:
        share = min(max(to_first(amount), amount - second.max_in), first.max_in)
        return ((first, share), (second, amount - share))

    return shares


def _peak(output: Callable[[int], int], amount: int, low: int, high: int) -> int:
    """Where `output`, concave but for rounding, is greatest in [low, high]."""
    grid = range(0, BPS + 1, GRID_BPS)
    best = max((min(max(amount * bps // BPS, low), high) for bps in grid), key=output)
    most = output(best)
    reach = amount * GRID_BPS // BPS
    for _ in range(_HALVINGS):
        reach //= 2
        for share in (max(best - reach, low), min(best + reach, high)):
            if share != best and (out := output(share)) > most:
                best, most = share, out
                break
    return best


def _path(
    token_in: Token, token_out: Token, amount: int, via: Sequence[Token], live: Sequence[Snapshot]
) -> Path | str:
    """The hops from token to token by these turns, outputs chained, over all these venues."""
    hops: list[Hop] = []
    stops = [token_in, *via, token_out]
    for one, other in pairwise(stops):
        pools = [pool for snapshot in live for pool in snapshot.pools(one, other)]
        hop = split(one, other, hops[-1].out_amount if hops else amount, pools)
        if isinstance(hop, str):
            return hop
        hops.append(hop)
    return tuple(hops)


def _paths(
    token_in: Token, token_out: Token, amount: int, live: Sequence[Snapshot]
) -> list[Path | str]:
    """The direct path, then those over a hub."""
    hubs = [TOKENS[hub] for hub in HUBS if TOKENS[hub] not in {token_in, token_out}]
    turns: list[list[Token]] = [[], *([hub] for hub in hubs)]
    return [_path(token_in, token_out, amount, via, live) for via in turns]


def _venue_path(token_in: Token, token_out: Token, amount: int, venue: Snapshot) -> Path | str:
    """What the venue does alone: its direct pools, else its own two hops, else why not."""
    direct, *over_hubs = _paths(token_in, token_out, amount, [venue])
    if not isinstance(direct, str):
        return direct
    best = _best(over_hubs)
    if best is not None:
        return best
    reasons = [why for why in (direct, *over_hubs) if isinstance(why, str) and why != NO_POOL]
    return reasons[0] if reasons else NO_POOL


def _best(paths: Iterable[Path | str]) -> Path | None:
    """The first of the paths with the most output and, of those, the fewest legs."""
    found = [path for path in paths if not isinstance(path, str)]
    return max(found, key=lambda path: (path[-1].out_amount, -_legs_of(path)), default=None)


def _legs_of(path: Path) -> int:
    return sum(len(hop.shares) for hop in path)


def _fills(path: Path) -> list[list[Fill]]:
    return [[side.pool.fill(hop.token_in, share) for side, share in hop.shares] for hop in path]


def _legs(path: Path, fills: Sequence[Sequence[Fill]]) -> tuple[Leg, ...]:
    return tuple(
        Leg(
            venue=side.pool.venue,
            pool=side.pool.address,
            token_in=hop.token_in,
            token_out=hop.token_out,
            in_amount=fill.amount_in,
            out_amount=fill.amount_out,
            fee_amount=fill.fee,
            percent=percent,
        )
        for hop, hop_fills in zip(path, fills, strict=True)
        for (side, _), fill, percent in zip(
            hop.shares, hop_fills, percents([share for _, share in hop.shares]), strict=True
        )
    )


def _units(text: str, token: Token) -> int:
    """As to_units, for what may also be 0: a fee, or the threshold of a slippage of 100 %."""
    return 0 if text == "0" else to_units(text, token)


def percents(amounts: Sequence[int]) -> list[int]:
    """Whole percents of positive amounts that sum to 100, each at least 1."""
    total = sum(amounts)
    shares = [max(amount * 100 // total, 1) for amount in amounts]
    shares[amounts.index(max(amounts))] += 100 - sum(shares)
    return shares


def _impact_text(fills: Sequence[Sequence[Fill]]) -> str:
    """1 − Π(1 − impact) over hops; a hop's impact is its legs', weighted by input."""
    kept = IMPACT_SCALE
    for hop in fills:
        weighted = sum(fill.impact * fill.amount_in for fill in hop)
        impact = weighted // sum(fill.amount_in for fill in hop)
        kept = kept * (IMPACT_SCALE - impact) // IMPACT_SCALE
    return to_text(IMPACT_SCALE - kept, IMPACT_DECIMALS)


def _quote(venue: str, path: Path | str) -> Quote:
    if isinstance(path, str):
        return Quote(venue, error=path)
    fills = _fills(path)
    fee = 0
    for hop in reversed(fills):
        hop_in = sum(fill.amount_in for fill in hop)
        hop_out = sum(fill.amount_out for fill in hop)
        fee = sum(fill.fee for fill in hop) + fee * hop_in // hop_out
    return Quote(venue, path[-1].out_amount, _impact_text(fills), fee)


def _advantage(best: Path, other: Path | None) -> str | None:
    """By how many bps `best` gives more than `other`, as text of two decimals, rounded down."""
    if other is None:
        return None
    out_amount = other[-1].out_amount
    return to_text((best[-1].out_amount - out_amount) * BPS * 100 // out_amount, 2)


def _reason(best: Path, best_alone: Path | None, alone: Mapping[str, Path | str]) -> str:
    """One line: what won, over what, by how much."""
    name = _name(best)
    if best_alone is None:
        return f"{name}: no venue has a path alone"
    if best is not best_alone:
        bps = _advantage(best, best_alone)
        return f"{name} beats {_name(best_alone)} alone by {bps} bps"
    second = _best(path for path in alone.values() if path is not best)
    if second is not None:
        return f"{name} beats {_name(second)} by {_advantage(best, second)} bps; no split is better"
    others = ", ".join(f"{venue} {why}" for venue, why in alone.items() if isinstance(why, str))
    return f"{name} is the only quote" + (f": {others}" if others else "")


def _name(path: Path) -> str:
    """A path in words, such as "raydium-cpmm 40% + meteora-dlmm 60% via SOL, then meteora"."""
    names = []
    for hop in path:
        pools = [side.pool for side, _ in hop.shares]
        shares = percents([share for _, share in hop.shares])
        parts = [f"{pool.program} {share}%" for pool, share in zip(pools, shares, strict=True)]
        names.append(" + ".join(parts) if len(parts) > 1 else pools[0].venue)
    via = "".join(f" via {hop.token_out.symbol}" for hop in path[:-1])
    # A venue that does both hops alone needs no second mention.
    rest = names[1:] if len(set(names)) > 1 or "+" in names[0] else []
    return f"{names[0]}{via}" + "".join(f", then {name}" for name in rest)


def _no_route(
    token_in: Token, token_out: Token, amount: int, reasons: Mapping[str, str]
) -> NoRoutesFound:
    whole = to_text(amount, token_in.decimals)
    listed = ", ".join(f"{venue} {why}" for venue, why in reasons.items()) or "no venues"
    message = f"No route takes {whole} {token_in.symbol} to {token_out.symbol}: {listed}."
    return NoRoutesFound(message, reasons)
