"""How figures are taken: interleaved, in one run. Knows not what is measured, nor how it is shown.

Things that are compared take turns, round by round, in one process: what else the machine does
meets all of them alike. A figure is the median over the rounds, a ratio the median of the rounds'
own. The garbage is collected before each turn, and what was there before the first one is frozen:
a turn pays for the garbage collections that it causes itself, and for no others.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    :ivar full: as many patterns and batched calls as the targets name.
    :ivar rounds: turns of each of the things compared.
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

    :ivar ratio: ours / bare; ``None``: nothing to compare to, ``target`` then bounds ``ours``.
    :ivar target: not to be exceeded, or with ``at_least`` to be reached; ``None``: no target.
    :ivar unit: of ``ours`` and ``bare``: a time or a size, or a throughput such as ``"req/s"``.
    :ivar at_least: more is better; else less is.
    :ivar beside: what ``bare`` is, such as ``"requests.Session"``.
    :ivar skipped: why nothing was measured.
    :ivar group: the benchmark that the line belongs to.
    """

    name: str
    ours: Optional[float]
    bare: Optional[float]
    ratio: Optional[float]
    target: Optional[float]
    unit: str
    at_least: bool = False
    beside: str = ""
    skipped: str = ""
    group: str = ""

    @property
    def value(self) -> Optional[float]:
        """Return what the target is about."""
        return self.ours if self.ratio is None else self.ratio

    @property
    def met(self) -> bool:
        """Tell whether the target is met; so is a missing one."""
        if self.target is None or self.value is None:
            return True
        return self.value >= self.target if self.at_least else self.value <= self.target

    @property
    def verdict(self) -> str:
        """Return ``"met"``, ``"MISSED"``, ``"SKIPPED"``, or nothing where there is no target."""
        if self.skipped:
            return "SKIPPED"
        if self.target is None:
            return ""
        return "met" if self.met else "MISSED"


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


def interleave(turns: Mapping[str, Turn], rounds: int) -> Dict[str, List[float]]:
    """Return what each measured in each round; a first round warms up and does not count."""
    measured: Dict[str, List[float]] = {name: [] for name in turns}
    names = list(turns)
    with _frozen_heap():
        for number in range(rounds + 1):
            # The one that goes first alternates too.
            for name in names if number % 2 else reversed(names):
                gc.collect()
                taken = turns[name]()
                if number:
                    measured[name].append(taken)
    return measured


def take_turns(ours: Turn, bare: Turn, rounds: int) -> List[Tuple[float, float]]:
    """Return what both measured in each round; a first round warms up and does not count."""
    measured = interleave({"ours": ours, "bare": bare}, rounds)
    return list(zip(measured["ours"], measured["bare"]))


@contextlib.contextmanager
def _frozen_heap() -> Iterator[None]:
    # Or a collection walks the modules of every library that is loaded, in whoever's turn it falls.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def compare(
    name: str,
    pairs: Sequence[Tuple[float, float]],
    target: Optional[float],
    unit: str = "µs",
    *,
    at_least: bool = False,
    beside: str = "",
) -> Figure:
    """Return the figure for two that did the same."""
    return Figure(
        name,
        statistics.median(ours for ours, _ in pairs),
        statistics.median(bare for _, bare in pairs),
        statistics.median(ours / bare for ours, bare in pairs),
        target,
        unit,
        at_least,
        beside,
    )


def added(
    name: str, pairs: Sequence[Tuple[float, float]], target: Optional[float], unit: str = "µs"
) -> Figure:
    """Return the figure for what the first of two takes more than the second."""
    extra = statistics.median(ours - bare for ours, bare in pairs)
    return Figure(name, extra, None, None, target, unit)


def skipped(
    name: str, reason: str, target: Optional[float] = None, *, at_least: bool = False
) -> Figure:
    """Return the line of what could not be measured here; ``reason`` says why."""
    return Figure(name, None, None, None, target, "", at_least, skipped=reason)
