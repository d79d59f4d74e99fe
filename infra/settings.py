"""The settings of a deployment, parsed from the CDK context and validated."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Interval
from pydantic import AfterValidator, BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from functions.contract import EngineSettings


class SettingError(ValueError):
    """Settings are invalid; the text has one line for each: key, value and broken rule."""


def _must(rule: str, holds: Callable[[Any], object]) -> AfterValidator:
    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError(f"must {rule}")
        return value

    return AfterValidator(check)


def _python_level(level: str) -> str:
    return {"WARN": "WARNING"}.get(level, level)  # Lambda's name of the level


_STAGE = re.compile("[a-z][a-z0-9-]{0,19}").fullmatch
_EMAIL = re.compile(r"([^@\s]+@[^@\s]+)?").fullmatch
_ORIGIN = re.compile(r"(https?://[^/\s]+)?").fullmatch
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
_DAYS = "1 3 5 7 14 30 60 90 120 150 180 365 400 545 731 1096 1827 2192 2557 2922 3288 3653"
_OFFERED = frozenset(map(int, _DAYS.split())).__contains__
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MemoryMb = Annotated[int, Interval(ge=128, le=10_240)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_python_level)]


@dataclass(frozen=True, kw_only=True)
class Settings(EngineSettings):
    """The settings of one deployment, for the functions and for the stack.

    A key of the CDK context, the field's name in camelCase, sets each field except `version` and
    `uv`. `uv` is the path of the uv command that installs the Lambda layer.
    """

    __pydantic_config__ = ConfigDict(alias_generator=to_camel)

    stage: Annotated[str, _must("be up to 20 lower-case letters, digits, hyphens", _STAGE)] = "dev"
    memory_mb: MemoryMb = 512
    worker_memory_mb: MemoryMb = 128
    watcher_memory_mb: MemoryMb = 128  # the least, because the watcher runs while orders rest
    snap_start: bool = False
    log_level: LogLevel = "INFO"
    log_retention_days: Annotated[int, _must("be days that CloudWatch offers", _OFFERED)] = 30
    alarm_email: Annotated[str, _must("be one e-mail address", _EMAIL)] = ""
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    max_concurrency: Annotated[int, Interval(ge=2, le=1000)] = 10
    # A disabled key must be refused within a minute.
    key_cache_seconds: Annotated[int, Interval(ge=0, le=60)] = 30
    cors_origin: Annotated[str, _must("be like https://desk.example", _ORIGIN)] = ""
    api_gateway_log_role: bool = True
    throttle_rate: Annotated[int, Ge(1)] = 500
    throttle_burst: Annotated[int, Ge(1)] = 1000
    # How many of the two indexes of resting orders the orders table has. DynamoDB adds one index in
    # a deployment, so adding both to an existing table takes two deployments, the first with 1.
    # With 1, no resting order is woken.
    wake_indexes: Annotated[int, Interval(ge=1, le=2)] = 2
    local_endpoint: Annotated[str, _must("be like http://127.0.0.1:4566", _ORIGIN)] = ""
    uv: str = "uv"

    @property
    def stack_name(self) -> str:
        """The name of the stage's CloudFormation stack."""
        return f"order-execution-engine-{self.stage}"

    @property
    def durable(self) -> bool:
        """Whether orders, keys and logs outlive the stack."""
        return self.stage == "prod"

    @property
    def local(self) -> bool:
        """Whether the stack is deployed to the emulator at `local_endpoint`."""
        return bool(self.local_endpoint)


_TYPES = get_type_hints(Settings)
KEYS = tuple(to_camel(name) for name in _TYPES if name not in {"version", "uv"})
_FLAGS = {to_camel(name) for name, kind in _TYPES.items() if kind is bool}


def settings_of(context: Mapping[str, Any], *, version: str, uv: str) -> Settings:
    """The settings in the CDK context, whose values are text (from `-c`) or JSON (from a file).

    Raises:
        SettingError: a key is unknown, or a value breaks its rule.
    """
    given = {key: str(value) for key, value in context.items() if _is_setting(key)}
    problems = [f"{key}: {_unknown(key)}" for key in given if key not in KEYS]
    for key in _FLAGS & given.keys():
        given[key] = given[key].lower()
        if given[key] not in {"true", "false"}:  # pydantic would accept "yes" and "1" too
            problems.append(f"{key}={given[key]}: must be true or false")
    if not problems:
        try:
            return TypeAdapter(Settings).validate_strings({**given, "version": version, "uv": uv})
        except ValidationError as error:
            problems = [
                f"{each['loc'][0]}={each['input']}: {_rule(each['msg'])}" for each in error.errors()
            ]
    raise SettingError("\n".join(problems))


def _is_setting(key: str) -> bool:
    # The CDK's own keys contain "@", ":" or "-".
    return key.isidentifier()


def _unknown(key: str) -> str:
    close = get_close_matches(key, KEYS, n=1)
    return "is no setting" + (f"; {close[0]} is" if close else "")


def _rule(message: str) -> str:
    # The rule in pydantic's message, in the words of the other rules.
    rule = re.sub("(Input|String) should", "must", message.removeprefix("Value error, "))
    return rule.partition(", unable to parse")[0]
