"""The codes and texts for failed orders, failed attempts and missing quotes.

The OpenAPI document and the dashboard use them; a test compares the table in functions/README.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class _Explained(StrEnum):
    """A code, and the same in words."""

    words: str

    def __new__(cls, code: str, words: str = "") -> Self:
        member = str.__new__(cls, code)
        member._value_, member.words = code, words
        return member


class FailureCode(_Explained):
    """The codes of the errors in an order's updates."""

    QUOTES_UNAVAILABLE = "QUOTES_UNAVAILABLE", "No venue gave a quote"
    NO_ROUTES_FOUND = "NO_ROUTES_FOUND", "No route takes this amount"
    SLIPPAGE_TOLERANCE_EXCEEDED = (
        "SLIPPAGE_TOLERANCE_EXCEEDED",
        "The price moved beyond your slippage",
    )
    INSUFFICIENT_LIQUIDITY = "INSUFFICIENT_LIQUIDITY", "A pool was no longer deep enough"
    ZERO_AMOUNT = "ZERO_AMOUNT", "Nothing was left to swap in a pool"
    ZERO_OUTPUT = "ZERO_OUTPUT", "The amount is so small that a pool gives nothing for it"
    POOL_ERROR = "POOL_ERROR", "A pool refused the swap"
    FAILED_TO_LAND = "FAILED_TO_LAND", "The network dropped the transaction"
    INTERNAL = "INTERNAL", "Something failed on our side"


class QuoteErrorCode(_Explained):
    """The reasons why a venue gave no quote."""

    VENUE_DOWN = "VENUE_DOWN", "venue is down"
    QUOTE_TIMEOUT = "QUOTE_TIMEOUT", "no answer in time"
    QUOTE_ERROR = "QUOTE_ERROR", "quote failed"
    NO_POOL = "NO_POOL", "no pool for this pair"
    INSUFFICIENT_LIQUIDITY = "INSUFFICIENT_LIQUIDITY", "not enough liquidity"
    AMOUNT_TOO_SMALL = "AMOUNT_TOO_SMALL", "amount too small"


FAILURE_WORDS = {code: code.words for code in FailureCode}
QUOTE_ERROR_WORDS = {code: code.words for code in QuoteErrorCode}
