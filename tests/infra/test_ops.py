"""The operator's commands, over moto."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from infra import ops
from infra.deployed import Deployed, NotDeployed

REGION = "eu-central-1"


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    return {"OrderQueueUrl": "orders", "DeadLetterQueueUrl": "dead-letters"}


def test_redriving_moves_every_dead_letter_back_to_the_order_queue(queues: dict[str, str]) -> None:
    with mock_aws():
        sqs = boto3.client("sqs")
        urls = {k: sqs.create_queue(QueueName=name)["QueueUrl"] for k, name in queues.items()}
        bodies = {f'{{"orderId":"{number}"}}' for number in range(25)}
        for body in bodies:
            sqs.send_message(QueueUrl=urls["DeadLetterQueueUrl"], MessageBody=body)
        stack = Deployed(outputs=urls)
        assert sorted(ops.redrive(stack)) == sorted(bodies)
        assert list(ops.redrive(stack)) == []
        received: set[str] = set()
        while answer := sqs.receive_message(
            QueueUrl=urls["OrderQueueUrl"], MaxNumberOfMessages=10
        ).get("Messages"):
            received |= {message["Body"] for message in answer}
        assert received == bodies


def test_a_stack_that_is_not_there_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(_stack: str) -> Deployed:
        raise NotDeployed("There is no such stack.")

    monkeypatch.setattr(ops, "find", nowhere)
    monkeypatch.setattr("sys.argv", ["ops", "redrive", "--stack", "nowhere"])
    with pytest.raises(SystemExit) as ended:
        ops.main()
    assert ended.value.code == "✗ There is no such stack."
