"""Candles of a price: open, high, low and close of each second, minute or hour."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

SECOND, MINUTE, HOUR = 1, 60, 3_600


class Series(Hashable, Protocol):
    """A price for each second. Closed candles are cached by series: equal series must agree."""

    @property
    def block(self) -> int:
        """The length of a block of `ranges` in seconds, a divisor of HOUR."""

    def prices(self, first: int, count: int, /) -> Sequence[int]:
        """The prices of `count` seconds from `first`."""

    def ranges(self, first: int, count: int, /) -> Sequence[tuple[int, int]]:
        """A lower and an upper bound of the prices in each of `count` blocks from `first`."""


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

    The last candle has no second after `last`, so it may still change. Raises ValueError unless
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
    return [
        _closed(series, at, length) if at + length <= end else _candle(series, at, end)
        for at in range(start, end, length)
    ]


@lru_cache(maxsize=1 << 14)
def _closed(series: Series, start: int, length: int) -> Candle:
    return _candle(series, start, start + length)


def _candle(series: Series, start: int, end: int) -> Candle:
    """The candle of the seconds from `start` to before `end`."""
    if end - start <= MINUTE:
        prices = series.prices(start, end - start)
        return Candle(start, prices[0], max(prices), min(prices), prices[-1])
    opened, closed = series.prices(start, 1)[0], series.prices(end - 1, 1)[0]
    high, low = max(opened, closed), min(opened, closed)
    # Only blocks that can contain the highest or the lowest price are computed by the second.
    size = series.block
    blocks = (end - start) // size
    bounds = series.ranges(start, blocks)
    for i in sorted(range(blocks), key=lambda i: bounds[i][1], reverse=True):
        if bounds[i][1] <= high:
            break
        high = max(high, *series.prices(start + i * size, size))
    for i in sorted(range(blocks), key=lambda i: bounds[i][0]):
        if bounds[i][0] >= low:
            break
        low = min(low, *series.prices(start + i * size, size))
    rest = start + blocks * size
    prices = [high, low, *series.prices(rest, end - rest)]
    return Candle(start, opened, max(prices), min(prices), closed)
