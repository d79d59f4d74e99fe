"""Flat: `uv run python -m tests.load.flat` shows that no call costs more with more stored orders.

Each operation runs once while the same owner has 10² to 10⁶ ended orders and 200 open ones, which
are put into moto's tables directly. botocore's events count the calls. moto does not compute
capacity units, so tests/billing.py computes them by DynamoDB's published rules: from the items
before and after each write, index writes included, and from the items that each read scanned. The
bytes are those of all AWS answers. A scan of a table would increase the units and the bytes.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import track
from rich.table import Table

import tests.conftest  # noqa: F401 - the settings, before the handlers read them
from functions.contract import iso
from functions.http import submission
from functions.orders.order import Update
from functions.orders.stored import entries, entry_of, new_item, stored_order
from tests.billing import Item, all_write_units
from tests.load.machine import figures
from tests.recording import CONNECTION, RecordedWorld, recorded_world

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
OPEN = 200
RARE = 100  # cancelled orders, older than all others
READ = 300  # more than any step reads
BEFORE_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Cost:
    """The cost of one operation: AWS calls, DynamoDB's units, bytes in AWS's answers."""

    calls: int
    write_units: int
    read_units: float
    answered_bytes: int


def fill(
    table: Any, models: Sequence[Item], orders: int, first: int = 0, since_ms: int = BEFORE_MS
) -> None:
    """Put `orders` copies of the models into moto's table, with ids from `first` on.

    The models alternate, and the copies are a millisecond apart. A packed item can be read only
    under its own id, so the newest READ copies are packed again. No step reads the others, which
    only have the size of the model.
    """
    from moto.dynamodb.models.dynamo_type import DynamoType
    from moto.dynamodb.models.dynamo_type import Item as Stored

    shared = [{name: DynamoType(value) for name, value in model.items()} for model in models]
    for number in range(first, first + orders):
        turn = (first + orders - 1 - number) % len(models)
        model = models[turn]
        key = DynamoType({"S": str(UUID(int=number))})
        copied = Stored(key, None, {})
        copied.attrs.update(shared[turn])
        copied.attrs["orderId"] = key
        time, _, kind = model["createdAt"]["S"].partition(" ")
        created_at = iso(since_ms + number)
        key_of_list = DynamoType({"S": f"{created_at} {kind}"})
        for name, value in model.items():
            if value.get("S", "").startswith(f"{time} "):  # createdAt, and keys that begin with it
                copied.attrs[name] = key_of_list
        if number >= first + orders - READ:
            for name, value in repacked(model, str(UUID(int=number)), created_at).items():
                copied.attrs[name] = DynamoType(value)
        table.items[key] = copied


def other_orders(recorded: RecordedWorld) -> tuple[Item, Item]:
    """A limit order from USDC to SOL that is confirmed, and one that is cancelled."""
    world, terms = recorded.world, {"type": "limit", "tokenIn": "USDC", "tokenOut": "SOL"}
    world.submit(**terms, amount=100, limitPrice="0.0001")
    assert not world.work()
    confirmed = recorded.images()[-1][1]
    order_id = world.submit(**terms, amount=100, limitPrice="1")["orderId"]
    world.cancel(order_id)
    cancelled = recorded.images()[-1][1]
    assert not world.work()  # its message
    world.stream()  # the step "push" is for one order's updates only
    return confirmed, cancelled


def repacked(model: Item, order_id: str, created_at: str) -> Item:
    """The packed attributes of the model's order with another id and time."""
    like, found = stored_order(model).order, entries(model)
    texts = [each.text.replace(like.order_id, order_id) for each in found]
    texts[0] = texts[0].replace(like.created_at, created_at)
    updates = [Update.from_text(text) for text in texts]
    first = like.model_copy(
        update={"order_id": order_id, "created_at": created_at, "updates": (updates[0],)}
    )
    packed = new_item(first, "", writer="")
    later = [
        entry_of(update, updates[:number], found[number].transaction)
        for number, update in enumerate(updates)
        if number
    ]
    return {"request": packed["request"], "updates": {"L": [*packed["updates"]["L"], *later]}}


def measure(orders: int) -> dict[str, Cost]:
    """Each operation's cost while so many orders are stored."""
    with recorded_world() as recorded:
        world = recorded.world
        world.send(CONNECTION, {"orderId": "*"})
        recorded.order()
        images = [image for _, image in recorded.images()]
        confirmed, cancelled = other_orders(recorded)
        table = world.table("orders")
        fill(table, [confirmed, *[images[-1]] * 9], orders)
        fill(table, [images[0]], OPEN, first=orders)
        fill(table, [cancelled], RARE, first=orders + OPEN, since_ms=BEFORE_MS - 10**9)
        order_id = ""

        def submit() -> None:
            nonlocal order_id
            order_id = world.submit()["orderId"]

        def count_and_submit() -> None:
            submission.rooms.clear()
            submit()

        def list_all() -> None:
            answer = world.http("list_orders", query={})
            assert len(answer.json["orders"]) == 20

        def list_open() -> None:
            answer = world.http("list_orders", query={"status": "open"})
            assert {order["status"] for order in answer.json["orders"]} == {"pending"}

        def filtered(most: int, **query: str) -> Callable[[], None]:
            def list_filtered() -> None:
                answer = world.http("list_orders", query={**query, "limit": str(most)})
                assert len(answer.json["orders"]) == most

            return list_filtered

        def cancel() -> None:
            answer = world.cancel(order_id)
            assert answer.json["status"] == "cancelled"

        def work() -> None:
            assert not world.work()

        steps: dict[str, Callable[[], None]] = {
            "submit": submit,
            "work": work,
            "push": world.publish,
            "list": list_all,
            "list open": list_open,
            "list pending": filtered(20, status="pending"),
            "list confirmed": filtered(20, status="confirmed"),
            "list cancelled": filtered(20, status="cancelled"),
            "list cancelled limits": filtered(20, status="cancelled", type="limit"),
            "list limits": filtered(5, type="limit"),
            "list limits from USDC": filtered(5, type="limit", tokenIn="USDC", tokenOut="SOL"),
            "list confirmed to SOL": filtered(5, status="confirmed", tokenOut="SOL"),
            "count open, submit": count_and_submit,
            "cancel": cancel,
        }
        return {name: _cost(recorded, name, step) for name, step in steps.items()}


def _cost(recorded: RecordedWorld, name: str, step: Callable[[], None]) -> Cost:
    known = len(recorded.images())
    recorded.recorder.take()
    with recorded.recorder.of(name):
        step()
    calls = recorded.recorder.take()
    writes = recorded.images()[known:]
    return Cost(
        calls=len(calls),
        write_units=sum(all_write_units(before, after) for before, after in writes),
        read_units=sum(call.read_units for call in calls),
        answered_bytes=sum(len(call.body) for call in calls),
    )


def report(costs: dict[int, dict[str, Cost]]) -> Table:
    """A row for each operation; a cell shows calls, write units, read units, bytes answered."""
    columns = [f"{orders:,} orders" for orders in costs]
    table = figures("Calls / write units / read units / bytes answered", "operation", *columns)
    for name in next(iter(costs.values())):
        of_sizes = [cost[name] for cost in costs.values()]
        table.add_row(
            name,
            *(
                f"{c.calls} / {c.write_units} / {c.read_units:g} / {c.answered_bytes:,}"
                for c in of_sizes
            ),
        )
    return table


def flat(costs: dict[int, dict[str, Cost]]) -> bool:
    """Whether calls and units are the same at every size."""
    units = [
        {name: (c.calls, c.write_units, c.read_units) for name, c in each.items()}
        for each in costs.values()
    ]
    return all(each == units[0] for each in units)


def main() -> None:
    """Print the table; exit 1 if anything grows."""
    argparse.ArgumentParser(prog="python -m tests.load.flat", description=__doc__).parse_args()
    began = time.monotonic()
    costs = {n: measure(n) for n in track(SIZES, "Filling", console=Console(stderr=True))}
    Console().print(
        report(costs),
        f"{time.monotonic() - began:.0f} s; at most "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB of memory",
    )
    sys.exit(0 if flat(costs) else 1)


if __name__ == "__main__":
    main()
