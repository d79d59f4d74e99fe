"""The codes and texts for failed orders, failed attempts and missing quotes.

The OpenAPI document and the dashboard use them; a test compares the table in functions/README.md.
"""

from __future__ import annotations

from enum import StrEnum


class FailureCode(StrEnum):
    """The codes of the errors in an order's updates."""

    QUOTES_UNAVAILABLE = "QUOTES_UNAVAILABLE"
    NO_ROUTES_FOUND = "NO_ROUTES_FOUND"
    SLIPPAGE_TOLERANCE_EXCEEDED = "SLIPPAGE_TOLERANCE_EXCEEDED"
    INSUFFICIENT_LIQUIDITY = "INSUFFICIENT_LIQUIDITY"
    ZERO_AMOUNT = "ZERO_AMOUNT"
    ZERO_OUTPUT = "ZERO_OUTPUT"
    POOL_ERROR = "POOL_ERROR"
    FAILED_TO_LAND = "FAILED_TO_LAND"
    INTERNAL = "INTERNAL"


FAILURE_WORDS = {
    FailureCode.QUOTES_UNAVAILABLE: "No venue gave a quote",
    FailureCode.NO_ROUTES_FOUND: "No route takes this amount",
    FailureCode.SLIPPAGE_TOLERANCE_EXCEEDED: "The price moved beyond your slippage",
    FailureCode.INSUFFICIENT_LIQUIDITY: "A pool was no longer deep enough",
    FailureCode.ZERO_AMOUNT: "Nothing was left to swap in a pool",
    FailureCode.ZERO_OUTPUT: "The amount is so small that a pool gives nothing for it",
    FailureCode.POOL_ERROR: "A pool refused the swap",
    FailureCode.FAILED_TO_LAND: "The network dropped the transaction",
    FailureCode.INTERNAL: "Something failed on our side",
}


class QuoteErrorCode(StrEnum):
    """The reasons why a venue gave no quote."""

    VENUE_DOWN = "VENUE_DOWN"
    QUOTE_TIMEOUT = "QUOTE_TIMEOUT"
    QUOTE_ERROR = "QUOTE_ERROR"
    NO_POOL = "NO_POOL"
    INSUFFICIENT_LIQUIDITY = "INSUFFICIENT_LIQUIDITY"
    AMOUNT_TOO_SMALL = "AMOUNT_TOO_SMALL"


QUOTE_ERROR_WORDS = {
    QuoteErrorCode.VENUE_DOWN: "venue is down",
    QuoteErrorCode.QUOTE_TIMEOUT: "no answer in time",
    QuoteErrorCode.QUOTE_ERROR: "quote failed",
    QuoteErrorCode.NO_POOL: "no pool for this pair",
    QuoteErrorCode.INSUFFICIENT_LIQUIDITY: "not enough liquidity",
    QuoteErrorCode.AMOUNT_TOO_SMALL: "amount too small",
}
