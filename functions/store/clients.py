"""The DynamoDB and SQS clients, and what all tables share."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config

from functions.runtime import USER_AGENT

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

# The worker executes ten orders at once, and each makes calls of its own.
_CONFIG = Config(
    user_agent=USER_AGENT,
    max_pool_connections=20,
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 4},
)


@cache
def dynamodb() -> DynamoDBClient:
    """The DynamoDB client of this environment."""
    return boto3.client("dynamodb", config=_CONFIG)


@cache
def sqs() -> SQSClient:
    """The SQS client of this environment."""
    return boto3.client("sqs", config=_CONFIG)


def refused_item(error: ClientError) -> dict[str, Any]:
    """The item that failed a write's condition, empty if there is none; raises any other error.

    The write must ask for it with ReturnValuesOnConditionCheckFailure.
    """
    if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
    response = cast("dict[str, Any]", error.response)
    return cast("dict[str, Any]", response.get("Item", {}))
