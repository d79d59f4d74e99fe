"""List prices of AWS in us-east-1 (US dollars, without free tiers), each with where it stands.

Read on 2026-11-22 from the pages named, most of which quote AWS's own price pages. Where it says
"not verified", no page at hand gave the number.
"""

from __future__ import annotations

from dataclasses import dataclass

READ_ON = "2026-11-22"
REGION = "us-east-1"


@dataclass(frozen=True)
class Price:
    """Dollars for so many units of what a service counts."""

    service: str
    unit: str
    dollars: float
    per: float
    source: str

    @property
    def each(self) -> float:
        return self.dollars / self.per


_LAMBDA = "https://cloudchipr.com/blog/aws-lambda-pricing"
_GATEWAY = "https://www.wring.co/blog/aws-api-gateway-pricing-guide"
_DYNAMODB = "https://airbyte.com/data-engineering-resources/dynamodb-pricing"
_CLOUDWATCH = (
    "https://github.com/api-evangelist/cloudwatch/blob/main/plans/cloudwatch-plans-pricing.yml"
)
_FARGATE = "https://www.fortem.dev/blog/aws-fargate-pricing-real-costs"
_RDS = "https://infratally.com/articles/aws-rds-pricing-explained-2026.html"
_MILLION = 1e6

PRICES = {
    "http_request": Price("API Gateway", "HTTP API request", 1.00, _MILLION, _GATEWAY),
    "message": Price("API Gateway", "WebSocket message of 32 KB", 1.00, _MILLION, _GATEWAY),
    "connection_minute": Price("API Gateway", "connection-minute", 0.25, _MILLION, _GATEWAY),
    "invocation": Price(
        "Lambda",
        "request",
        0.20,
        _MILLION,
        "https://git.mcrn.ar/mariano/lambda_local_runner/src/branch/main/docs/lambdas-md/lambda-13-cost.md",
    ),
    "gb_second": Price("Lambda", "GB-second, arm64", 0.0000133334, 1, _LAMBDA),
    "sqs_request": Price(
        "SQS", "request of 64 KB", 0.40, _MILLION, "https://cloudburn.io/blog/amazon-sqs-pricing"
    ),
    "write_unit": Price("DynamoDB", "write request unit", 0.625, _MILLION, _DYNAMODB),
    "read_unit": Price("DynamoDB", "read request unit", 0.125, _MILLION, _DYNAMODB),
    "stored_gb_month": Price(
        "DynamoDB",
        "GB-month stored",
        0.25,
        1,
        "https://gist.github.com/bluejack/68dd851e8ff1c480d623fc0b09e0423b",
    ),
    "recoverable_gb_month": Price(
        "DynamoDB", "GB-month of point-in-time recovery", 0.20, 1, "not verified"
    ),
    "stream_read": Price("DynamoDB", "stream read by Lambda", 0, 1, "not verified"),
    "log_gb": Price("CloudWatch", "GB of log taken in", 0.50, 1, _CLOUDWATCH),
    "metric_month": Price("CloudWatch", "custom metric a month", 0.30, 1, _CLOUDWATCH),
    "alarm_month": Price("CloudWatch", "metric of an alarm a month", 0.10, 1, _CLOUDWATCH),
    "dashboard_month": Price(
        "CloudWatch",
        "dashboard a month",
        3.00,
        1,
        "https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards/",
    ),
    "trace": Price("X-Ray", "trace", 5.00, _MILLION, "https://aws.amazon.com/de/xray/pricing/"),
    # What an always-on stack is made of.
    "vcpu_hour": Price("Fargate", "vCPU-hour, x86", 0.04048, 1, _FARGATE),
    "gb_hour": Price("Fargate", "GB-hour, x86", 0.004445, 1, _FARGATE),
    "balancer_hour": Price(
        "Load balancer",
        "ALB-hour",
        0.0225,
        1,
        "https://cal53.calculator.city/aws-alb-cost-calculator/",
    ),
    "balancer_unit_hour": Price("Load balancer", "LCU-hour", 0.008, 1, "not verified"),
    "postgres_hour": Price("RDS", "db.t4g.small Multi-AZ hour", 0.064, 1, _RDS),
    "postgres_gb_month": Price("RDS", "GB-month gp3, Multi-AZ", 0.23, 1, "not verified"),
    "redis_hour": Price(
        "ElastiCache",
        "cache.t3.micro node-hour",
        0.017,
        1,
        "https://www.endpoint51.com/app/chapter29-v2/cost/",
    ),
    "address_hour": Price("VPC", "public IPv4 address-hour", 0.005, 1, "not verified"),
}
