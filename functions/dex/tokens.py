"""Tokens and amounts: decimal text of whole tokens at the edge, integer base units inside."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from functions.dex.errors import AmountTooLarge, InvalidAmount, TokenNotTradable

# Token accounts on Solana store amounts as u64.
UNITS_MAX = 2**64 - 1
PRICE_DIGITS = 12
PRICE_PLACES_MAX = 18

# Decimal itself would also accept "1_000", " 1", and the digits of every script.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,18})?")
_NOT_FINITE = re.compile(r"[+-]?(?:s?nan[0-9]*|inf(?:inity)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """A mint; 10**decimals base units are one whole token."""

    symbol: str
    mint: str
    decimals: int
    name: str


_LISTED = (
    Token("SOL", "So11111111111111111111111111111111111111112", 9, "Solana"),
    Token("USDC", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", 6, "USD Coin"),
    Token("USDT", "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", 6, "Tether USD"),
    Token("RAY", "4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R", 6, "Raydium"),
    Token("JUP", "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN", 6, "Jupiter"),
    Token("BONK", "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", 5, "Bonk"),
    Token("MET", "METvsvVRapdj9cFLzq4Tr43xK4tAjQfwX76z3n6mWQL", 6, "Meteora"),
    Token("mSOL", "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So", 9, "Marinade staked SOL"),
    Token("JitoSOL", "J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn", 9, "Jito staked SOL"),
)

# Each is worth a dollar.
STABLECOINS = ("USDC", "USDT")

TOKENS: Mapping[str, Token] = {token.symbol: token for token in _LISTED}
_BY_NAME = {**TOKENS, **{token.mint: token for token in _LISTED}}


def find(name: str) -> Token:
    """The token with this symbol or mint, both case-sensitive; TokenNotTradable otherwise."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise TokenNotTradable(name) from None


def to_units(amount: Decimal | int | str, token: Token) -> int:
    """Base units of `amount` whole tokens, exactly; never rounds.

    Raises InvalidAmount whose `rule` says what is wrong: not a decimal number, not finite, not
    greater than 0, too many decimal places (zeros at the end do not count), more than a u64.
    Accepts any text: the time grows with its length, never with the number.
    """
    sign, digits, exponent = _parts(amount)
    if sign or not digits:
        raise InvalidAmount("must be greater than 0")
    if exponent < -token.decimals:
        raise InvalidAmount(f"must have at most {token.decimals} decimal places")
    if len(digits) + exponent + token.decimals <= len(str(UNITS_MAX)):
        units: int = int(digits) * 10 ** (exponent + token.decimals)
        if units <= UNITS_MAX:
            return units
    raise AmountTooLarge(f"must be at most {to_text(UNITS_MAX, token.decimals)}")


def units_or_zero(text: str | None, token: Token) -> int:
    """Like `to_units`, but None and "0" are 0: a stored fee, sum or threshold can be 0."""
    return 0 if text is None or text == "0" else to_units(text, token)


def to_price(text: str) -> Fraction:
    """The exact price in decimal text: whole tokens out per whole token in.

    Raises InvalidAmount whose `rule` says what is wrong, as `to_units` does; a price has at most
    `PRICE_PLACES_MAX` decimal places.
    """
    sign, digits, exponent = _parts(text)
    if sign or not digits:
        raise InvalidAmount("must be greater than 0")
    if exponent < -PRICE_PLACES_MAX:
        raise InvalidAmount(f"must have at most {PRICE_PLACES_MAX} decimal places")
    # At the highest possible price, one base unit is worth UNITS_MAX units of the other token.
    if len(digits) + exponent > len(str(UNITS_MAX)) + PRICE_PLACES_MAX:
        raise InvalidAmount("is beyond what any amount of tokenOut can pay")
    return int(digits) * Fraction(10) ** exponent


def to_text(units: int, decimals: int) -> str:
    """Plain decimal text of `units` / 10**decimals: no exponent, no zeros at the end."""
    whole, rest = divmod(abs(units), 10**decimals)
    fraction = f"{rest:0{decimals}}".rstrip("0") if rest else ""
    return f"{'-' if units < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


def price_text(in_units: int, token_in: Token, out_units: int, token_out: Token) -> str:
    """Whole tokens out per whole token in, as plain text of 12 significant digits, rounded down.

    `in_units` must be positive.
    """
    above = out_units * 10**token_in.decimals
    below = in_units * 10**token_out.decimals
    # The quotient has PRICE_DIGITS digits or more; the surplus digits become 0.
    places = max(PRICE_DIGITS - len(str(above)) + len(str(below)), 0)
    quotient = above * 10**places // below
    surplus = len(str(quotient)) - PRICE_DIGITS
    if surplus > 0:
        quotient -= quotient % 10**surplus
    return to_text(quotient, places)


def bps_text(part: int | Fraction, whole: int | Fraction) -> str:
    """`part` of `whole` in bps: plain text with two decimal places, rounded down."""
    return to_text(part * 1_000_000 // (whole or 1), 2)


def _parts(amount: Decimal | int | str) -> tuple[int, str, int]:
    """Sign, digits without zeros at either end, and the power of ten of the last digit."""
    if isinstance(amount, str):
        if _NOT_FINITE.fullmatch(amount):
            raise InvalidAmount("must be finite")
        if not _NUMBER.fullmatch(amount):
            raise InvalidAmount("must be a decimal number")
    elif isinstance(amount, bool) or not isinstance(amount, Decimal | int):
        raise InvalidAmount("must be a decimal number")
    try:
        number = Decimal(amount)
    except InvalidOperation:
        raise InvalidAmount("must be a decimal number") from None
    sign, figures, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise InvalidAmount("must be finite")
    digits = "".join(map(str, figures)).lstrip("0")
    significant = digits.rstrip("0")
    return sign, significant, exponent + len(digits) - len(significant)
