"""One harness for all schedules of a module, because its set-up takes longer than a schedule."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.injection import Harness, new_harness


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    with new_harness() as harness:
        yield harness
