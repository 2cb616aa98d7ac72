"""A run as a table: whole, as text and in Markdown; what has a target, in reStructuredText."""

from __future__ import annotations

import textwrap
from typing import Iterator, List, Sequence

from benchmarks.measure import Figure
from benchmarks.report import Run

HEAD = ("measured", "ours", "bare", "ratio", "target", "", "bare is")
_LEFT = (0, 5, 6)
SHORT_HEAD = ("measured", "ours", "target", "")
_ASCII = str.maketrans({"≤": "<=", "≥": ">="})


def text(run: Run) -> str:
    """Return the table for a terminal, without characters that one may not have."""
    rows = [HEAD, *(tuple(cell.translate(_ASCII) for cell in row(f)) for f in run.figures)]
    return "\n".join(_lines(rows, _LEFT))


def markdown(run: Run) -> str:
    """Return the table for a page of the documentation."""
    lines = [_piped(HEAD), _piped(["---" if n in _LEFT else "---:" for n in range(len(HEAD))])]
    return "\n".join([*lines, *(_piped(row(figure)) for figure in run.figures)])


def restructured(run: Run) -> str:
    """Return the figures that have a target as a simple table, narrow enough to be read as text."""
    rows = [SHORT_HEAD, *(short_row(f) for f in run.figures if f.target is not None)]
    border = "  ".join("=" * width for width in _widths(rows))
    head, *body = _lines(rows, (0, 1, 3))
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


def short_row(figure: Figure) -> Sequence[str]:
    """Return the cells of a figure in short: what the target is about, the target, the verdict."""
    if figure.skipped:
        ours = f"({figure.skipped})"
    elif figure.ratio is None:
        ours = amount(figure.ours, figure.unit)
    else:
        ours = f"{ratio(figure)} \N{MULTIPLICATION SIGN} {figure.beside}"
    return figure.name, ours, target(figure), figure.verdict


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
    return [max(1, *map(len, column)) for column in zip(*rows)]


def _lines(rows: Sequence[Sequence[str]], left: Sequence[int]) -> Iterator[str]:
    widths = _widths(rows)
    for cells in rows:
        yield "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths))
        ).rstrip()


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
