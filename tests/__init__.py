"""The tests and measurements.

`uv run` installs only the dependency group `local`, so that the first `uv run local` starts sooner.
This module runs the command again with the group `test`.
"""

import os
import subprocess
import sys

_WITH_GROUP = "ENGINE_TEST_GROUP"

if "UV" in os.environ and _WITH_GROUP not in os.environ:  # `uv run` sets UV
    os.environ[_WITH_GROUP] = "1"
    command = [os.environ["UV"], "run", "--group", "test", "--", *sys.orig_argv]
    raise SystemExit(subprocess.call(command))
