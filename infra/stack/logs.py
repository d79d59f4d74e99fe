"""Log groups: kept for as many days as the settings say, and longer than the stack in prod."""

from typing import cast

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.settings import Settings


def log_group(
    scope: Construct, construct_id: str, *, settings: Settings, name: str | None = None
) -> logs.LogGroup:
    """Add a log group; without a name CloudFormation gives it one of its own."""
    group = logs.LogGroup(
        scope,
        construct_id,
        log_group_name=name,
        # A first deployment that fails takes its empty log groups with it.
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        if settings.durable
        else RemovalPolicy.DESTROY,
    )
    # The construct's own property takes names like ONE_MONTH.
    resource = cast("logs.CfnLogGroup", group.node.default_child)
    resource.retention_in_days = settings.log_retention_days
    return group
