"""The benchmarks run; what they measure is for people to read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="not run from a source tree"
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_all_of_them_run() -> None:
    names = ["requests", "pipeline", "batch", "endpoints", "import", "async"]
    tiny = [*names, "--quick", "--rounds", "1", "--calls", "2"]
    done = run(*tiny)
    assert done.returncode == 0, done.stderr
    for expected in ("GET, everything on", "pipeline", "batch, async", "import", "<="):
        assert expected in done.stdout


def test_memory_stays_flat_while_bodies_stream() -> None:
    # 64 MiB each way; the targets are 16.
    done = run("streaming", "--stream-mib", "64", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" met") == 6, done.stdout


def test_a_name_that_is_not_known() -> None:
    done = run("requsts")
    assert done.returncode == 2
    assert "unknown benchmark 'requsts'; known: requests, " in done.stderr
