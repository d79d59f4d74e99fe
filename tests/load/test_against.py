"""The measurement of the original: its timers, its updates, and errors for missing parts."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.cli.command import Problem
from infra.cli.node import NODE
from tests.load import against
from tests.load.against import NO_SLEEPS, Measured, checked, figures_of, published, report
from tests.load.run import Run

OWN = "setTimeout(() => console.log('own'), 60_000); require('library');"
LIBRARY = """
const began = Date.now();
setTimeout(() => console.log(Date.now() - began >= 49 ? 'waited' : 'at once'), 50);
"""


def test_the_originals_own_sleeps_end_at_once_and_its_libraries_timers_do_not(
    tmp_path: Path,
) -> None:
    library = tmp_path / "node_modules" / "library"
    library.mkdir(parents=True)
    (library / "index.js").write_text(LIBRARY)
    (tmp_path / "own.js").write_text(OWN)
    preloaded = tmp_path.parent / "no-sleeps.cjs"
    preloaded.write_text(NO_SLEEPS)
    ran = subprocess.run(
        [str(NODE), "--require", str(preloaded), "own.js"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert ran.stdout.split() == ["own", "waited"], ran.stderr


def test_redis_names_the_order_of_each_update() -> None:
    def bulk(*texts: str) -> bytes:
        parts = [f"${len(text)}\r\n{text}\r\n" for text in texts]
        return f"*{len(texts)}\r\n{''.join(parts)}".encode()

    async def read() -> list[tuple[str, str]]:
        reader = asyncio.StreamReader()
        reader.feed_data(bulk("psubscribe", "order:*") + b":1\r\n")
        for order_id, status in (("a", "pending"), ("b", "pending"), ("a", "routing")):
            update = json.dumps({"status": status})
            reader.feed_data(bulk("pmessage", "order:*", f"order:{order_id}", update))
        reader.feed_eof()
        return [each async for each in published(reader)]

    assert asyncio.run(read()) == [("a", "pending"), ("b", "pending"), ("a", "routing")]


def package(folder: Path, *dependencies: str) -> None:
    named = {"dependencies": dict.fromkeys(dependencies, "1")}
    (folder / "package.json").write_text(json.dumps(named))


def test_a_folder_that_is_no_installed_checkout_of_the_original_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    with pytest.raises(Problem, match=r"has no package\.json"):
        checked(tmp_path)
    package(tmp_path, "fastify")
    with pytest.raises(Problem, match="does not name bullmq"):
        checked(tmp_path)
    package(tmp_path, "bullmq")
    with pytest.raises(Problem, match="run `npm install`"):
        checked(tmp_path)


def test_the_error_about_a_missing_program_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "bullmq")
    (tmp_path / "node_modules").mkdir()
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(Problem, match=r"node is missing\. On Debian: apt-get install nodejs"):
        checked(tmp_path)


def test_the_command_ends_with_one_line_for_a_problem(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.load.against", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert (
        ran.stderr == f"{tmp_path} is no checkout of the original engine: it has no package.json\n"
    )


def test_the_error_about_a_program_that_does_not_start_has_the_end_of_its_output(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    with (
        pytest.raises(Problem, match="does not start: the port is taken"),
        against.running(command, tmp_path, 1),
    ):
        pass


def test_the_figures_of_a_run_are_computed_from_its_times() -> None:
    run = Run(posted={"a": (100.0, 100.02), "b": (100.0, 100.04)})
    for order_id, status, received in (
        ("a", "pending", 100.1),
        ("a", "confirmed", 103.0),
        ("b", "failed", 104.0),
    ):
        run.updates[order_id].append({"status": status, "_received": received})
    measured = Measured(run, pushed=3, cpu_seconds=0.1)
    found = figures_of(measured)
    assert found["confirmed after, p50 (s)"] == "3.0"
    assert found["POST, p99 (ms)"] == "40"
    assert found["CPU, an order (ms)"] == "50"
    assert found["orders confirmed"] == "1 of 2"
    assert found["updates pushed"] == "3 of 10"
    assert report({"original": measured, "ours": measured}).row_count == len(found)
