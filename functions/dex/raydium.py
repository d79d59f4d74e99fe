"""Raydium's constant-product pools, CPMM and AMM v4, exact to the base unit.

Sources: raydium-cp-swap `curve/constant_product.rs`, `curve/fees.rs`, `curve/calculator.rs`;
raydium-amm `math.rs`. Amounts are integers in base units, rates are parts per million.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt

from functions.dex.errors import (
    ExceededSlippage,
    InsufficientLiquidity,
    Program,
    ZeroAmount,
    ZeroOutput,
)
from functions.dex.sides import DEPTH_UNREACHABLE, IMPACT_SCALE, Fill, Piece, Side

CPMM = Program("raydium-cpmm", "SwapBaseInput", slippage=6005)
AMM_V4 = Program("raydium-amm-v4", "SwapBaseInV2", slippage=30)
RATE_SCALE = 1_000_000
ZERO_TRADING_TOKENS = 6006


@dataclass(frozen=True, slots=True)
class Pool:
    """Reserves of X and Y in base units, without the fees that the pool owes, and its rates.

    Rates are parts per million: `trade_fee_rate` and `creator_fee_rate` of an amount,
    `protocol_fee_rate` and `fund_fee_rate` of the trade fee. `creator_on_input` says which side of
    the swap pays the creator. The defaults are CPMM's main tier.
    """

    reserve_x: int
    reserve_y: int
    trade_fee_rate: int = 2_500
    creator_fee_rate: int = 0
    creator_on_input: bool = True
    protocol_fee_rate: int = 120_000
    fund_fee_rate: int = 40_000
    program: Program = CPMM

    def side(self, x_to_y: bool) -> Side:
        """The pool for an input of X (or of Y)."""
        return Curve(self, x_to_y)


@dataclass(frozen=True, slots=True)
class Swap:
    """A swap's amounts and every fee in base units, and the pool after it.

    `net_in` is the input that moved the curve. `trade_fee` contains `protocol_fee` and `fund_fee`.
    `creator_fee` comes on top of it, in the output token unless the pool takes it from the input.
    """

    amount_in: int
    amount_out: int
    net_in: int
    trade_fee: int
    protocol_fee: int
    fund_fee: int
    creator_fee: int
    pool: Pool


def amm_v4(reserve_x: int, reserve_y: int) -> Pool:
    """An AMM v4 pool: the same curve, and a fee of 25/10000, rounded up, that stays in the pool."""
    return Pool(reserve_x, reserve_y, protocol_fee_rate=0, fund_fee_rate=0, program=AMM_V4)


def constant_product_out(net: int, reserve_in: int, reserve_out: int) -> int:
    """The output of the curve without fees for `net`, rounded down: ⌊net·y/(x+net)⌋."""
    return net * reserve_out // (reserve_in + net)


def constant_product_in(amount_out: int, reserve_in: int, reserve_out: int) -> int:
    """The input of the curve without fees for `amount_out` < `reserve_out`: ⌈x·o/(y−o)⌉."""
    return -(-reserve_in * amount_out // (reserve_out - amount_out))


def swap_exact_in(pool: Pool, amount: int, x_to_y: bool, minimum_out: int = 0) -> Swap:
    """Put in exactly `amount` base units of X (or of Y).

    Raises ZeroAmount, and ExceededSlippage if less than `minimum_out` would come out.
    Source: `swap_base_input`. The curve has no end: any amount is filled.
    """
    if amount <= 0:
        raise ZeroAmount(pool.program, _zero_code(pool), "amount in must be positive")
    reserve_in, reserve_out = _reserves(pool, x_to_y)
    total = _ceil_share(amount, _input_rate(pool))
    net = amount - total
    gross = constant_product_out(net, reserve_in, reserve_out)
    if pool.creator_on_input:
        creator = _creator_share(pool, total)
        out = gross
    else:
        creator = _ceil_share(gross, pool.creator_fee_rate)
        out = gross - creator
    if out < minimum_out:
        raise ExceededSlippage(pool.program, out, minimum_out)
    return _settle(pool, x_to_y, amount_in=amount, out=out, net=net, total=total, creator=creator)


def swap_exact_out(pool: Pool, amount: int, x_to_y: bool, maximum_in: int | None = None) -> Swap:
    """Take exactly `amount` base units of Y (or of X) for the least possible input.

    Raises ZeroAmount, InsufficientLiquidity if the pool does not hold more than `amount`, and
    ExceededSlippage if more than `maximum_in` would go in. Source: `swap_base_output`.
    """
    if amount <= 0:
        raise ZeroAmount(pool.program, _zero_code(pool), "amount out must be positive")
    reserve_in, reserve_out = _reserves(pool, x_to_y)
    gross = amount if pool.creator_on_input else _before_share(amount, pool.creator_fee_rate)
    if gross >= reserve_out:
        raise InsufficientLiquidity(
            pool.program, _zero_code(pool), f"{gross} wanted of the {reserve_out} the pool holds"
        )
    net = constant_product_in(gross, reserve_in, reserve_out)
    amount_in = _before_share(net, _input_rate(pool))
    total = amount_in - net
    creator = _creator_share(pool, total) if pool.creator_on_input else gross - amount
    if maximum_in is not None and amount_in > maximum_in:
        raise ExceededSlippage(pool.program, amount_in, maximum_in)
    return _settle(
        pool, x_to_y, amount_in=amount_in, out=amount, net=net, total=total, creator=creator
    )


class Curve:
    """A pool for one input token."""

    def __init__(self, pool: Pool, x_to_y: bool) -> None:
        self._pool, self._x_to_y = pool, x_to_y
        self._reserve_in, self._reserve_out = _reserves(pool, x_to_y)
        self._rate = _input_rate(pool)
        self._creator_rate = 0 if pool.creator_on_input else pool.creator_fee_rate
        self._pieces: list[Piece] = []

    def amount_out(self, amount: int) -> int:
        """`swap_exact_in(...).amount_out` alone."""
        net = amount + -amount * self._rate // RATE_SCALE
        gross = net * self._reserve_out // (self._reserve_in + net)
        return gross + -gross * self._creator_rate // RATE_SCALE

    def takes(self, amount: int) -> bool:
        """Whether `amount` gives an output and is at most the pool's reserve of the input token."""
        return amount <= self._reserve_in and self.amount_out(amount) > 0

    def pieces(self, _limit: int, _depth_max: int = DEPTH_UNREACHABLE) -> Sequence[Piece]:
        """One piece, fees included.

        The curve has no end. The piece ends where the input equals the pool's reserve of its token,
        because there the average price is half the first price.
        """
        if not self._pieces:
            most, scaled = self._reserve_in, self._reserve_in * RATE_SCALE
            kept = RATE_SCALE - self._rate
            given = self._reserve_out * (RATE_SCALE - self._creator_rate)
            start = isqrt((scaled * RATE_SCALE << 128) // (given * kept))
            end = start + start * most * kept // scaled
            self._pieces = [Piece(start, end, most, self.amount_out(most))]
        return self._pieces

    def fill(self, amount: int) -> Fill:
        """The amounts, fee and price impact of a swap; raises ZeroAmount, ZeroOutput."""
        if amount <= 0:
            raise ZeroAmount(self._pool.program, _zero_code(self._pool), "nothing goes in")
        out = self.amount_out(amount)
        if out == 0:
            raise ZeroOutput(self._pool.program, None, f"{amount} in gives nothing")
        fee = _ceil_share(amount, self._rate)
        net = amount - fee
        return Fill(amount, out, fee, IMPACT_SCALE * net // (self._reserve_in + net))


def _settle(
    pool: Pool, x_to_y: bool, *, amount_in: int, out: int, net: int, total: int, creator: int
) -> Swap:
    trade = total - creator if pool.creator_on_input else total
    protocol = trade * pool.protocol_fee_rate // RATE_SCALE
    fund = trade * pool.fund_fee_rate // RATE_SCALE
    owed_in, owed_out = (creator, 0) if pool.creator_on_input else (0, creator)
    reserve_in, reserve_out = _reserves(pool, x_to_y)
    after_in = reserve_in + amount_in - protocol - fund - owed_in
    after_out = reserve_out - out - owed_out
    reserve_x, reserve_y = (after_in, after_out) if x_to_y else (after_out, after_in)
    after = replace(pool, reserve_x=reserve_x, reserve_y=reserve_y)
    return Swap(amount_in, out, net, trade, protocol, fund, creator, after)


def _reserves(pool: Pool, x_to_y: bool) -> tuple[int, int]:
    return (pool.reserve_x, pool.reserve_y) if x_to_y else (pool.reserve_y, pool.reserve_x)


def _input_rate(pool: Pool) -> int:
    return pool.trade_fee_rate + (pool.creator_fee_rate if pool.creator_on_input else 0)


def _creator_share(pool: Pool, total: int) -> int:
    if pool.creator_fee_rate == 0:
        return 0
    return total * pool.creator_fee_rate // (pool.trade_fee_rate + pool.creator_fee_rate)


def _ceil_share(amount: int, rate: int) -> int:
    return -(-amount * rate // RATE_SCALE)


def _before_share(amount: int, rate: int) -> int:
    """The least amount of which `amount` is left after its share, rounded up, is taken."""
    return amount if rate == 0 else -(-amount * RATE_SCALE // (RATE_SCALE - rate))


def _zero_code(pool: Pool) -> int | None:
    return ZERO_TRADING_TOKENS if pool.program == CPMM else None
