"""A run goes into the documentation: nobody types a figure.

The run itself is kept beside the pages, as JSON; the chart and the tables follow from it, so that a
test can tell whether all of them show the same run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from benchmarks import chart, tables
from benchmarks.report import Run, from_json, to_json

ROOT = Path(__file__).resolve().parents[1]
_DATA = Path("docs", "performance.json")
_CHART = Path("docs", "performance.svg")
_PAGE = Path("docs", "performance.md")
_README = Path("README.rst")

# Where the tables stand, in the comments of the two markups.
_MARKERS = {
    _PAGE: ("<!-- benchmarks: begin -->\n", "<!-- benchmarks: end -->\n"),
    _README: (".. benchmarks: begin\n", ".. benchmarks: end\n"),
}


def published(root: Path = ROOT) -> Run:
    """Return the run that the documentation shows."""
    return from_json((root / _DATA).read_text(encoding="utf-8"))


def publish(run: Run, root: Path = ROOT) -> None:
    """Write the run, its chart and its tables."""
    for path, text in pages(run, root).items():
        path.write_text(text, encoding="utf-8")


def pages(run: Run, root: Path = ROOT) -> Dict[Path, str]:
    """Return what the files of the documentation should hold, for a run."""
    return {
        root / _DATA: to_json(run),
        root / _CHART: chart.svg(run),
        root / _PAGE: _inserted(root, _PAGE, tables.markdown(run), run),
        root / _README: _inserted(root, _README, tables.restructured(run), run),
    }


def _inserted(root: Path, page: Path, table: str, run: Run) -> str:
    begin, end = _MARKERS[page]
    before, begin, rest = (root / page).read_text(encoding="utf-8").partition(begin)
    _, end, after = rest.partition(end)
    if not end:
        raise ValueError(f"{page} has no place for the table: it lacks {_MARKERS[page]}")
    return f"{before}{begin}\n{tables.machine(run)}\n\n{table}\n\n{end}{after}"
