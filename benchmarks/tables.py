"""A run as a table: as text, in Markdown, in reStructuredText; all say the same in every cell."""

from __future__ import annotations

import textwrap
from typing import List, Sequence

from benchmarks.measure import Figure
from benchmarks.report import Run

HEAD = ("measured", "ours", "bare", "ratio", "target", "", "bare is")
_LEFT = (0, 5, 6)
_ASCII = str.maketrans({"≤": "<=", "≥": ">="})


def text(run: Run) -> str:
    """Return the table for a terminal, without characters that one may not have."""
    rows = [HEAD, *(tuple(cell.translate(_ASCII) for cell in row(f)) for f in run.figures)]
    widths = _widths(rows)
    return "\n".join("  ".join(_justified(cells, widths)).rstrip() for cells in rows)


def markdown(run: Run) -> str:
    """Return the table for a page of the documentation."""
    lines = [_piped(HEAD), _piped(["---" if n in _LEFT else "---:" for n in range(len(HEAD))])]
    return "\n".join([*lines, *(_piped(row(figure)) for figure in run.figures)])


def restructured(run: Run) -> str:
    """Return the table as a simple table of reStructuredText."""
    rows = [HEAD, *map(row, run.figures)]
    widths = _widths(rows)
    border = "  ".join("=" * width for width in widths)
    head, *body = ("  ".join(_justified(cells, widths)).rstrip() for cells in rows)
    return "\n".join([border, head, border, *body, border])


def row(figure: Figure) -> Sequence[str]:
    """Return the cells of a figure."""
    return (
        figure.name,
        amount(figure.ours, figure.unit),
        amount(figure.bare, figure.unit),
        ratio(figure),
        target(figure),
        figure.verdict,
        f"({figure.skipped})" if figure.skipped else figure.beside,
    )


def ratio(figure: Figure) -> str:
    """Return the ratio; a target that is missed by a hair is seen to be missed."""
    if figure.ratio is None:
        return ""
    rounded = f"{figure.ratio:.2f}"
    hidden = not figure.met and float(rounded) == figure.target
    return f"{figure.ratio:.4f}" if hidden else rounded


def amount(value: object, unit: str) -> str:
    """Return a figure with its unit, to about three digits."""
    if not isinstance(value, (int, float)):
        return ""
    return f"{value:,.{_places(abs(value))}f} {unit}"


def _places(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2


def target(figure: Figure) -> str:
    """Return the target with its direction: times are to be less, throughputs more."""
    if figure.target is None:
        return ""
    absolute = figure.ratio is None and figure.unit
    goal = f"{figure.target:g} {figure.unit}" if absolute else f"{figure.target:.2f}"
    return f"{'≥' if figure.at_least else '≤'} {goal}"


def machine(run: Run) -> str:
    """Return the machine and the versions, as a paragraph."""
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    return textwrap.fill(f"Measured on {place(run)}, with {versions}.", 100, break_on_hyphens=False)


def place(run: Run) -> str:
    """Return what the figures were taken on, without the libraries."""
    facts = run.machine
    return f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, {facts['python']}"


def _widths(rows: Sequence[Sequence[str]]) -> List[int]:
    return [max(1, *(len(cells[n]) for cells in rows)) for n in range(len(HEAD))]


def _justified(cells: Sequence[str], widths: Sequence[int]) -> List[str]:
    return [
        cell.ljust(width) if column in _LEFT else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths))
    ]


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
