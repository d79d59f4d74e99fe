"""Why an order, or one attempt of it, can fail."""

from enum import StrEnum


class FailureCode(StrEnum):
    """The codes of the errors in an order's updates."""

    QUOTES_UNAVAILABLE = "QUOTES_UNAVAILABLE"
    NO_ROUTES_FOUND = "NO_ROUTES_FOUND"
    SLIPPAGE_TOLERANCE_EXCEEDED = "SLIPPAGE_TOLERANCE_EXCEEDED"
    INSUFFICIENT_LIQUIDITY = "INSUFFICIENT_LIQUIDITY"
    ZERO_OUTPUT = "ZERO_OUTPUT"
    POOL_ERROR = "POOL_ERROR"
    FAILED_TO_LAND = "FAILED_TO_LAND"
    INTERNAL = "INTERNAL"
