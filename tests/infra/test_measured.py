"""The assumptions of the measurements about the stack are true."""

from __future__ import annotations

from tests.infra.conftest import Template
from tests.load.units import ORDERS_INDEXES


def test_the_indexes_that_are_priced_are_those_of_the_table(template: Template) -> None:
    table = template.of_type("DynamoDB::Table")["StorageOrders"]["Properties"]
    assert {index.name: [*index.keys] for index in ORDERS_INDEXES} == {
        index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]] + ["orderId"]
        for index in table["GlobalSecondaryIndexes"]
    }
