"""How many processes a test may start."""

from __future__ import annotations

import os


def jobs() -> int:
    """The number of cores; 1 under pytest-xdist, which already uses all cores."""
    return 1 if "PYTEST_XDIST_WORKER" in os.environ else os.cpu_count() or 1
