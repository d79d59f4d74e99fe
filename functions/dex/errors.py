"""What can go wrong in the market, as types; one place elsewhere maps them to HTTP."""

from collections.abc import Mapping

RAYDIUM_CPMM = "raydium-cpmm"
RAYDIUM_AMM_V4 = "raydium-amm-v4"
METEORA_DLMM = "meteora-dlmm"
ORCA_WHIRLPOOL = "orca-whirlpool"

# Numbers are per program: 6003 is Meteora's slippage but Raydium CPMM's invalid input.
PROGRAM_ERRORS: Mapping[tuple[str, int], str] = {
    (RAYDIUM_CPMM, 6005): "ExceededSlippage",
    (RAYDIUM_CPMM, 6006): "ZeroTradingTokens",
    (RAYDIUM_AMM_V4, 30): "ExceededSlippage",
    (METEORA_DLMM, 6002): "ZeroAmount",
    (METEORA_DLMM, 6003): "ExceededAmountSlippageTolerance",
    (METEORA_DLMM, 6012): "PairInsufficientLiquidity",
    (METEORA_DLMM, 6039): "ZeroOutput",
    (ORCA_WHIRLPOOL, 6006): "DivideByZero",
    (ORCA_WHIRLPOOL, 6008): "NumberDownCastError",
    (ORCA_WHIRLPOOL, 6011): "SqrtPriceOutOfBounds",
    (ORCA_WHIRLPOOL, 6014): "LiquidityOverflow",
    (ORCA_WHIRLPOOL, 6015): "LiquidityUnderflow",
    (ORCA_WHIRLPOOL, 6017): "TokenMaxExceeded",
    (ORCA_WHIRLPOOL, 6018): "TokenMinSubceeded",
    (ORCA_WHIRLPOOL, 6030): "MultiplicationShiftRightOverflow",
    (ORCA_WHIRLPOOL, 6033): "MultiplicationOverflow",
    (ORCA_WHIRLPOOL, 6034): "InvalidSqrtPriceLimitDirection",
    (ORCA_WHIRLPOOL, 6035): "ZeroTradableAmount",
    (ORCA_WHIRLPOOL, 6036): "AmountOutBelowMinimum",
    (ORCA_WHIRLPOOL, 6037): "AmountInAboveMaximum",
    (ORCA_WHIRLPOOL, 6038): "TickArraySequenceInvalidIndex",
    (ORCA_WHIRLPOOL, 6039): "AmountCalcOverflow",
    (ORCA_WHIRLPOOL, 6040): "AmountRemainingOverflow",
    (ORCA_WHIRLPOOL, 6057): "PartialFillError",
}

SLIPPAGE_CODES: Mapping[str, int] = {
    RAYDIUM_CPMM: 6005,
    RAYDIUM_AMM_V4: 30,
    METEORA_DLMM: 6003,
    ORCA_WHIRLPOOL: 6036,
}


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

    def __init__(self, program: str, custom: int | None, message: str) -> None:
        super().__init__(message)
        self.program = program
        self.custom = custom


class ExceededSlippage(PoolError):
    """Less came out, or more went in, than the caller allows; `amount` is what it would be.

    `custom` is the program's number where that of `SLIPPAGE_CODES` is for the other case.
    """

    code = "SLIPPAGE_TOLERANCE_EXCEEDED"

    def __init__(self, program: str, amount: int, limit: int, custom: int | None = None) -> None:
        super().__init__(
            program,
            SLIPPAGE_CODES[program] if custom is None else custom,
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
