"""What may differ from one deployment to the next."""

from dataclasses import dataclass

from functions.contract import EngineSettings


@dataclass(frozen=True, kw_only=True)
class Settings(EngineSettings):
    """One deployment: what the functions are told, and what only the stack needs.

    Each field but `version` and `uv` is a key of CDK context in camelCase.
    """

    stage: str = "dev"
    memory_mb: int = 512
    worker_memory_mb: int = 256
    snap_start: bool = False
    log_level: str = "INFO"
    log_retention_days: int = 30
    alarm_email: str = ""
    max_concurrency: int = 10
    key_cache_seconds: int = 30
    cors_origin: str = ""
    api_gateway_log_role: bool = True
    throttle_rate: int = 500
    throttle_burst: int = 1000
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
