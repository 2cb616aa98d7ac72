"""A run as data: its figures, and the machine and the versions they were taken on.

Holds :class:`Run` and its JSON form. Knows nothing of how it is shown.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Dict, List, Optional

from benchmarks.measure import Figure, Scale

_LIBRARIES = (
    "requests-connection-manager",
    "requests",
    "urllib3",
    "httpx",
    "httpcore",
    "h11",
    "anyio",
    "sniffio",
    "pybreaker",
    "ratelimit",
    "aiohttp",
    "redis",
    "tornado",
)


@dataclass(frozen=True)
class Run:
    """One run of the benchmarks.

    :ivar machine: processor, cores, system and Python, in the order in which they are shown.
    :ivar versions: distribution -> version, of those that are installed.
    """

    figures: List[Figure]
    scale: Scale
    machine: Dict[str, str]
    versions: Dict[str, str]

    @property
    def groups(self) -> List[str]:
        """Return the names of the benchmarks, in their order."""
        return list(dict.fromkeys(figure.group for figure in self.figures))

    def of(self, group: str) -> List[Figure]:
        """Return the figures of one benchmark."""
        return [figure for figure in self.figures if figure.group == group]


def run_here(figures: List[Figure], scale: Scale) -> Run:
    """Return the run with what there is to say of this machine."""
    return Run(figures, scale, _machine(), _versions())


def _machine() -> Dict[str, str]:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}",
        "python": python,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _versions() -> Dict[str, str]:
    found = {name: _version(name) for name in _LIBRARIES}
    return {name: version for name, version in found.items() if version}


def _version(name: str) -> Optional[str]:
    if name == "requests-connection-manager":
        # Also where it is run from a source tree.
        from requests_connection_manager import __version__

        return __version__
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def to_json(run: Run) -> str:
    """Return the run as JSON, in full precision; :func:`from_json` reads it back."""
    return json.dumps(dataclasses.asdict(run), indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> Run:
    """Return the run that :func:`to_json` wrote."""
    fields = json.loads(text)
    return Run(
        [Figure(**figure) for figure in fields["figures"]],
        Scale(**fields["scale"]),
        fields["machine"],
        fields["versions"],
    )
