"""``python -m benchmarks``: run the benchmarks, print the table, put it into the pages."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional

from benchmarks import (
    asynchronous,
    batch,
    cpu,
    growth,
    publish,
    streaming,
    tables,
    throughput,
    wall,
)
from benchmarks.measure import QUICK, Figure, Scale
from benchmarks.report import Run, from_json, run_here, to_json

BENCHMARKS: Dict[str, Callable[[Scale], Iterator[Figure]]] = {
    "requests": cpu.small_requests,
    "async": asynchronous.small_requests,
    "pipeline": cpu.pipeline,
    "batch": wall.batch,
    "batch-at-scale": batch.batch_at_scale,
    "growth": growth.growth,
    "threads": growth.threads,
    "import": wall.imports,
    "streaming": streaming.streaming,
    "throughput": throughput.throughput,
}


def _arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    known = "\n".join(f"  {name:14} {_summary(run)}" for name, run in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the package beside what it replaces. CPU figures are of this process.",
        epilog=f"benchmarks:\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds")
    parser.add_argument("--rounds", type=_positive, help="turns of each of the things compared")
    parser.add_argument("--calls", type=_positive, help="calls in a turn")
    parser.add_argument("--stream-mib", type=_positive, help="MiB to stream (default: 1024)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the run to a file too")
    parser.add_argument(
        "--write",
        action="store_true",
        help="put chart and tables into docs/ and README.rst",
    )
    parser.add_argument(
        "--from",
        type=Path,
        dest="kept",
        metavar="FILE",
        help="measure nothing: take the run that --json wrote",
    )
    arguments = parser.parse_args(argv)
    for name in arguments.names:
        if name not in BENCHMARKS:
            parser.error(f"unknown benchmark {name!r}; known: {', '.join(BENCHMARKS)}")
    if arguments.write and arguments.names:
        parser.error("--write needs all of the benchmarks, so no names")
    return arguments


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {number}")
    return number


def _summary(run: Callable[..., object]) -> str:
    return (run.__doc__ or "").splitlines()[0]


def _scale(arguments: argparse.Namespace) -> Scale:
    given = {
        name: getattr(arguments, name)
        for name in ("rounds", "calls", "stream_mib")
        if getattr(arguments, name) is not None
    }
    return dataclasses.replace(QUICK if arguments.quick else Scale(), **given)


def _measured(names: List[str], scale: Scale) -> Iterator[Figure]:
    for name in names:
        for figure in BENCHMARKS[name](scale):
            said = f"SKIPPED, {figure.skipped}" if figure.skipped else figure.verdict
            print(f"{name}: {figure.name} {said}".rstrip(), file=sys.stderr, flush=True)
            yield dataclasses.replace(figure, group=name)


def _show(run: Run, arguments: argparse.Namespace) -> None:
    print(tables.machine(run))
    print(tables.text(run))
    if arguments.json:
        arguments.json.write_text(to_json(run), encoding="utf-8")
    if arguments.write:
        publish.publish(run)


def _measure(arguments: argparse.Namespace) -> Run:
    # A proxy of the environment would be between us and the server.
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    scale = _scale(arguments)
    return run_here(list(_measured(arguments.names or list(BENCHMARKS), scale)), scale)


def _kept(path: Path) -> Run:
    return from_json(path.read_text(encoding="utf-8"))


def main(argv: Optional[List[str]] = None) -> int:
    """Run what the arguments ask for; returns the exit status."""
    arguments = _arguments(argv)
    run = _kept(arguments.kept) if arguments.kept else _measure(arguments)
    _show(run, arguments)
    return int(arguments.check and not all(figure.met for figure in run.figures))


if __name__ == "__main__":
    sys.exit(main())
