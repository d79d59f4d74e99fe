"""The errors of a swap, as types; `functions/http` maps them to HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """An on-chain program that swaps: its name, the instruction, and its error of slippage.

    Numbers of errors are a program's own: 6003 is Meteora's slippage, and Raydium CPMM's invalid
    input.
    """

    name: str
    instruction: str
    slippage: int

    def __str__(self) -> str:
        return self.name


class DexError(Exception):
    """Anything this package refuses; `code` is the stable name that clients read."""

    code = "DEX_ERROR"


class TokenNotTradable(DexError):
    """The token is unknown."""

    code = "TOKEN_NOT_TRADABLE"

    def __init__(self, name: str) -> None:
        super().__init__(f"token {name[:64]!r} is not tradable")


class CircularArbitrage(DexError):
    """The same token goes in and comes out."""

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
    """An amount broke `rule`, which reads on from the field's name."""

    code = "INVALID_AMOUNT"

    def __init__(self, rule: str) -> None:
        super().__init__(f"amount {rule}")
        self.rule = rule


class AmountTooLarge(InvalidAmount):
    """More than a token account can hold."""


class PoolError(DexError):
    """A swap that `program` refuses with the number `custom` (or none)."""

    code = "POOL_ERROR"

    def __init__(self, program: Program, custom: int | None, message: str) -> None:
        super().__init__(message)
        self.program = program
        self.custom = custom


class ExceededSlippage(PoolError):
    """Less came out, or more went in, than the caller allows; `amount` is what it would be.

    `custom` is the program's number where its `slippage` is the number of the other case.
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
    """Nothing goes in, or nothing is asked for."""

    code = "ZERO_AMOUNT"


class ZeroOutput(PoolError):
    """The amount is so small that nothing comes out."""

    code = "ZERO_OUTPUT"
