"""What a stage keeps, and that a new release finds it again."""

import pytest

from tests.infra.conftest import Template

TABLES = {"StorageOrders79EED263", "StorageConnections942F4ABF", "StorageAccess81B14CCF"}
QUEUES = {"QueuesOrdersE4860F80", "QueuesDeadLettersF0D5D2AD"}
LOG_GROUPS = {
    "ApisHttpAccessLogsDC493968",
    "ApisWebSocketAccessLogs67521563",
    "ComputeApiLogsD9ACDEB7",
    "ComputeAuthorizerLogs688F945E",
    "ComputeDeadLettersLogs3D98E900",
    "ComputePublisherLogsFEAC2D87",
    "ComputeSweeperLogsCCF71683",
    "ComputeWebsocketLogs46CD7E1F",
    "ComputeWorkerLogsA70D9C34",
}
# Whoever confirmed a subscription would have to do so again.
TOPICS = {"MonitoringAlarms66989066"}
# What a table is replaced for; the rest is changed in place.
FIXED_KEYS = {
    "StorageOrders79EED263": ["orderId"],
    "StorageConnections942F4ABF": ["owner", "connectionId"],
    "StorageAccess81B14CCF": ["id"],
}


def ids(template: Template, kind: str) -> set[str]:
    return {name for name, r in template.resources.items() if r["Type"] == f"AWS::{kind}"}


def test_what_holds_data_keeps_its_logical_id(template: Template) -> None:
    """A changed id replaces a table by an empty one: a new id is a migration, never a rename."""
    assert ids(template, "DynamoDB::Table") == TABLES
    assert ids(template, "SQS::Queue") == QUEUES
    assert ids(template, "Logs::LogGroup") == LOG_GROUPS
    assert ids(template, "SNS::Topic") == TOPICS


def test_a_table_keeps_its_key_for_another_would_replace_it(template: Template) -> None:
    keys = {
        name: [key["AttributeName"] for key in template.resources[name]["Properties"]["KeySchema"]]
        for name in TABLES
    }
    assert keys == FIXED_KEYS


@pytest.mark.parametrize(("stage", "policy"), [("dev", "Delete"), ("prod", "Retain")])
def test_dev_leaves_nothing_behind_and_prod_keeps_tables_and_logs(
    templates: dict[str, Template], stage: str, policy: str
) -> None:
    resources = templates[stage].resources
    kept = {resources[name]["DeletionPolicy"] for name in TABLES | LOG_GROUPS}
    replaced = {resources[name]["UpdateReplacePolicy"] for name in TABLES | LOG_GROUPS}
    assert kept == replaced == {policy}
    # Their messages are worth nothing without the stack, and tell what the tables hold anyway.
    assert {resources[name]["DeletionPolicy"] for name in QUEUES} == {"Delete"}


@pytest.mark.parametrize(("stage", "protected"), [("dev", False), ("prod", True)])
def test_only_prod_refuses_to_delete_a_table(
    templates: dict[str, Template], stage: str, protected: bool
) -> None:
    resources = templates[stage].resources
    assert {resources[name]["Properties"]["DeletionProtectionEnabled"] for name in TABLES} == {
        protected
    }


def test_what_cannot_be_made_again_is_recoverable_to_the_second(template: Template) -> None:
    recoverable = {
        name
        for name in TABLES
        if template.resources[name]["Properties"].get("PointInTimeRecoverySpecification")
        == {"PointInTimeRecoveryEnabled": True}
    }
    assert recoverable == TABLES - {"StorageConnections942F4ABF"}


def test_stages_differ_in_what_they_keep_not_in_what_they_are(
    templates: dict[str, Template],
) -> None:
    of_stage = [
        {(name, r["Type"]) for name, r in templates[stage].resources.items()}
        for stage in ("dev", "prod")
    ]
    # The ids of permissions name the stack.
    dev, prod = ({i for i in stage if i[1] != "AWS::Lambda::Permission"} for stage in of_stage)
    assert dev == prod
