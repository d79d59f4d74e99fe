"""The price process: bounded noise of each second, in moods, with jumps; a pure function.

Ten octaves from one second to three days, each twice as strong and four times as slow as the one
before, so that deviations grow like √time. A mood scales the seven fast octaves between 0.4 and
2.4: calm and wild hours. Once in each window of two hours the price jumps by up to ±80 bps and
comes back in a straight line until the window ends. Offsets are parts per 10**8 of a price; `text`
names what moves, such as "SOL/USDC", or with a seed "seed:SOL/USDC".
"""

from functools import lru_cache
from hashlib import sha256

SCALE = 10**8
# A level is what one octave adds before its weight: a signed 16-bit number.
HALF = 1 << 15
OCTAVES = range(10)
# Weight and period in seconds of the octaves from 4 seconds; that of one second has no lines.
_FAST = tuple((2**octave, 4**octave) for octave in range(1, 7))
_SLOW = tuple((2**octave, 4**octave) for octave in range(7, 10))
_VENUE = tuple(4**octave for octave in range(3, 6))
WINDOW = 7_200
JUMP_MAX = 800_000
# 16 · (1000 · (128 + 256 + 512) + 2400 · 127) + JUMP_MAX: no offset is further from 0.
OFFSET_MAX = 20_012_800


def offset(text: str, second: int) -> int:
    """How far the price is from its base at a second, in parts per 10**8."""
    fast, slow = (_draw(text, 1, second) >> 32) - HALF, 0
    for weight, period in _FAST:
        step, rest = divmod(second, period)
        start, slope = _line(text, period, step)
        fast += weight * (start + slope * rest // period)
    for weight, period in _SLOW:
        step, rest = divmod(second, period)
        start, slope = _line(text, period, step)
        slow += weight * (start + slope * rest // period)
    step, rest = divmod(second, WINDOW)
    start, slope = _line(text, WINDOW, step)
    mood = 400 + (2_000 * (start + slope * rest // WINDOW + HALF) ** 3 >> 48)
    return (1_000 * slow + mood * fast) // 2_048 + _jump(text, second)


def offsets(text: str, first: int, count: int) -> list[int]:
    """`offset` of `count` consecutive seconds from `first`; several times cheaper than each."""
    octaves = [_levels(text, 4**octave, first, count) for octave in OCTAVES]
    moods = _levels(text, WINDOW, first, count)
    jumps = [_jump(text, second) for second in range(first, first + count)]
    return [
        (
            1_000 * (128 * h + 256 * i + 512 * j)
            + (400 + (2_000 * (mood + HALF) ** 3 >> 48))
            * (a + 2 * b + 4 * c + 8 * d + 16 * e + 32 * f + 64 * g)
        )
        // 2_048
        + jump
        for a, b, c, d, e, f, g, h, i, j, mood, jump in zip(*octaves, moods, jumps, strict=True)
    ]


def moved(price: int, parts: int) -> int:
    """The price moved by parts per 10**8, rounded down."""
    return price + price * parts // SCALE


def band(fee_ppm: int, bin_step: int = 0) -> int:
    """How far a venue may stand from the reference, in parts per 10**8: its fee less half a bin.

    Within it no arbitrageur would move the pool, and no quote of the pool beats the reference.
    """
    return max(100 * (fee_ppm - 50 * bin_step - 1), 0)


def venue_offset(text: str, second: int, reach: int) -> int:
    """How far a venue stands from the reference, in parts per 10**8, at most ±`reach`.

    `text` is the pair's and the venue's, such as "SOL/USDC|raydium".
    """
    level = 0
    for period in _VENUE:
        step, rest = divmod(second, period)
        start, slope = _line(text, period, step)
        level += start + slope * rest // period
    folded = abs((level + HALF) % (4 * HALF) - 2 * HALF) - HALF
    return reach * folded // HALF


def _levels(text: str, period: int, first: int, count: int) -> list[int]:
    """An octave's level at each second: straight lines between a draw at each multiple of it."""
    levels: list[int] = []
    step, rest = divmod(first, period)
    while True:
        start, slope = _line(text, period, step)
        stop = min(period, rest + count - len(levels))
        levels += [start + slope * second // period for second in range(rest, stop)]
        if len(levels) == count:
            return levels
        step, rest = step + 1, 0


def _jump(text: str, second: int) -> int:
    window, rest = divmod(second, WINDOW)
    drawn = _draw(text, WINDOW, window)
    size, start = (drawn >> 16 & 0xFFFF) - HALF, (drawn & 0xFFFF) % (WINDOW // 2)
    if rest < start:
        return 0
    return JUMP_MAX * size // HALF * (WINDOW - rest) // (WINDOW - start)


@lru_cache(maxsize=1 << 14)
def _line(text: str, period: int, step: int) -> tuple[int, int]:
    """The level at the start of a step, and by how much it changes until the next."""
    start, end = _draw(text, period, step) >> 32, _draw(text, period, step + 1) >> 32
    return start - HALF, end - start


@lru_cache(maxsize=1 << 14)
def _draw(text: str, period: int, step: int) -> int:
    """48 bits: 16 each for an octave's level, a jump's size, and a jump's start."""
    return int.from_bytes(sha256(f"{text}|{period}|{step}".encode()).digest()[:6], "big")
