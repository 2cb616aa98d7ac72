"""Memory: how much more a process takes while a large body streams through it.

Run as a module it is the process that streams: ``python -m benchmarks.streaming sync URL MIB``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Iterator

from benchmarks.measure import Figure, Scale
from benchmarks.server import serving
from benchmarks.subjects import full_async_manager, full_manager

_MIB = 1024 * 1024
_CHUNK = 64 * 1024


def streaming(scale: Scale) -> Iterator[Figure]:
    """Measure the additional memory while ``stream_mib`` MiB are streamed, sync and async."""
    with serving() as origin:
        for world in ("sync", "async"):
            command = [
                sys.executable,
                "-m",
                "benchmarks.streaming",
                world,
                origin,
                str(scale.stream_mib),
            ]
            more = float(subprocess.check_output(command))
            yield Figure(f"memory, {scale.stream_mib} MiB, {world}", more, None, None, 16, "MiB")


def _stream(origin: str, mib: int) -> None:
    # With a deadline: the body is watched over as well.
    with full_manager(origin, total_timeout=600) as manager:
        response = manager.get(f"{origin}/stream/{mib * _MIB}", stream=True)
        got = sum(len(chunk) for chunk in response.iter_content(_CHUNK))
        assert got == mib * _MIB, got


async def _stream_async(origin: str, mib: int) -> None:
    async with full_async_manager(origin, total_timeout=600) as manager:
        url, got = f"{origin}/stream/{mib * _MIB}", 0
        async with manager.stream("GET", url) as response:
            async for chunk in response.aiter_bytes(_CHUNK):
                got += len(chunk)
        assert got == mib * _MIB, got


def _peak_mib() -> float:
    if os.path.exists("/proc/self/status"):
        # getrusage would begin with the peak of the parent.
        with open("/proc/self/status") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["VmHWM"].split()[0]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MIB if sys.platform == "darwin" else 1024)


def _main(world: str, origin: str, mib: str) -> None:
    def run(size: int) -> None:
        if world == "sync":
            _stream(origin, size)
        else:
            asyncio.run(_stream_async(origin, size))

    run(1)
    before = _peak_mib()
    run(int(mib))
    print(_peak_mib() - before)


if __name__ == "__main__":
    _main(*sys.argv[1:])
