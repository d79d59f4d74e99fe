"""Pseudo-random numbers that depend only on their keys, so that every process draws the same."""

from hashlib import sha256


def draw(low: int, high: int, *keys: object) -> int:
    """An integer in [low, high], distributed evenly over the `keys` (text or integers).

    Raises ValueError if low > high.
    """
    if low > high:
        raise ValueError(f"no integer lies in [{low}, {high}]")
    text = "\x1f".join(map(str, keys))
    number = int.from_bytes(sha256(text.encode()).digest()[:16], "big")
    return low + number % (high - low + 1)
