"""The CPU time of started processes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.load.machine import children_cpu_seconds

BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
# With a shell in between, as npm starts one.
COMMAND = ["sh", "-c", f'"{sys.executable}" -c "{BURN}"; true']


def measured() -> tuple[float, float]:
    """The CPU seconds of a child's child: while it runs, and after it has ended."""
    before = children_cpu_seconds()
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        running = children_cpu_seconds() - before
        child.stdin.close()
        child.stdout.read()  # until both have ended; the shell has waited for its child
        return running, children_cpu_seconds() - before


def test_the_cpu_of_a_childs_child_counts_while_it_runs_and_after_it_has_ended() -> None:
    # In a process of its own, because pytest's may have other children, which end meanwhile.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        running, ended = alone.submit(measured).result()
    assert running >= 0.25
    assert ended >= 0.25
