"""List prices of AWS in us-east-1 (US dollars, without free tiers), and the pages that set them.

Noted on 2026-11-22, as articles of that year quote those pages.
"""

from __future__ import annotations

from dataclasses import dataclass

READ_ON = "2026-11-22"
REGION = "us-east-1"


@dataclass(frozen=True)
class Price:
    """Dollars for so many units of what a service counts; `page` is one of AWS's pricing pages."""

    service: str
    unit: str
    dollars: float
    per: float
    page: str

    @property
    def each(self) -> float:
        return self.dollars / self.per

    @property
    def source(self) -> str:
        return f"https://aws.amazon.com/{self.page}/"


_GATEWAY, _LAMBDA, _SQS = "api-gateway/pricing", "lambda/pricing", "sqs/pricing"
_DYNAMODB, _CLOUDWATCH = "dynamodb/pricing/on-demand", "cloudwatch/pricing"
_FARGATE, _BALANCER = "fargate/pricing", "elasticloadbalancing/pricing"
_POSTGRES, _REDIS = "rds/postgresql/pricing", "elasticache/pricing"
_MILLION = 1e6

PRICES = {
    "http_request": Price("API Gateway", "HTTP API request", 1.00, _MILLION, _GATEWAY),
    "message": Price("API Gateway", "WebSocket message of 32 KB", 1.00, _MILLION, _GATEWAY),
    "connection_minute": Price("API Gateway", "connection-minute", 0.25, _MILLION, _GATEWAY),
    "invocation": Price("Lambda", "request", 0.20, _MILLION, _LAMBDA),
    "gb_second": Price("Lambda", "GB-second, arm64", 0.0000133334, 1, _LAMBDA),
    "sqs_request": Price("SQS", "request of 64 KB", 0.40, _MILLION, _SQS),
    "write_unit": Price("DynamoDB", "write request unit", 0.625, _MILLION, _DYNAMODB),
    "read_unit": Price("DynamoDB", "read request unit", 0.125, _MILLION, _DYNAMODB),
    "stored_gb_month": Price("DynamoDB", "GB-month stored", 0.25, 1, _DYNAMODB),
    "recoverable_gb_month": Price(
        "DynamoDB", "GB-month of point-in-time recovery", 0.20, 1, _DYNAMODB
    ),
    "stream_read": Price("DynamoDB", "stream read by Lambda", 0, 1, _DYNAMODB),
    "log_gb": Price("CloudWatch", "GB of log taken in", 0.50, 1, _CLOUDWATCH),
    "metric_month": Price("CloudWatch", "custom metric a month", 0.30, 1, _CLOUDWATCH),
    "alarm_month": Price("CloudWatch", "metric of an alarm a month", 0.10, 1, _CLOUDWATCH),
    "dashboard_month": Price("CloudWatch", "dashboard a month", 3.00, 1, _CLOUDWATCH),
    # What an always-on stack is made of.
    "vcpu_hour": Price("Fargate", "vCPU-hour, x86", 0.04048, 1, _FARGATE),
    "gb_hour": Price("Fargate", "GB-hour, x86", 0.004445, 1, _FARGATE),
    "balancer_hour": Price("Load balancer", "ALB-hour", 0.0225, 1, _BALANCER),
    "balancer_unit_hour": Price("Load balancer", "LCU-hour", 0.008, 1, _BALANCER),
    "postgres_hour": Price("RDS", "db.t4g.small Multi-AZ hour", 0.064, 1, _POSTGRES),
    "postgres_gb_month": Price("RDS", "GB-month gp3, Multi-AZ", 0.23, 1, _POSTGRES),
    "redis_hour": Price("ElastiCache", "cache.t3.micro node-hour", 0.017, 1, _REDIS),
    "address_hour": Price("VPC", "public IPv4 address-hour", 0.005, 1, "vpc/pricing"),
}
