"""The prices of an always-on stack and of this one (infra/costs.py)."""

from __future__ import annotations

from infra.costs import PRICES as OWN_PRICES
from infra.costs import Price

_FARGATE, _BALANCER = "fargate/pricing", "elasticloadbalancing/pricing"
_POSTGRES, _REDIS = "rds/postgresql/pricing", "elasticache/pricing"

PRICES = OWN_PRICES | {
    "vcpu_hour": Price("Fargate", "vCPU-hour, x86", 0.04048, 1, _FARGATE),
    "gb_hour": Price("Fargate", "GB-hour, x86", 0.004445, 1, _FARGATE),
    "balancer_hour": Price("Load balancer", "ALB-hour", 0.0225, 1, _BALANCER),
    "balancer_unit_hour": Price("Load balancer", "LCU-hour", 0.008, 1, _BALANCER),
    "postgres_hour": Price("RDS", "db.t4g.small Multi-AZ hour", 0.064, 1, _POSTGRES),
    "postgres_gb_month": Price("RDS", "GB-month gp3, Multi-AZ", 0.23, 1, _POSTGRES),
    "redis_hour": Price("ElastiCache", "cache.t3.micro node-hour", 0.017, 1, _REDIS),
    "address_hour": Price("VPC", "public IPv4 address-hour", 0.005, 1, "vpc/pricing"),
}
