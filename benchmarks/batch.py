"""Batches that go item by item: their memory, which must not grow, and their pace.

Run as a module it is the process that makes the calls, and prints its figures:
``python -m benchmarks.batch sync|async|… URL COUNT``; ``python -m benchmarks.batch --full`` makes a
million calls each way.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

from benchmarks.measure import Figure, Scale
from benchmarks.server import serving
from benchmarks.subjects import full_async_manager, full_manager

_WORKERS = {"sync": 10, "async": 100}
# Of each kind of journal one; the others differ little.
_SHOWN = ("sync", "async", "sync, resumed from JSON lines", "async, resumed from SQLite")
_MILLION = 1_000_000
_PEAK_MIB = 100.0
_GROWTH_MIB = 2.0


def batch_at_scale(scale: Scale) -> Iterator[Figure]:
    """Measure the memory of a batch that goes item by item, and how it grows from a quarter on."""
    count = 20_000 if scale.full else 1_000
    with serving() as origin:
        for name in _SHOWN:
            figures = _in_a_process(name, origin, count)
            yield _figure(f"iter_batch, {name}, {count}: peak", figures["peak"], _PEAK_MIB)
            yield _figure(f"iter_batch, {name}, {count}: growth", figures["growth"], _GROWTH_MIB)
            pace = figures["seconds"] / count * 1e6
            yield Figure(f"iter_batch, {name}: a call", pace, None, None, None, "µs")


def _figure(name: str, mib: float, target: float) -> Figure:
    return Figure(name, mib, None, None, target, "MiB")


def _in_a_process(name: str, origin: str, count: int) -> Dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.batch", name, origin, str(count)]
    figures: Dict[str, float] = json.loads(subprocess.check_output(command))
    return figures


def _items(origin: str, count: int) -> Iterator[Tuple[str, str]]:
    for _ in range(count):
        yield "GET", f"{origin}/json"


class _Watch:
    """Looks at the memory after a quarter of the results, and at the end."""

    def __init__(self, count: int) -> None:
        self._quarter = count // 4
        self._seen = 0
        self._early = 0.0
        self._began = time.perf_counter()

    def see(self, result: Any) -> None:
        if result.error is not None:
            raise result.error
        self._seen += 1
        if self._seen == self._quarter:
            self._early = _peak_mib()

    def figures(self) -> Dict[str, float]:
        peak = _peak_mib()
        return {
            "peak": peak,
            "growth": peak - self._early,
            "seconds": time.perf_counter() - self._began,
            "results": self._seen,
        }


def _sync(origin: str, count: int, **options: Any) -> Dict[str, float]:
    workers = _WORKERS["sync"]
    with full_manager(origin, pool_maxsize=workers) as manager:
        watch = _Watch(count)
        for result in manager.iter_batch(_items(origin, count), workers, **options):
            watch.see(result)
        return watch.figures()


def _async(origin: str, count: int, **options: Any) -> Dict[str, float]:
    return asyncio.run(_async_main(origin, count, options))


async def _async_main(origin: str, count: int, options: Dict[str, Any]) -> Dict[str, float]:
    async with full_async_manager(origin) as manager:
        watch = _Watch(count)
        given = _items(origin, count)
        async with manager.aiter_batch(given, _WORKERS["async"], **options) as results:
            async for result in results:
                watch.see(result)
        return watch.figures()


def _journalled(
    run: Callable[..., Dict[str, float]], suffix: str
) -> Callable[..., Dict[str, float]]:
    def subject(origin: str, count: int) -> Dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"journal{suffix}"
            run(origin, count // 2, journal=path)
            return run(origin, count, journal=path)  # half of it is there

    return subject


_SUBJECTS: Dict[str, Callable[..., Dict[str, float]]] = {
    "sync": _sync,
    "async": _async,
    "sync, resumed from JSON lines": _journalled(_sync, ".jsonl"),
    "async, resumed from JSON lines": _journalled(_async, ".jsonl"),
    "sync, resumed from SQLite": _journalled(_sync, ".sqlite"),
    "async, resumed from SQLite": _journalled(_async, ".sqlite"),
}


def _peak_mib() -> float:
    from benchmarks.streaming import _peak_mib as peak

    return peak()


def _main(name: str, *given: str) -> None:
    if name != "--full":
        print(json.dumps(_SUBJECTS[name](given[0], int(given[1]))))
        return
    count = int(given[0]) if given else _MILLION
    with serving() as origin:
        for subject in ("sync", "async"):
            print(subject, _in_a_process(subject, origin, count), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
