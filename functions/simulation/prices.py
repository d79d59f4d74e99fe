"""How prices move: a pure function of a text and a second.

The text names what moves, such as "SOL/USDC", or with a seed "seed:SOL/USDC". An offset says how
far a price is from its base, in parts per 10**8. It is the sum of:

- ten octaves of noise, with periods from one second to three days. Each octave is twice as strong
  and four times as slow as the one before, so deviations grow like √time;
- a volatility, which scales the seven fast octaves between 0.4 and 2.4; it moves from one random
  level to the next in two hours;
- one jump of up to ±80 bps in each window of two hours, which fades in a straight line until the
  window ends.
"""

from functools import lru_cache
from hashlib import sha256

SCALE = 10**8
# An octave's level, before its weight, is a signed 16-bit number.
HALF = 1 << 15
# Weight and period in seconds of each octave.
_FAST = tuple((2**octave, 4**octave) for octave in range(7))
_SLOW = tuple((2**octave, 4**octave) for octave in range(7, 10))
_VENUE = tuple(4**octave for octave in range(3, 6))
WINDOW = 7_200
JUMP_MAX = 800_000
# `ranges` bounds the offsets in blocks of this many seconds; WINDOW is a multiple of it.
BLOCK = 16


def offset(text: str, second: int) -> int:
    """How far the price is from its base at a second, in parts per 10**8."""
    fast = _level(text, 1, second)
    slow = 0
    for weight, period in _FAST[1:]:
        step, rest = divmod(second, period)
        start, slope = _line(text, period, step)
        fast += weight * (start + slope * rest // period)
    for weight, period in _SLOW:
        step, rest = divmod(second, period)
        start, slope = _line(text, period, step)
        slow += weight * (start + slope * rest // period)
    window, rest = divmod(second, WINDOW)
    level, slope = _line(text, WINDOW, window)
    volatility = 400 + (2_000 * (level + slope * rest // WINDOW + HALF) ** 3 >> 48)
    begin, size = _jump(text, window)
    jump = size * (WINDOW - rest) // (WINDOW - begin) if rest >= begin else 0
    return (1_000 * slow + volatility * fast) // 2_048 + jump


def offsets(text: str, first: int, count: int) -> list[int]:
    """`offset` of `count` consecutive seconds from `first`, several times cheaper than singly."""
    octaves = [_levels(text, period, first, count) for _, period in _FAST + _SLOW]
    volatilities = _levels(text, WINDOW, first, count)
    return [
        (
            1_000 * (128 * h + 256 * i + 512 * j)
            + (400 + (2_000 * (volatility + HALF) ** 3 >> 48))
            * (a + 2 * b + 4 * c + 8 * d + 16 * e + 32 * f + 64 * g)
        )
        // 2_048
        + jump
        for a, b, c, d, e, f, g, h, i, j, volatility, jump in zip(
            *octaves, volatilities, _jumps(text, first, count), strict=True
        )
    ]


def ranges(text: str, first: int, count: int) -> list[tuple[int, int]]:
    """A lower and an upper bound of the offsets in each of `count` blocks of BLOCK seconds.

    `first` is a second and a multiple of BLOCK. The octaves that are faster than a block are not
    drawn, which makes a bound ten times cheaper than the offsets of its block.
    """
    marks = count + 1
    fast, slow = [0] * marks, [0] * marks
    fast_slack = slow_slack = unknown = 0
    for weight, period in _FAST:
        if period < BLOCK:
            unknown += weight * HALF
            continue
        fast_slack += weight
        levels = _levels(text, period, first, marks, BLOCK)
        fast = [sum_ + weight * level for sum_, level in zip(fast, levels, strict=True)]
    for weight, period in _SLOW:
        slow_slack += weight
        levels = _levels(text, period, first, marks, BLOCK)
        slow = [sum_ + weight * level for sum_, level in zip(slow, levels, strict=True)]
    volatilities = [
        400 + (2_000 * (level + HALF) ** 3 >> 48)
        for level in _levels(text, WINDOW, first, marks, BLOCK)
    ]
    found = []
    # Between two marks every octave is a straight line, rounded down by less than a unit.
    for i in range(count):
        least, most = sorted(volatilities[i : i + 2])
        low_fast = min(fast[i], fast[i + 1]) - unknown
        high_fast = max(fast[i], fast[i + 1]) + fast_slack + unknown
        low_slow = min(slow[i], slow[i + 1])
        high_slow = max(slow[i], slow[i + 1]) + slow_slack
        low = 1_000 * low_slow + (most if low_fast < 0 else least) * low_fast
        high = 1_000 * high_slow + (least if high_fast < 0 else most) * high_fast
        low_jump, high_jump = _jump_range(text, first + i * BLOCK)
        found.append((low // 2_048 + low_jump, high // 2_048 + high_jump))
    return found


def moved(price: int, parts: int) -> int:
    """The price moved by parts per 10**8, rounded down."""
    return price + price * parts // SCALE


def band(fee_ppm: int, bin_step: int = 0) -> int:
    """A venue's greatest deviation from the reference, in parts per 10**8: its fee less half a bin.

    Within it, arbitrage does not move the pool, and no quote of the pool beats the reference.
    """
    return max(100 * (fee_ppm - 50 * bin_step - 1), 0)


def venue_offset(text: str, second: int, reach: int) -> int:
    """A venue's deviation from the reference, in parts per 10**8, at most ±`reach`.

    `text` is the pair's and the venue's, such as "SOL/USDC|raydium".
    """
    level = 0
    for period in _VENUE:
        step, rest = divmod(second, period)
        start, slope = _line(text, period, step)
        level += start + slope * rest // period
    folded = abs((level + HALF) % (4 * HALF) - 2 * HALF) - HALF
    return reach * folded // HALF


def _levels(text: str, period: int, first: int, count: int, stride: int = 1) -> list[int]:
    """An octave's level at `count` seconds from `first`, `stride` seconds apart.

    Straight lines join the levels that are drawn at multiples of the period. Period and stride
    divide one another, and `first` is a multiple of the stride.
    """
    if period <= stride:
        steps = range(first // period, (first + count * stride) // period, stride // period)
        return [_level(text, period, step) for step in steps]
    levels: list[int] = []
    step, rest = divmod(first, period)
    while True:
        start, slope = _line(text, period, step)
        stop = min(period, rest + (count - len(levels)) * stride)
        levels += [start + slope * second // period for second in range(rest, stop, stride)]
        if len(levels) == count:
            return levels
        step, rest = step + 1, 0


def _jumps(text: str, first: int, count: int) -> list[int]:
    """The part of the offset that is due to the jump, at each of `count` seconds from `first`."""
    jumps: list[int] = []
    window, rest = divmod(first, WINDOW)
    while len(jumps) < count:
        begin, size = _jump(text, window)
        stop = min(WINDOW, rest + count - len(jumps))
        jumps += [0] * (min(begin, stop) - rest)
        jumps += [
            size * (WINDOW - second) // (WINDOW - begin) for second in range(max(rest, begin), stop)
        ]
        window, rest = window + 1, 0
    return jumps


def _jump_range(text: str, first: int) -> tuple[int, int]:
    """The least and the greatest offset due to the jump in BLOCK seconds from `first`."""
    window, rest = divmod(first, WINDOW)
    begin, size = _jump(text, window)
    last = rest + BLOCK - 1
    if last < begin:
        return 0, 0
    jumps = [size * (WINDOW - second) // (WINDOW - begin) for second in (max(rest, begin), last)]
    if rest < begin:
        jumps.append(0)
    return min(jumps), max(jumps)


@lru_cache(maxsize=1 << 10)
def _jump(text: str, window: int) -> tuple[int, int]:
    """The second of the window in which the jump begins, and its size then."""
    drawn = _draw(text, WINDOW, window)
    size = int.from_bytes(drawn[2:4], "big") - HALF
    return int.from_bytes(drawn[4:6], "big") % (WINDOW // 2), JUMP_MAX * size // HALF


@lru_cache(maxsize=1 << 14)
def _line(text: str, period: int, step: int) -> tuple[int, int]:
    """The level at the start of a step, and its change until the next step."""
    start = _level(text, period, step)
    return start, _level(text, period, step + 1) - start


def _level(text: str, period: int, step: int) -> int:
    """The level of an octave at the start of a step."""
    drawn = _draw(text, period, step)
    return (drawn[0] << 8 | drawn[1]) - HALF


def _draw(text: str, period: int, step: int) -> bytes:
    """Random bytes: two for an octave's level, two for a jump's size, two for its beginning."""
    return sha256(f"{text}|{period}|{step}".encode()).digest()
