"""What may differ from one deployment to the next."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One deployment; each field but `version` and `uv` is a key of CDK context in camelCase."""

    version: str
    stage: str = "dev"
    memory_mb: int = 512
    worker_memory_mb: int = 256
    snap_start: bool = False
    log_level: str = "INFO"
    log_retention_days: int = 30
    alarm_email: str = ""
    max_concurrency: int = 10
    max_open_orders: int = 1000
    key_cache_seconds: int = 30
    cors_origin: str = ""
    api_gateway_log_role: bool = True
    throttle_rate: int = 500
    throttle_burst: int = 1000
    latency_scale: str = "1"
    quote_error_ppm: int = 20_000
    drop_ppm: int = 20_000
    retry_base_ms: int = 1000
    hold_ms: int = 5000
    market_seed: str = ""
    sweep_idle_seconds: int = 120
    order_expiry_days: int = 0
    simulate_allowed: bool = False
    local_endpoint: str = ""
    uv: str = "uv"

    @property
    def stack_name(self) -> str:
        """Stacks of several stages live side by side in one account."""
        return f"order-execution-engine-{self.stage}"

    @property
    def durable(self) -> bool:
        """Whether data outlives the stack."""
        return self.stage == "prod"

    @property
    def local(self) -> bool:
        """Whether this deployment goes to the emulator at `local_endpoint`."""
        return bool(self.local_endpoint)
