"""Meteora's DLMM pools: a ladder of bins, each at one price, to the last unit.

Sources: dlmm-sdk `quote.rs`, `bin.rs`, `lb_pair.rs` and the formulas page of the DLMM docs.
Amounts are integers in base units, prices Q64.64 (Y per X), fee rates parts per 1e9, times in any
one unit as long as it is the periods' unit (seconds on chain).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from functions.dex.errors import (
    METEORA_DLMM,
    ExceededSlippage,
    InsufficientLiquidity,
    ZeroAmount,
    ZeroOutput,
)

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
    """A pair's fixed figures, as on chain; `reduction_factor` and `protocol_share` in 1/10000."""

    bin_step: int
    base_factor: int = 10_000
    base_fee_power_factor: int = 0
    filter_period: int = 30
    decay_period: int = 600
    reduction_factor: int = 5_000
    variable_fee_control: int = 40_000
    max_volatility_accumulator: int = 350_000
    protocol_share: int = 1_000


@dataclass(frozen=True, slots=True)
class Pool:
    """A pair's state: `bins` maps a bin id to its (X, Y) base units; absent bins hold nothing.

    `last_update` None means infinitely long ago. `index_reference` None means the active id.
    """

    parameters: Parameters
    active_id: int
    bins: Mapping[int, tuple[int, int]]
    volatility_accumulator: int = 0
    volatility_reference: int = 0
    index_reference: int | None = None
    last_update: int | None = None


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
    """The bins cannot fill the swap; `swap` is the part they can, None where they hold nothing."""

    def __init__(self, message: str, swap: Swap | None) -> None:
        super().__init__(METEORA_DLMM, INSUFFICIENT_LIQUIDITY, message)
        self.swap = swap


@dataclass(frozen=True, slots=True)
class _Step:
    """One bin on a swap's way, whole: what it holds, what that takes, fee on top."""

    bin_id: int
    price: int
    accumulator: int
    rate: int
    out: int
    need: int
    fee: int


@dataclass(frozen=True, slots=True)
class _Way:
    """The bins of one direction in order, and running sums so that an amount is found by bisection.

    `gross_in`, `fees`, `protocol_fees` and `out` hold the sums before each step, then the total;
    a swap passes step i only if its whole input reaches `passing[i]`.
    """

    x_to_y: bool
    index_reference: int
    volatility_reference: int
    steps: tuple[_Step, ...]
    gross_in: tuple[int, ...]
    fees: tuple[int, ...]
    protocol_fees: tuple[int, ...]
    out: tuple[int, ...]
    passing: tuple[int, ...]


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


def base_fee_rate(parameters: Parameters) -> int:
    """The fee rate of a calm pair, in parts per 1e9."""
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
        raise ZeroAmount(METEORA_DLMM, ZERO_AMOUNT, "amount in must be positive")
    way = _way(pool, x_to_y, now)
    passed = bisect_right(way.passing, amount)
    if passed == len(way.steps):
        raise _too_shallow(pool, way, now, f"{amount} in")
    step = way.steps[passed]
    left = amount - way.gross_in[passed]
    net, out = _fill(step, left, x_to_y)
    total_out = way.out[passed] + out
    if total_out == 0:
        raise ZeroOutput(METEORA_DLMM, ZERO_OUTPUT, f"{amount} in gives nothing")
    if total_out < minimum_out:
        raise ExceededSlippage(METEORA_DLMM, total_out, minimum_out)
    return _settle(pool, way, now, passed, net=net, fee=left - net, out=out)


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
        raise ZeroAmount(METEORA_DLMM, ZERO_AMOUNT, "amount out must be positive")
    way = _way(pool, x_to_y, now)
    passed = bisect_left(way.out, amount, lo=1) - 1
    if passed == len(way.steps):
        raise _too_shallow(pool, way, now, f"{amount} out")
    step = way.steps[passed]
    out = amount - way.out[passed]
    net = _in_for(out, step.price, x_to_y)
    swap = _settle(pool, way, now, passed, net=net, fee=fee_on_top(net, step.rate), out=out)
    if maximum_in is not None and swap.amount_in > maximum_in:
        raise ExceededSlippage(METEORA_DLMM, swap.amount_in, maximum_in)
    return swap


def out_of(pool: Pool, x_to_y: bool, now: int | None = None) -> tuple[Callable[[int], int], int]:
    """`swap_exact_in(...).amount_out` alone, 0 where it would raise, and the most the bins take.

    Made once for many amounts: the router's hot loop.
    """
    way = _way(pool, x_to_y, now)
    passing, gross_in, before, steps = way.passing, way.gross_in, way.out, way.steps
    count = len(steps)

    def amount_out(amount: int) -> int:
        passed = bisect_right(passing, amount)
        if passed == count or amount <= 0:
            return 0
        return before[passed] + _fill(steps[passed], amount - gross_in[passed], x_to_y)[1]

    return amount_out, passing[-1] - 1 if passing else 0


def _fill(step: _Step, left: int, x_to_y: bool) -> tuple[int, int]:
    """Net input and output where all of `left` ends in this bin."""
    net = left - fee_inside(left, step.rate)
    # Rounding up `need` lets its own output exceed what the bin holds.
    return net, step.out if net == step.need else _out_for(net, step.price, x_to_y)


def _out_for(net: int, price: int, x_to_y: bool) -> int:
    return net * price >> 64 if x_to_y else (net << 64) // price


def _in_for(out: int, price: int, x_to_y: bool) -> int:
    return -(-(out << 64) // price) if x_to_y else -(-out * price >> 64)


def _way(pool: Pool, x_to_y: bool, now: int | None) -> _Way:
    index_reference, volatility_reference = references(pool, now)
    share = pool.parameters.protocol_share
    steps = _steps(pool, x_to_y, index_reference, volatility_reference)
    gross_in, fees, protocol_fees, out, passing = [0], [0], [0], [0], []
    for step in steps:
        # One unit of net input more than the bin takes is what carries a swap to the next bin.
        passing.append(gross_in[-1] + step.need + 1 + fee_on_top(step.need + 1, step.rate))
        gross_in.append(gross_in[-1] + step.need + step.fee)
        fees.append(fees[-1] + step.fee)
        protocol_fees.append(protocol_fees[-1] + step.fee * share // SHARE_SCALE)
        out.append(out[-1] + step.out)
    return _Way(
        x_to_y,
        index_reference,
        volatility_reference,
        steps,
        tuple(gross_in),
        tuple(fees),
        tuple(protocol_fees),
        tuple(out),
        tuple(passing),
    )


def _steps(
    pool: Pool, x_to_y: bool, index_reference: int, volatility_reference: int
) -> tuple[_Step, ...]:
    parameters = pool.parameters
    active = pool.active_id
    if x_to_y:
        ids = sorted((i for i, held in pool.bins.items() if i <= active and held[1]), reverse=True)
    else:
        ids = sorted(i for i, held in pool.bins.items() if i >= active and held[0])
    steps = []
    for bin_id in ids:
        price = price_of_bin(bin_id, parameters.bin_step)
        accumulator = min(
            volatility_reference + abs(index_reference - bin_id) * SHARE_SCALE,
            parameters.max_volatility_accumulator,
        )
        rate = fee_rate(parameters, accumulator)
        out = pool.bins[bin_id][1 if x_to_y else 0]
        need = _in_for(out, price, x_to_y)
        steps.append(_Step(bin_id, price, accumulator, rate, out, need, fee_on_top(need, rate)))
    return tuple(steps)


def _settle(
    pool: Pool, way: _Way, now: int | None, passed: int, *, net: int, fee: int, out: int
) -> Swap:
    """Drain the bins before step `passed`, put the rest into it."""
    last = way.steps[passed]
    bins = dict(pool.bins)
    for step in way.steps[:passed]:
        bins[step.bin_id] = _moved(bins[step.bin_id], step.need, step.out, way.x_to_y)
    bins[last.bin_id] = _moved(bins[last.bin_id], net, out, way.x_to_y)
    moved = last.bin_id != pool.active_id
    after = replace(
        pool,
        active_id=last.bin_id,
        bins=bins,
        volatility_accumulator=last.accumulator,
        volatility_reference=way.volatility_reference,
        index_reference=way.index_reference,
        last_update=now if moved else pool.last_update,
    )
    return Swap(
        amount_in=way.gross_in[passed] + net + fee,
        amount_out=way.out[passed] + out,
        fee=way.fees[passed] + fee,
        protocol_fee=way.protocol_fees[passed]
        + fee * pool.parameters.protocol_share // SHARE_SCALE,
        pool=after,
        last_update_moved=moved,
    )


def _moved(held: tuple[int, int], net: int, out: int, x_to_y: bool) -> tuple[int, int]:
    return (held[0] + net, held[1] - out) if x_to_y else (held[0] - out, held[1] + net)


def _too_shallow(pool: Pool, way: _Way, now: int | None, wanted: str) -> PartialFill:
    message = f"{wanted} is more than the bins hold"
    if not way.steps:
        return PartialFill(message, None)
    last = way.steps[-1]
    swap = _settle(pool, way, now, len(way.steps) - 1, net=last.need, fee=last.fee, out=last.out)
    return PartialFill(message, swap)
