"""A batch beside the ideal, importing beside importing requests."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

import httpx

from benchmarks.asynchronous import seconds_of
from benchmarks.measure import Figure, Scale, compare, skipped, take_turns, wall_time_of
from benchmarks.server import serving
from benchmarks.subjects import answered, full_async_manager, full_manager
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
        pairs = list(zip(seconds, bare))[1:]
        yield compare("batch, async, beside httpx", pairs, None, "s", beside="httpx.AsyncClient")


async def _async_batches(
    origin: str, data: List[RequestData], rounds: int
) -> Tuple[List[float], List[float]]:
    seconds, bare, url = [], [], data[0][1]
    async with full_async_manager(origin) as manager, httpx.AsyncClient() as client:

        async def get() -> None:
            answered(await client.get(url))

        for _ in range(rounds):
            began = time.perf_counter()
            _all_done(await manager.batch_request(data, _WORKERS))
            seconds.append(time.perf_counter() - began)
            bare.append(await seconds_of(get, len(data), _WORKERS))
    return seconds, bare


def _all_done(results: List[Any]) -> None:
    for result in results:
        if isinstance(result, Exception):
            raise result
        answered(result)


def _against_ideal(name: str, seconds: List[float], ideal: float) -> Figure:
    # The first one opened the connections.
    median = statistics.median(seconds[1:])
    ratio = median / ideal
    return Figure(name, median * 1e3, ideal * 1e3, ratio, 1.35, "ms", beside="the ideal")


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
# pybreaker imports both where they are installed.
_BESIDE = ("redis", "tornado")
_HIDE = f"import sys; sys.modules.update(dict.fromkeys({_BESIDE!r}))\n"
_TARGET = 1.15


def imports(scale: Scale) -> Iterator[Figure]:
    """Compare importing the package to importing requests, each in a process of its own."""
    with tempfile.TemporaryDirectory() as bytecode:
        # Bytecode of its own, which the first turn writes: also where that is switched off.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def figure(name: str, ours: str, first: str) -> Figure:
            turn = _importing(first, ours, environment)
            bare = _importing(first, "import requests", environment)
            pairs = take_turns(turn, bare, scale.rounds)
            return compare(name, pairs, _TARGET, "ms", beside="requests")

        for name, statement in _IMPORTS.items():
            yield figure(name, statement, _HIDE)
        name, statement = list(_IMPORTS.items())[-1]
        name += ", redis and tornado installed"
        missing = [module for module in _BESIDE if importlib.util.find_spec(module) is None]
        if missing:
            yield skipped(name, f"not installed: {', '.join(missing)}", _TARGET)
        else:
            yield figure(name, statement, "")


def _importing(first: str, statement: str, environment: Dict[str, str]) -> Callable[[], float]:
    command = [sys.executable, "-c", first + _IMPORT.format(statement=statement)]
    return lambda: float(subprocess.check_output(command, env=environment)) * 1e3
