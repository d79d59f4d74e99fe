"""Meteora's DLMM pools: a ladder of bins, each at one price, exact to the base unit.

Sources: dlmm-sdk `quote.rs`, `bin.rs`, `lb_pair.rs` and the formulas page of the DLMM docs.
Amounts are integers in base units, prices Q64.64 (Y per X), fee rates parts per 1e9. Times are in
the unit of the periods (seconds on chain).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

from functions.dex.errors import (
    ExceededSlippage,
    InsufficientLiquidity,
    Program,
    ZeroAmount,
    ZeroOutput,
)
from functions.dex.sides import DEPTH_UNREACHABLE, IMPACT_SCALE, USABLE_PERCENT, Fill, Piece, Side

DLMM = Program("meteora-dlmm", "Swap2", slippage=6003)
ONE = 1 << 64
FEE_SCALE = 10**9
FEE_RATE_MAX = 100_000_000
SHARE_SCALE = 10_000
BIN_ID_LIMIT = 0x80000
_PRICE_MAX = 2**128 - 1

ZERO_AMOUNT = 6002
INSUFFICIENT_LIQUIDITY = 6012
ZERO_OUTPUT = 6039


@dataclass(frozen=True, slots=True)
class Parameters:
    """A pair's fixed parameters, as on chain; `reduction_factor`, `protocol_share` in 1/10000."""

    bin_step: int
    base_factor: int = 10_000
    base_fee_power_factor: int = 0
    filter_period: int = 30
    decay_period: int = 600
    reduction_factor: int = 5_000
    variable_fee_control: int = 40_000
    max_volatility_accumulator: int = 350_000
    protocol_share: int = 1_000
    # A cache of fee rates, by volatility accumulator.
    rates: dict[int, int] = field(default_factory=dict, init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Pool:
    """A pair's state: `bins` maps a bin id to its (X, Y) base units; absent bins are empty.

    `last_update` None means infinitely long ago. `index_reference` None means the active id.
    """

    parameters: Parameters
    active_id: int
    bins: Mapping[int, tuple[int, int]]
    volatility_accumulator: int = 0
    volatility_reference: int = 0
    index_reference: int | None = None
    last_update: int | None = None

    def side(self, x_to_y: bool) -> Side:
        """The pool, at rest, for an input of X (or of Y)."""
        return Ladder(self, x_to_y)


@dataclass(frozen=True, slots=True)
class Swap:
    """A swap's amounts and fees in base units, and the pool after it.

    `fee` is in the input token and contains `protocol_fee`. `last_update_moved` says whether the
    active id, and so the time of the last update, moved.
    """

    amount_in: int
    amount_out: int
    fee: int
    protocol_fee: int
    pool: Pool
    last_update_moved: bool


class PartialFill(InsufficientLiquidity):
    """The bins cannot fill the swap; `swap` is the part that they can fill, None if nothing."""

    def __init__(self, message: str, swap: Swap | None) -> None:
        super().__init__(DLMM, INSUFFICIENT_LIQUIDITY, message)
        self.swap = swap


class _Step(NamedTuple):
    """One bin that a swap empties: its output, the net input for it, and the fee on top."""

    bin_id: int
    price: int
    accumulator: int
    rate: int
    out: int
    need: int
    fee: int


class _BinWalk:
    """The bins of one direction in order, computed as far as a swap reaches, with running sums.

    `gross_in`, `fees` and `out` hold the sums before each step, then the total; a swap passes step
    i only if its whole input reaches `passing[i]`.
    """

    def __init__(self, pool: Pool, x_to_y: bool, now: int | None) -> None:
        self.pool = pool
        self.x_to_y = x_to_y
        self.index_reference, self.volatility_reference = references(pool, now)
        self.steps: list[_Step] = []
        self.gross_in, self.fees, self.out = [0], [0], [0]
        self.passing: list[int] = []
        bins, active = pool.bins, pool.active_id
        last = active if not bins else min(bins) if x_to_y else max(bins)
        self.last_id = last
        self._ahead = self._visit(
            range(active, last - 1, -1) if x_to_y else range(active, last + 1)
        )

    def step_of_input(self, amount: int) -> int:
        """The step in which an input of `amount` ends, or how many there are if none takes it."""
        if not self.passing or self.passing[-1] <= amount:
            self.extend(amount)
        return bisect_right(self.passing, amount)

    def step_of_output(self, amount: int) -> int:
        """The step in which an output of `amount` ends, or how many there are if none holds it."""
        while self.out[-1] < amount and self.extend():
            pass
        return bisect_left(self.out, amount, lo=1) - 1

    def extend(self, amount: int = 0) -> bool:
        """Compute the bins ahead that an input of `amount` passes, and one more; False if none."""
        found = False
        for passing in self._ahead:
            found = True
            if passing > amount:
                break
        return found

    def _visit(self, ids: Iterable[int]) -> Iterator[int]:
        """Compute one bin after another; yields the least input that passes each.

        Bins without output are skipped.
        """
        bins, x_to_y, parameters = self.pool.bins, self.x_to_y, self.pool.parameters
        held, bin_step, rates = 1 if x_to_y else 0, parameters.bin_step, parameters.rates
        reference, index = self.volatility_reference, self.index_reference
        highest = parameters.max_volatility_accumulator
        before = fees = given = 0
        for bin_id in ids:
            holding = bins.get(bin_id)
            if holding is None or not holding[held]:
                continue
            out = holding[held]
            accumulator = min(reference + abs(index - bin_id) * SHARE_SCALE, highest)
            rate = rates.get(accumulator)
            if rate is None:
                rate = rates[accumulator] = fee_rate(parameters, accumulator)
            price, kept = price_of_bin(bin_id, bin_step), FEE_SCALE - rate
            need = -(-(out << 64) // price) if x_to_y else -(-out * price >> 64)
            fee = -(-need * rate // kept)
            self.steps.append(_Step(bin_id, price, accumulator, rate, out, need, fee))
            # A swap passes this bin with one more unit of net input than the bin takes.
            passing = before + need + 1 - (-(need + 1) * rate // kept)
            before, fees, given = before + need + fee, fees + fee, given + out
            self.passing.append(passing)
            self.gross_in.append(before)
            self.fees.append(fees)
            self.out.append(given)
            yield passing


@lru_cache(maxsize=1 << 14)
def price_of_bin(bin_id: int, bin_step: int) -> int:
    """Q64.64 price of a bin, (1 + bin_step/10000)**bin_id as the program computes it.

    `bin_step` in basis points. Raises ValueError if |bin_id| ≥ 2**19 or no Q64.64 holds
    the price. Source: `u64x64_math.rs` pow.
    """
    if bin_id == 0:
        return ONE
    if abs(bin_id) >= BIN_ID_LIMIT:
        raise ValueError(f"bin {bin_id} has no price")
    inverted = bin_id < 0
    squared = ONE + (bin_step << 64) // 10_000
    if squared >= ONE:
        squared = _PRICE_MAX // squared
        inverted = not inverted
    exponent = abs(bin_id)
    power = ONE
    for bit in range(19):
        if bit:
            squared = squared * squared >> 64
        if exponent >> bit & 1:
            power = power * squared >> 64
    if power == 0:
        raise ValueError(f"bin {bin_id} has no price")
    return _PRICE_MAX // power if inverted else power


def nearest_bin(price: int, lot: int, bin_step: int) -> int:
    """The bin whose price is nearest to `price` units of Y per `lot` units of X.

    Of two that are equally near, the lower one.
    """
    wanted = price << 64
    # A step is at most bin_step / 10^4 of a factor e, and Q64.64 holds e^±44.
    high = 44 * 10_000 // bin_step
    low = -high
    while low < high:
        middle = (low + high) // 2
        if price_of_bin(middle, bin_step) * lot < wanted:
            low = middle + 1
        else:
            high = middle
    above = price_of_bin(low, bin_step) * lot - wanted
    below = wanted - price_of_bin(low - 1, bin_step) * lot
    return low if above < below else low - 1


@lru_cache(maxsize=1 << 14)
def _root_of_bin(bin_id: int, bin_step: int) -> int:
    """The square root of a bin's price, Q64."""
    return isqrt(price_of_bin(bin_id, bin_step) << 64)


@lru_cache(maxsize=1 << 12)
def _root_of_kept(rate: int) -> int:
    """1 / √(1 − fee), Q64."""
    return isqrt((FEE_SCALE << 128) // (FEE_SCALE - rate))


def base_fee_rate(parameters: Parameters) -> int:
    """The fee rate of a pair whose price does not move, in parts per 1e9."""
    power: int = 10**parameters.base_fee_power_factor
    return parameters.base_factor * parameters.bin_step * 10 * power


def fee_rate(parameters: Parameters, accumulator: int) -> int:
    """Base plus variable fee rate at a volatility accumulator, in parts per 1e9, at most 10 %."""
    control = parameters.variable_fee_control
    moved = accumulator * parameters.bin_step
    variable = -(-control * moved * moved // 10**11) if control > 0 else 0
    return min(base_fee_rate(parameters) + variable, FEE_RATE_MAX)


def fee_inside(amount: int, rate: int) -> int:
    """The fee contained in `amount`, rounded up."""
    return -(-amount * rate // FEE_SCALE)


def fee_on_top(amount: int, rate: int) -> int:
    """The fee that comes on top of `amount`, rounded up."""
    return -(-amount * rate // (FEE_SCALE - rate))


def references(pool: Pool, now: int | None = None) -> tuple[int, int]:
    """Index and volatility reference with which a swap at `now` starts.

    `now` None is a swap at rest, infinitely long after the last. Source: `update_references`.
    """
    if now is None or pool.last_update is None:
        return pool.active_id, 0
    parameters = pool.parameters
    elapsed = now - pool.last_update
    if elapsed < parameters.filter_period:
        index = pool.active_id if pool.index_reference is None else pool.index_reference
        return index, pool.volatility_reference
    if elapsed < parameters.decay_period:
        decayed = pool.volatility_accumulator * parameters.reduction_factor // SHARE_SCALE
        return pool.active_id, decayed
    return pool.active_id, 0


def swap_exact_in(
    pool: Pool, amount: int, x_to_y: bool, now: int | None = None, minimum_out: int = 0
) -> Swap:
    """Put in exactly `amount` base units of X (or of Y) at time `now`.

    Raises ZeroAmount; ZeroOutput if nothing would come out; PartialFill if the bins cannot take it
    all; ExceededSlippage if less than `minimum_out` would come out.
    """
    if amount <= 0:
        raise ZeroAmount(DLMM, ZERO_AMOUNT, "amount in must be positive")
    walk = _BinWalk(pool, x_to_y, now)
    passed = walk.step_of_input(amount)
    if passed == len(walk.steps):
        raise _too_shallow(pool, walk, now, f"{amount} in")
    step = walk.steps[passed]
    left = amount - walk.gross_in[passed]
    net, out = _fill(step, left, x_to_y)
    total_out = walk.out[passed] + out
    if total_out == 0:
        raise ZeroOutput(DLMM, ZERO_OUTPUT, f"{amount} in gives nothing")
    if total_out < minimum_out:
        raise ExceededSlippage(DLMM, total_out, minimum_out)
    return _settle(pool, walk, now, passed, net=net, fee=left - net, out=out)


def swap_exact_out(
    pool: Pool,
    amount: int,
    x_to_y: bool,
    now: int | None = None,
    maximum_in: int | None = None,
) -> Swap:
    """Take exactly `amount` base units of Y (or of X) at time `now`.

    Raises ZeroAmount; PartialFill if the bins do not hold it all; ExceededSlippage if more than
    `maximum_in` would go in.
    """
    if amount <= 0:
        raise ZeroAmount(DLMM, ZERO_AMOUNT, "amount out must be positive")
    walk = _BinWalk(pool, x_to_y, now)
    passed = walk.step_of_output(amount)
    if passed == len(walk.steps):
        raise _too_shallow(pool, walk, now, f"{amount} out")
    step = walk.steps[passed]
    out = amount - walk.out[passed]
    net = _in_for(out, step.price, x_to_y)
    swap = _settle(pool, walk, now, passed, net=net, fee=fee_on_top(net, step.rate), out=out)
    if maximum_in is not None and swap.amount_in > maximum_in:
        raise ExceededSlippage(DLMM, swap.amount_in, maximum_in)
    return swap


class Ladder:
    """A pool for one input token at time `now`, computed as far as amounts reach."""

    def __init__(self, pool: Pool, x_to_y: bool, now: int | None = None) -> None:
        self._pool, self._x_to_y, self._now = pool, x_to_y, now
        self._walk = _BinWalk(pool, x_to_y, now)
        held = [bin_[1 if x_to_y else 0] for bin_ in pool.bins.values()]
        self._usable_out = sum(held) * USABLE_PERCENT // 100
        self._pieces: list[Piece] = []
        self._reached = 0

    def amount_out(self, amount: int) -> int:
        """`swap_exact_in(...).amount_out` alone; 0 if it would raise."""
        walk = self._walk
        passed = walk.step_of_input(amount)
        if passed == len(walk.steps) or amount <= 0:
            return 0
        left = amount - walk.gross_in[passed]
        return walk.out[passed] + _fill(walk.steps[passed], left, walk.x_to_y)[1]

    def takes(self, amount: int) -> bool:
        """Whether `amount` gives an output within the usable share of the bins."""
        # A lower bound of the output, at the last bin's price less the highest fee: it refuses most
        # large amounts without computing more bins.
        price = price_of_bin(self._walk.last_id, self._pool.parameters.bin_step)
        net = amount - fee_inside(amount, FEE_RATE_MAX)
        if _out_for(net, price, self._x_to_y) > self._usable_out:
            return False
        return 0 < self.amount_out(amount) <= self._usable_out

    def pieces(self, limit: int, depth_max: int = DEPTH_UNREACHABLE) -> Sequence[Piece]:
        """The bins as pieces of one price each: see `Side.pieces`.

        They end at USABLE_PERCENT of the output that the bins hold.
        """
        walk, pieces = self._walk, self._pieces
        step_size = self._pool.parameters.bin_step
        while not pieces or (self._reached < limit and pieces[-1].end < depth_max):
            index = len(pieces)
            given = walk.out[index] if index < len(walk.out) else self._usable_out
            if given >= self._usable_out or (index == len(walk.steps) and not walk.extend()):
                break
            step = walk.steps[index]
            root = _root_of_bin(step.bin_id, step_size)
            kept = _root_of_kept(step.rate)
            depth = (kept << 64) // root if walk.x_to_y else kept * root >> 64
            piece = Piece(depth, depth, step.need + step.fee, step.out)
            if given + step.out > self._usable_out:
                piece = piece.cut(self._usable_out - given)
            pieces.append(piece)
            self._reached += piece.amount_in
        return pieces

    def fill(self, amount: int) -> Fill:
        """The amounts, fee and price impact of a swap; raises as `swap_exact_in` does."""
        out = self.amount_out(amount)
        if out == 0:
            swap_exact_in(self._pool, amount, self._x_to_y, self._now)
        walk = self._walk
        passed = walk.step_of_input(amount)
        left = amount - walk.gross_in[passed]
        fee = walk.fees[passed] + fee_inside(left, walk.steps[passed].rate)
        price = price_of_bin(self._pool.active_id, self._pool.parameters.bin_step)
        net = amount - fee
        worth, got = (net * price, out << 64) if self._x_to_y else (net << 64, out * price)
        return Fill(amount, out, fee, IMPACT_SCALE * (worth - got) // worth)


def _fill(step: _Step, left: int, x_to_y: bool) -> tuple[int, int]:
    """Net input and output if all of `left` ends in this bin."""
    net = left - fee_inside(left, step.rate)
    # Because `need` is rounded up, its computed output can exceed what the bin holds.
    return net, step.out if net == step.need else _out_for(net, step.price, x_to_y)


def _out_for(net: int, price: int, x_to_y: bool) -> int:
    return net * price >> 64 if x_to_y else (net << 64) // price


def _in_for(out: int, price: int, x_to_y: bool) -> int:
    return -(-(out << 64) // price) if x_to_y else -(-out * price >> 64)


def _settle(
    pool: Pool, walk: _BinWalk, now: int | None, passed: int, *, net: int, fee: int, out: int
) -> Swap:
    """Empty the bins before step `passed`, and put the rest into that step's bin."""
    last = walk.steps[passed]
    share = pool.parameters.protocol_share
    fees = [*(step.fee for step in walk.steps[:passed]), fee]
    bins = dict(pool.bins)
    for step in walk.steps[:passed]:
        bins[step.bin_id] = _moved(bins[step.bin_id], step.need, step.out, walk.x_to_y)
    bins[last.bin_id] = _moved(bins[last.bin_id], net, out, walk.x_to_y)
    moved = last.bin_id != pool.active_id
    after = replace(
        pool,
        active_id=last.bin_id,
        bins=bins,
        volatility_accumulator=last.accumulator,
        volatility_reference=walk.volatility_reference,
        index_reference=walk.index_reference,
        last_update=now if moved else pool.last_update,
    )
    return Swap(
        amount_in=walk.gross_in[passed] + net + fee,
        amount_out=walk.out[passed] + out,
        fee=walk.fees[passed] + fee,
        protocol_fee=sum(each * share // SHARE_SCALE for each in fees),
        pool=after,
        last_update_moved=moved,
    )


def _moved(held: tuple[int, int], net: int, out: int, x_to_y: bool) -> tuple[int, int]:
    return (held[0] + net, held[1] - out) if x_to_y else (held[0] - out, held[1] + net)


def _too_shallow(pool: Pool, walk: _BinWalk, now: int | None, wanted: str) -> PartialFill:
    message = f"{wanted} is more than the bins hold"
    if not walk.steps:
        return PartialFill(message, None)
    last = walk.steps[-1]
    swap = _settle(pool, walk, now, len(walk.steps) - 1, net=last.need, fee=last.fee, out=last.out)
    return PartialFill(message, swap)
