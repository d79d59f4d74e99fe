"""A finding of the preflight: the fact, why it matters, and the command that mends it."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """Whether a deployment can proceed."""

    FINE = "fine"
    WARNING = "warning"
    BLOCKER = "blocker"


@dataclass(frozen=True)
class Finding:
    """One line of the preflight."""

    level: Level
    what: str
    why: str = ""
    mend: str = ""
