"""The CPU time of started processes."""

from __future__ import annotations

import subprocess
import sys

from tests.load.machine import children_cpu_seconds

BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
# A shell between them, as npm has one.
COMMAND = ["sh", "-c", f'"{sys.executable}" -c "{BURN}"; true']


def test_the_cpu_of_a_childs_child_counts_while_it_runs_and_after_it_has_ended() -> None:
    before = children_cpu_seconds()
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        assert children_cpu_seconds() - before >= 0.25
        child.stdin.close()
        child.stdout.read()  # until both have ended; the shell has waited for its child
        assert children_cpu_seconds() - before >= 0.25
