"""Candles of a price that is a function of the second: open, high, low, close; a pure function."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

SECOND, MINUTE, HOUR = 1, 60, 3_600


class Series(Hashable, Protocol):
    """A price by the second. Equal series give equal prices: candles are remembered by it."""

    def prices(self, first: int, count: int) -> Sequence[int]:
        """The prices of `count` seconds from `first`."""


@dataclass(frozen=True, slots=True)
class Candle:
    """First, highest, lowest and last price of the seconds from `start`, in the series' unit."""

    start: int
    open: int
    high: int
    low: int
    close: int


def candles(series: Series, length: int, first: int, last: int) -> list[Candle]:
    """The candles of `length` seconds from the one with second `first` to the one with `last`.

    The last one has the seconds up to `last` only, so it may still change. Raises ValueError unless
    `length` is SECOND, MINUTE or HOUR and `first` is at most `last`.
    """
    if length not in {SECOND, MINUTE, HOUR}:
        raise ValueError(f"no candle is {length} seconds long")
    if first > last:
        raise ValueError(f"second {first} is after second {last}")
    start, end = first // length * length, last + 1
    if length == SECOND:
        return [
            Candle(start + i, price, price, price, price)
            for i, price in enumerate(series.prices(start, end - start))
        ]
    closed = _closed_hour if length == HOUR else _closed_minute
    found = [closed(series, at) for at in range(start, end - length + 1, length)]
    running = start + len(found) * length
    if running < end:
        found.append(_running(series, running, end))
    return found


def _running(series: Series, start: int, end: int) -> Candle:
    """One candle of the seconds from `start`, a whole minute, up to but not with `end`."""
    minutes = [_closed_minute(series, at) for at in range(start, end - MINUTE + 1, MINUTE)]
    rest = start + len(minutes) * MINUTE
    if rest < end:
        minutes.append(_of_prices(rest, series.prices(rest, end - rest)))
    return _merged(minutes)


@lru_cache(maxsize=1 << 12)
def _closed_hour(series: Series, start: int) -> Candle:
    return _running(series, start, start + HOUR)


@lru_cache(maxsize=1 << 14)
def _closed_minute(series: Series, start: int) -> Candle:
    return _of_prices(start, series.prices(start, MINUTE))


def _of_prices(start: int, prices: Sequence[int]) -> Candle:
    return Candle(start, prices[0], max(prices), min(prices), prices[-1])


def _merged(parts: Sequence[Candle]) -> Candle:
    return Candle(
        parts[0].start,
        parts[0].open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        parts[-1].close,
    )
