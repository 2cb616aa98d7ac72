"""How figures are taken and shown.

Two things that are compared take turns, round by round, in one run: what else the machine does
meets both alike. A figure is the median over the rounds, a ratio the median of the rounds' own.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import Callable, Iterable, List, Optional, Sequence, Tuple


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    :ivar full: as many patterns and batched calls as the targets name.
    :ivar rounds: turns of each of the two.
    :ivar calls: calls in a turn.
    :ivar stream_mib: MiB that are streamed.
    """

    full: bool = True
    rounds: int = 15
    calls: int = 200
    stream_mib: int = 1024


QUICK = Scale(full=False, rounds=3, calls=20, stream_mib=32)


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    :ivar target: what ``ratio`` (or, without one, ``ours``) should not exceed; ``None``: no target.
    """

    name: str
    ours: float
    bare: Optional[float]
    ratio: Optional[float]
    target: Optional[float]
    unit: str

    @property
    def met(self) -> bool:
        """Tell whether the target is met; so is a missing one."""
        value = self.ours if self.ratio is None else self.ratio
        return self.target is None or value <= self.target


Turn = Callable[[], float]


def process_time_of(function: Callable[[], object], calls: int) -> Turn:
    """Return a turn: the CPU time of this process per call, in µs."""

    def turn() -> float:
        repeat = range(calls)
        began = time.process_time()
        for _ in repeat:
            function()
        return (time.process_time() - began) / calls * 1e6

    return turn


def wall_time_of(function: Callable[[], object]) -> Turn:
    """Return a turn: the seconds that one call takes."""

    def turn() -> float:
        began = time.perf_counter()
        function()
        return time.perf_counter() - began

    return turn


def take_turns(ours: Turn, bare: Turn, rounds: int) -> List[Tuple[float, float]]:
    """Return what both measured in each round; a first round warms up and does not count."""
    pairs = []
    for number in range(rounds + 1):
        gc.collect()
        # The one that goes first alternates too.
        if number % 2:
            pairs.append((ours(), bare()))
        else:
            other = bare()
            pairs.append((ours(), other))
    return pairs[1:]


def compare(
    name: str, pairs: Sequence[Tuple[float, float]], target: Optional[float], unit: str = "µs"
) -> Figure:
    """Return the figure for two that did the same."""
    return Figure(
        name,
        statistics.median(ours for ours, _ in pairs),
        statistics.median(bare for _, bare in pairs),
        statistics.median(ours / bare for ours, bare in pairs),
        target,
        unit,
    )


def added(
    name: str, pairs: Sequence[Tuple[float, float]], target: Optional[float], unit: str = "µs"
) -> Figure:
    """Return the figure for what the first of two takes more than the second."""
    extra = statistics.median(ours - bare for ours, bare in pairs)
    return Figure(name, extra, None, None, target, unit)


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as text."""
    rows: List[Tuple[str, ...]] = [("", "ours", "bare", "ratio", "target", ""), *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in (0, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _row(figure: Figure) -> Tuple[str, ...]:
    return (
        figure.name,
        f"{figure.ours:.4g} {figure.unit}",
        "" if figure.bare is None else f"{figure.bare:.4g} {figure.unit}",
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        _target(figure),
        "" if figure.target is None else "met" if figure.met else "MISSED",
    )


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    unit = f" {figure.unit}" if figure.ratio is None else ""
    return f"<= {figure.target:g}{unit}"
