"""The tables: orders, connections (with webhooks), and access (API keys and tickets)."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from functions.contract import (
    OPEN_BY_OWNER_INDEX,
    OPEN_ORDERS_INDEX,
    ORDER_INDEXES,
    OWNER_INDEX,
    WAKE_ABOVE_INDEX,
    WAKE_BELOW_INDEX,
)
from infra.settings import Settings

# DynamoDB adds one index in a deployment: see `Settings.wake_indexes`.
WAKE_INDEXES = (WAKE_ABOVE_INDEX, WAKE_BELOW_INDEX)


class Storage(Construct):
    """On-demand tables; in a durable stage, the tables of orders and keys outlive the stack.

    Even CloudFormation cannot delete a table with deletion protection. The rollback of a failed
    first deployment would therefore fail, so such a table is retained then too.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        lasting = RemovalPolicy.RETAIN if settings.durable else RemovalPolicy.DESTROY

        self.orders = dynamodb.Table(
            self,
            "Orders",
            partition_key=_text("orderId"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
            time_to_live_attribute="expiresAt" if settings.order_expiry_days else None,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=settings.durable,
            removal_policy=lasting,
        )
        for name, (partition_key, *sort_key) in ORDER_INDEXES.items():
            if name in WAKE_INDEXES[settings.wake_indexes :]:
                continue  # it is added by the next deployment
            self.orders.add_global_secondary_index(
                index_name=name,
                partition_key=_text(partition_key),
                sort_key=_text(sort_key[0]) if sort_key else None,
                projection_type=dynamodb.ProjectionType.KEYS_ONLY,
            )

        self.connections = dynamodb.Table(
            self,
            "Connections",
            partition_key=_text("owner"),
            sort_key=_text("connectionId"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expiresAt",
            # Connections end with the API, and owners can create their webhooks again.
            removal_policy=RemovalPolicy.DESTROY,
        )

        # Hashes of API keys, which do not expire, and of single-use tickets, which expire.
        self.access = dynamodb.Table(
            self,
            "Access",
            partition_key=_text("id"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expiresAt",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=settings.durable,
            removal_policy=lasting,
        )

        orders_arn = self.orders.table_arn
        self.owner_index_arn = f"{orders_arn}/index/{OWNER_INDEX}"
        self.open_by_owner_index_arn = f"{orders_arn}/index/{OPEN_BY_OWNER_INDEX}"
        self.open_orders_index_arn = f"{orders_arn}/index/{OPEN_ORDERS_INDEX}"
        self.wake_index_arns = [f"{orders_arn}/index/{index}" for index in WAKE_INDEXES]


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
