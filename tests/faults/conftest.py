"""One bench for all schedules of a module, because its set-up takes longer than a schedule."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.injection import Bench
from tests.faults.injection import bench as set_up


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with set_up() as ready:
        yield ready
