"""The clients by which the functions call AWS."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ParamValidationError

from functions.aws import make_client


class Intercepted(Exception):
    """The request that would be sent."""


def _intercept(*, request: AWSRequest, **_: Any) -> None:
    raise Intercepted(request.body)


def _client() -> Any:
    client = make_client("dynamodb", attempts=1)
    client.meta.events.register_first("before-send", _intercept)
    return client


def test_outside_lambda_the_client_checks_the_parameters() -> None:
    with pytest.raises(ParamValidationError, match=r"parameter Key\.orderId\.S"):
        _client().get_item(TableName="orders", Key={"orderId": {"S": 1}})


def test_inside_lambda_only_aws_checks_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    with pytest.raises(Intercepted, match=r'"orderId": \{"S": 1\}'):
        _client().get_item(TableName="orders", Key={"orderId": {"S": 1}})


def test_a_client_has_the_endpoint_and_the_paginators_of_a_botocore_client() -> None:
    client = _client()
    assert client.meta.endpoint_url == "https://dynamodb.eu-central-1.amazonaws.com"
    assert client.can_paginate("query")
