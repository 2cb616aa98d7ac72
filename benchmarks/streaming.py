"""Memory: how much more a process takes while a large body streams through it.

Run as a module it is the process that streams: ``python -m benchmarks.streaming NAME URL MIB``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Awaitable, Callable, Dict, Iterator, Optional

from benchmarks.measure import Figure, Scale
from benchmarks.server import serving
from benchmarks.subjects import full_async_manager, full_manager
from requests_connection_manager.rest import AsyncClient, Client

_MIB = 1024 * 1024
_CHUNK = 64 * 1024

# With a deadline: the body is watched over as well.
_SECONDS = 600


def streaming(scale: Scale) -> Iterator[Figure]:
    """Measure the additional memory while ``stream_mib`` MiB go down and up."""
    with serving() as origin:
        for name in _SUBJECTS:
            command = [sys.executable, "-m", "benchmarks.streaming", name, origin]
            more = float(subprocess.check_output([*command, str(scale.stream_mib)]))
            yield Figure(f"memory, {scale.stream_mib} MiB, {name}", more, None, None, 16, "MiB")


def _down(origin: str, size: int, folder: Path) -> None:
    with full_manager(origin, total_timeout=_SECONDS) as manager:
        response = manager.get(f"{origin}/stream/{size}", stream=True)
        got = sum(len(chunk) for chunk in response.iter_content(_CHUNK))
    assert got == size, got


async def _async_down(origin: str, size: int, folder: Path) -> None:
    async with full_async_manager(origin, total_timeout=_SECONDS) as manager:
        got = 0
        async with manager.stream("GET", f"{origin}/stream/{size}") as response:
            async for chunk in response.aiter_bytes(_CHUNK):
                got += len(chunk)
    assert got == size, got


def _client_down(origin: str, size: int, folder: Path) -> None:
    with Client(origin, total_timeout=_SECONDS) as client:
        client.download(f"/stream/{size}", folder / "down")
    assert (folder / "down").stat().st_size == size


async def _async_client_down(origin: str, size: int, folder: Path) -> None:
    async with AsyncClient(origin, total_timeout=_SECONDS) as client:
        await client.download(f"/stream/{size}", folder / "down")
    assert (folder / "down").stat().st_size == size


def _client_up(origin: str, size: int, folder: Path) -> None:
    with Client(origin, total_timeout=_SECONDS) as client:
        client.put("/json", content=_sparse(folder, size))


async def _async_client_up(origin: str, size: int, folder: Path) -> None:
    async with AsyncClient(origin, total_timeout=_SECONDS) as client:
        await client.put("/json", content=_sparse(folder, size))


def _sparse(folder: Path, size: int) -> Path:
    path = folder / "up"
    with path.open("wb") as file:
        file.truncate(size)
    return path


_Subject = Callable[[str, int, Path], Optional[Awaitable[None]]]

_SUBJECTS: Dict[str, _Subject] = {
    "sync": _down,
    "async": _async_down,
    "Client.download": _client_down,
    "AsyncClient.download": _async_client_down,
    "Client upload": _client_up,
    "AsyncClient upload": _async_client_up,
}


def _peak_mib() -> float:
    if os.path.exists("/proc/self/status"):
        # getrusage would begin with the peak of the parent.
        with open("/proc/self/status") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["VmHWM"].split()[0]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MIB if sys.platform == "darwin" else 1024)


def _run(subject: _Subject, origin: str, size: int, folder: Path) -> None:
    work = subject(origin, size, folder)
    if work is not None:
        asyncio.run(_finish(work))


async def _finish(work: Awaitable[None]) -> None:
    await work


def _main(name: str, origin: str, mib: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _run(_SUBJECTS[name], origin, _MIB, Path(folder))
        before = _peak_mib()
        _run(_SUBJECTS[name], origin, int(mib) * _MIB, Path(folder))
        print(_peak_mib() - before)


if __name__ == "__main__":
    _main(*sys.argv[1:])
