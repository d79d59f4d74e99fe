"""Each role may do what this table says, to what it says, and nothing else."""

import pytest

from tests.infra.conftest import Template, text

LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
RECEIVE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
READ_STREAM = {
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
}
PUSH = {"execute-api:ManageConnections"}

ORDERS, CONNECTIONS = "StorageOrders.Arn", "StorageConnections.Arn"
BY_OWNER, OPEN_ORDERS = f"{ORDERS}/index/byOwner", f"{ORDERS}/index/openOrders"
QUEUE, DEAD_LETTERS = "QueuesOrders.Arn", "QueuesDeadLetters.Arn"

GRANTED = {
    "api": {
        ORDERS: {
            "dynamodb:PutItem",
            "dynamodb:GetItem",
            "dynamodb:BatchGetItem",
            "dynamodb:UpdateItem",
        },
        BY_OWNER: {"dynamodb:Query"},
        QUEUE: {"sqs:SendMessage"},
    },
    "worker": {
        ORDERS: {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        QUEUE: {"sqs:SendMessage"} | RECEIVE,
    },
    "publisher": {
        "StorageOrders.StreamArn": READ_STREAM,
        ORDERS: {"dynamodb:UpdateItem"},
        CONNECTIONS: {"dynamodb:Query", "dynamodb:DeleteItem"},
        "QueuesUnpublished.Arn": {"sqs:SendMessage"},
        "connections": PUSH,
    },
    "websocket": {
        ORDERS: {"dynamodb:UpdateItem"},
        CONNECTIONS: {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"},
        "connections": PUSH,
    },
    "sweeper": {OPEN_ORDERS: {"dynamodb:Query"}, QUEUE: {"sqs:SendMessage"}},
    "dead_letters": {ORDERS: {"dynamodb:GetItem", "dynamodb:UpdateItem"}, DEAD_LETTERS: RECEIVE},
}


def as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def granted(template: Template, module: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for statement in template.statements(module):
        assert statement["Effect"] == "Allow"
        for resource in as_list(statement["Resource"]):
            actions = found.setdefault(text(resource), set())
            actions.update(str(action) for action in as_list(statement["Action"]))
    return found


@pytest.mark.parametrize("module", sorted(GRANTED))
def test_a_role_may_do_exactly_what_its_function_does(template: Template, module: str) -> None:
    stage = template.functions()[module]["Environment"]["Variables"]["STAGE"]
    connections = (
        "arn:AWS::Partition:execute-api:AWS::Region:AWS::AccountId"
        f":ApisWebSocket/{stage}/POST/@connections/*"
    )
    expected = {
        connections if resource == "connections" else resource: actions
        for resource, actions in GRANTED[module].items()
    }
    log_group = text(template.functions()[module]["LoggingConfig"]["LogGroup"])
    expected |= {f"{log_group}.Arn": LOGS, "*": TRACES}  # X-Ray knows no resources
    assert granted(template, module) == expected


def test_no_role_has_a_managed_policy_or_a_wildcard_action(template: Template) -> None:
    for role in template.of_type("IAM::Role").values():
        assert "ManagedPolicyArns" not in role["Properties"]
    for policy in template.of_type("IAM::Policy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert all("*" not in str(action) for action in as_list(statement["Action"]))
