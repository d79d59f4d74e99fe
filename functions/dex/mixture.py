"""The best mixture of pools and paths for one amount.

A pool's output is a concave function of its input. The output of a hop over several pools is
concave too, and so is that of a path of two hops. Paths of at most two hops share no pool. So the
best mixture gives every used path the same marginal price, and within a hop every used pool.

All curves are functions of the depth q = 1/√(marginal output per input), Q64, which grows with the
input. The input of a constant-product curve is linear in q, and so is the input of two such curves
in a row; a bin has one price and is a step. So every curve is a polyline, and a bisection over the
corners finds the best mixture in integers.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from math import isqrt
from typing import NamedTuple

from functions.dex.pools import RATE_BOUND_SCALE, PoolSide
from functions.dex.sides import DEPTH_UNREACHABLE, Piece

ONE = 1 << 64
# The most swaps in one transaction. Solana allows 1,232 bytes and 1,400,000 compute units: see
# .github/DECISIONS.md.
LEGS_MAX = 14
# Fraction bits of a slope (input per q): small pools have small slopes.
_SLOPE_BITS = 32
# Doubtful parts below this share of the input, per million, are first removed all at once.
_SMALL_PART = 50_000
_CUTS_TRIED = 3


class Curve(NamedTuple):
    """Corners of a polyline: an input of `ins[i]` reaches `depths[i]` and gives `outs[i]`."""

    depths: list[int]
    ins: list[int]
    outs: list[int]

    @property
    def most(self) -> int:
        """The most base units that the curve takes; rounding can lose a unit at each corner."""
        return self.ins[-1] + len(self.ins)

    def before(self, depth: int) -> int:
        """The input that reaches this depth, without the steps at exactly this depth."""
        depths, ins, _ = self
        index = bisect_left(depths, depth)
        if index == len(depths):
            return ins[-1]
        if index == 0 or depths[index] == depth:
            return ins[index] if index else 0
        return self._between(index - 1, depth)

    def through(self, depth: int) -> int:
        """The input that reaches this depth, with the steps at exactly this depth."""
        depths, ins, _ = self
        index = bisect_right(depths, depth) - 1
        if index < 0:
            return 0
        if index == len(depths) - 1 or depths[index] == depth:
            return ins[index]
        return self._between(index, depth)

    def depth_of(self, amount: int) -> int:
        """The depth that an input of `amount` reaches; the last depth if it is more than `most`."""
        index = bisect_left(self.ins, amount)
        if index == len(self.ins):
            return self.depths[-1]
        if index == 0:
            return self.depths[0]
        before, after = self.ins[index - 1], self.ins[index]
        low, high = self.depths[index - 1], self.depths[index]
        return low + (high - low) * (amount - before) // (after - before)

    def _between(self, index: int, depth: int) -> int:
        depths, ins, _ = self
        low, before = depths[index], ins[index]
        return before + (ins[index + 1] - before) * (depth - low) // (depths[index + 1] - low)


def curve_of(pieces: Iterable[Piece], limit: int) -> Curve:
    """The curve of all pieces together, as far as an input of `limit` reaches.

    The pieces may come from several pools, in any order.
    """
    # By depth: the change of the slope, and the step.
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
    return Curve(depths or [DEPTH_UNREACHABLE], ins or [0], outs or [0])


def curve_of_one(pieces: Iterable[Piece]) -> Curve:
    """The curve of one pool's pieces, which are in the order of their depths."""
    depths: list[int] = []
    ins: list[int] = []
    outs: list[int] = []
    reached = -1
    taken = given = 0
    for start, end, amount_in, amount_out in pieces:
        if start != reached or start == end:
            depths.append(start)
            ins.append(taken)
            outs.append(given)
        reached = end
        taken += amount_in
        given += amount_out
        depths.append(end)
        ins.append(taken)
        outs.append(given)
    return Curve(depths or [DEPTH_UNREACHABLE], ins or [0], outs or [0])


def chained(first: Curve, second: Curve, limit: int, depth_max: int) -> Curve:
    """The curve of a path: the output of `first` goes into `second`. Its `outs` are empty.

    It ends at an input of `limit`, at the depth `depth_max`, or where either curve ends.
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


def share(
    curves: Sequence[Curve], amount: int, together: Curve | None = None
) -> tuple[list[int], int]:
    """The parts of `amount` with which all curves end at the same depth, and that depth.

    The parts sum to `amount`. If the curves cannot take all of it, the greatest part gets the rest.
    `together`, the curve of all of them, saves the search for the corners that enclose the depth.
    """
    if len(curves) == 1:
        return [amount], curves[0].depth_of(amount)
    if together is not None:
        corners = together.depths
        low = bisect_left(together.ins, amount)
    else:
        corners = sorted({depth for curve in curves for depth in curve.depths})
        low = bisect_left(
            corners, amount, key=lambda depth: sum([curve.through(depth) for curve in curves])
        )
    depth = corners[min(low, len(corners) - 1)]
    parts = [curve.before(depth) for curve in curves]
    total = sum(parts)
    if total <= amount:
        # Steps at exactly this depth have the same price: they are filled in the curves' order.
        for index, curve in enumerate(curves):
            step = min(curve.through(depth) - parts[index], amount - total)
            parts[index] += step
            total += step
    else:
        begun = [curve.through(corners[low - 1]) for curve in curves]
        # Because of rounding, `together` can take a few units less than the curves do.
        part, whole = max(amount - sum(begun), 0), max(total - sum(begun), 1)
        parts = [a + (b - a) * part // whole for a, b in zip(begun, parts, strict=True)]
        depth = corners[low - 1] + (depth - corners[low - 1]) * part // whole
    greatest = parts.index(max(parts))
    parts[greatest] += amount - sum(parts)
    return parts, depth


Path = Sequence[Sequence[PoolSide]]


class Share(NamedTuple):
    """One pool of a hop, with its input and output in base units."""

    side: PoolSide
    amount_in: int
    amount_out: int


class Hop(NamedTuple):
    """The shares of the pools of one hop, their sums, and the depth at which they all end."""

    shares: tuple[Share, ...]
    amount_in: int
    amount_out: int
    depth: int


# A path with the amounts that flow through it.
Flow = tuple[Hop, ...]


class Mixture(NamedTuple):
    """The flows that share an amount; `net` is their output less the cost of the legs."""

    flows: tuple[Flow, ...]
    amount_out: int
    legs: int
    net: int


class TooShallow(Exception):
    """The paths together cannot take the amount."""


class TooSmall(Exception):
    """The paths would give nothing for the amount."""


class Mixer:
    """Finds the best mixtures for one amount, and caches the curves.

    A leg must add more than `leg_cost` base units of output, and a mixture has at most `legs_max`
    legs. `reference` is the amount's worth at the reference price, in base units out. With it, the
    mixer skips paths that begin at too bad a price.
    """

    def __init__(
        self,
        amount: int,
        leg_cost: int = 0,
        reference: int | None = None,
        legs_max: int = LEGS_MAX,
    ) -> None:
        self._amount, self._leg_cost, self._legs_max = amount, leg_cost, legs_max
        self._reference = reference
        # The square of the depth at the reference price, Q128; 0 if that is not known.
        self._start_squared = 0 if not reference else (amount << 128) // (reference + 1)
        # The curves of a hop, by its sides, and the input and the depth that they reach.
        self._curves: dict[tuple[PoolSide, ...], tuple[int, int, Curve]] = {}
        # The curves of paths of two hops, by the sides of each hop, and the depth that they reach.
        self._chains: dict[tuple[tuple[PoolSide, ...], ...], tuple[int, Curve]] = {}

    def best(self, paths: Sequence[Path]) -> Mixture:
        """The mixture over paths of one or two hops with the greatest net output.

        Raises TooShallow and TooSmall.
        """
        if len(paths) == 1 and all(len(hop) == 1 for hop in paths[0]):
            return self._single(paths[0])
        try:
            best = self._mixture(paths)
        except TooShallow:
            best = self._with_smaller_first_hop(paths)
        while best.legs > self._legs_max:
            best = self._with_least_loss(best)
        while best.legs > 1 and (better := self._with_better_net(best)) is not None:
            best = better
        return best

    def most(self, path: Path) -> int:
        """An upper bound of the path's output for the amount."""
        if self._reference is None:
            return DEPTH_UNREACHABLE
        return most_of(self._reference, path)

    def _with_smaller_first_hop(self, paths: Sequence[Path]) -> Mixture:
        """The best mixture in which one path's first hop has fewer pools; raises TooShallow.

        Near full depth, the best first hop can give more than the second hop takes.
        """
        found: list[Mixture] = []
        for i, path in enumerate(paths):
            if len(path) > 1:
                first, *rest = path
                for count in range(1, len(first)):
                    for fewer in combinations(first, count):
                        try:
                            found.append(
                                self._mixture([*paths[:i], [fewer, *rest], *paths[i + 1 :]])
                            )
                        except (TooShallow, TooSmall):
                            continue
        if not found:
            raise TooShallow
        return max(found, key=lambda each: each.net)

    def _single(self, path: Path) -> Mixture:
        """The mixture over a path with one pool in each hop."""
        amount, hops = self._amount, []
        for (side,) in path:
            if not side.takes(amount):
                first = side.pieces(1)[:1]
                raise TooSmall if first and amount <= first[0].amount_in else TooShallow
            out = side.amount_out(amount)
            # The depth of a single flow is not used.
            hops.append(Hop((Share(side, amount, out),), amount, out, 0))
            amount = out
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

    def _with_least_loss(self, mixture: Mixture) -> Mixture:
        """The best mixture without one of the parts that seem to add least per removed leg."""
        excess = mixture.legs - self._legs_max
        parts = _parts(mixture)
        parts.sort(key=lambda part: part.surplus // min(part.legs, excess))
        found: list[Mixture] = []
        for part in parts:
            try:
                found.append(self._mixture(_without(mixture, [part])))
            except (TooShallow, TooSmall):
                continue
            # The surplus of a part is an estimate, so near the limit several parts are tried.
            if len(found) == (_CUTS_TRIED if excess <= 2 else 1):
                break
        if not found:
            raise TooShallow
        return max(found, key=lambda each: each.net)

    def _mixture(self, paths: Sequence[Path]) -> Mixture:
        """The best mixture over these paths, without regard to the cost and number of legs."""
        amount = self._amount
        depth_max = self._best_depth(paths)
        used = [path for path in paths if self._start(path) < depth_max]
        parts = [amount]
        if len(used) != 1 or depth_max == DEPTH_UNREACHABLE:
            used, parts = self._shared(used, depth_max)
        flows = []
        for path, part in zip(used, parts, strict=True):
            if part:
                flow = self._flow(path, part)
                if flow is None:
                    others = [other for other in paths if other is not path]
                    if not others:
                        raise TooSmall
                    return self._mixture(others)
                flows.append(flow)
        amount_out = sum(flow[-1].amount_out for flow in flows)
        legs = sum(len(hop.shares) for flow in flows for hop in flow)
        return Mixture(tuple(flows), amount_out, legs, amount_out - legs * self._leg_cost)

    def _best_depth(self, paths: Sequence[Path]) -> int:
        """The depth at which the best direct pool alone takes the amount, or DEPTH_UNREACHABLE."""
        sides = [side for path in paths if len(path) == 1 for side in path[0]]
        if not sides:
            return DEPTH_UNREACHABLE
        curve = self._curve([max(sides, key=lambda side: side.rate_bound)], self._amount)
        return curve.depth_of(self._amount) if curve.most >= self._amount else DEPTH_UNREACHABLE

    def _shared(self, paths: Sequence[Path], depth_max: int) -> tuple[list[Path], list[int]]:
        """The paths that begin at a smaller depth than the others end, and their parts."""
        amount = self._amount
        used: list[Path] = []
        curves: list[Curve] = []
        for path in paths:
            if self._start(path) < depth_max:
                curve = self._path_curve(path, depth_max)
                if curve.most >= amount:
                    depth_max = min(depth_max, curve.depth_of(amount))
                used.append(path)
                curves.append(curve)
        if sum(curve.most for curve in curves) < amount:
            raise TooShallow
        return used, share(curves, amount)[0]

    def _start(self, path: Path) -> int:
        """A lower bound of the depth at which the path begins."""
        square = self._start_squared
        for hop in path:
            square = square * RATE_BOUND_SCALE // _rate_bound(hop)
        return isqrt(square)

    def _path_curve(self, path: Path, depth_max: int) -> Curve:
        """The curve of the path, up to the amount or the depth `depth_max`."""
        amount = self._amount
        if len(path) == 1:
            return self._curve(*self._direct(path[0], amount))
        key = tuple(tuple(hop) for hop in path)
        known = self._chains.get(key)
        if known is not None and known[0] >= depth_max:
            return known[1]
        # Neither hop gets deeper than this, because the other hop is at its start or deeper.
        growth = (depth_max << 64) // max(self._start(path), 1)
        ends = [min(_first_depth(side) for side in hop) * growth >> 64 for hop in path]
        first = self._curve(path[0], amount, ends[0])
        second = self._curve(path[1], first.outs[-1], ends[1])
        curve = chained(first, second, amount, depth_max)
        self._chains[key] = depth_max, curve
        return curve

    def _direct(
        self, sides: Sequence[PoolSide], amount: int
    ) -> tuple[Sequence[PoolSide], int, int]:
        """The pools of the pair, the amount, and the greatest depth that it can reach.

        Pools that begin deeper than the best pool ends are left out.
        """
        best = max(sides, key=lambda side: side.rate_bound)
        curve = self._curve([best], amount)
        if curve.most < amount:
            return sides, amount, DEPTH_UNREACHABLE
        depth = curve.depth_of(amount)
        near = [side for side in sides if side is best or self._start([[side]]) < depth]
        return near, amount, depth

    def _curve(
        self, sides: Sequence[PoolSide], limit: int, depth_max: int = DEPTH_UNREACHABLE
    ) -> Curve:
        """The curve of all these pools together, up to an input of `limit` or `depth_max`."""
        key = tuple(sides)
        known = self._curves.get(key)
        if known is None or not _reaches(known, limit, depth_max):
            if known is not None:
                # The inputs of the tried mixtures grow in small steps: one curve serves many.
                limit, depth_max = max(limit, 2 * known[0]), max(depth_max, known[1])
            if len(sides) == 1:
                curve = curve_of_one(sides[0].pieces(limit, depth_max))
            else:
                pieces = [piece for side in sides for piece in side.pieces(limit, depth_max)]
                curve = curve_of(pieces, limit)
            known = self._curves[key] = limit, depth_max, curve
        return known[2]

    def _flow(self, path: Path, amount: int) -> Flow | None:
        """The path's hops with this input, in exact units; None if a hop gives nothing."""
        hops: list[Hop] = []
        if len(path) == 1:
            path = [self._direct(path[0], amount)[0]]
        for sides in path:
            hop = self._hop(sides, amount)
            if hop is None:
                return None
            hops.append(hop)
            amount = hop.amount_out
        return tuple(hops)

    def _hop(self, sides: Sequence[PoolSide], amount: int) -> Hop | None:
        """The best shares of the pools; None if no pool gives anything.

        A pool that would give nothing for its share gets none, as its swap would fail on chain.
        """
        if len(sides) == 1:
            (side,) = sides
            out = side.amount_out(amount)
            depth = self._curve(sides, amount).depth_of(amount)
            return Hop((Share(side, amount, out),), amount, out, depth) if out else None
        while sides:
            together = self._curve(sides, amount)
            end = together.depth_of(amount)
            curves = [self._curve([side], amount, end) for side in sides]
            parts, depth = share(curves, amount, together)
            shares = [
                Share(side, part, side.amount_out(part))
                for side, part in zip(sides, parts, strict=True)
                if part
            ]
            empty = [share.side for share in shares if share.amount_out == 0]
            if not empty:
                out = sum([share.amount_out for share in shares])
                return Hop(tuple(shares), amount, out, depth)
            sides = [side for side in sides if side not in empty]
        return None


def _reaches(known: tuple[int, int, Curve], limit: int, depth_max: int) -> bool:
    """Whether a cached curve is valid up to this input or depth.

    It is valid up to the input or the depth for which it was computed.
    """
    reached, depth, curve = known
    if reached >= limit and depth >= depth_max:
        return True
    return curve.ins[-1] >= limit and curve.depth_of(limit) <= depth


def _first_depth(side: PoolSide) -> int:
    """The depth at which the pool begins; DEPTH_UNREACHABLE if it holds nothing."""
    pieces = side.pieces(1)
    return pieces[0].start if pieces else DEPTH_UNREACHABLE


def most_of(reference: int, path: Path) -> int:
    """An upper bound of the path's output for an input that is worth `reference`."""
    most = reference + 1
    for hop in path:
        most = most * _rate_bound(hop) // RATE_BOUND_SCALE + 1
    return most


def _rate_bound(hop: Sequence[PoolSide]) -> int:
    """The best of the pools' rate bounds."""
    return max([side.rate_bound for side in hop])


def _depth(flow: Flow) -> int:
    return flow[0].depth if len(flow) == 1 else flow[0].depth * flow[1].depth >> 64


class _Part(NamedTuple):
    """A flow of a mixture, or one leg of the flow, named by its hop and its place in the hop.

    `surplus` is what the part adds, in base units out; `size` is its share of the whole input,
    per million.
    """

    surplus: int
    legs: int
    size: int
    flow: int
    leg: tuple[int, int] | None


def _parts(mixture: Mixture) -> list[_Part]:
    """The parts that can be removed from a mixture.

    The surplus is an estimate: the part's output, less the output of the others for its input, at
    the marginal price at which all of them end.
    """
    parts: list[_Part] = []
    total = sum(flow[0].amount_in for flow in mixture.flows)
    for f, flow in enumerate(mixture.flows):
        size = flow[0].amount_in * 10**6 // total
        if len(mixture.flows) > 1:
            surplus = flow[-1].amount_out - _output_at(flow[0].amount_in, _depth(flow))
            parts.append(_Part(surplus, sum(len(hop.shares) for hop in flow), size, f, None))
        for h, hop in enumerate(flow):
            if len(hop.shares) > 1:
                for i, leg in enumerate(hop.shares):
                    surplus = leg.amount_out - _output_at(leg.amount_in, hop.depth)
                    if h + 1 < len(flow):
                        surplus = _output_at(surplus, flow[-1].depth)
                    share_size = size * leg.amount_in // hop.amount_in
                    parts.append(_Part(surplus, 1, share_size, f, (h, i)))
    return parts


def _with_fewer_legs(mixture: Mixture, leg_cost: int) -> Iterator[list[Path]]:
    """The mixture's paths without a part that may add less than its legs cost.

    First without all small parts at once, then without each part, the smallest first.
    """
    doubtful = [part for part in _parts(mixture) if part.surplus <= leg_cost * part.legs]
    doubtful.sort(key=lambda part: part.size)
    small = [part for part in doubtful if part.size < _SMALL_PART]
    if len(small) > 1:
        yield _without(mixture, small)
    for part in doubtful:
        yield _without(mixture, [part])


def _output_at(amount: int, depth: int) -> int:
    """The output of `amount` at the marginal price of a depth."""
    return (amount << 128) // (depth * depth)


def _without(mixture: Mixture, parts: Sequence[_Part]) -> list[Path]:
    """The mixture's paths without these parts."""
    flows = {part.flow for part in parts if part.leg is None}
    legs = {(part.flow, *part.leg) for part in parts if part.leg is not None}
    paths = [
        [
            [share.side for i, share in enumerate(hop.shares) if (f, h, i) not in legs]
            for h, hop in enumerate(flow)
        ]
        for f, flow in enumerate(mixture.flows)
        if f not in flows
    ]
    return [path for path in paths if all(path)]
