"""The network that orders trade on; all other modules reach the simulation only through this one.

To trade on a real network, replace this folder with a module that has the same methods and calls an
RPC node. The methods block for as long as a call to a node would take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from functions.contract import EngineSettings, unix_ms
from functions.dex import router
from functions.dex.pools import Snapshot
from functions.dex.router import Route
from functions.dex.tokens import Token
from functions.orders.draws import draw
from functions.orders.failures import QuoteErrorCode
from functions.orders.order import Order, Simulate
from functions.orders.settlement import Outcome, Pending
from functions.simulation import chain, faults, market

VENUES, VENUE_NAMES = market.VENUES, market.VENUE_NAMES

# The same latencies as the original Node implementation, so that both can be compared.
QUOTE_MS = (200, 400)
QUOTE_TIMEOUT_MS = 1000
BUILDING_MS = 300
# A transaction that has not landed this long after it was signed cannot land.
VALID_MS = chain.VALID_SLOTS * market.SLOT_MS
# Each second has its own prices, from its first slot on. That slot begins at most this long after
# the second.
SECOND_BEGINS_MS = 200


class TooLate(Exception):
    """A transaction that is signed now cannot land before its order expires."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A venue's answer after `took_ms`: its pools, or the reason why it gave no quote."""

    venue: str
    pools: Snapshot | str
    took_ms: int


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction: its signature, and the text to store."""

    signature: str
    text: str


@dataclass(frozen=True, slots=True)
class Network:
    """The simulated venues and chain of the market that `seed` names.

    `quote_error_ppm` and `drop_ppm` are the chances, in parts per million, that a venue gives no
    quote and that a transaction never lands. `latency_scale` multiplies every latency; 0 is none.
    Orders can request faults only if `simulate_allowed`.
    """

    now_ms: Callable[[], int]
    sleep: Callable[[float], None]
    seed: str = ""
    quote_error_ppm: int = 0
    drop_ppm: int = 0
    latency_scale: float = 1
    simulate_allowed: bool = False

    @classmethod
    def of(
        cls, settings: EngineSettings, now_ms: Callable[[], int], sleep: Callable[[float], None]
    ) -> Network:
        """The network that the settings describe."""
        return cls(
            now_ms,
            sleep,
            settings.market_seed,
            settings.quote_error_ppm,
            settings.drop_ppm,
            settings.latency_scale,
            settings.simulate_allowed,
        )

    def snapshots(self) -> Mapping[str, Snapshot]:
        """Every venue's pools now."""
        return market.snapshots(market.slot_at(self.now_ms()), self.seed)

    def reference(self, token_in: Token, token_out: Token, at_ms: int | None = None) -> Fraction:
        """The exact reference price: whole `token_out` for one whole `token_in`.

        `at_ms` is a Unix time in milliseconds, by default now.
        """
        slot = market.slot_at(self.now_ms() if at_ms is None else at_ms)
        return market.exact_price(token_in, token_out, slot, self.seed)

    def best_price(self, token_in: Token, token_out: Token) -> Fraction:
        """The output of the first unit now, in whole tokens; no amount gets more per unit."""
        price = router.best_price(token_in, token_out, self.snapshots())
        return price * Fraction(10**token_in.decimals, 10**token_out.decimals)

    def ask(self, order: Order) -> list[Answer]:
        """Ask all venues at once for their pools, for this attempt of the order."""
        pools = self.snapshots()
        key = (order.identity, order.attempt)
        answers = []
        for venue in VENUES:
            error = faults.quote_error(*key, venue, self._simulate(order), self.quote_error_ppm)
            took_ms = (
                QUOTE_TIMEOUT_MS
                if error is QuoteErrorCode.QUOTE_TIMEOUT
                else draw(*QUOTE_MS, *key, "quote", venue)
            )
            answers.append(Answer(venue, error or pools[venue], self._scaled(took_ms)))
        self._wait(max(answer.took_ms for answer in answers))
        return answers

    def sign(self, order: Order, route: Route) -> Signed:
        """Build and sign the transaction of this attempt of the order.

        Raises TooLate.
        """
        self._wait(self._scaled(BUILDING_MS))
        slot = market.slot_at(self.now_ms())
        last_slot = None
        if order.expires_at is not None:
            # The last slot that ends before the order expires.
            last_slot = market.slot_at(unix_ms(order.expires_at)) - 1
            if last_slot < slot + chain.LANDING_SLOTS_MIN:
                raise TooLate(order.order_id)
        transaction = chain.build(
            order.identity,
            order.attempt,
            route,
            slot,
            seed=self.seed,
            drop_ppm=self.drop_ppm,
            simulate=self._simulate(order),
            last_slot=last_slot,
        )
        return Signed(transaction.signature, transaction.to_json())

    def send(self, signed: str) -> None:
        """Send a signed transaction; sending it again is harmless.

        Here it does nothing: signing already decides a transaction's outcome (see `chain`).
        """

    def outcome(self, signed: str) -> Outcome | Pending:
        """The present outcome of a signed transaction."""
        transaction = chain.Transaction.from_json(signed)
        slots = chain.known_slot(transaction) - transaction.recent_slot
        known_ms = transaction.recent_slot * market.SLOT_MS + self._scaled(slots * market.SLOT_MS)
        wait_ms = known_ms - self.now_ms()
        return Pending(wait_ms) if wait_ms > 0 else chain.outcome(transaction, self.seed)

    def prices(self, base: Token, quote: Token, times_ms: Iterable[int]) -> list[Mapping[str, str]]:
        """Prices at each time (Unix milliseconds): `quote` for one `base`, as decimal text.

        "reference" is the market's; each venue with a pool of these two tokens has its own.
        """
        return [
            market.price_texts(base, quote, market.slot_at(time_ms), self.seed)
            for time_ms in times_ms
        ]

    def candles(
        self, base: Token, quote: Token, length_ms: int, first_ms: int, end_ms: int
    ) -> list[dict[str, str | dict[str, str]]]:
        """The candles from `first_ms`, a multiple of `length_ms`, to before `end_ms`.

        Prices of `quote` for one `base`, as decimal text: "open", "high", "low" and "close" of the
        reference price, and "venues", the last price of each venue with a pool of these two tokens.
        """
        first, last = first_ms // 1000, (end_ms - 1) // 1000
        return market.candle_texts(
            base, quote, length_ms // 1000, first=first, last=last, seed=self.seed
        )

    def _wait(self, milliseconds: int) -> None:
        if milliseconds:  # a sleep of 0 would still yield the processor
            self.sleep(milliseconds / 1000)

    def _scaled(self, milliseconds: int) -> int:
        return round(milliseconds * self.latency_scale)

    def _simulate(self, order: Order) -> Simulate | None:
        return order.simulate if self.simulate_allowed else None
