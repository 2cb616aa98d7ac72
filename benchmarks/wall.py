"""Wall time: a batch beside the ideal, importing beside importing requests, the async client."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Awaitable, Callable, Iterator, List, Tuple

import httpx

from benchmarks.measure import Figure, Scale, compare, take_turns, wall_time_of
from benchmarks.server import serving
from benchmarks.subjects import full_async_manager, full_manager
from requests_connection_manager import RequestData

_CALL_SECONDS = 0.05
_WORKERS = 20


def batch(scale: Scale) -> Iterator[Figure]:
    """Compare 200 calls of 50 ms by 20 workers to the ideal 0.5 s."""
    calls = 200 if scale.full else 40
    rounds = max(2, scale.rounds // 3)
    ideal = calls * _CALL_SECONDS / _WORKERS
    with serving() as origin:
        data: List[RequestData] = [("GET", f"{origin}/sleep/50", {})] * calls
        with full_manager(origin, pool_maxsize=_WORKERS) as manager:
            turn = wall_time_of(lambda: _all_done(manager.batch_request(data, _WORKERS)))
            seconds = [turn() for _ in range(rounds + 1)]
        yield _against_ideal("batch, sync", seconds, ideal)
        seconds, bare = asyncio.run(_async_batches(origin, data, rounds + 1))
        yield _against_ideal("batch, async", seconds, ideal)
        yield compare(
            "batch, async, beside httpx.AsyncClient", list(zip(seconds, bare))[1:], None, "s"
        )


async def _async_batches(
    origin: str, data: List[RequestData], rounds: int
) -> Tuple[List[float], List[float]]:
    seconds, bare, url = [], [], data[0][1]
    async with full_async_manager(origin) as manager, httpx.AsyncClient() as client:
        for _ in range(rounds):
            began = time.perf_counter()
            _all_done(await manager.batch_request(data, _WORKERS))
            seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
            await _perform(lambda: client.get(url), len(data), _WORKERS)
            bare.append(time.perf_counter() - began)
    return seconds, bare


def _all_done(results: List[Any]) -> None:
    failed = [result for result in results if isinstance(result, Exception)]
    if failed:
        raise failed[0]


def _against_ideal(name: str, seconds: List[float], ideal: float) -> Figure:
    # The first one opened the connections.
    median = statistics.median(seconds[1:])
    return Figure(name, median * 1e3, ideal * 1e3, median / ideal, 1.35, "ms")


_IMPORT = """
import time
began = time.process_time()
{statement}
print(time.process_time() - began)
"""


# The first alone would say little: names are loaded at their first use.
_IMPORTS = {
    "import requests_connection_manager": "import requests_connection_manager",
    "import ConnectionManager": "from requests_connection_manager import ConnectionManager",
}


def imports(scale: Scale) -> Iterator[Figure]:
    """Compare importing the package to importing requests, each in a process of its own."""
    with tempfile.TemporaryDirectory() as bytecode:
        # Bytecode of its own, which the first turn writes: also where that is switched off.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def importing(statement: str) -> Callable[[], float]:
            command = [sys.executable, "-c", _IMPORT.format(statement=statement)]
            return lambda: float(subprocess.check_output(command, env=environment)) * 1e3

        for name, ours in _IMPORTS.items():
            pairs = take_turns(importing(ours), importing("import requests"), scale.rounds)
            yield compare(name, pairs, 1.25, "ms")


def async_client(scale: Scale) -> Iterator[Figure]:
    """Compare the asynchronous manager to ``httpx.AsyncClient``, one at a time and 100 at once."""
    with serving() as origin:
        for concurrent in (1, 100):
            pairs = asyncio.run(_async_turns(scale, origin, concurrent))
            yield compare(f"async GET, {concurrent} at a time, everything on", pairs, None)


async def _async_turns(scale: Scale, origin: str, concurrent: int) -> List[Tuple[float, float]]:
    url = f"{origin}/json"
    calls = max(scale.calls, concurrent)
    pairs = []
    async with full_async_manager(origin) as manager, httpx.AsyncClient() as client:
        for _ in range(scale.rounds + 1):
            bare = await _cpu_of(lambda: client.get(url), calls, concurrent)
            ours = await _cpu_of(lambda: manager.get(url), calls, concurrent)
            pairs.append((ours, bare))
    return pairs[1:]


async def _cpu_of(get: Callable[[], Awaitable[Any]], calls: int, concurrent: int) -> float:
    began = time.process_time()
    await _perform(get, calls, concurrent)
    return (time.process_time() - began) / calls * 1e6


async def _perform(get: Callable[[], Awaitable[Any]], calls: int, concurrent: int) -> None:
    numbers = iter(range(calls))

    async def worker() -> None:
        for _ in numbers:
            await get()

    await asyncio.gather(*(worker() for _ in range(concurrent)))
