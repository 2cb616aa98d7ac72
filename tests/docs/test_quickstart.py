"""examples/quickstart.py runs to its end, and fails aloud when something is wrong."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "quickstart.py"


def test_quickstart_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "Everything was as expected" in done.stdout
    for face in ("ConnectionManager, a requests.Session", "AsyncConnectionManager, an httpx"):
        assert face in done.stdout
    assert "demo" not in done.stdout


@pytest.fixture
def quickstart() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quickstart", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_quickstart_fails_aloud(quickstart: ModuleType) -> None:
    with pytest.raises(SystemExit, match="expected no credential elsewhere"):
        quickstart.show_redirect({"x-api-key": "k", "x-session-token": "t"}, {"x-api-key": "k"})
