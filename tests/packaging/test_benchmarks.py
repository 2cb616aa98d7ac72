"""The benchmarks run; what they measure is for people to read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterable, Set

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
        timeout=600,
    )


def rows(path: Path) -> Dict[str, Set[str]]:
    """Return the lines of each benchmark of a run; how many of something differs with the size."""
    found: Dict[str, Set[str]] = {}
    for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]:
        name = re.sub(r"[\d,]*\d", "N", figure["name"])
        found.setdefault(figure["group"], set()).add(name)
    return found


def published(measured: Iterable[str]) -> Dict[str, Set[str]]:
    shown = rows(ROOT / "docs" / "performance.json")
    return {group: names for group, names in shown.items() if group in measured}


def test_all_of_them_run_and_are_published(tmp_path: Path) -> None:
    listed = run("--help").stdout.split("benchmarks:\n", 1)[1]
    names = [line.split()[0] for line in listed.splitlines() if line]
    assert "requests" in names
    names.remove("streaming")
    tiny = ["--quick", "--rounds", "1", "--calls", "2", "--json", str(tmp_path / "run.json")]
    done = run(*names, *tiny)
    assert done.returncode == 0, done.stderr
    for expected in ("GET, everything on", "pipeline", "batch, async", "import", "<=", ">="):
        assert expected in done.stdout
    assert list(rows(tmp_path / "run.json")) == names
    assert rows(tmp_path / "run.json") == published(names)


def test_memory_stays_flat_while_bodies_stream(tmp_path: Path) -> None:
    # 64 MiB each way; the targets are 16.
    path = tmp_path / "run.json"
    done = run("streaming", "--stream-mib", "64", "--rounds", "1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    memory = {figure["name"]: figure["ours"] for figure in figures if figure["unit"] == "MiB"}
    assert len(memory) >= 6
    assert {name: more for name, more in memory.items() if more > 16} == {}
    assert rows(path) == published(["streaming"])


def test_parts_are_not_published() -> None:
    done = run("requests", "--write")
    assert done.returncode == 2
    assert "--write needs all of the benchmarks" in done.stderr


def test_a_name_that_is_not_known() -> None:
    done = run("requsts")
    assert done.returncode == 2
    assert "unknown benchmark 'requsts'; known: requests, " in done.stderr


def test_a_number_that_is_none() -> None:
    done = run("requests", "--rounds", "0")
    assert done.returncode == 2
    assert "argument --rounds: must be 1 or more, not 0" in done.stderr
