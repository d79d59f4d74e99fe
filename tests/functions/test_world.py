"""The tests' moto makes conditional updates atomic, as DynamoDB does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import pytest

from tests.world import World

WRITERS = 4
ROUNDS = 40


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Let Python switch between threads as often as it can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("busy_threads")
def test_of_concurrent_conditional_updates_exactly_one_succeeds(world: World) -> None:
    """DynamoDB serializes the writes of an item; moto alone checks and writes in two steps."""
    key = {"orderId": {"S": "one"}}
    world.dynamodb.put_item(
        TableName="orders", Item={**key, "sequence": {"N": "0"}, "updates": {"L": []}}
    )
    together = Barrier(WRITERS)
    refused = world.dynamodb.exceptions.ConditionalCheckFailedException

    def write(number: int) -> bool:
        together.wait()
        with suppress(refused):
            world.dynamodb.update_item(
                TableName="orders",
                Key=key,
                UpdateExpression="SET #s = :next, updates = list_append(updates, :update)",
                ConditionExpression="#s = :read",
                ExpressionAttributeNames={"#s": "sequence"},
                ExpressionAttributeValues={
                    ":read": {"N": str(number)},
                    ":next": {"N": str(number + 1)},
                    ":update": {"L": [{"N": str(number)}]},
                },
            )
            return True
        return False

    with ThreadPoolExecutor(WRITERS) as threads:
        for number in range(ROUNDS):
            assert sum(threads.map(write, [number] * WRITERS)) == 1
    item = world.dynamodb.get_item(TableName="orders", Key=key)["Item"]
    assert item["updates"]["L"] == [{"N": str(number)} for number in range(ROUNDS)]
    assert len(world.stream()) == 1 + ROUNDS
