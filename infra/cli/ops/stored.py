"""Reads one order from a stack's table."""

from functions.orders.stored import StoredOrder, stored_order
from infra.cli.command import UnknownOrder
from infra.cli.deployed import Deployed


def read(stack: Deployed, order_id: str) -> StoredOrder:
    """The order with this id, by a consistent read; raises UnknownOrder."""
    answer = stack.client("dynamodb").get_item(
        TableName=stack.output("OrdersTable"),
        Key={"orderId": {"S": order_id}},
        ConsistentRead=True,
    )
    if "Item" not in answer:
        raise UnknownOrder(order_id)
    return stored_order(answer["Item"])
