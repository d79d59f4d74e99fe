"""A finding of `uv run preflight`."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How a finding affects a deployment; a BLOCKER would stop it."""

    FINE = "fine"
    WARNING = "warning"
    BLOCKER = "blocker"


@dataclass(frozen=True)
class Finding:
    """A fact about the account or the plan, why it matters, and how to fix it."""

    level: Level
    what: str
    why: str = ""
    fix: str = ""
