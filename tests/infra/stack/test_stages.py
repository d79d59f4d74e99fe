"""Each stage keeps its data, and a new release finds the data again."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.templates import Template

README = (Path(__file__).parents[3] / "infra" / "README.md").read_text()
TABLES = {"StorageOrders79EED263", "StorageConnections942F4ABF", "StorageAccess81B14CCF"}
# The data that cannot be restored: orders, and the hashes of API keys.
LASTING_TABLES = TABLES - {"StorageConnections942F4ABF"}
QUEUES = {
    "QueuesOrdersE4860F80",
    "QueuesDeadLettersF0D5D2AD",
    "QueuesWebhooks8AF7EEBD",
    "QueuesWebhookDeadLetters1EC2F9F8",
}
LOG_GROUPS = {
    "ApisHttpAccessLogsDC493968",
    "ApisWebSocketAccessLogs67521563",
    "ComputeApiLogsD9ACDEB7",
    "ComputeAuthorizerLogs688F945E",
    "ComputeDeadLettersLogs3D98E900",
    "ComputeNotifierLogs4C1713FE",
    "ComputePublisherLogsFEAC2D87",
    "ComputeSweeperLogsCCF71683",
    "ComputeWatcherLogs8E169B4B",
    "ComputeWebsocketLogs46CD7E1F",
    "ComputeWorkerLogsA70D9C34",
}
LOG_ROLE = {"ApisLogRoleE743971B", "ApisLogAccountA9A96B93"}
# With a new topic, subscribers would have to confirm their subscriptions again.
TOPICS = {"MonitoringAlarms66989066"}
# CloudFormation replaces a table if one of these changes; other properties change in place.
FIXED_KEYS = {
    "StorageOrders79EED263": ["orderId"],
    "StorageConnections942F4ABF": ["owner", "connectionId"],
    "StorageAccess81B14CCF": ["id"],
}


def ids(template: Template, kind: str) -> set[str]:
    return {name for name, r in template.resources.items() if r["Type"] == f"AWS::{kind}"}


def test_resources_with_data_keep_their_logical_ids(template: Template) -> None:
    """A changed id replaces a table by an empty one: a new id is a migration, never a rename."""
    assert ids(template, "DynamoDB::Table") == TABLES
    assert ids(template, "SQS::Queue") == QUEUES
    assert ids(template, "Logs::LogGroup") == LOG_GROUPS
    assert ids(template, "SNS::Topic") == TOPICS


def test_a_table_keeps_its_key_because_another_key_would_replace_the_table(
    template: Template,
) -> None:
    keys = {
        name: [key["AttributeName"] for key in template.resources[name]["Properties"]["KeySchema"]]
        for name in TABLES
    }
    assert keys == FIXED_KEYS


def by_deletion_policy(template: Template) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, resource in template.resources.items():
        if policy := resource.get("DeletionPolicy"):
            found.setdefault(policy, set()).add(name)
    return found


def protected(template: Template) -> set[str]:
    return {
        name
        for name in TABLES
        if template.resources[name]["Properties"].get("DeletionProtectionEnabled")
    }


def test_a_destroyed_dev_stack_leaves_only_the_log_role_of_api_gateway(
    templates: dict[str, Template],
) -> None:
    policies = by_deletion_policy(templates["dev"])
    assert set(policies) == {"Delete", "RetainExceptOnCreate"}
    assert policies["RetainExceptOnCreate"] == LOG_ROLE
    assert policies["Delete"] >= TABLES | LOG_GROUPS | QUEUES
    assert protected(templates["dev"]) == set()


def test_a_destroyed_prod_stack_leaves_orders_keys_and_logs(templates: dict[str, Template]) -> None:
    policies = by_deletion_policy(templates["prod"])
    assert policies["Retain"] == LASTING_TABLES
    assert policies["RetainExceptOnCreate"] == LOG_GROUPS | LOG_ROLE
    # Connections end with their API, and messages contain nothing that the tables do not.
    assert policies["Delete"] >= QUEUES | (TABLES - LASTING_TABLES)
    for name in LASTING_TABLES | LOG_GROUPS:
        assert templates["prod"].resources[name]["UpdateReplacePolicy"] == "Retain"


def test_a_failed_first_deployment_can_delete_all_resources_but_the_retained_ones(
    templates: dict[str, Template],
) -> None:
    """A protected table cannot be deleted, and a rollback that tried would end ROLLBACK_FAILED.

    docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html
    """
    assert protected(templates["prod"]) == LASTING_TABLES
    assert by_deletion_policy(templates["prod"])["Retain"] == LASTING_TABLES


def test_the_readmes_mapping_for_cdk_import_has_exactly_the_retained_tables(
    templates: dict[str, Template],
) -> None:
    (mapping,) = re.findall(r"^\{\"Storage.*?\}\}$", README, re.MULTILINE | re.DOTALL)
    adopted = json.loads(mapping)
    assert adopted.keys() == LASTING_TABLES
    for name, identifier in adopted.items():
        assert identifier.keys() == {"TableName"}
        # CloudFormation imports nothing that has no deletion policy.
        assert templates["prod"].resources[name]["DeletionPolicy"] == "Retain"


def test_orders_and_api_keys_have_point_in_time_recovery(template: Template) -> None:
    recoverable = {
        name
        for name in TABLES
        if template.resources[name]["Properties"].get("PointInTimeRecoverySpecification")
        == {"PointInTimeRecoveryEnabled": True}
    }
    assert recoverable == LASTING_TABLES


def test_stages_have_the_same_resources(
    templates: dict[str, Template],
) -> None:
    of_stage = [
        {(name, r["Type"]) for name, r in templates[stage].resources.items()}
        for stage in ("dev", "prod")
    ]
    # The ids of permissions contain the stack's name.
    dev, prod = ({i for i in stage if i[1] != "AWS::Lambda::Permission"} for stage in of_stage)
    assert dev == prod
