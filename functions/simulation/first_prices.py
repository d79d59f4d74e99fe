"""The price process of market version 1, for transactions that were signed in it."""

from functools import lru_cache
from hashlib import sha256

VENUE_DIVISOR = 2_000


@lru_cache(maxsize=1 << 12)
def offset(text: str, second: int) -> int:
    """Bounded hash noise at a second, in parts per 10**8: seven octaves of 1 minute to 3 days."""
    total = 0
    for octave in range(7):
        period = 60 * 4**octave
        step, rest = divmod(second, period)
        level = _level(text, octave, step) * (period - rest) + _level(text, octave, step + 1) * rest
        total += 8 * 2**octave * 10_000 * level // (period * 32_768)
    return total


def venue_offset(text: str, second: int) -> int:
    """A venue's deviation from the reference price, in parts per 10**8."""
    return offset(text, second) // VENUE_DIVISOR


@lru_cache(maxsize=1 << 14)
def _level(text: str, octave: int, step: int) -> int:
    digest = sha256(f"{text}|{octave}|{step}".encode()).digest()
    return int.from_bytes(digest[:2], "big") - 32_768
