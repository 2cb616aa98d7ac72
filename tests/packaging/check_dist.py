"""Check what a built wheel and sdist hold: ``python check_dist.py DIST_DIRECTORY``.

Run with the interpreter that built them; needs nothing but the standard library.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import List, Tuple

PACKAGE = "requests_connection_manager"


def wheel_problems(names: List[str], source: Path) -> List[str]:
    """Return what is wrong with the files of a wheel."""
    tops = {name.split("/", 1)[0] for name in names}
    strange = {top for top in tops if top != PACKAGE and not top.endswith(".dist-info")}
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / PACKAGE).rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    problems = [f"{name} is missing" for name in sorted(expected - set(names))]
    problems += [f"{top}/ does not belong there" for top in sorted(strange)]
    problems += [
        f"{name} is a test" for name in names if "/tests/" in name or name.startswith("tests")
    ]
    if f"{PACKAGE}/py.typed" not in names:
        problems.append("py.typed is missing")
    return problems


def sdist_problems(names: List[str]) -> List[str]:
    """Return what is wrong with the files of an sdist; the first directory is its own."""
    inside = [name.split("/", 1)[1] for name in names if "/" in name]
    needed = ("README.rst", "LICENSE", "CHANGELOG", "setup.cfg", "setup.py", "pyproject.toml")
    problems = [
        f"{name} is missing" for name in needed if not any(file.startswith(name) for file in inside)
    ]
    if f"{PACKAGE}/py.typed" not in inside:
        problems.append("py.typed is missing")
    unwanted = ("tests", "benchmarks", ".ci", ".github")
    return problems + [f"{name} does not belong there" for name in inside if _in(name, unwanted)]


def _in(name: str, directories: Tuple[str, ...]) -> bool:
    return name.split("/", 1)[0] in directories


def metadata_problems(text: str) -> List[str]:
    """Return what is wrong with the metadata of a wheel."""
    metadata = Parser().parsestr(text)
    expected = {
        "Name": "requests-connection-manager",
        "Requires-Python": ">=3.8",
        "Description-Content-Type": "text/x-rst",
    }
    problems = [
        f"{name} is {metadata[name]!r}, not {value!r}"
        for name, value in expected.items()
        if metadata[name] != value
    ]
    if "MIT" not in (metadata["License"] or metadata["License-Expression"] or ""):
        problems.append("the licence is not MIT")
    return problems


def main(directory: Path, source: Path) -> int:
    """Print what is wrong with the two in ``directory``; returns the exit status."""
    (wheel,) = directory.glob("*.whl")
    (sdist,) = directory.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        problems = [f"{wheel.name}: {text}" for text in wheel_problems(names, source)]
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        problems += [
            f"{wheel.name}: {text}"
            for text in metadata_problems(archive.read(metadata).decode("utf-8"))
        ]
    with tarfile.open(sdist) as packed:
        problems += [f"{sdist.name}: {text}" for text in sdist_problems(packed.getnames())]
    print("\n".join(problems) or f"{wheel.name} and {sdist.name}: {len(names)} files, all right")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(__file__).resolve().parents[2]))
