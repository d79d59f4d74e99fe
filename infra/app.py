"""CDK entry: reads the context and the environment, and builds the stack of one stage."""

import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from aws_cdk import App

from infra.settings import Settings
from infra.stack.engine import Engine

ROOT = Path(__file__).parents[1]
KEY_CACHE_SECONDS_MAX = 60
# Half of what a worker may run, for a wait is not all that it does.
HOLD_MS_MAX = 30_000
# The longest backoff is four times the base, and one delayed SQS message carries it: 900 s.
RETRY_BASE_MS_MAX = 225_000


def build(app: App) -> Engine:
    """Add the engine, as the app's context describes it, to the app."""
    settings = read_settings(app)
    return Engine(app, settings.stack_name, settings=settings)


def read_settings(app: App) -> Settings:
    """The settings in the app's context (text, as `-c` gives it, or JSON, as a file does)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    given: dict[str, Any] = {}
    types = get_type_hints(Settings)
    for field in fields(Settings):
        value = app.node.try_get_context(_camel_case(field.name))
        if value is not None:
            given[field.name] = _PARSERS[types[field.name]](_camel_case(field.name), str(value))
    given |= {"version": project["version"], "uv": os.environ.get("UV", "uv")}
    settings = Settings(**given)
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", settings.stage):
        raise ValueError(f"stage={settings.stage}: up to 20 lower-case letters, digits, hyphens")
    if settings.key_cache_seconds > KEY_CACHE_SECONDS_MAX:
        raise ValueError(
            f"keyCacheSeconds={settings.key_cache_seconds}: a disabled key must be refused within"
            f" {KEY_CACHE_SECONDS_MAX} s"
        )
    if settings.hold_ms > HOLD_MS_MAX:
        raise ValueError(
            f"holdMs={settings.hold_ms}: a worker waits up to {HOLD_MS_MAX} ms; what is longer"
            " is queued"
        )
    if settings.retry_base_ms > RETRY_BASE_MS_MAX:
        raise ValueError(
            f"retryBaseMs={settings.retry_base_ms}: at most {RETRY_BASE_MS_MAX}, so that a backoff"
            " of four times as long fits one delayed message"
        )
    if settings.alarm_email and not re.fullmatch(r"[^@\s]+@[^@\s]+", settings.alarm_email):
        raise ValueError(f"alarmEmail={settings.alarm_email}: one e-mail address is needed")


def _camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _integer(name: str, text: str) -> int:
    if not re.fullmatch(r"\d+", text):
        raise ValueError(f"{name}={text}: a whole number is needed")
    return int(text)


def _decimal(name: str, text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ValueError(f"{name}={text}: a decimal number is needed")
    return float(text)


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{name}={text}: true or false is needed")
    return text.lower() == "true"


def _text(_name: str, text: str) -> str:
    return text


_PARSERS: dict[object, Callable[[str, str], Any]] = {
    int: _integer,
    float: _decimal,
    bool: _boolean,
    str: _text,
}


if __name__ == "__main__":
    app = App()
    build(app)
    app.synth()
