"""The assumptions that the measurements make about the stack are true."""

from __future__ import annotations

from infra.costs import POLLED_QUEUES
from tests.billing import ORDERS_INDEXES
from tests.templates import Template, text


def test_the_indexes_that_are_priced_are_those_of_the_table(template: Template) -> None:
    table = template.of_type("DynamoDB::Table")["StorageOrders"]["Properties"]
    assert {index.name: [*index.keys] for index in ORDERS_INDEXES} == {
        index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]] + ["orderId"]
        for index in table["GlobalSecondaryIndexes"]
    }


def test_the_bill_counts_the_queues_that_lambda_polls(template: Template) -> None:
    sources = [
        text(mapping["Properties"]["EventSourceArn"])
        for mapping in template.of_type("Lambda::EventSourceMapping").values()
    ]
    assert sum(source.startswith("Queues") for source in sources) == POLLED_QUEUES
