"""The best mixture of pools and paths: every one that is used ends at the same marginal price.

Each pool's output is a concave function of its input, and so is that of a hop over several pools
and of a path of two hops. Paths of at most two hops share no pool, so the mixture that gives most
is the one with equal marginal prices: over the pools of each hop, and over the paths.

The coordinate of all curves is the depth q = 1/√(marginal output per input), Q64: it grows as more
goes in. Against q the input of a constant-product curve is a straight line, and so is that of two
such curves one after the other; a bin of one price is a step. So every curve is a polyline, the
best mixture of polylines is found by bisection, and nothing needs a float or an iteration.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from math import isqrt
from typing import NamedTuple

from functions.dex.pools import EDGE_SCALE, PoolSide
from functions.dex.sides import Piece

ONE = 1 << 64
# Beyond every depth.
NOWHERE = 1 << 192
# Fraction bits of a slope (input per q): small pools have small slopes.
_SLOPE_BITS = 32
# Parts of a mixture, per million, of which many are left out at once where they may not pay.
_SMALL_PART = 50_000


class Curve(NamedTuple):
    """Corner points: to depth `depths[i]` goes the input `ins[i]` in all and gives `outs[i]`."""

    depths: list[int]
    ins: list[int]
    outs: list[int]

    @property
    def most(self) -> int:
        """The most base units that it takes: each corner may be rounded down by a unit."""
        return self.ins[-1] + len(self.ins)

    def before(self, depth: int) -> int:
        """What goes in before the steps that lie at exactly this depth."""
        index = bisect_left(self.depths, depth)
        if index == len(self.depths):
            return self.ins[-1]
        if index == 0 or self.depths[index] == depth:
            return self.ins[index] if index else 0
        return self._between(index - 1, depth)

    def through(self, depth: int) -> int:
        """What goes in with the steps that lie at exactly this depth."""
        index = bisect_right(self.depths, depth) - 1
        if index < 0:
            return 0
        if index == len(self.depths) - 1 or self.depths[index] == depth:
            return self.ins[index]
        return self._between(index, depth)

    def depth_of(self, amount: int) -> int:
        """The depth that is reached when `amount` has gone in; the last one beyond the most."""
        index = bisect_left(self.ins, amount)
        if index == len(self.ins):
            return self.depths[-1]
        if index == 0:
            return self.depths[0]
        before, after = self.ins[index - 1], self.ins[index]
        low, high = self.depths[index - 1], self.depths[index]
        return low + (high - low) * (amount - before) // (after - before)

    def _between(self, index: int, depth: int) -> int:
        low, high = self.depths[index], self.depths[index + 1]
        before, after = self.ins[index], self.ins[index + 1]
        return before + (after - before) * (depth - low) // (high - low)


def curve_of(pieces: Iterable[Piece], limit: int) -> Curve:
    """The curve of all these pieces together, as far as an input of `limit` reaches.

    The pieces may be those of several pools, in any order.
    """
    # At each depth: how the slope changes, and the step there.
    slopes: dict[int, int] = {}
    steps: dict[int, tuple[int, int]] = {}
    for piece in pieces:
        if piece.start == piece.end:
            taken, given = steps.get(piece.start, (0, 0))
            steps[piece.start] = taken + piece.amount_in, given + piece.amount_out
        else:
            slope = (piece.amount_in << 64 + _SLOPE_BITS) // (piece.end - piece.start)
            slopes[piece.start] = slopes.get(piece.start, 0) + slope
            slopes[piece.end] = slopes.get(piece.end, 0) - slope
    depths: list[int] = []
    ins: list[int] = []
    outs: list[int] = []
    depth = taken = given = slope = 0
    for corner in sorted(slopes.keys() | steps.keys()):
        if slope:
            rise = slope * (corner - depth)
            taken += rise >> 64 + _SLOPE_BITS
            given += (rise << 64 - _SLOPE_BITS) // (depth * corner)
        depth = corner
        depths.append(depth)
        ins.append(taken)
        outs.append(given)
        if corner in steps:
            step_in, step_out = steps[corner]
            taken, given = taken + step_in, given + step_out
            depths.append(depth)
            ins.append(taken)
            outs.append(given)
        slope += slopes.get(corner, 0)
        if taken >= limit:
            break
    return Curve(depths or [NOWHERE], ins or [0], outs or [0])


def chained(first: Curve, second: Curve, limit: int, depth_max: int) -> Curve:
    """The curve of a path: what `first` gives goes into `second`; its `outs` are empty.

    It ends where an input of `limit`, the depth `depth_max`, or the end of either curve is reached.
    """
    i = j = 0
    depth_one, depth_two, taken = first.depths[0], second.depths[0], 0
    depths, ins = [depth_one * depth_two >> 64], [0]
    while i + 1 < len(first.depths) and j + 1 < len(second.depths):
        middle, edge = first.outs[i + 1], second.ins[j + 1]
        if middle <= edge:
            i += 1
            depth_one, taken = first.depths[i], first.ins[i]
            start, begin = second.depths[j], second.ins[j]
            if edge > begin:
                step = second.depths[j + 1] - start
                depth_two = start + step * (middle - begin) // (edge - begin)
        else:
            start, begin, low = first.depths[i], first.ins[i], first.outs[i]
            end, finish = first.depths[i + 1], first.ins[i + 1]
            part, whole = edge - low, middle - low
            j += 1
            depth_two = second.depths[j]
            if end == start:
                taken = begin + (finish - begin) * part // whole
            else:
                depth_one = start * end * whole // (end * whole - part * (end - start))
                taken = begin + (finish - begin) * (depth_one - start) // (end - start)
        depths.append(max(depth_one * depth_two >> 64, depths[-1]))
        ins.append(max(taken, ins[-1]))
        if taken >= limit or depths[-1] >= depth_max:
            break
    return Curve(depths, ins, [])


def share(curves: Sequence[Curve], amount: int) -> tuple[list[int], int]:
    """How much of `amount` goes into each curve so that all end at the same depth, and that depth.

    The parts sum to `amount`; what is beyond the end of all curves goes to the greatest part.
    """
    if len(curves) == 1:
        return [amount], curves[0].depth_of(amount)
    corners = sorted({depth for curve in curves for depth in curve.depths})
    low, high = 0, len(corners)
    while low < high:
        middle = (low + high) // 2
        if sum(curve.through(corners[middle]) for curve in curves) < amount:
            low = middle + 1
        else:
            high = middle
    depth = corners[min(low, len(corners) - 1)]
    parts = [curve.before(depth) for curve in curves]
    total = sum(parts)
    if total <= amount:
        # Steps at this very depth, one price for all: they are filled in the order of the curves.
        for index, curve in enumerate(curves):
            step = min(curve.through(depth) - parts[index], amount - total)
            parts[index] += step
            total += step
    else:
        begun = [curve.through(corners[low - 1]) for curve in curves]
        part, whole = amount - sum(begun), total - sum(begun)
        parts = [a + (b - a) * part // whole for a, b in zip(begun, parts, strict=True)]
        depth = corners[low - 1] + (depth - corners[low - 1]) * part // whole
    greatest = parts.index(max(parts))
    parts[greatest] += amount - sum(parts)
    return parts, depth


Path = Sequence[Sequence[PoolSide]]


class Share(NamedTuple):
    """What one pool takes and gives, in base units."""

    side: PoolSide
    amount_in: int
    amount_out: int


class Hop(NamedTuple):
    """The shares of the pools of one hop, and the depth at which they all end."""

    shares: tuple[Share, ...]
    depth: int

    @property
    def amount_in(self) -> int:
        """What goes into the hop."""
        return sum(share.amount_in for share in self.shares)

    @property
    def amount_out(self) -> int:
        """What the hop gives."""
        return sum(share.amount_out for share in self.shares)


Way = tuple[Hop, ...]


class Mixture(NamedTuple):
    """The ways that share an amount; `net` is their output less what the legs cost."""

    ways: tuple[Way, ...]
    amount_out: int
    legs: int
    net: int


class TooShallow(Exception):
    """The paths together cannot take the amount."""


class TooSmall(Exception):
    """The paths would give nothing for the amount."""


class Mixer:
    """Finds the best mixtures for one amount; curves are worked out once and kept.

    A leg more must bring more than `leg_cost` base units out. `reference` is what the amount is
    worth at the reference price, in base units out; with it, paths that are too dear are passed by.
    """

    def __init__(self, amount: int, leg_cost: int = 0, reference: int | None = None) -> None:
        self._amount, self._leg_cost = amount, leg_cost
        self._reference = reference
        # The square of the depth at the reference price, Q128; 0 where it is not known.
        self._start_squared = 0 if not reference else (amount << 128) // (reference + 1)
        # The curves of a hop, by its sides, and the input that they reach.
        self._curves: dict[tuple[PoolSide, ...], tuple[int, Curve]] = {}

    def best(self, paths: Sequence[Path]) -> Mixture:
        """How to share the amount over paths of one or two hops so that most comes out.

        Raises TooShallow and TooSmall.
        """
        if len(paths) == 1 and all(len(hop) == 1 for hop in paths[0]):
            return self._single(paths[0])
        best = self._mixture(paths)
        while best.legs > 1 and (better := self._with_better_net(best)) is not None:
            best = better
        return best

    def most(self, path: Path) -> int:
        """No more than this comes out of the path for the amount."""
        if self._reference is None:
            return NOWHERE
        most = self._reference + 1
        for hop in path:
            most = most * max(side.edge for side in hop) // EDGE_SCALE + 1
        return most

    def _single(self, path: Path) -> Mixture:
        """The only way over a path of one pool a hop."""
        amount, hops = self._amount, []
        for (side,) in path:
            if not side.takes(amount):
                first = side.pieces(1)[:1]
                raise TooSmall if first and amount <= first[0].amount_in else TooShallow
            # The depth of the only way is compared with nothing.
            hops.append(Hop((Share(side, amount, side.amount_out(amount)),), 0))
            amount = hops[-1].amount_out
        return Mixture((tuple(hops),), amount, len(hops), amount - len(hops) * self._leg_cost)

    def _with_better_net(self, mixture: Mixture) -> Mixture | None:
        for paths in _with_fewer_legs(mixture, self._leg_cost):
            try:
                other = self._mixture(paths)
            except (TooShallow, TooSmall):
                continue
            if other.net >= mixture.net:
                return other
        return None

    def _mixture(self, paths: Sequence[Path]) -> Mixture:
        """The best mixture over all these paths, whatever each leg brings."""
        amount = self._amount
        used: list[Path] = []
        curves: list[Curve] = []
        depth_max = NOWHERE
        for path in paths:
            if self._start(path) < depth_max:
                curve = self._path_curve(path, depth_max)
                if curve.most >= amount:
                    depth_max = min(depth_max, curve.depth_of(amount))
                used.append(path)
                curves.append(curve)
        if sum(curve.most for curve in curves) < amount:
            raise TooShallow
        ways = []
        parts = share(curves, amount)[0] if len(used) > 1 else [amount]
        for path, part in zip(used, parts, strict=True):
            if part:
                way = self._way(path, part)
                if way is None:
                    others = [other for other in paths if other is not path]
                    if not others:
                        raise TooSmall
                    return self._mixture(others)
                ways.append(way)
        amount_out = sum(way[-1].amount_out for way in ways)
        legs = sum(len(hop.shares) for way in ways for hop in way)
        return Mixture(tuple(ways), amount_out, legs, amount_out - legs * self._leg_cost)

    def _start(self, path: Path) -> int:
        """A depth before which the path does not begin."""
        square = self._start_squared
        for hop in path:
            square = square * EDGE_SCALE // max(side.edge for side in hop)
        return isqrt(square)

    def _path_curve(self, path: Path, depth_max: int) -> Curve:
        if len(path) == 1:
            return self._curve(self._direct(path[0], self._amount), self._amount)
        first = self._curve(path[0], self._amount)
        return chained(first, self._curve(path[1], first.outs[-1]), self._amount, depth_max)

    def _direct(self, sides: Sequence[PoolSide], amount: int) -> Sequence[PoolSide]:
        """The pools of the pair without those that begin deeper than the best one ends."""
        best = max(sides, key=lambda side: side.edge)
        curve = self._curve([best], amount)
        if curve.most < amount:
            return sides
        depth = curve.depth_of(amount)
        return [side for side in sides if side is best or self._start([[side]]) < depth]

    def _curve(self, sides: Sequence[PoolSide], limit: int) -> Curve:
        """The curve of all these pools together, as far as an input of `limit` reaches."""
        key = tuple(sides)
        known = self._curves.get(key)
        if known is None or known[0] < limit:
            pieces = [piece for side in sides for piece in side.pieces(limit)]
            known = self._curves[key] = limit, curve_of(pieces, limit)
        return known[1]

    def _way(self, path: Path, amount: int) -> Way | None:
        """The path with this input, hop by hop in exact units; None where a hop gives nothing."""
        hops: list[Hop] = []
        if len(path) == 1:
            path = [self._direct(path[0], amount)]
        for sides in path:
            hop = self._hop(sides, amount)
            if hop is None:
                return None
            hops.append(hop)
            amount = hop.amount_out
        return tuple(hops)

    def _hop(self, sides: Sequence[PoolSide], amount: int) -> Hop | None:
        """The best shares of the pools; one that would give nothing for its share is left out."""
        while sides:
            parts, depth = share([self._curve([side], amount) for side in sides], amount)
            shares = [
                Share(side, part, side.amount_out(part))
                for side, part in zip(sides, parts, strict=True)
                if part
            ]
            empty = [share.side for share in shares if share.amount_out == 0]
            if not empty:
                return Hop(tuple(shares), depth)
            sides = [side for side in sides if side not in empty]
        return None


def _depth(way: Way) -> int:
    """The depth at which a way ends."""
    return way[0].depth if len(way) == 1 else way[0].depth * way[1].depth >> 64


def _with_fewer_legs(mixture: Mixture, leg_cost: int) -> Iterator[list[Path]]:
    """The mixture's paths without a path or a pool that may not bring what its legs cost.

    What it brings is about its surplus: its output less what the others give for its input, at the
    marginal price at which all end. Smallest parts first; before them, all small parts at once.
    """
    # A part in the whole input, per million; the way; and a leg by hop and share, or the whole way.
    doubtful: list[tuple[int, int, tuple[int, int] | None]] = []
    total = sum(way[0].amount_in for way in mixture.ways)
    for w, way in enumerate(mixture.ways):
        part = way[0].amount_in * 10**6 // total
        surplus = way[-1].amount_out - _given(way[0].amount_in, _depth(way))
        if len(mixture.ways) > 1 and surplus <= leg_cost * sum(len(hop.shares) for hop in way):
            doubtful.append((part, w, None))
        for h, hop in enumerate(way):
            for i, leg in enumerate(hop.shares):
                surplus = leg.amount_out - _given(leg.amount_in, hop.depth)
                if h + 1 < len(way):
                    surplus = _given(surplus, way[-1].depth)
                if len(hop.shares) > 1 and surplus <= leg_cost:
                    doubtful.append((part * leg.amount_in // hop.amount_in, w, (h, i)))
    doubtful.sort(key=lambda entry: entry[0])
    small = [entry for entry in doubtful if entry[0] < _SMALL_PART]
    if len(small) > 1:
        yield _left(mixture, small)
    for entry in doubtful:
        yield _left(mixture, [entry])


def _given(amount: int, depth: int) -> int:
    """What `amount` gives at the marginal price of a depth."""
    return (amount << 128) // (depth * depth)


def _left(
    mixture: Mixture, taken_out: Sequence[tuple[int, int, tuple[int, int] | None]]
) -> list[Path]:
    whole = {w for _, w, leg in taken_out if leg is None}
    legs = {(w, *leg) for _, w, leg in taken_out if leg is not None}
    paths = [
        [
            [share.side for i, share in enumerate(hop.shares) if (w, h, i) not in legs]
            for h, hop in enumerate(way)
        ]
        for w, way in enumerate(mixture.ways)
        if w not in whole
    ]
    return [path for path in paths if all(path)]
