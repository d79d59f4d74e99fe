"""The DynamoDB and SQS clients, and the handling of a refused write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from functions.aws import make_client

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient


@cache
def dynamodb() -> DynamoDBClient:
    """The DynamoDB client of this environment."""
    client: DynamoDBClient = make_client("dynamodb", attempts=4)
    return client


@cache
def sqs() -> SQSClient:
    """The SQS client of this environment."""
    client: SQSClient = make_client("sqs", attempts=4)
    return client


@dataclass
class Write:
    """A conditional write. `refused` is None, or the item that failed the condition.

    It is empty if there is no item, or unless the write has ReturnValuesOnConditionCheckFailure.
    """

    refused: dict[str, Any] | None = None


@contextmanager
def conditional_write() -> Iterator[Write]:
    """A block with one conditional write; raises any error but that of a failed condition."""
    write = Write()
    try:
        yield write
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        write.refused = cast("dict[str, Any]", error.response).get("Item", {})
