"""The terms that each type of order needs and takes, and their limits."""

from __future__ import annotations

from collections.abc import Mapping, Set

from functions.orders.order import OrderType

SLICES_MIN, SLICES_MAX = 2, 100
INTERVAL_SECONDS_MAX = 86_400
EXPIRY_DAYS_MAX = 30

NEEDED: Mapping[OrderType, Set[str]] = {
    OrderType.MARKET: frozenset(),
    OrderType.LIMIT: {"limitPrice"},
    OrderType.STOP: {"stopPrice"},
    OrderType.OCO: {"limitPrice", "stopPrice"},
    OrderType.TWAP: {"slices", "intervalSeconds"},
}
_WAITING = {"expiresAt", "timeInForce"}
OPTIONAL: Mapping[OrderType, Set[str]] = {
    OrderType.MARKET: {"slippageBps"},
    OrderType.LIMIT: _WAITING,
    OrderType.STOP: {"slippageBps"} | _WAITING,
    OrderType.OCO: {"slippageBps"} | _WAITING,
    OrderType.TWAP: {"limitPrice", "slippageBps"},
}
FIELDS = (
    "limitPrice",
    "stopPrice",
    "slices",
    "intervalSeconds",
    "slippageBps",
    "expiresAt",
    "timeInForce",
)


def type_of(given: Set[str]) -> OrderType:
    """The type with the fewest terms that are missing or do not apply to it.

    Terms that no type needs, such as slippageBps, do not count.
    """
    telling = given & set().union(*NEEDED.values())

    def misfit(kind: OrderType) -> tuple[int, int]:
        wrong = (NEEDED[kind] - given) | (telling - NEEDED[kind] - OPTIONAL[kind])
        return len(wrong), -len(NEEDED[kind])

    return min(OrderType, key=misfit)
