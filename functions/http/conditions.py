"""Validates the terms of an order against its type."""

from __future__ import annotations

from collections.abc import Sequence, Set
from fractions import Fraction
from http import HTTPStatus

from functions.contract import iso, unix_ms
from functions.dex import tokens
from functions.dex.errors import InvalidAmount
from functions.dex.tokens import Token
from functions.http.models import TIME_RULE
from functions.http.problems import Problem, bad_field
from functions.messages import FieldError, ProblemCode
from functions.orders.order import OrderType
from functions.orders.terms import EXPIRY_DAYS_MAX, FIELDS, NEEDED, OPTIONAL

_DAY_MS = 86_400_000


def check_fields(kind: OrderType, given: Set[str], needed: Set[str] | None = None) -> None:
    """Raise a Problem that names every superfluous and every missing term.

    `needed` are the required terms, by default those of the type.
    """
    needed = NEEDED[kind] if needed is None else needed
    errors = []
    for field in FIELDS:
        if field in needed - given:
            errors.append(FieldError(field=field, rule=f"is required for type {kind}"))
        elif field in given - NEEDED[kind] - OPTIONAL[kind]:
            takers = [each for each in OrderType if field in NEEDED[each] | OPTIONAL[each]]
            rule = f"does not apply to type {kind}, only to {listed(takers)}"
            errors.append(FieldError(field=field, rule=rule))
    if errors:
        raise Problem(HTTPStatus.BAD_REQUEST, ProblemCode.INVALID_REQUEST, "", *errors)
    if kind is OrderType.TWAP and {"limitPrice", "slippageBps"} <= given:
        rule = "does not apply to a twap order with a limitPrice, which sets the least it accepts"
        raise bad_field("slippageBps", rule)


def price(field: str, text: str, units: int, source: Token, target: Token) -> str:
    """A price as it is stored: plain decimal text; raises a Problem that names the field.

    At this price, `units` base units of `source` must be worth a valid amount of `target`.
    """
    try:
        asked = tokens.to_price(text)
    except InvalidAmount as error:
        raise bad_field(field, error.rule, ProblemCode.INVALID_PRICE) from None
    out = asked * Fraction(units * 10**target.decimals, 10**source.decimals)
    if out > tokens.UNITS_MAX:
        most = tokens.to_text(tokens.UNITS_MAX, target.decimals)
        rule = f"must not make the amount worth more than {most} {target.symbol}"
        raise bad_field(field, rule, ProblemCode.INVALID_PRICE)
    if out < 1:
        least = tokens.to_text(1, target.decimals)
        rule = f"must not make the amount worth less than {least} {target.symbol}"
        raise bad_field(field, rule, ProblemCode.INVALID_PRICE)
    return tokens.to_text(int(asked * 10**tokens.PRICE_PLACES_MAX), tokens.PRICE_PLACES_MAX)


def check_prices(limit_price: str | None, stop_price: str | None) -> None:
    """Raise a Problem if an order has both prices and the stop is not below the limit."""
    if (
        limit_price is not None
        and stop_price is not None
        and tokens.to_price(stop_price) >= tokens.to_price(limit_price)
    ):
        raise bad_field("stopPrice", "must be less than limitPrice", ProblemCode.INVALID_PRICE)


def expiry(text: str) -> str:
    """An expiry as it is stored; raises a Problem if there is no such time."""
    try:
        return iso(unix_ms(text))
    except (ValueError, OverflowError):
        raise bad_field("expiresAt", TIME_RULE) from None


def expiry_problem(expires_at: str | None, now_ms: int) -> Problem | None:
    """The Problem with this expiry for an order that is submitted now; None if it is allowed."""
    if expires_at is None:
        return None
    if unix_ms(expires_at) <= now_ms:
        return bad_field("expiresAt", "must be in the future")
    if unix_ms(expires_at) > now_ms + EXPIRY_DAYS_MAX * _DAY_MS:
        rule = f"must be at most {EXPIRY_DAYS_MAX} days from now"
        return bad_field("expiresAt", rule)
    return None


def listed(names: Sequence[str], joined_by: str = "and") -> str:
    """At least one name, as part of a sentence: "stop, oco and twap"."""
    *others, last = names
    return f"{', '.join(others)} {joined_by} {last}" if others else last
