"""``python -m benchmarks``: run the benchmarks and print a table."""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
from typing import Callable, Dict, Iterator, List, Optional

from benchmarks import cpu, streaming, wall
from benchmarks.measure import QUICK, Figure, Scale, table

BENCHMARKS: Dict[str, Callable[[Scale], Iterator[Figure]]] = {
    "requests": cpu.small_requests,
    "pipeline": cpu.pipeline,
    "batch": wall.batch,
    "endpoints": cpu.endpoints,
    "import": wall.imports,
    "streaming": streaming.streaming,
    "async": wall.async_client,
}


def _arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    known = "\n".join(f"  {name:10} {_summary(run)}" for name, run in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the package beside what it replaces. CPU figures are of this process.",
        epilog=f"benchmarks:\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    parser.add_argument("--rounds", type=int, help="turns of each of the two compared")
    parser.add_argument("--calls", type=int, help="calls in a turn")
    parser.add_argument("--stream-mib", type=int, help="MiB to stream (default: 1024)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    arguments = parser.parse_args(argv)
    for name in arguments.names:
        if name not in BENCHMARKS:
            parser.error(f"unknown benchmark {name!r}; known: {', '.join(BENCHMARKS)}")
    return arguments


def _summary(run: Callable[..., object]) -> str:
    return (run.__doc__ or "").splitlines()[0]


def _scale(arguments: argparse.Namespace) -> Scale:
    given = {
        name: getattr(arguments, name)
        for name in ("rounds", "calls", "stream_mib")
        if getattr(arguments, name) is not None
    }
    return dataclasses.replace(QUICK if arguments.quick else Scale(), **given)


def main(argv: Optional[List[str]] = None) -> int:
    """Run what the arguments ask for; returns the exit status."""
    arguments = _arguments(argv)
    # A proxy of the environment would be between us and the server.
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    figures: List[Figure] = []
    for name in arguments.names or BENCHMARKS:
        for figure in BENCHMARKS[name](_scale(arguments)):
            print(f"{name}: {figure.name}", file=sys.stderr, flush=True)
            figures.append(figure)
    print(f"Python {platform.python_version()}, {platform.machine()}")
    print(table(figures))
    return int(arguments.check and not all(figure.met for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
