"""The clients by which the functions call AWS."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ParamValidationError

from functions.aws import make_client


class Sent(Exception):
    """The request that would be sent."""


def _sent(*, request: AWSRequest, **_: Any) -> None:
    raise Sent(request.body)


def _client() -> Any:
    client = make_client("dynamodb", attempts=1)
    client.meta.events.register_first("before-send", _sent)
    return client


def test_a_call_with_a_wrong_parameter_fails_in_the_tests() -> None:
    with pytest.raises(ParamValidationError, match=r"parameter Key\.orderId\.S"):
        _client().get_item(TableName="orders", Key={"orderId": {"S": 1}})


def test_in_lambda_only_aws_checks_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    with pytest.raises(Sent, match=r'"orderId": \{"S": 1\}'):
        _client().get_item(TableName="orders", Key={"orderId": {"S": 1}})


def test_the_clients_know_what_botocores_own_know() -> None:
    client = _client()
    assert client.meta.endpoint_url == "https://dynamodb.eu-central-1.amazonaws.com"
    assert client.can_paginate("query")
