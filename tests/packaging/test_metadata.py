"""The metadata in setup.cfg and what has to agree with it."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "requests_connection_manager"
pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.cfg").is_file(), reason="not run from a source tree"
)


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def lower_bounds(config: configparser.ConfigParser) -> Dict[str, str]:
    extras = config["options.extras_require"]
    tested = ("aiohttp", "pydantic", "msgspec", "orjson", "opentelemetry", "prometheus", "progress")
    wanted = [config["options"]["install_requires"], *(extras[name] for name in tested)]
    lines = "".join(wanted).split()
    return dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in lines)  # type: ignore[union-attr, misc]


def pins() -> Dict[str, str]:
    text = (ROOT / "tests/packaging/mindeps.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w-]+)==([\d.]+)$", text, re.M))


def test_the_oldest_versions_are_the_lower_bounds(config: configparser.ConfigParser) -> None:
    pinned = pins()
    for name, bound in lower_bounds(config).items():
        assert (pinned[name] + ".").startswith(bound + "."), name


def test_the_version_needs_no_import_of_the_package(config: configparser.ConfigParser) -> None:
    assert config["metadata"]["version"] == f"attr: {PACKAGE}.__version__"
    # setuptools reads a literal from the text; anything else it would have to import.
    text = (ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert re.search(r'^__version__ = "\d+\.\d+\.\d+"$', text, re.M)


def test_python_versions_are_the_same_everywhere(config: configparser.ConfigParser) -> None:
    classified = re.findall(r"Python :: 3\.(\d+)$", config["metadata"]["classifiers"], re.M)
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    environments = re.search(r"py\{([\d,]+)\}", tox)
    assert environments is not None
    assert environments.group(1).split(",") == [f"3{minor}" for minor in classified]
    assert config["options"]["python_requires"] == f">=3.{classified[0]}"


def test_the_readme_has_the_commands_that_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [command for _, command in re.findall(r"""^readme_\w+=(['"])(.*)\1$""", ci, re.M)]
    assert len(commands) == 2
    readme = (ROOT / "README.rst").read_text(encoding="utf-8")
    shown = [line.strip() for line in readme.splitlines()]
    for command in commands:
        assert command in shown


def test_importing_loads_no_asynchronous_library() -> None:
    code = (
        f"import sys, {PACKAGE}; "
        "print(*{'httpx', 'anyio', 'asyncio', 'pybreaker', 'trio'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True
    )
    assert done.stdout.split() == []


def test_the_changelog_has_the_version() -> None:
    text = (ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(\d+\.\d+\.\d+)"$', text, re.M)
    assert version is not None
    changelog = (ROOT / "CHANGELOG").read_text(encoding="utf-8")
    latest = re.search(r"^(\d+\.\d+\.\d+) \(.*\)\n-+$", changelog, re.M)
    assert latest is not None
    assert latest.group(1) == version.group(1)
    assert "semver.org" in changelog
