"""How many processes a test may start."""

from __future__ import annotations

import os


def jobs() -> int:
    """One for each core; one if pytest-xdist has started one for each core already."""
    return 1 if "PYTEST_XDIST_WORKER" in os.environ else os.cpu_count() or 1
