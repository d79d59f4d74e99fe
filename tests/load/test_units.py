"""DynamoDB's units, by the examples of its own rules."""

from __future__ import annotations

import pytest

from tests.billing import (
    ORDERS_INDEXES,
    Item,
    index_write_units,
    item_bytes,
    read_units,
    write_units,
)
from tests.load.items import ENDED, OPEN


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"name": {"S": "é"}}, 6),
        ({"n": {"N": "0"}}, 2),
        ({"n": {"N": "-120.50"}}, 5),
        ({"b": {"BOOL": True}}, 2),
        ({"l": {"L": []}}, 4),
        ({"l": {"L": [{"S": "ab"}, {"S": "c"}]}}, 9),
        ({"m": {"M": {"k": {"S": "v"}}}}, 7),
        ({"s": {"SS": ["ab", "c"]}}, 4),
        ({"b": {"B": b"abc"}}, 4),
        ({"b": {"B": "YWJj"}}, 4),  # as a stream's record has it
    ],
)
def test_an_item_is_as_large_as_its_names_and_values(item: Item, size: int) -> None:
    assert item_bytes(item) == size


def test_an_unknown_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rule for NS"):
        item_bytes({"b": {"NS": ["1"]}})


@pytest.mark.parametrize(("size", "units"), [(1, 1), (1023, 1), (1024, 1), (1025, 2), (3072, 3)])
def test_a_write_is_one_unit_for_each_kilobyte_begun(size: int, units: int) -> None:
    item = {"a": {"S": "x" * (size - 1)}}
    assert write_units(None, item) == units
    assert write_units(item, {"a": {"S": ""}}) == units
    assert write_units({"a": {"S": ""}}, item) == units


def test_a_new_open_order_enters_every_index() -> None:
    entered = {"byOwner": 1, "openOrders": 1, "openByOwner": 1}
    assert index_write_units(None, OPEN, ORDERS_INDEXES) == entered


def test_a_changed_key_is_deleted_and_put() -> None:
    moved = OPEN | {"idleSince": {"S": "2027"}}
    assert index_write_units(OPEN, moved, ORDERS_INDEXES) == {"openOrders": 2}


def test_an_attribute_that_no_index_projects_costs_no_index_units() -> None:
    assert index_write_units(OPEN, OPEN | {"followers": {"M": {}}}, ORDERS_INDEXES) == {}


def test_an_ended_order_leaves_the_sparse_indexes() -> None:
    assert index_write_units(OPEN, ENDED, ORDERS_INDEXES) == {"openOrders": 1, "openByOwner": 1}


@pytest.mark.parametrize(
    ("sizes", "consistent", "together", "units"),
    [
        ([4096], True, False, 1),
        ([4097], True, False, 2),
        ([100, 100], True, False, 2),
        ([100, 100], True, True, 1),
        ([100], False, True, 0.5),
        ([], False, True, 0.5),
    ],
)
def test_reads_round_up_by_item_or_together(
    sizes: list[int], consistent: bool, together: bool, units: float
) -> None:
    assert read_units(sizes, consistent=consistent, together=together) == units
