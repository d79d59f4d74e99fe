"""The tests and measurements.

`uv run` installs only the dependency group `local`, so that the first `uv run local` starts sooner.
This module runs the command again with the group `test`.
"""

import os
import sys
from pathlib import Path

_WITH_GROUP = "ENGINE_TEST_GROUP"
_PROJECT = str(Path(__file__).parents[1])

if "UV" in os.environ and _WITH_GROUP not in os.environ:  # `uv run` sets UV
    os.environ[_WITH_GROUP] = "1"
    uv = [os.environ["UV"], "run", "--project", _PROJECT, "--group", "test", "--"]
    os.execv(uv[0], [*uv, *sys.orig_argv])  # noqa: S606 - the user's own command
