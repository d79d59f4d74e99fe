"""AWS's billing: DynamoDB's item sizes, write units and read units by its published rules.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.cloud import tables

# The metrics that the stack's alarms watch; tests/infra/stack/test_measured.py counts them.
ALARM_METRICS = 44
WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096
STORED_OVERHEAD_BYTES = 100  # of every item and index entry, where storage is billed
Item = dict[str, Any]


@dataclass(frozen=True)
class Index:
    """An index that projects keys only: `keys` are its own, then those of its table."""

    name: str
    keys: tuple[str, ...]

    def entry(self, item: Item | None) -> Item | None:
        """The index's entry for an item; None if the item lacks one of the keys."""
        if item is None or any(key not in item for key in self.keys):
            return None
        return {key: item[key] for key in self.keys}


_orders = tables()["orders"]
ORDERS_INDEXES = [Index(name, keys + _orders.keys) for name, keys in _orders.indexes.items()]


def item_bytes(item: Item) -> int:
    """The size of an item, given in DynamoDB's JSON, by DynamoDB's rules."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def write_units(before: Item | None, after: Item | None) -> int:
    """Write units of one write to a table, by the larger of the item before and after it."""
    return _ceil(max(item_bytes(before or {}), item_bytes(after or {}), 1), WRITE_UNIT_BYTES)


def index_write_units(
    before: Item | None, after: Item | None, indexes: Iterable[Index]
) -> dict[str, int]:
    """Write units of the same write in each index: none if the index's entry does not change.

    An entry whose key changes is deleted and put.
    """
    units = {}
    for index in indexes:
        old, new = index.entry(before), index.entry(after)
        if old != new:
            units[index.name] = sum(write_units(entry, None) for entry in (old, new) if entry)
    return units


def all_write_units(before: Item | None, after: Item) -> int:
    """Write units of one write to the orders table and its indexes."""
    indexes = index_write_units(before, after, ORDERS_INDEXES)
    return write_units(before, after) + sum(indexes.values())


def read_units(sizes: Sequence[int], *, consistent: bool, together: bool) -> float:
    """Read units for items of these sizes in bytes; a Query rounds them up `together`."""
    pages = [sum(sizes)] if together else sizes
    units = sum(_ceil(max(size, 1), READ_UNIT_BYTES) for size in pages)
    return units if consistent else units / 2


def _value_bytes(value: Item) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "B":
            return len(content if isinstance(content, bytes) else b64decode(content))
        case "N":
            return _number_bytes(content)
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + _value_bytes(each) for each in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_bytes(v) for name, v in content.items())
        case "SS":
            return sum(len(each.encode()) for each in content)
    raise ValueError(f"no rule for {kind}")


def _number_bytes(text: str) -> int:
    digits = text.lstrip("-").replace(".", "").strip("0")
    return _ceil(len(digits), 2) + 1 + text.startswith("-")


def _ceil(amount: int, unit: int) -> int:
    return -(-amount // unit)
