"""The API's answers about the market: tokens, quotes, prices, candles and possible swaps."""

from __future__ import annotations

from collections.abc import Mapping

from functions.contract import iso
from functions.dex import router, tokens
from functions.dex.errors import (
    AmountTooLarge,
    InvalidAmount,
    NoRoutesFound,
    TokenNotTradable,
)
from functions.dex.pools import Snapshot
from functions.dex.tokens import Token
from functions.http.problems import bad_field
from functions.messages import (
    CandleList,
    CandleView,
    Interval,
    PriceList,
    PricePoint,
    ProblemCode,
    QuoteAnswer,
    TokenList,
    TokenView,
)
from functions.orders import routes
from functions.runtime import now_ms, settings, sleep
from functions.simulation.network import Network

PRICE_POINTS_MAX = 300
# By name: the milliseconds of a candle, and the most that a request may cover, also in words.
INTERVALS: Mapping[Interval, tuple[int, int, str]] = {
    "second": (1_000, 900_000, "15 minutes"),
    "minute": (60_000, 86_400_000, "24 hours"),
    "hour": (3_600_000, 604_800_000, "7 days"),
}
CANDLES = 120
network = Network.of(settings, now_ms, sleep)

Pools = Mapping[str, Snapshot | str]


def swap(token_in: str, token_out: str, amount: str) -> tuple[Token, Token, int]:
    """The tokens of a requested swap, and its amount in base units; raises as `_route` does.

    The amount may be too small for every pool; an order for it fails when it is executed.
    """
    source, target = pair(token_in, token_out)
    units = amount_units(amount, source)
    pools = network.snapshots()
    if not router.pool_takes(source, target, units, pools):  # in most cases, no route is needed
        _route(source, target, units, 0, pools)
    return source, target, units


def _route(
    source: Token, target: Token, units: int, slippage_bps: int, pools: Pools
) -> router.Route | NoRoutesFound:
    """The present route; returns NoRoutesFound if the amount is too small for every pool.

    Raises a Problem if the amount is larger than the largest that routes, and raises NoRoutesFound
    if no amount routes.
    """
    try:
        return router.find_route(source, target, units, slippage_bps, pools)
    except NoRoutesFound as none:
        most = router.largest_amount(source, target, pools)
        if units <= most:
            return none
        if most == 0:
            raise
        rule = f"must be at most {tokens.to_text(most, source.decimals)}, the most that routes now"
        raise bad_field("amount", rule, ProblemCode.INVALID_AMOUNT) from None


def amount_units(amount: str, token: Token) -> int:
    """The amount in base units; an amount beyond a u64 becomes 2**64. Raises a Problem."""
    try:
        return tokens.to_units(amount, token)
    except AmountTooLarge:
        return tokens.UNITS_MAX + 1
    except InvalidAmount as error:
        raise bad_field("amount", error.rule, ProblemCode(error.code)) from None


def pair(token_in: str, token_out: str) -> tuple[Token, Token]:
    """Both tokens, by symbol or mint; raises a Problem that names the field at fault."""
    source, target = token("tokenIn", token_in), token("tokenOut", token_out)
    if source == target:
        rule, code = "must differ from tokenIn", ProblemCode.CIRCULAR_ARBITRAGE_IS_DISABLED
        raise bad_field("tokenOut", rule, code)
    return source, target


def token(field: str, name: str) -> Token:
    """The token, by symbol or mint; raises a Problem that names the field."""
    try:
        return tokens.find(name)
    except TokenNotTradable as error:
        rule = "must be the symbol or mint of a listed token"
        raise bad_field(field, rule, ProblemCode(error.code)) from None


def quote(token_in: str, token_out: str, amount: str, slippage_bps: int) -> QuoteAnswer:
    """The route that an order would take now."""
    source, target = pair(token_in, token_out)
    units = amount_units(amount, source)
    route = _route(source, target, units, slippage_bps, network.snapshots())
    if isinstance(route, NoRoutesFound):
        raise route
    (priced,) = network.prices(source, target, [now_ms()])
    return QuoteAnswer(
        token_in=source.symbol,
        token_out=target.symbol,
        reference_price=priced["reference"],
        limit_price=_limit_price(route),
        **dict(routes.to_client(route)),
    )


def _limit_price(route: router.Route) -> str:
    """The highest price that the route meets, rounded down to a limit price's decimal places."""
    price = tokens.price_text(route.in_amount, route.token_in, route.out_amount, route.token_out)
    whole, _, places = price.partition(".")
    return f"{whole}.{places[: tokens.PRICE_PLACES_MAX]}".rstrip("0").rstrip(".")


def prices(token_in: str, token_out: str, minutes: int, since: str | None) -> PriceList:
    """Prices of the last minutes, or those later than `since`, at most `PRICE_POINTS_MAX`."""
    source, target = pair(token_in, token_out)
    # Points are on a fixed grid, so that a repeated request gets the same points.
    step = max(1, minutes * 60 // PRICE_POINTS_MAX)
    last = now_ms() // 1000 // step * step
    times = [second * 1000 for second in range(last - minutes * 60 + step, last + step, step)]
    times = [time for time in times if since is None or iso(time) > since]
    points = (
        PricePoint.model_validate({**priced, "timestamp": iso(time)})
        for time, priced in zip(times, network.prices(source, target, times), strict=True)
    )
    return PriceList(token_in=source.symbol, token_out=target.symbol, points=tuple(points))


def candles(
    token_in: str, token_out: str, interval: Interval, first_ms: int | None, end_ms: int | None
) -> tuple[CandleList, bool]:
    """The candles from the one that contains `first_ms` to the last that begins before `end_ms`.

    The second result is whether all of them are closed. Times are Unix milliseconds; no candle
    begins after now.
    """
    source, target = pair(token_in, token_out)
    length_ms, most_ms, most = INTERVALS[interval]
    now = now_ms()
    end_ms = now + 1 if end_ms is None else min(end_ms, now + 1)
    last = (end_ms - 1) // length_ms
    if first_ms is None:
        first_ms = (last - CANDLES + 1) * length_ms
    if first_ms >= end_ms:
        raise bad_field("from", "must be before to, and not after now")
    # One more candle is allowed, because "now" is later here than it was for the client.
    if end_ms - first_ms > most_ms + length_ms:
        raise bad_field("from", f"must be at most {most} before to")
    first = first_ms // length_ms
    until = min((last + 1) * length_ms, now + 1)
    found = network.candles(source, target, length_ms, first * length_ms, until)
    views = tuple(
        CandleView.model_validate({**candle, "timestamp": iso((first + index) * length_ms)})
        for index, candle in enumerate(found)
    )
    answer = CandleList(
        token_in=source.symbol, token_out=target.symbol, interval=interval, candles=views
    )
    return answer, (last + 1) * length_ms <= now


def token_list() -> TokenList:
    """Every token that can be traded."""
    views = (
        TokenView(symbol=token.symbol, name=token.name, mint=token.mint, decimals=token.decimals)
        for token in tokens.TOKENS.values()
    )
    return TokenList(tokens=tuple(views))
