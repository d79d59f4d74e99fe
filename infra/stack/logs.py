"""Log groups with the retention of the settings; those of prod outlive the stack."""

from typing import cast

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.settings import Settings


def log_group(
    scope: Construct, construct_id: str, *, settings: Settings, name: str | None = None
) -> logs.LogGroup:
    """Add a log group; without `name`, CloudFormation generates one."""
    group = logs.LogGroup(
        scope,
        construct_id,
        log_group_name=name,
        # In prod too, the rollback of the deployment that creates a group deletes the empty group.
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        if settings.durable
        else RemovalPolicy.DESTROY,
    )
    # The construct's own property is an enumeration, which takes no number of days.
    resource = cast("logs.CfnLogGroup", group.node.default_child)
    resource.retention_in_days = settings.log_retention_days
    return group
