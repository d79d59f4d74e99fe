"""The errors of a swap, as types; `functions/http` maps them to HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """An on-chain program that swaps: its name, its instruction, and its error number of slippage.

    Each program has its own error numbers: 6003 is slippage in Meteora, but invalid input in
    Raydium CPMM.
    """

    name: str
    instruction: str
    slippage: int

    def __str__(self) -> str:
        return self.name


class DexError(Exception):
    """Any refusal of this package; `code` is the stable name that clients read."""

    code = "DEX_ERROR"


class TokenNotTradable(DexError):
    """The token is unknown."""

    code = "TOKEN_NOT_TRADABLE"

    def __init__(self, name: str) -> None:
        super().__init__(f"token {name[:64]!r} is not tradable")


class CircularArbitrage(DexError):
    """Both tokens of the swap are the same."""

    code = "CIRCULAR_ARBITRAGE_IS_DISABLED"

    def __init__(self, symbol: str) -> None:
        super().__init__(f"{symbol} cannot be swapped for itself")


class NoRoutesFound(DexError):
    """No path takes the whole amount; `reasons` says why, by venue."""

    code = "NO_ROUTES_FOUND"

    def __init__(self, message: str, reasons: Mapping[str, str]) -> None:
        super().__init__(message)
        self.reasons = dict(reasons)


class InvalidAmount(DexError):
    """An amount broke `rule`, which completes the sentence "amount …"."""

    code = "INVALID_AMOUNT"

    def __init__(self, rule: str) -> None:
        super().__init__(f"amount {rule}")
        self.rule = rule


class AmountTooLarge(InvalidAmount):
    """More than a token account can hold."""


class PoolError(DexError):
    """`program` refuses the swap with the error number `custom`, or without a number."""

    code = "POOL_ERROR"

    def __init__(self, program: Program, custom: int | None, message: str) -> None:
        super().__init__(message)
        self.program = program
        self.custom = custom


class ExceededSlippage(PoolError):
    """Less would come out, or more go in, than the caller allows; `amount` is that amount.

    `custom` is the error number if it differs from the program's `slippage`.
    """

    code = "SLIPPAGE_TOLERANCE_EXCEEDED"

    def __init__(
        self, program: Program, amount: int, limit: int, custom: int | None = None
    ) -> None:
        super().__init__(
            program,
            program.slippage if custom is None else custom,
            f"amount {amount} is beyond the limit {limit}",
        )
        self.amount = amount
        self.limit = limit


class InsufficientLiquidity(PoolError):
    """The pool does not hold enough to fill the whole swap."""

    code = "INSUFFICIENT_LIQUIDITY"


class ZeroAmount(PoolError):
    """The amount that goes in, or that is requested, is not positive."""

    code = "ZERO_AMOUNT"


class ZeroOutput(PoolError):
    """The amount is so small that nothing comes out."""

    code = "ZERO_OUTPUT"
