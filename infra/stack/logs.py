"""Log groups: retention as the settings say, and kept where data outlives the stack."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.settings import Settings

RETENTION = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


def log_group(
    scope: Construct, construct_id: str, *, settings: Settings, name: str | None = None
) -> logs.LogGroup:
    """Add a log group; without a name CloudFormation gives it one of its own."""
    return logs.LogGroup(
        scope,
        construct_id,
        log_group_name=name,
        retention=RETENTION[settings.log_retention_days],
        # A first deployment that fails takes its empty log groups with it.
        removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        if settings.durable
        else RemovalPolicy.DESTROY,
    )
