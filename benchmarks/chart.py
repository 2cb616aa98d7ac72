"""A run as a drawing: horizontal bars, each with its target, as SVG by hand.

The layout follows from the rows alone, so the same run gives the same bytes. The drawing brings its
own background: what a page around it does in the dark need not be known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Iterator, List, Sequence
from xml.sax.saxutils import escape

from benchmarks import tables
from benchmarks.measure import Figure
from benchmarks.report import Run

_WIDTH, _MARGIN, _ROW, _BAR = 1000, 24, 26, 14
_CHARACTER = 7.0  # the width of one, on average, at 13 pixels
_RIGHT = 190  # where the numbers stand
_TITLE = "What requests-connection-manager costs, beside the bare library"
_TIMES = " \N{MULTIPLICATION SIGN}"

_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.background { fill: #ffffff }
.heading { font-size: 20px; font-weight: 600 }
.panel { font-size: 15px; font-weight: 600 }
.small { font-size: 12px; fill: #59636e }
.value { font-weight: 600 }
.grid { stroke: #d1d9e0 }
.bare { stroke: #59636e; stroke-dasharray: 3 3 }
.target { stroke: #1f2328; stroke-width: 2.5 }
.track { fill: #eef1f4 }
.met { fill: #2a9d8f }
.missed { fill: #d1571b }
.plain { fill: #9aa4ae }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .background { fill: #0d1117 }
  .small { fill: #9198a1 }
  .grid { stroke: #3d444d }
  .bare { stroke: #9198a1 }
  .target { stroke: #e6edf3 }
  .track { fill: #1b222b }
  .met { fill: #2fae9e }
  .missed { fill: #e0702f }
  .plain { fill: #6e7681 }
}
"""


@dataclass(frozen=True)
class Panel:
    """Bars that share an axis."""

    heading: str
    explained: str
    holds: Callable[[Figure], bool]
    unit: str


PANELS = (
    Panel(
        "Time, ours / bare",
        "shorter is better; the target is not to be exceeded",
        lambda figure: _compared(figure) and not figure.at_least,
        _TIMES,
    ),
    Panel(
        "Requests per second, ours / bare",
        "longer is better; the target is to be reached",
        lambda figure: _compared(figure) and figure.at_least and not _of_bodies(figure),
        _TIMES,
    ),
    Panel(
        "MiB per second, ours / bare",
        "longer is better; the target is to be reached",
        lambda figure: _compared(figure) and figure.at_least and _of_bodies(figure),
        _TIMES,
    ),
    Panel(
        "Bounds, share of the target that is used",
        "shorter is better; 100 % is the target",
        lambda figure: not _compared(figure),
        "\N{NO-BREAK SPACE}%",
    ),
)


def _compared(figure: Figure) -> bool:
    # What was skipped has no ratio; nearly everything else has one.
    return figure.ratio is not None or bool(figure.skipped)


def _of_bodies(figure: Figure) -> bool:
    # On an axis of their own: one that has room for 10 times hides what is near 1.
    return figure.unit == "MiB/s"


def svg(run: Run) -> str:
    """Return the drawing of a run."""
    left = _MARGIN + _CHARACTER * max(len(figure.name) for figure in run.figures)
    body: List[str] = []
    y = 84
    for panel in PANELS:
        figures = [figure for figure in run.figures if panel.holds(figure)]
        if figures:
            body += _panel(panel, figures, left, y)
            y += 40 + _ROW * len(figures) + 50
    body += _legend(y - 10)
    return "\n".join([*_opening(run, y + 20), *body, "</svg>", ""])


def _opening(run: Run, height: int) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" aria-labelledby="title description">'
    )
    yield f'<title id="title">{_TITLE}</title>'
    sentences = " ".join(f"{sentence(figure)}." for figure in run.figures)
    yield f'<desc id="description">{escape(sentences)}</desc>'
    yield f"<style>{_STYLE}</style>"
    yield f'<rect class="background" width="{_WIDTH}" height="{height}" rx="8"/>'
    yield _text(_MARGIN, 38, "Everything switched on, beside the bare library", "heading")
    yield _text(_MARGIN, 60, tables.place(run), "small")


def sentence(figure: Figure) -> str:
    """Return what a row shows, in words."""
    if figure.skipped:
        return f"{figure.name}: not measured, {figure.skipped}"
    goal = f", target {tables.target(figure)}, {figure.verdict}" if figure.target else ""
    return f"{figure.name}: {_shown(figure)}{goal}"


def _shown(figure: Figure) -> str:
    if figure.ratio is None:
        return tables.amount(figure.ours, figure.unit)
    return f"{tables.ratio(figure)}{_TIMES}"


def _length(figure: Figure) -> float:
    if figure.ratio is not None:
        return figure.ratio
    share = 100 * figure.ours / figure.target if figure.ours and figure.target else 0.0
    return max(0.0, share)  # what is added can be less than nothing


def _goal(figure: Figure) -> float:
    if figure.target is None or figure.skipped:
        return 0.0
    return 100.0 if figure.ratio is None else figure.target


def _panel(panel: Panel, figures: Sequence[Figure], left: float, y: float) -> Iterator[str]:
    reach = max(1.0, *(max(_length(figure), _goal(figure)) for figure in figures))
    step = _nice(reach / 6)
    reach = math.ceil(reach / step) * step
    across = (_WIDTH - _RIGHT - left - 16) / reach
    yield _text(_MARGIN, y + 14, panel.heading, "panel")
    yield _text(left + 8, y + 14, panel.explained, "small")
    top, bottom = y + 26, y + 30 + _ROW * len(figures)
    for number in range(round(reach / step) + 1):
        x = left + 8 + number * step * across
        yield _line(x, top, bottom, "grid")
        label = f"{number * step:g}{panel.unit}" if number else "0"
        yield _text(x, bottom + 15, label, "small", "middle")
    if panel.unit == _TIMES:
        x = left + 8 + across
        yield _line(x, top, bottom + 4, "bare")
        yield _text(x, bottom + 29, "bare", "small", "middle")
    for number, figure in enumerate(figures):
        yield from _bar(figure, left, y + 30 + _ROW * number, across)


def _bar(figure: Figure, left: float, y: float, across: float) -> Iterator[str]:
    yield f"<g><title>{escape(sentence(figure))}</title>"
    yield _text(left - 4, y + 17, figure.name, "", "end")
    if figure.skipped:
        yield _text(left + 14, y + 17, f"not measured: {figure.skipped}", "small")
    colour = {"met": "met", "MISSED": "missed"}.get(figure.verdict, "plain")
    top, height, width = y + (_ROW - _BAR) / 2, _BAR, _length(figure) * across
    if width:
        yield (
            f'<rect class="{colour}" x="{left + 8:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{height}" rx="2"/>'
        )
    if figure.target is not None and not figure.skipped:
        yield _line(left + 8 + _goal(figure) * across, top - 4, top + height + 4, "target")
    if not figure.skipped:
        yield _text(_WIDTH - _RIGHT, y + 17, _shown(figure), "value")
        goal = f"{tables.target(figure)} {figure.verdict}" if figure.target is not None else ""
        yield _text(_WIDTH - _MARGIN, y + 17, goal, "small", "end")
    yield "</g>"


def _legend(y: float) -> Iterator[str]:
    x = float(_MARGIN)
    for colour, meaning in (
        ("met", "target met"),
        ("missed", "target missed"),
        ("plain", "no target, for orientation"),
    ):
        yield f'<rect class="{colour}" x="{x:.1f}" y="{y - 10:.1f}" width="14" height="11" rx="2"/>'
        yield _text(x + 20, y, meaning, "small")
        x += 44 + _CHARACTER * len(meaning)
    for line, meaning in (("target", "target"), ("bare", "the bare library")):
        yield _line(x + 6, y - 12, y + 3, line)
        yield _text(x + 16, y, meaning, "small")
        x += 44 + _CHARACTER * len(meaning)


def _nice(step: float) -> float:
    """Return the next 1, 2, 2.5 or 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * 0.999)


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    kind = f' class="{kind}"' if kind else ""
    end = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}"{end}>{escape(text)}</text>'


def _line(x: float, top: float, bottom: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}"/>'
