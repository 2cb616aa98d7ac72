"""The pages build without a warning, and README.rst is valid."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def needs(*names: str) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed, so the build of docs/ is not checked")


def test_pages_build(tmp_path: Path) -> None:
    needs("sphinx", "myst_parser")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    command += ["-d", str(tmp_path / "doctrees"), str(ROOT / "docs"), str(tmp_path / "html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (tmp_path / "html" / "api-reference.html").read_text(encoding="utf-8")
    for name in ("ConnectionManager", "AsyncConnectionManager", "FaultServer", "RetryBudget"):
        assert f"requests_connection_manager.{name}" in reference or f".{name}" in reference


@pytest.mark.parametrize("name", ["README.rst", "CHANGELOG"])
def test_restructured_text_is_valid(name: str) -> None:
    needs("docutils")
    from docutils.core import publish_doctree
    from docutils.utils import SystemMessage

    text = (ROOT / name).read_text(encoding="utf-8")
    try:
        publish_doctree(text, settings_overrides={"halt_level": 2, "report_level": 5})
    except SystemMessage as problem:
        pytest.fail(f"{name}: {problem}")
