"""Orca's Whirlpools with a static fee: liquidity between ticks, exact to the base unit.

Source: orca-so/whirlpools `programs/whirlpool/src`: `manager/swap_manager.rs`, `math/swap_math.rs`,
`math/token_math.rs`, `math/tick_math.rs`, `util/swap_tick_sequence.rs`, `errors.rs`. Amounts are
integers in base units below 2**64, square roots of prices Q64.64 (of B per A), fee rates parts per
million of the input. An input of A lowers the price, an input of B raises it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

from functions.dex.errors import (
    ExceededSlippage,
    InsufficientLiquidity,
    PoolError,
    Program,
    ZeroAmount,
    ZeroOutput,
)
from functions.dex.sides import DEPTH_UNREACHABLE, IMPACT_SCALE, USABLE_PERCENT, Fill, Piece, Side

TICK_MIN, TICK_MAX = -443_636, 443_636
SQRT_PRICE_MIN, SQRT_PRICE_MAX = 4_295_048_016, 79_226_673_515_401_279_992_447_579_055
FEE_SCALE = 10**6
SHARE_SCALE = 10**4
# One tick array has 88 ticks; a swap gets three arrays.
ARRAY_TICKS = 88
ARRAYS = 3

DIVIDE_BY_ZERO = 6006
NUMBER_DOWN_CAST = 6008
SQRT_PRICE_OUT_OF_BOUNDS = 6011
LIQUIDITY_OVERFLOW = 6014
LIQUIDITY_UNDERFLOW = 6015
TOKEN_MAX_EXCEEDED = 6017
TOKEN_MIN_SUBCEEDED = 6018
SHIFT_RIGHT_OVERFLOW = 6030
MULTIPLICATION_OVERFLOW = 6033
LIMIT_DIRECTION = 6034
ZERO_TRADABLE_AMOUNT = 6035
AMOUNT_OUT_BELOW_MINIMUM = 6036
AMOUNT_IN_ABOVE_MAXIMUM = 6037
TICK_ARRAYS_EXHAUSTED = 6038
AMOUNT_CALC_OVERFLOW = 6039
AMOUNT_REMAINING_OVERFLOW = 6040
PARTIAL_FILL = 6057

ERRORS: Mapping[int, str] = {
    DIVIDE_BY_ZERO: "DivideByZero",
    NUMBER_DOWN_CAST: "NumberDownCastError",
    SQRT_PRICE_OUT_OF_BOUNDS: "SqrtPriceOutOfBounds",
    LIQUIDITY_OVERFLOW: "LiquidityOverflow",
    LIQUIDITY_UNDERFLOW: "LiquidityUnderflow",
    TOKEN_MAX_EXCEEDED: "TokenMaxExceeded",
    TOKEN_MIN_SUBCEEDED: "TokenMinSubceeded",
    SHIFT_RIGHT_OVERFLOW: "MultiplicationShiftRightOverflow",
    MULTIPLICATION_OVERFLOW: "MultiplicationOverflow",
    LIMIT_DIRECTION: "InvalidSqrtPriceLimitDirection",
    ZERO_TRADABLE_AMOUNT: "ZeroTradableAmount",
    AMOUNT_OUT_BELOW_MINIMUM: "AmountOutBelowMinimum",
    AMOUNT_IN_ABOVE_MAXIMUM: "AmountInAboveMaximum",
    TICK_ARRAYS_EXHAUSTED: "TickArraySequenceInvalidIndex",
    AMOUNT_CALC_OVERFLOW: "AmountCalcOverflow",
    AMOUNT_REMAINING_OVERFLOW: "AmountRemainingOverflow",
    PARTIAL_FILL: "PartialFillError",
}
WHIRLPOOL = Program("orca-whirlpool", "SwapV2", slippage=AMOUNT_OUT_BELOW_MINIMUM)

_Q64 = 1 << 64
_U64, _U128, _U192 = 1 << 64, 1 << 128, 1 << 192
# Entry i is 1.0001**(-2**i / 2) in Q64 and 1.0001**(2**i / 2) in Q96, as `tick_math.rs` has them.
_DOWN = (
    18_445_821_805_675_392_311,
    18_444_899_583_751_176_498,
    18_443_055_278_223_354_162,
    18_439_367_220_385_604_838,
    18_431_993_317_065_449_817,
    18_417_254_355_718_160_513,
    18_387_811_781_193_591_352,
    18_329_067_761_203_520_168,
    18_212_142_134_806_087_854,
    17_980_523_815_641_551_639,
    17_526_086_738_831_147_013,
    16_651_378_430_235_024_244,
    15_030_750_278_693_429_944,
    12_247_334_978_882_834_399,
    8_131_365_268_884_726_200,
    3_584_323_654_723_342_297,
    696_457_651_847_595_233,
    26_294_789_957_452_057,
    37_481_735_321_082,
)
_UP = (
    79_232_123_823_359_799_118_286_999_567,
    79_236_085_330_515_764_027_303_304_731,
    79_244_008_939_048_815_603_706_035_061,
    79_259_858_533_276_714_757_314_932_305,
    79_291_567_232_598_584_799_939_703_904,
    79_355_022_692_464_371_645_785_046_466,
    79_482_085_999_252_804_386_437_311_141,
    79_736_823_300_114_093_921_829_183_326,
    80_248_749_790_819_932_309_965_073_892,
    81_282_483_887_344_747_381_513_967_011,
    83_390_072_131_320_151_908_154_831_281,
    87_770_609_709_833_776_024_991_924_138,
    97_234_110_755_111_693_312_479_820_773,
    119_332_217_159_966_728_226_237_229_890,
    179_736_315_981_702_064_433_883_588_727,
    407_748_233_172_238_350_107_850_275_304,
    2_098_478_828_474_011_932_436_660_412_517,
    55_581_415_166_113_811_149_459_800_483_533,
    38_992_368_544_603_139_932_233_054_999_993_551,
)
# 1 / log2(√1.0001) in Q16: ticks per doubling of the square root of a price.
_LOG_BITS = 16
_TICKS_PER_LOG = 908_567_298


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool's state: `ticks` maps each initialized tick to its net liquidity.

    `liquidity` is what positions around the current `tick` provide. `fee_rate` is parts per
    million of the input, `protocol_fee_rate` parts per 10,000 of the fee.
    """

    tick_spacing: int
    fee_rate: int
    protocol_fee_rate: int
    liquidity: int
    sqrt_price: int
    tick: int
    ticks: Mapping[int, int]

    def side(self, x_to_y: bool) -> Side:
        """The pool for an input of A (or of B)."""
        return Ranges(self, x_to_y)


@dataclass(frozen=True, slots=True)
class Swap:
    """A swap's amounts and fees in base units, and the pool after it.

    `fee` is in the input token and contains `protocol_fee`; `fee_growth` is what the input token's
    global fee growth gains (Q64.64 per unit of liquidity); `crossed` counts initialized ticks. A
    swap that stopped at its price limit has less of the specified amount than was asked for.
    """

    amount_in: int
    amount_out: int
    fee: int
    protocol_fee: int
    fee_growth: int
    crossed: int
    pool: Pool


class _TooBig(PoolError):
    """The amount between two prices exceeds a u64, so that no swap can reach the target price."""


@lru_cache(maxsize=1 << 14)
def sqrt_price_of_tick(tick: int) -> int:
    """Q64.64 square root of 1.0001**tick as the program computes it; ValueError beyond its ticks.

    Source: `tick_math.rs` sqrt_price_from_tick_index.
    """
    if not TICK_MIN <= tick <= TICK_MAX:
        raise ValueError(f"tick {tick} has no price")
    factors, bits = (_DOWN, 64) if tick < 0 else (_UP, 96)
    rest = abs(tick)
    power = 1 << bits
    for factor in factors:
        if rest & 1:
            power = power * factor >> bits
        rest >>= 1
        if not rest:
            break
    return power if tick < 0 else power >> 32


def tick_of_sqrt_price(sqrt_price: int) -> int:
    """The greatest tick whose price is at most this one; ValueError outside the program's prices.

    Source: `tick_math.rs` tick_index_from_sqrt_price.
    """
    if not SQRT_PRICE_MIN <= sqrt_price <= SQRT_PRICE_MAX:
        raise ValueError(f"{sqrt_price} is the price of no tick")
    whole = sqrt_price.bit_length() - 1
    # The logarithm's fraction bit by bit: squaring a number from [1, 2) doubles its logarithm.
    rest = sqrt_price << 63 >> whole
    log = whole - 64
    for _ in range(_LOG_BITS):
        rest = rest * rest >> 63
        carry = rest >> 64
        rest >>= carry
        log = log << 1 | carry
    # The estimate is at most one tick away; the prices of the ticks decide.
    tick = min(max(log * _TICKS_PER_LOG >> 2 * _LOG_BITS, TICK_MIN), TICK_MAX)
    while tick > TICK_MIN and sqrt_price_of_tick(tick) > sqrt_price:
        tick -= 1
    while tick < TICK_MAX and sqrt_price_of_tick(tick + 1) <= sqrt_price:
        tick += 1
    return tick


def swap_exact_in(
    pool: Pool, amount: int, a_to_b: bool, sqrt_price_limit: int = 0, minimum_out: int = 0
) -> Swap:
    """Put in exactly `amount` base units of A (or of B), or as many as `sqrt_price_limit` allows.

    A limit of 0 means the lowest or highest price of all. Raises ZeroAmount; InsufficientLiquidity
    if the three tick arrays cannot take the amount; ExceededSlippage if less than `minimum_out`
    would come out; any other PoolError as the program would. An amount that is all fee gives 0.
    """
    swap, _ = _swap(pool, amount, a_to_b, True, sqrt_price_limit)
    if swap.amount_out < minimum_out:
        raise ExceededSlippage(WHIRLPOOL, swap.amount_out, minimum_out)
    return swap


def swap_exact_out(
    pool: Pool,
    amount: int,
    a_to_b: bool,
    sqrt_price_limit: int = 0,
    maximum_in: int | None = None,
) -> Swap:
    """Take exactly `amount` base units of B (or of A), or as many as `sqrt_price_limit` allows.

    A limit of 0 means the lowest or highest price of all, and then a partial fill is refused.
    Raises ZeroAmount; InsufficientLiquidity; ExceededSlippage if more than `maximum_in` would go
    in; any other PoolError as the program would.
    """
    swap, left = _swap(pool, amount, a_to_b, False, sqrt_price_limit)
    if left and sqrt_price_limit == 0:
        message = f"the pool ends {left} before {amount} are out"
        raise InsufficientLiquidity(WHIRLPOOL, PARTIAL_FILL, message)
    if maximum_in is not None and swap.amount_in > maximum_in:
        raise ExceededSlippage(
            WHIRLPOOL, swap.amount_in, maximum_in, custom=AMOUNT_IN_ABOVE_MAXIMUM
        )
    return swap


class Range(NamedTuple):
    """One range of constant liquidity that a swap passes.

    `start` and `end` are Q64.64 square roots of prices in the direction of the swap. The whole
    range takes `gross_in`, which is `net_in` and the fee, and gives `out`.
    """

    liquidity: int
    start: int
    end: int
    net_in: int
    gross_in: int
    out: int


def ranges(pool: Pool, a_to_b: bool) -> list[Range]:
    """The ranges with liquidity that a swap without a limit passes, in order.

    They end before the first range that no swap can pass, because its amounts exceed a u64.
    """
    found: list[Range] = []
    liquidity, price = pool.liquidity, pool.sqrt_price
    end_of_prices = SQRT_PRICE_MIN if a_to_b else SQRT_PRICE_MAX
    total_in = total_out = 0
    try:
        for stop, net in _stops(pool, a_to_b):
            target = sqrt_price_of_tick(stop)
            if liquidity and target != price:
                # A partial fill multiplies liquidity by price, and the product must fit too.
                if a_to_b and liquidity * price >= _U192:
                    break
                net_in = _specified_amount(liquidity, price, target, a_to_b, True)
                out = _other_amount(liquidity, price, target, a_to_b, True)
                gross = net_in - (-net_in * pool.fee_rate // (FEE_SCALE - pool.fee_rate))
                total_in, total_out = total_in + gross, total_out + out
                if total_in >= _U64 or total_out >= _U64:
                    break
                found.append(Range(liquidity, price, target, net_in, gross, out))
            if target == end_of_prices:
                break
            liquidity = _crossed(liquidity, net, a_to_b)
            price = target
    except PoolError:
        pass
    return found


class Ranges:
    """A pool for one input token: its `ranges`, with running sums."""

    def __init__(self, pool: Pool, a_to_b: bool) -> None:
        self._pool, self._a_to_b = pool, a_to_b
        self._kept = FEE_SCALE - pool.fee_rate
        self._ranges = ranges(pool, a_to_b)
        self._gross_in, self._net_in, self._before = [0], [0], [0]
        for piece in self._ranges:
            self._gross_in.append(self._gross_in[-1] + piece.gross_in)
            self._net_in.append(self._net_in[-1] + piece.net_in)
            self._before.append(self._before[-1] + piece.out)
        self._usable_out = self._before[-1] * USABLE_PERCENT // 100
        self._pieces: list[Piece] | None = None

    def amount_out(self, amount: int) -> int:
        """`swap_exact_in(...).amount_out` alone; 0 if it would raise, and beyond the ranges."""
        gross_in, before = self._gross_in, self._before
        if not 0 < amount <= gross_in[-1]:
            return 0
        index = bisect_left(gross_in, amount)
        if gross_in[index] == amount:
            return before[index]
        piece = self._ranges[index - 1]
        end = self._end(piece, amount - gross_in[index - 1])
        return before[index - 1] + _other_amount(
            piece.liquidity, piece.start, end, self._a_to_b, True
        )

    def _end(self, piece: Range, left: int) -> int:
        """The price at which an input of `left` ends in a range that takes more."""
        move = _moved_by_a if self._a_to_b else _moved_by_b
        return move(piece.liquidity, piece.start, left * self._kept // FEE_SCALE, True)

    def takes(self, amount: int) -> bool:
        """Whether `amount` gives an output within the usable share of the ranges."""
        return 0 < self.amount_out(amount) <= self._usable_out

    def pieces(self, _limit: int, _depth_max: int = DEPTH_UNREACHABLE) -> Sequence[Piece]:
        """All ranges, which are few, as pieces of a curve, fee included.

        They end at USABLE_PERCENT of the output that the ranges hold.
        """
        if self._pieces is not None:
            return self._pieces
        # 1 / √(1 − fee), Q64.
        fee = isqrt((FEE_SCALE << 128) // self._kept)
        left = self._usable_out
        self._pieces = found = []
        for piece in self._ranges:
            if left <= 0:
                break
            depths = (
                ((fee << 64) // piece.start, (fee << 64) // piece.end)
                if self._a_to_b
                else (piece.start * fee >> 64, piece.end * fee >> 64)
            )
            found.append(Piece(*depths, piece.gross_in, piece.out).cut(left))
            left -= piece.out
        return found

    def fill(self, amount: int) -> Fill:
        """The amounts, fee and price impact of a swap; raises as `swap_exact_in` does.

        Raises ZeroOutput for an amount that is all fee.
        """
        out = self.amount_out(amount)
        if out == 0:
            swap = swap_exact_in(self._pool, amount, self._a_to_b)
            if swap.amount_in < amount:
                raise InsufficientLiquidity(WHIRLPOOL, PARTIAL_FILL, "the prices end before")
            raise ZeroOutput(WHIRLPOOL, None, f"{amount} in gives nothing")
        index = bisect_left(self._gross_in, amount) - 1
        piece, left = self._ranges[index], amount - self._gross_in[index]
        if left == piece.gross_in:
            net = self._net_in[index + 1]
        else:
            end = self._end(piece, left)
            net = self._net_in[index] + _specified_amount(
                piece.liquidity, piece.start, end, self._a_to_b, True
            )
        price = self._pool.sqrt_price**2
        worth, got = (net * price, out << 128) if self._a_to_b else (net << 128, out * price)
        return Fill(amount, out, amount - net, IMPACT_SCALE * (worth - got) // max(worth, 1))


def _swap(
    pool: Pool, amount: int, a_to_b: bool, exact_in: bool, sqrt_price_limit: int
) -> tuple[Swap, int]:
    """The swap, and the rest of the specified amount. Source: `swap_manager.rs` swap."""
    limit = sqrt_price_limit or (SQRT_PRICE_MIN if a_to_b else SQRT_PRICE_MAX)
    liquidity, price, tick = pool.liquidity, pool.sqrt_price, pool.tick
    if not SQRT_PRICE_MIN <= limit <= SQRT_PRICE_MAX:
        raise _refused(SQRT_PRICE_OUT_OF_BOUNDS)
    if limit >= price if a_to_b else limit <= price:
        raise _refused(LIMIT_DIRECTION)
    if amount <= 0:
        raise ZeroAmount(WHIRLPOOL, ZERO_TRADABLE_AMOUNT, "the amount must be positive")
    left, calculated, fees, protocol_fees, growth, crossed = amount, 0, 0, 0, 0, 0
    stops = _stops(pool, a_to_b)
    while left > 0 and price != limit:
        stop, net = next(stops)
        stop_price = sqrt_price_of_tick(stop)
        target = max(stop_price, limit) if a_to_b else min(stop_price, limit)
        moved, amount_in, amount_out, fee = _step(
            liquidity,
            price,
            target,
            left,
            rate=pool.fee_rate,
            a_to_b=a_to_b,
            exact_in=exact_in,
        )
        left -= amount_in + fee if exact_in else amount_out
        calculated += amount_out if exact_in else amount_in + fee
        fees += fee
        if left < 0:
            raise _refused(AMOUNT_REMAINING_OVERFLOW)
        if calculated >= _U64 or fees >= _U64:
            raise _refused(AMOUNT_CALC_OVERFLOW)
        protocol_fee = fee * pool.protocol_fee_rate // SHARE_SCALE
        protocol_fees += protocol_fee
        if liquidity:
            growth = (growth + ((fee - protocol_fee) << 64) // liquidity) % _U128
        if moved == stop_price:
            if stop in pool.ticks:
                liquidity = _crossed(liquidity, net, a_to_b)
                crossed += 1
            tick = stop - 1 if a_to_b else stop
        elif moved != price:
            tick = tick_of_sqrt_price(moved)
        price = moved
    specified = amount - left
    amounts = (specified, calculated) if exact_in else (calculated, specified)
    after = replace(pool, liquidity=liquidity, sqrt_price=price, tick=tick)
    return Swap(*amounts, fees, protocol_fees, growth, crossed, after), left


def _stops(pool: Pool, a_to_b: bool) -> Iterator[tuple[int, int]]:
    """The ticks at which a swap stops, with their net liquidity: initialized ones, then the end.

    The end of the third array is a stop without a change of liquidity. Raises
    InsufficientLiquidity beyond it. Source: `swap_tick_sequence.rs`.
    """
    array = ARRAY_TICKS * pool.tick_spacing
    begin = pool.tick // array * array
    ticks = sorted(pool.ticks)
    if a_to_b:
        end = max(begin - (ARRAYS - 1) * array, TICK_MIN)
        ahead = ticks[bisect_left(ticks, end) : bisect_right(ticks, pool.tick)][::-1]
        beyond = pool.tick < end
    else:
        if pool.tick + pool.tick_spacing >= begin + array:
            begin += array
        border = begin + ARRAYS * array
        end = min(border - 1, TICK_MAX)
        ahead = ticks[bisect_right(ticks, pool.tick) : bisect_left(ticks, border)]
        beyond = pool.tick + pool.tick_spacing >= border
    if not beyond:
        for tick in ahead:
            yield tick, pool.ticks[tick]
        if not ahead or ahead[-1] != end:
            yield end, 0
    message = f"the three tick arrays end at tick {end}"
    raise InsufficientLiquidity(WHIRLPOOL, TICK_ARRAYS_EXHAUSTED, message)


def _step(
    liquidity: int,
    price: int,
    target: int,
    left: int,
    *,
    rate: int,
    a_to_b: bool,
    exact_in: bool,
) -> tuple[int, int, int, int]:
    """Price after one step towards `target`, input, output, fee. Source: `swap_math.rs`."""
    usable = left * (FEE_SCALE - rate) // FEE_SCALE if exact_in else left
    try:
        whole: int | None = _specified_amount(liquidity, price, target, a_to_b, exact_in)
    except _TooBig:
        whole = None
    if whole is not None and whole <= usable:
        moved = target
    elif a_to_b == exact_in:
        moved = _moved_by_a(liquidity, price, usable, exact_in)
    else:
        moved = _moved_by_b(liquidity, price, usable, exact_in)
    other = _other_amount(liquidity, price, moved, a_to_b, exact_in)
    if whole is None or moved != target:
        whole = _specified_amount(liquidity, price, moved, a_to_b, exact_in)
    amount_in, amount_out = (whole, other) if exact_in else (other, min(whole, left))
    if exact_in and moved != target:
        return moved, amount_in, amount_out, left - amount_in
    return moved, amount_in, amount_out, -(-amount_in * rate // (FEE_SCALE - rate))


def _specified_amount(liquidity: int, one: int, other: int, a_to_b: bool, exact_in: bool) -> int:
    """The specified token's amount between two prices; an input is rounded up."""
    amount = _amount_a if a_to_b == exact_in else _amount_b
    return amount(liquidity, min(one, other), max(one, other), exact_in)


def _other_amount(liquidity: int, one: int, other: int, a_to_b: bool, exact_in: bool) -> int:
    """The other token's amount between two prices; an input is rounded up."""
    amount = _amount_b if a_to_b == exact_in else _amount_a
    return amount(liquidity, min(one, other), max(one, other), not exact_in)


def _amount_a(liquidity: int, low: int, high: int, up: bool) -> int:
    scaled = liquidity * (high - low)
    if scaled >= _U192:
        raise _refused(MULTIPLICATION_OVERFLOW)
    product = high * low
    amount = -(-(scaled << 64) // product) if up else (scaled << 64) // product
    if amount >= _U64:
        raise _too_big(NUMBER_DOWN_CAST if amount >= _U128 else TOKEN_MAX_EXCEEDED)
    return amount


def _amount_b(liquidity: int, low: int, high: int, up: bool) -> int:
    scaled = liquidity * (high - low)
    if scaled >= _U128:
        raise _too_big(SHIFT_RIGHT_OVERFLOW)
    amount = -(-scaled >> 64) if up else scaled >> 64
    if amount >= _U64:
        raise _too_big(MULTIPLICATION_OVERFLOW)
    return amount


def _moved_by_a(liquidity: int, price: int, amount: int, added: bool) -> int:
    """The price after `amount` of A is added or taken, rounded up."""
    if amount == 0:
        return price
    scaled = liquidity * price
    if scaled >= _U192:
        raise _refused(MULTIPLICATION_OVERFLOW)
    product = amount * price
    if not added and liquidity << 64 <= product:
        raise _refused(DIVIDE_BY_ZERO)
    below = (liquidity << 64) + (product if added else -product)
    moved = -(-(scaled << 64) // below)
    if moved >= _U128:
        raise _refused(NUMBER_DOWN_CAST)
    if moved < SQRT_PRICE_MIN:
        raise _refused(TOKEN_MIN_SUBCEEDED)
    if moved > SQRT_PRICE_MAX:
        raise _refused(TOKEN_MAX_EXCEEDED)
    return moved


def _moved_by_b(liquidity: int, price: int, amount: int, added: bool) -> int:
    """The price after `amount` of B is added or taken, rounded down."""
    moved = price + ((amount << 64) // liquidity if added else -amount * _Q64 // liquidity)
    if not 0 <= moved < _U128:
        raise _refused(SQRT_PRICE_OUT_OF_BOUNDS)
    return moved


def _crossed(liquidity: int, net: int, a_to_b: bool) -> int:
    """The liquidity beyond a tick with this net liquidity."""
    after = liquidity - net if a_to_b else liquidity + net
    if after < 0:
        raise _refused(LIQUIDITY_UNDERFLOW)
    if after >= _U128:
        raise _refused(LIQUIDITY_OVERFLOW)
    return after


def _refused(code: int) -> PoolError:
    return PoolError(WHIRLPOOL, code, ERRORS[code])


def _too_big(code: int) -> PoolError:
    return _TooBig(WHIRLPOOL, code, ERRORS[code])
