"""Names of tokens, and amounts between text and base units."""

import time
from decimal import Decimal

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from functions.dex.errors import InvalidAmount, TokenNotTradable
from functions.dex.tokens import TOKENS, UNITS_MAX, Token, find, price_text, to_text, to_units

SOL, USDC, BONK = TOKENS["SOL"], TOKENS["USDC"], TOKENS["BONK"]


@pytest.mark.parametrize("token", TOKENS.values(), ids=lambda token: token.symbol)
def test_a_token_is_found_by_symbol_and_by_mint(token: Token) -> None:
    assert find(token.symbol) is find(token.mint) is token


@pytest.mark.parametrize("name", ["", "DOGE", "sol", "SOL ", "x" * 10_000])
def test_an_unknown_token_is_not_tradable(name: str) -> None:
    with pytest.raises(TokenNotTradable) as unknown:
        find(name)
    assert unknown.value.code == "TOKEN_NOT_TRADABLE"
    assert len(str(unknown.value)) < 120


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        ("1", 10**9),
        ("1.50000000000", 1_500_000_000),
        ("0.000000001", 1),
        ("00012.5", 12_500_000_000),
        (".5", 500_000_000),
        ("5.", 5_000_000_000),
        ("1e3", 10**12),
        ("1E-9", 1),
        ("18446744073.709551615", UNITS_MAX),
        (Decimal("2.5"), 2_500_000_000),
        (Decimal("1E+2"), 10**11),
        (7, 7 * 10**9),
        ("1." + "0" * 5_000, 10**9),
    ],
)
def test_an_amount_becomes_base_units_exactly(amount: Decimal | int | str, units: int) -> None:
    assert to_units(amount, SOL) == units


@pytest.mark.parametrize(
    ("amount", "rule"),
    [
        ("", "must be a decimal number"),
        (" 1", "must be a decimal number"),
        ("1_000", "must be a decimal number"),
        ("1,5", "must be a decimal number"),
        ("0x10", "must be a decimal number"),
        ("１", "must be a decimal number"),
        ("٣", "must be a decimal number"),
        ("1\n", "must be a decimal number"),
        ("1e", "must be a decimal number"),
        ("1e99999999999999999999", "must be a decimal number"),
        (True, "must be a decimal number"),
        (1.5, "must be a decimal number"),
        (None, "must be a decimal number"),
        ("NaN", "must be finite"),
        ("-Infinity", "must be finite"),
        ("inf", "must be finite"),
        (Decimal("sNaN"), "must be finite"),
        (Decimal("Infinity"), "must be finite"),
        ("-5", "must be greater than 0"),
        ("0", "must be greater than 0"),
        ("-0.0", "must be greater than 0"),
        ("0e999999999", "must be greater than 0"),
        (-1, "must be greater than 0"),
        ("0.0000000001", "must have at most 9 decimal places"),
        ("1e-999999999", "must have at most 9 decimal places"),
        ("1." + "1" * 5_000, "must have at most 9 decimal places"),
        ("18446744073.709551616", "must be at most 18446744073.709551615"),
        ("1e999999999", "must be at most 18446744073.709551615"),
        ("9" * 5_000, "must be at most 18446744073.709551615"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_invalid_amount_is_refused_with_the_rule_that_it_breaks(amount: str, rule: str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        to_units(amount, SOL)
    assert refused.value.rule == rule
    assert refused.value.code == "INVALID_AMOUNT"


@pytest.mark.parametrize(
    "amount",
    ["1e999999999", "1e-999999999", "9" * 100_000, "0." + "0" * 100_000 + "1", Decimal(10**5_000)],
    ids=["huge", "tiny", "long", "deep", "number"],
)
def test_an_extreme_amount_is_refused_in_little_time(amount: Decimal | str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidAmount):
        to_units(amount, SOL)
    assert time.process_time() - started < 0.5


@for_all(st.text(max_size=40) | st.from_regex(r"[-+0-9.eE_]{1,30}"))
def test_any_text_is_an_amount_or_is_refused(text: str) -> None:
    try:
        units = to_units(text, SOL)
    except InvalidAmount:
        return
    assert 0 < units <= UNITS_MAX


@for_all(st.integers(1, UNITS_MAX), st.sampled_from(list(TOKENS.values())))
def test_base_units_written_as_text_are_read_back(units: int, token: Token) -> None:
    text = to_text(units, token.decimals)
    assert to_units(text, token) == units
    assert "e" not in text.lower()
    assert not text.endswith(".")


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(0, 9, "0"), (1, 9, "0.000000001"), (-5, 1, "-0.5"), (1_500, 3, "1.5"), (7, 0, "7")],
)
def test_an_amount_as_text_has_no_exponent_and_no_trailing_zeros(
    units: int, decimals: int, text: str
) -> None:
    assert to_text(units, decimals) == text


def test_a_price_has_twelve_digits_rounded_down() -> None:
    assert price_text(10**9, SOL, 150_694_059, USDC) == "150.694059"
    assert price_text(3 * 10**9, SOL, 10**6, USDC) == "0.333333333333"
    assert price_text(10**6, USDC, 10**9 * 2 // 3, SOL) == "0.666666666"
    assert price_text(3 * 10**5, BONK, 59, USDC) == "0.0000196666666666"
    assert price_text(1, SOL, UNITS_MAX, USDC) == "18446744073700000000000"
    assert price_text(1, SOL, 0, USDC) == "0"


@for_all(st.integers(1, UNITS_MAX), st.integers(1, UNITS_MAX))
def test_a_price_is_never_rounded_up_and_never_off_by_its_twelfth_digit(
    in_units: int, out_units: int
) -> None:
    text = price_text(in_units, SOL, out_units, USDC)
    digits = text.replace(".", "").strip("0")
    assert len(digits) <= 12
    shown = int(Decimal(text).scaleb(40))
    exact = out_units * 10 ** (9 + 40) // (in_units * 10**6)
    assert shown <= exact
    assert (exact - shown) * 10**11 <= exact
