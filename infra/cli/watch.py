"""`uv run watch`: print each update of one order until the order ends, or of all your orders."""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.text import Text

from functions.contract import iso, unix_ms
from functions.orders.order import Status
from infra.cli.command import UnknownOrder, canonical_order_id, exit_on_problem, options
from infra.cli.deployed import find
from infra.cli.printing import STYLES, plain_console, update_details
from infra.cli.subscription import Api, Lost, Patience, keep_subscribed

ALL = "*"
ENDED_OTHERWISE, UNKNOWN = 3, 4
EXIT_CODES = (
    f"Exit code for one order: 0 it was confirmed, {ENDED_OTHERWISE} it failed or was cancelled,"
    f" {UNKNOWN} its end is not known: there is no such order, watching was stopped, or the"
    " connection was lost for too long. Exit code 1: not possible (one line says why), 2: a wrong"
    " command line, 0: Ctrl-C while watching all orders."
)
# Of an order that is older, an update during a cut is shown only if one was seen before the cut.
LOOK_BACK_MS = 3_600_000
SEEN_MAX = 100_000  # orders
# The index behind the list is a moment behind, so the list is read from somewhat earlier on.
OVERLAP_MS = 60_000

Json = dict[str, Any]
Show = Callable[[Json], None]


class OneOrder:
    """Shows the updates of one order, each once and in order."""

    def __init__(self, order_id: str, show: Show) -> None:
        self._order_id, self._show, self._sequence = order_id, show, 0
        self.ended: Status | None = None

    def begin(self, api: Api) -> None:
        """An order is replayed from its first update on, so nothing has to be read before."""

    def subscription(self) -> Json:
        """Asks for the last update again, so that there is always an answer."""
        return {"orderId": self._order_id, "sinceSequence": max(self._sequence - 1, 0)}

    def take(self, message: Json, _api: Api) -> bool | None:
        """Take a message: True if it answers the subscription, False if one has to be sent."""
        if message.get("orderId") != self._order_id or "status" not in message:
            return None
        if message["sequence"] > self._sequence + 1:
            return False
        if message["sequence"] == self._sequence + 1:
            self._sequence += 1
            self._show(message)
            self.ended = _ended(message)
        return True


class AllOrders:
    """Shows every update of all of an owner's orders from now on, each once and in order."""

    ended = None

    def __init__(self, show: Show) -> None:
        self._show = show
        # By order: the sequence of the last update that was shown, or that is older than "now".
        self._seen: dict[str, int] = {}
        self._open: set[str] = set()
        self._newest = self._horizon = ""  # createdAt

    def begin(self, api: Api) -> None:
        """Note what the recent orders have gone through before now."""
        self._horizon = iso(time.time_ns() // 1_000_000 - LOOK_BACK_MS)
        for order in api.orders_since(self._horizon):
            self._note(order)

    def subscription(self) -> Json:
        """Asks for every update from now on."""
        return {"orderId": ALL}

    def take(self, message: Json, api: Api) -> bool | None:
        """Take a message: True if it answers the subscription."""
        if message.get("type") == "subscribed" and message.get("orderId") == ALL:
            self._catch_up(api)
            return True
        if "status" in message and "orderId" in message:
            order_id, sequence = message["orderId"], message["sequence"]
            if sequence == self._seen.get(order_id, 0) + 1:
                self._show_next(message)
            elif sequence > self._seen.get(order_id, 0):
                self._show_missing(api.order(order_id), sequence)
        return None

    def _catch_up(self, api: Api) -> None:
        """Show what was stored while there was no subscription."""
        since = iso(unix_ms(self._newest) - OVERLAP_MS) if self._newest else self._horizon
        orders = {order["orderId"]: order for order in api.orders_since(since)}
        for order_id in self._open - orders.keys():
            try:
                orders[order_id] = api.order(order_id)
            except UnknownOrder:  # it has expired
                self._open.discard(order_id)
        missing: list[tuple[str, Json]] = []
        for order in orders.values():
            latest = ""  # the clocks of two workers may differ
            for update in self._missing(order):
                latest = max(latest, update["timestamp"])
                missing.append((latest, update))
        for _, update in sorted(missing, key=lambda each: each[0]):
            self._show_next(update)
        for order in orders.values():
            self._note(order)
        ended = (order_id for order_id in list(self._seen) if order_id not in self._open)
        while len(self._seen) > SEEN_MAX and (oldest := next(ended, None)):
            del self._seen[oldest]

    def _show_missing(self, order: Json, sequence: int) -> None:
        if order["orderId"] not in self._seen and order["createdAt"] < self._horizon:
            self._seen[order["orderId"]] = sequence - 1
        for update in self._missing(order):
            self._show_next(update)
        self._note(order)

    def _missing(self, order: Json) -> list[Json]:
        seen = self._seen.get(order["orderId"], 0)
        return [update for update in order["updates"] if update["sequence"] > seen]

    def _show_next(self, update: Json) -> None:
        self._mark(update)
        self._show(update)
        if update["sequence"] == 1:
            self._newest = max(self._newest, update["timestamp"])

    def _note(self, order: Json) -> None:
        self._mark(order["updates"][-1])
        self._newest = max(self._newest, order["createdAt"])

    def _mark(self, update: Json) -> None:
        order_id = update["orderId"]
        self._seen[order_id] = update["sequence"]
        if _ended(update):
            self._open.discard(order_id)
        else:
            self._open.add(order_id)


def _ended(update: Json) -> Status | None:
    try:
        status = Status(update["status"])
    except ValueError:  # of a newer release
        return None
    return status if status.terminal else None


def update_line(update: Json) -> Text:
    """An update as one line of text."""
    status = update["status"]
    details = update_details(update)
    return Text.assemble(
        (update["timestamp"][11:23], "dim"),
        (f"  {update['orderId']}  ", "cyan"),
        (f"{status:<10}", STYLES.get(status, "")),
        *(f" {name} {value}" for name, value in details.items()),
    )


def main() -> None:
    """Print each update until the order ends, or until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="uv run watch", description=__doc__, epilog=EXIT_CODES, parents=[options(key=True)]
    )
    parser.add_argument("order", nargs="?", default=ALL, help="an orderId (all, from now on)")
    arguments = parser.parse_args()
    with exit_on_problem():
        code = _watch(arguments)
    sys.exit(code)


def _watch(arguments: argparse.Namespace) -> int:
    console, one = plain_console(), arguments.order != ALL

    def show(update: Json) -> None:
        console.print(update_line(update))

    def tell(notice: str) -> None:
        sys.stderr.write(f"{notice}\n")

    try:
        subject = OneOrder(canonical_order_id(arguments.order), show) if one else AllOrders(show)
        stack = find(arguments.stack)
        with Api(stack, arguments.key or stack.api_key) as api:
            if not one:
                tell("Watching all orders; Ctrl-C ends it.")
            ended = keep_subscribed(subject, api, tell, Patience())
    except (UnknownOrder, Lost) as problem:
        tell(f"✗ {problem}")
        return UNKNOWN if one else 1
    except KeyboardInterrupt:
        tell("Stopped.")
        return UNKNOWN if one else 0
    return 0 if ended is Status.CONFIRMED else ENDED_OTHERWISE
