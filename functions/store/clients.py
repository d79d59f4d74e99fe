"""The DynamoDB and SQS clients, and the handling of a refused write."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from functions.aws import make_client

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
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


def refused_item(error: ClientError) -> dict[str, Any]:
    """The item that failed a write's condition, empty if there is none; raises any other error.

    DynamoDB returns the item only if the write has ReturnValuesOnConditionCheckFailure.
    """
    if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
    response = cast("dict[str, Any]", error.response)
    return cast("dict[str, Any]", response.get("Item", {}))
