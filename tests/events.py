"""The real events in events/, for tests that invoke a function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).parents[1] / "events"
Json = dict[str, Any]


def event(name: str) -> Json:
    """A copy of events/{name}.json."""
    loaded: Json = json.loads((EVENTS / f"{name}.json").read_text())
    return loaded
