"""The cost of a call does not depend on the number of stored orders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.load import flat
from tests.recording import Call


@pytest.fixture(scope="module")
def costs() -> dict[int, dict[str, flat.Cost]]:
    return {orders: flat.measure(orders) for orders in (100, 1000)}


def test_every_operation_costs_the_same_beside_ten_times_as_many_orders(
    costs: dict[int, dict[str, flat.Cost]],
) -> None:
    assert flat.flat(costs)
    assert {name: cost.calls for name, cost in costs[100].items()} == {
        "submit": 2,
        "work": 4,
        "push": 5,
        "list": 2,
        "list open": 2,
        "list pending": 2,
        "list confirmed": 11,
        "list cancelled": 2,
        "list cancelled limits": 2,
        "list limits": 4,
        "list limits from USDC": 4,
        "list confirmed to SOL": 11,
        "count open, submit": 3,
        "cancel": 2,
    }


def test_a_difference_of_one_unit_is_found(costs: dict[int, dict[str, flat.Cost]]) -> None:
    more = dict(costs[1000])
    more["list"] = replace(more["list"], read_units=more["list"].read_units + 1)
    assert not flat.flat({100: costs[100], 1000: more})


def test_items_that_a_query_scans_and_does_not_return_count_as_read() -> None:
    entry = {"orderId": {"S": "x" * 4089}}
    answer = {"Items": [entry], "ScannedCount": 3}
    assert Call("list", "dynamodb", "Query", {}, answer=answer).read_units == 1.5


def test_entries_that_a_query_only_counts_count_as_read() -> None:
    given = {"Select": "COUNT", "ExpressionAttributeValues": {":owner": {"S": "desk"}}}
    # Names and values: openOwner (9), desk (4), orderId (7), a UUID (36).
    for entries, units in ((73, 0.5), (74, 1)):
        answer = {"Count": entries, "ScannedCount": entries}
        assert Call("", "dynamodb", "Query", given, answer=answer).read_units == units
